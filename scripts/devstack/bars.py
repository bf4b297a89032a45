"""A poll's bars: alive on a terminal, plain lines elsewhere."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

_PLAIN_PAUSE = 1.0


@dataclass(frozen=True, slots=True)
class Tally:
    """What there is to show."""

    options: Sequence[str]
    counts: Sequence[int] = field(default=())
    total_voters: int = 0
    closed: bool = False

    @property
    def rows(self) -> list[tuple[str, int]]:
        counts = [*self.counts, *[0] * len(self.options)]
        return list(zip(self.options, counts, strict=False))


class Bars:
    """Shows one poll as its results come in. Use as a context manager."""

    def __init__(self, question: str, voters: int, console: Console | None = None) -> None:
        self._question = question
        self._voters = voters
        self._console = console or Console(highlight=False)
        self._live = Live(console=self._console, auto_refresh=False) if self._console.is_terminal else None
        self._shown: Tally | None = None
        self._shown_at = 0.0

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        else:
            self._say(self._question)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, tally: Tally) -> None:
        """Show this state, unless it is shown already."""
        if tally == self._shown:
            return
        if self._live is not None:
            self._live.update(self._draw(tally), refresh=True)
        elif tally.closed or time.monotonic() - self._shown_at >= _PLAIN_PAUSE:
            self._say(_line(tally, self._voters))
            self._shown_at = time.monotonic()
        else:
            return  # later, together with what comes until then
        self._shown = tally

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)

    def _draw(self, tally: Tally) -> Group:
        table = Table.grid(padding=(0, 1))
        for option, count in tally.rows:
            share = count / max(1, tally.total_voters)
            bar = ProgressBar(total=max(1, self._voters), completed=count, width=40)
            table.add_row(Text(option), bar, Text(f"{count:>4}"), Text(f"{share:>4.0%}", style="dim"))
        state = "closed" if tally.closed else "open"
        foot = Text(f"{tally.total_voters} of {self._voters} have voted · {state}", style="dim")
        return Group(Text(self._question, style="bold"), table, foot)


def _line(tally: Tally, voters: int) -> str:
    counts = " · ".join(f"{option} {count}" for option, count in tally.rows)
    return f"{counts}   ({tally.total_voters} of {voters} have voted{', closed' if tally.closed else ''})"
