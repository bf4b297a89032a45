"""Plugins of a user's own, as text: the tests write them into a folder outside the checkout."""

from pathlib import Path
from typing import Any

LEDGER = '''
"""Keeps every entry that it is given, so that a test can see which were kept, and how often."""

from relay_bot.plugin import Body, Context, Event, Plugin, Request, State, handle, route


class Entry(Body, type="entry"):
    n: int


class Entered(Event, frozen=True):
    identity: str
    n: int


class Book(State):
    entries: list[tuple[str, int]] = []

    def on_entered(self, event: Entered) -> None:
        self.entries.append((event.identity, event.n))


class ReadBook(Request, frozen=True):
    """All of it."""


class Ledger(Plugin[Book]):
    @handle
    def enter(self, body: Entry, ctx: Context) -> dict[str, int]:
        ctx.record(Entered(ctx.sender.identity, body.n))
        return {"place": len(self.state.entries)}

    @route("GET", "/ledger")
    def read(self, request: ReadBook, ctx: Context) -> dict[str, list[tuple[str, int]]]:
        """Show all entries."""
        return {"entries": self.state.entries}
'''

TROUBLE = '''
"""Goes wrong in every way that a handler can."""

import time

from relay_bot.plugin import Body, Context, Event, Plugin, State, handle


class Trouble(Body, type="trouble"):
    way: str


class Happened(Event, frozen=True):
    way: str


class Troubles(State):
    ways: list[str] = []

    def on_happened(self, event: Happened) -> None:
        self.ways.append(event.way)


class TroublePlugin(Plugin[Troubles]):
    @handle
    def make(self, body: Trouble, ctx: Context) -> dict[str, int]:
        match body.way:
            case "raises":
                raise ValueError("on purpose")
            case "raises_after_recording":
                ctx.record(Happened(body.way))
                raise ValueError("on purpose")
            case "exits":
                raise SystemExit(3)
            case "sleeps":
                time.sleep(60)
            case "swallows":
                try:
                    time.sleep(60)
                except Exception:
                    pass
            case "spins":
                while True:
                    pass
            case _:
                ctx.record(Happened(body.way))
        return {"happened": len(self.state.ways)}
'''


def write_plugins(folder: Path, **plugins: str) -> dict[str, Any]:
    """Write plugins by name into a folder; gives the `plugins` section that has them loaded."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in plugins.items():
        (folder / f"{name}.py").write_text(text, "utf-8")
    return {"path": [str(folder)]} | {name: {"required": True} for name in plugins}
