"""What happened while a hall had no session to hear it reaches the plugins afterwards, once."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from relay_bot.journal.batch import Batch, SessionInfo, Unavailable
from relay_bot.link import Lost, Reason
from relay_bot.testing import Guest, HallKit, Refused

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

        if participant.identity == "breaks":
            raise RuntimeError("after recording")

    def changed(self, before: Participant, after: Participant, ctx: Context) -> None:
        ctx.record(Seen(f"~{after.identity}"))

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


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is waited for is the same, and how long is not what these tests are about."""
    monkeypatch.setattr("relay_bot.journal.sqlite._BUSY_SECONDS", 0.1)

    def pause(_: int) -> float:
        return 0.2

    monkeypatch.setattr("relay_bot.hall.hall.pause", pause)


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


# -- while the hall has no session, or no seat ----------------------------------------------------------


class Unwell:
    """Keeps a hall from opening its session again until it is told to let it."""

    def __init__(self, kit: HallKit, monkeypatch: pytest.MonkeyPatch) -> None:
        self._kit = kit
        self._claim = kit.journal.claim
        self._well = False
        monkeypatch.setattr(kit.journal, "claim", self._claims)

    async def _claims(self, *arguments: Any) -> SessionInfo:
        if not self._well:
            raise Unavailable("the test wants it so")
        return await self._claim(*arguments)

    async def begin(self, guest: Guest) -> None:
        """Have the hall lose its session."""
        with pytest.raises(Refused, match="internal"):
            await guest.ask("break", {})
        await self._kit.until(lambda: self._kit.hall.status == "degraded")

    async def end(self) -> None:
        """Let it open its session, and wait until it has told all."""
        self._well = True
        await self._kit.until(lambda: self._kit.hall.status == "live", 10)
        await self._kit.settle()


async def seat_lost(kit: HallKit, *, gone: tuple[str, ...] = ()) -> None:
    """Break the connection; while it is, some leave. Waits until the bot is back."""
    seat = kit.hall._keeper.seat
    kit.room.tell(Lost(Reason.NETWORK, "as when a cable is pulled"))
    for identity in gone:
        del kit.room.presences[identity]
    await kit.until(lambda: kit.hall._keeper.seat not in (None, seat))
    await kit.until(lambda: not kit.hall.waiting)


