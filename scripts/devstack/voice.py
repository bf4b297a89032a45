"""Progress for a person: a spinner on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape

_PLAIN_PAUSE = 10.0  # seconds between two plain lines of one long step


class Voice:
    """Says on stderr what is being done, so that stdout stays for what was asked for."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)

    def line(self, text: str) -> None:
        """One line that stays."""
        if self._console.is_terminal:
            self._console.print(escape(text))
        else:
            print(text, file=sys.stderr, flush=True)

    @contextmanager
    def busy(self, text: str) -> Generator[Callable[[str], None]]:
        """A step that takes a while. Yields a function that tells how far it is."""
        started = time.monotonic()
        if self._console.is_terminal:
            with self._console.status(escape(text)) as status:
                yield lambda detail: status.update(f"{escape(text)} [dim]{escape(detail)}[/dim]")
            return
        self.line(f"{text} …")
        said = started

        def tell(detail: str) -> None:
            nonlocal said
            if (now := time.monotonic()) - said >= _PLAIN_PAUSE:
                said = now
                self.line(f"{text} … {detail} ({now - started:.0f} s)")

        yield tell
