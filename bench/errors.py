"""What can go wrong in the bench."""


class BenchError(Exception):
    """A figure can't be measured: a process ended, went silent, or did not do what it was to do."""


class CannotBuildError(Exception):
    """The crowd is not there and can't be built here; the text says why."""