async def test_who_joins_a_hall_that_is_unwell_is_greeted_when_it_is_not(
    kit: HallKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    unwell = Unwell(kit, monkeypatch)
    await unwell.begin(await kit.join("alice"))
    bob = await kit.join("bob")
    carol = await kit.join("carol", active=False)
    await unwell.end()
    assert bob.last("hall_state")["role"] == "viewer"
    assert carol.all("hall_state") == [], "not before they can receive it"
    assert seen(kit) == ["+alice", "+bob", "+carol"]


async def test_who_left_while_the_seat_was_lost_in_a_hall_that_is_unwell(
    kit: HallKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    unwell = Unwell(kit, monkeypatch)
    alice = await kit.join("alice")
    await kit.join("bob")
    await unwell.begin(alice)
    await seat_lost(kit, gone=("bob",))
    assert kit.hall.status == "degraded", "it can't take anything yet"
    await unwell.end()
    assert [person.identity for person in kit.hall.roster] == ["alice"]
    assert seen(kit) == ["+alice", "+bob", "-bob"]


async def test_who_left_while_the_seat_was_lost(kit: HallKit) -> None:
    for identity in ("alice", "bob", "carol"):
        await kit.join(identity)
    await seat_lost(kit, gone=("alice", "carol"))
    await kit.settle()
    assert [person.identity for person in kit.hall.roster] == ["bob"]
    assert sorted(seen(kit)[3:]) == ["-alice", "-carol"]


async def test_a_plugin_that_fails_at_it_keeps_nobody_here(kit: HallKit) -> None:
    for identity in ("alice", "breaks", "carol"):
        await kit.join(identity)
    await seat_lost(kit, gone=("alice", "breaks", "carol"))
    await kit.until(lambda: kit.hall.session is not None and kit.hall.session.info.epoch == 2)
    await kit.settle()
    assert list(kit.hall.roster) == []
    assert sorted(seen(kit)[3:]) == ["-alice", "-carol"]


async def test_who_looks_the_same_after_the_seat_was_lost_has_not_left(kit: HallKit) -> None:
    """After a restart of the SFU everybody has a new session at LiveKit: nobody's vote or place may go for that."""
    await kit.join("alice")
    await kit.join("bob")
    kit.room.presences["bob"] = replace(kit.room.presences["bob"], name="Bob")
    await seat_lost(kit)
    await kit.settle()
    assert seen(kit) == ["+alice", "+bob", "~bob"]


# -- the next session ---------------------------------------------------------------------------------


HEIR = """
from relay_bot.plugin import Body, Context, Event, Plugin, State, handle

class Keep(Body, type="keep"):
    what: str

class Kept(Event, frozen=True):
    what: str

class Keepsakes(State):
    kept: list[str] = []

    def on_kept(self, event: Kept) -> None:
        self.kept.append(event.what)

class HeirPlugin(Plugin[Keepsakes]):
    @handle
    def keep(self, body: Keep, ctx: Context) -> None:
        ctx.record(Kept(body.what))

    def inherit(self, earlier: Keepsakes, ctx: Context) -> None:
        for what in earlier.kept:
            ctx.record(Kept(what))
        if "trouble" in earlier.kept:
            raise RuntimeError("after recording")
"""


@pytest.fixture
async def heirs(tmp_path: Path) -> AsyncGenerator[HallKit]:
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "heir.py").write_text(HEIR)
    (folder / "log.py").write_text(PLUGIN)
    async with HallKit.open(tmp_path, {"path": [str(folder)], "heir": {}, "log": {}}) as made:
        yield made


def kept(kit: HallKit) -> list[str]:
    assert kit.hall.session is not None
    return kit.hall.session.plugins["heir"].state.kept


async def next_session(kit: HallKit) -> None:
    assert kit._task is not None
    kit.close_room()
    await kit._task
    kit.room.presences.clear()
    kit.room.sinks.clear()
    await kit.start()
    await kit.settle()


@pytest.mark.parametrize("snapshots", [True, False])
async def test_a_plugin_inherits_from_the_session_before(heirs: HallKit, tmp_path: Path, snapshots: bool) -> None:
    alice = await heirs.join("alice")
    await alice.ask("keep", {"what": "a ring"})
    for _ in range(2):
        if not snapshots:  # as when the bot did not live to see the end of the session
            other = sqlite3.connect(tmp_path / "relay.db")
            other.execute("DELETE FROM snapshots")
            other.commit()
            other.close()
        await next_session(heirs)
        assert kept(heirs) == ["a ring"]
        assert seen(heirs) == [], "the log inherits nothing"
        assert heirs.fingerprints() == await heirs.replayed()


async def test_it_inherits_though_the_first_commit_fails(heirs: HallKit, monkeypatch: pytest.MonkeyPatch) -> None:
    alice = await heirs.join("alice")
    await alice.ask("keep", {"what": "a ring"})
    submit, failed = heirs.journal.submit, list[Batch]()

    def fails_once(batch: Batch) -> None:
        if batch.events and not failed:
            failed.append(batch)
            batch.done(Unavailable("the test wants it so"))
        else:
            submit(batch)

    monkeypatch.setattr(heirs.journal, "submit", fails_once)
    await next_session(heirs)
    await heirs.until(lambda: bool(failed) and kept(heirs) == ["a ring"])
    await heirs.settle()
    assert heirs.fingerprints() == await heirs.replayed()


async def test_one_that_fails_at_it_inherits_nothing_and_its_hall_goes_on(heirs: HallKit) -> None:
    alice = await heirs.join("alice")
    await alice.ask("keep", {"what": "trouble"})
    await next_session(heirs)
    alice = await heirs.join("alice")
    await alice.until_taken("keep", {"what": "peace"})
    assert kept(heirs) == ["peace"]


async def test_what_can_not_be_read_is_not_inherited(heirs: HallKit, tmp_path: Path) -> None:
    alice = await heirs.join("alice")
    await alice.ask("keep", {"what": "a ring"})
    assert heirs._task is not None
    heirs.close_room()
    await heirs._task
    other = sqlite3.connect(tmp_path / "relay.db")
    other.execute("DELETE FROM snapshots")
    other.execute("UPDATE events SET body = '{}' WHERE kind = 'heir.kept'")
    other.commit()
    other.close()
    heirs.room.sinks.clear()
    await heirs.start()
    assert kept(heirs) == []
