"""A session whose room is gone for good ends: by itself, also over a restart, with all that its plugins owe."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from relay_bot.hall import closing, hall
from relay_bot.hall.halls import Halls
from relay_bot.plugin import Route
from relay_bot.settings import HallsSettings, Settings
from relay_bot.testing import HallKit
from relay_bot.wire.clock import now_ms
from tests.journal.test_privacy import everything

OWES = """
from typing import ClassVar
from relay_bot.plugin import Body, Context, Effect, Event, Plugin, RemoveParticipant, State, handle

class Over(Event, frozen=True):
    pass

class Settled(Event, frozen=True):
    error: str | None

class Ends(State):
    overs: int = 0
    settled: list[str | None] = []

    def on_over(self, event: Over) -> None:
        self.overs += 1

    def on_settled(self, event: Settled) -> None:
        self.settled.append(event.error)

class OwesPlugin(Plugin[Ends]):
    def ended(self, ctx: Context) -> None:
        if not self.state.overs:
            ctx.record(Over())
            ctx.owe(RemoveParticipant("ann"), key="ann")

    def effect_settled(self, effect: Effect, error: str | None, ctx: Context) -> None:
        ctx.record(Settled(error))
"""
SETTINGS = Settings(halls=HallsSettings(resume_seconds=60.0))


@pytest.fixture
def plugins(tmp_path: Path) -> dict[str, Any]:
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "owes.py").write_text(OWES)
    return {"path": [str(folder)], "owes": {}, "polls": {}}


class Rooms:
    """The rooms that LiveKit lists."""

    def __init__(self, kit: HallKit) -> None:
        self.names: list[str] = []
        kit._services.rooms.list_rooms = self.list_rooms  # type: ignore[method-assign]  (the rest is the kit's)

    async def list_rooms(self) -> list[tuple[str, str]]:
        return [(name, "RM_kit") for name in self.names]


def session_row(folder: Path) -> dict[str, Any]:
    other = sqlite3.connect(folder / "relay.db")
    try:
        other.row_factory = sqlite3.Row
        return dict(other.execute("SELECT * FROM sessions WHERE hall LIKE 'kit-%' ORDER BY id DESC").fetchone())
    finally:
        other.close()


def age(folder: Path, seconds: float) -> None:
    """Have the session seen so long ago for the last time."""
    other = sqlite3.connect(folder / "relay.db")
    try:
        with other:
            other.execute("UPDATE sessions SET seen_at = ?", (now_ms() - int(seconds * 1000),))
    finally:
        other.close()


def kinds(folder: Path) -> list[str]:
    other = sqlite3.connect(folder / "relay.db")
    try:
        return [row[0] for row in other.execute("SELECT kind FROM events ORDER BY session, seq")]
    finally:
        other.close()


@asynccontextmanager
async def left_behind(folder: Path, plugins: dict[str, Any]) -> AsyncGenerator[tuple[HallKit, Halls, Rooms, bytes]]:
    """A hall with an open anonymous poll that is not served any more, as after the bot was killed."""
    async with HallKit.open(folder, plugins, settings=SETTINGS) as kit:
        host = await kit.join("host", role="host")
        asked = {"poll_id": "p", "question": "Tea?", "options": ["a", "b"], "anonymous": True}
        await host.ask("poll", asked)
        await host.ask("poll_response", {"poll_id": "p", "option": 1})
        assert kit.hall.session is not None
        (secret,) = (await kit.journal.load(kit.hall.session.info.id, 0)).secrets.values()
        await kit.stop()
        kit.room.sinks.clear()
        halls = Halls(kit._services)
        yield kit, halls, Rooms(kit), secret
        await halls.stop()


async def test_a_session_whose_room_does_not_come_back_is_ended(tmp_path: Path, plugins: dict[str, Any]) -> None:
    async with left_behind(tmp_path, plugins) as (kit, halls, _, secret):
        await halls.end_gone()
        assert session_row(tmp_path)["ended_at"] is None, "it may still come back"
        age(tmp_path, 61)
        await halls.end_gone()
        assert session_row(tmp_path)["ended_at"] is not None
        assert "polls.poll_closed" in kinds(tmp_path)
        assert kinds(tmp_path).count("owes.over") == 1
        assert "owes.settled" in kinds(tmp_path), "what it owed was done"
        assert secret not in everything(tmp_path)
        get_poll = route(kit, "get_poll")
        poll = await halls.ask_past(kit._name, "polls", get_poll, get_poll.request_type(poll_id="p"))  # type: ignore[call-arg]
        assert msgspec.to_builtins(poll)["counts"] == [0, 1]
        await halls.end_gone()
        assert kinds(tmp_path).count("owes.over") == 1


def route(kit: HallKit, method: str) -> Route:
    return next(each for each in kit.loaded["polls"].spec.routes if each.method == method)


async def test_a_room_that_is_there_keeps_its_session(tmp_path: Path, plugins: dict[str, Any]) -> None:
    async with left_behind(tmp_path, plugins) as (kit, halls, rooms, _):
        age(tmp_path, 1_000)
        rooms.names = [kit._name]
        await halls.end_gone()
        assert session_row(tmp_path)["ended_at"] is None
        assert session_row(tmp_path)["closing_at"] is None


async def test_of_a_room_that_comes_back_and_of_the_end_the_quicker_counts(
    tmp_path: Path, plugins: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with left_behind(tmp_path, plugins) as (kit, halls, rooms, _):
        age(tmp_path, 61)
        first = session_row(tmp_path)["id"]

        async def listing_that_is_late() -> list[tuple[str, str]]:
            await kit.journal.claim(kit._name, "RM_kit", now_ms(), 60_000)  # another bot has found it meanwhile
            return []

        rooms.list_rooms = listing_that_is_late  # type: ignore[method-assign]
        kit._services.rooms.list_rooms = listing_that_is_late  # type: ignore[method-assign]
        await halls.end_gone()
        assert session_row(tmp_path)["ended_at"] is None
        age(tmp_path, 61)
        claimed = await kit.journal.claim_closing(first, now_ms(), now_ms() - 60_000, 0, 0)
        assert claimed is not None
        again = await kit.journal.claim(kit._name, "RM_kit", now_ms(), 60_000)
        assert again.id != first, "a session that is being closed is never taken up again"
        assert await kit.journal.claim_closing(first, now_ms(), now_ms() - 60_000, now_ms() - 15_000, 0) is None


@pytest.mark.parametrize("killed", [False, True], ids=["by the same bot", "by the next one"])
async def test_what_an_end_owes_is_done_after_it(
    tmp_path: Path, plugins: dict[str, Any], killed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hall, "_WORK_OFF_SECONDS", 0.05)
    async with HallKit.open(tmp_path, plugins, settings=SETTINGS) as kit:
        rooms = Rooms(kit)
        await kit.join("ann")
        await kit.stop()
        kit.room.sinks.clear()
        kit.room.failing = True
        halls = Halls(kit._services)
        halls.found(kit._name, "RM_kit")
        await until(kit, lambda: (found := halls.get(kit._name)) is not None and found.active)
        kit.close_room()
        await until(kit, lambda: halls.get(kit._name) is None)
        row = session_row(tmp_path)
        assert (row["ended_at"], row["closing_at"] is not None) == (None, True), "it has something to do"
        assert kit.room.effects == []
        kit.room.failing = False
        if killed:
            await halls.stop()
            halls = Halls(kit._services)
            await halls.end_gone()
            assert session_row(tmp_path)["ended_at"] is None, "it may be at work still"
            age(tmp_path, closing.STALE_MS / 1000 + 1)
        rooms.names = []
        await halls.end_gone()
        assert session_row(tmp_path)["ended_at"] is not None
        assert len(kit.room.effects) == 1
        assert kinds(tmp_path).count("owes.settled") == 1
        await halls.stop()


async def test_in_a_new_room_of_that_name_nobody_is_removed_for_it(
    tmp_path: Path, plugins: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with left_behind(tmp_path, plugins) as (kit, halls, rooms, _):
        age(tmp_path, 61)
        await kit.journal.claim(kit._name, "RM_new", now_ms(), 60_000)  # the old session is to be closed by somebody
        age(tmp_path, 16)
        rooms.names = [kit._name]
        await halls.end_gone()
        assert kit.room.effects == []
        assert kinds(tmp_path).count("owes.settled") == 1


async def test_a_hall_does_what_its_end_owes_before_it_goes(tmp_path: Path, plugins: dict[str, Any]) -> None:
    async with HallKit.open(tmp_path, plugins, settings=SETTINGS) as kit:
        await kit.join("ann")
        kit.close_room()
        await until(kit, lambda: kit._task is not None and kit._task.done())
        assert len(kit.room.effects) == 1
        assert session_row(tmp_path)["ended_at"] is not None


async def until(kit: HallKit, condition: Callable[[], bool]) -> None:
    await kit.until(condition, 10.0)
