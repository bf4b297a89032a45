"""What happened while a hall had no session to hear it reaches the plugins afterwards, once."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from relay_bot.testing import HallKit, Refused

PLUGIN = """
from relay_bot.plugin import Body, Context, Event, Participant, Plugin, RemoveParticipant, State, handle

class Break(Body, type="break"):
    pass

class Debt(Body, type="debt"):
    identity: str

class Seen(Event, frozen=True):
    what: str

class Log(State):
    seen: list[str] = []

    def on_seen(self, event: Seen) -> None:
        self.seen.append(event.what)

class LogPlugin(Plugin[Log]):
    def joined(self, participant: Participant, ctx: Context) -> None:
        ctx.record(Seen(f"+{participant.identity}"))

    def left(self, participant: Participant, ctx: Context) -> None:
        ctx.record(Seen(f"-{participant.identity}"))

    @handle
    def breaks(self, body: Break, ctx: Context) -> None:
        ctx.record(Seen("never"))
        raise RuntimeError("after recording")

    @handle
    def debt(self, body: Debt, ctx: Context) -> None:
        ctx.record(Seen("owed"))
        ctx.owe(RemoveParticipant(body.identity), key="removal")

    def effect_settled(self, effect: object, error: str | None, ctx: Context) -> None:
        ctx.record(Seen(f"settled {error}"))
"""


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncGenerator[HallKit]:
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "log.py").write_text(PLUGIN)
    async with HallKit.open(tmp_path, {"path": [str(folder)], "log": {}}) as made:
        yield made


def seen(kit: HallKit) -> list[str]:
    session = kit.hall.session
    assert session is not None
    return session.plugins["log"].state.seen


async def test_who_came_and_left_while_the_database_was_locked(kit: HallKit, tmp_path: Path) -> None:
    alice = await kit.join("alice")
    other = sqlite3.connect(tmp_path / "relay.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Refused, match="busy"):
        await alice.ask("debt", {"identity": "nobody"})
    await kit.until(lambda: kit.hall.status == "degraded")
    await kit.join("bob")
    alice.leave()
    other.execute("ROLLBACK")
    other.close()
    await kit.until(lambda: kit.hall.status == "live", 20)
    await kit.settle()
    assert seen(kit) == ["+alice", "+bob", "-alice"]
    assert kit.fingerprints() == await kit.replayed()


async def test_a_handler_that_fails_again_and_again_makes_its_hall_wait(kit: HallKit) -> None:
    """Each failure after recording costs a replay: a flood of them must not cost the other halls."""
    alice = await kit.join("alice")
    for _ in range(4):
        with pytest.raises(Refused, match=r"internal|busy"):
            await alice.until_taken("break", {})
    await kit.until(lambda: kit.hall.status == "degraded")
    await alice.until_taken("debt", {"identity": "nobody"})
    await kit.until(lambda: "settled not_found" in seen(kit))
    assert seen(kit) == ["+alice", "owed", "settled not_found"]


async def test_what_was_done_but_not_written_off_is_done_again(kit: HallKit, tmp_path: Path) -> None:
    alice = await kit.join("alice")
    await kit.join("bob")
    kit.room.failing = True
    await alice.ask("debt", {"identity": "bob"})
    other = sqlite3.connect(tmp_path / "relay.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    kit.room.failing = False
    await kit.until(lambda: kit.hall.status == "degraded", 20)  # the note that it was done could not be kept
    other.execute("ROLLBACK")
    other.close()
    await kit.until(lambda: "settled not_found" in seen(kit), 20)
    session = kit.hall.session
    assert session is not None
    assert session.core.owed == {}
