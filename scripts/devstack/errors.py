"""The one exception that is meant for a person's eyes."""


class StackError(Exception):
    """Something a person can put right. Its text is one line: what is wrong, where, and what to do."""
