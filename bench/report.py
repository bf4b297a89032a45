"""The table: for people on a terminal, for the README, for a program."""

import platform
from collections.abc import Sequence
from importlib.metadata import version

import msgspec
import psutil
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.measure import Spread

_HEADINGS = ("what", "ours", "bare SDK", "ratio (min–max)", "hold", "held")
_LEAST_WIDTHS = (28, 8, 8, 12, 7, 4)
_PLAIN_WIDTH = 150


class Row(msgspec.Struct, frozen=True):
    """One figure. `held` is `None` where it can't be measured here, and `why` tells the reason; or where
    there is nothing to hold (`hold` is a dash).
    """

    name: str
    what: str
    hold: str
    ours: str = ""
    bare: str = ""
    ratio: Spread | None = None
    held: bool | None = None
    why: str = ""
    samples: dict[str, list[float]] = {}

    def cells(self) -> tuple[str, ...]:
        ratio = ""
        if self.ratio is not None:
            ratio = f"{self.ratio.median:.2f}× ({self.ratio.least:.2f}–{self.ratio.greatest:.2f})"
        held = {True: "yes", False: "no", None: "–" if self.hold == "–" else "skipped"}[self.held]
        if self.why:
            held += f": {self.why}"
        return (self.what, self.ours, self.bare, ratio, self.hold, held)


class Surroundings(msgspec.Struct, frozen=True):
    """What the figures were taken on, for whoever compares two runs."""

    cores: int
    system: str
    python: str
    livekit: str
    load_before: float  # what else the machine was doing (runnable processes, over a minute)

    @classmethod
    def now(cls) -> "Surroundings":
        return cls(
            psutil.cpu_count() or 0,
            f"{platform.system()} {platform.machine()}",
            platform.python_version(),
            version("livekit"),
            psutil.getloadavg()[0],
        )


def print_table(rows: Sequence[Row]) -> None:
    """The table for a person; where there is no terminal, as wide as it needs to be read."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=_PLAIN_WIDTH)
    table = Table(title="relay-bot beside the bare SDK", show_lines=True)
    for heading, least in zip(_HEADINGS, _LEAST_WIDTHS, strict=True):
        table.add_column(heading, overflow="fold", min_width=least)
    for row in rows:
        style = {True: "green", False: "bold red", None: "yellow"}[row.held]
        *cells, held = (escape(cell) for cell in row.cells())
        table.add_row(*cells, f"[{style}]{held}[/{style}]")
    console.print(table)


def markdown(rows: Sequence[Row], where: Surroundings) -> str:
    """The same table as the README shows it, and what it was measured on."""
    lines = ["| " + " | ".join(_HEADINGS) + " |", "|" + "---|" * len(_HEADINGS)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row.cells()) + " |" for row in rows]
    measured = (
        f"Measured with `python -m bench` on {where.cores} cores ({where.system}), Python {where.python}, "
        f"livekit {where.livekit}; server, crowd and bots on the same machine."
    )
    return "\n".join([*lines, "", measured])


def as_json(rows: Sequence[Row], where: Surroundings) -> bytes:
    document = {"surroundings": where, "rows": rows}
    return msgspec.json.format(msgspec.json.encode(document), indent=2)
