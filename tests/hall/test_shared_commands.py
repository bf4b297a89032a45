"""Two plugins may have the same command: the one with something to do gets it, and nobody guesses."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from relay_bot.testing import HallKit, Refused

PLUGIN = """
from relay_bot.plugin import Arguments, Body, Context, Event, Plugin, State, command, handle

class Ready(Body, type="ready_{name}"):
    ready: bool

class Set(Event, frozen=True):
    ready: bool

class Readiness(State):
    ready: bool = False

    def on_set(self, event: Set) -> None:
        self.ready = event.ready

class NextPlugin(Plugin[Readiness]):
    @handle
    def set(self, body: Ready, ctx: Context) -> None:
        ctx.record(Set(body.ready))

    @command("next")
    def next(self, arguments: Arguments, ctx: Context) -> str:
        return "{name}"

    def wants_command(self, name: str) -> bool:
        return self.state.ready
"""


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncGenerator[HallKit]:
    folder = tmp_path / "own"
    folder.mkdir()
    for name in ("first", "second"):
        (folder / f"{name}.py").write_text(PLUGIN.replace("{name}", name))
    async with HallKit.open(tmp_path, {"path": [str(folder)], "first": {}, "second": {}}) as made:
        yield made


async def test_the_plugin_with_something_to_do_gets_it(kit: HallKit) -> None:
    alice = await kit.join("alice")
    await alice.ask("ready_second", {"ready": True})
    assert await alice.say("/next") == {"notice": "second"}
    await alice.ask("ready_second", {"ready": False})
    await alice.ask("ready_first", {"ready": True})
    assert await alice.say("/next") == {"notice": "first"}


async def test_where_both_have_something_to_do_it_is_asked_back(kit: HallKit) -> None:
    alice = await kit.join("alice")
    for name in ("first", "second"):
        await alice.ask(f"ready_{name}", {"ready": True})
    with pytest.raises(Refused, match="/next@first or /next@second"):
        await alice.say("/next")
    assert await alice.say("/next@second") == {"notice": "second"}
