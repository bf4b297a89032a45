"""Invariant 8: personal data can leave, by age and by participant."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from relay_bot.hall.halls import Halls
from relay_bot.hall.plugins import builtin_folder, load_plugins, personal_of_others
from relay_bot.journal.batch import Batch, JournalError, Kept, Lots, SessionInfo, Unavailable, settle
from relay_bot.journal.writer import Journal
from relay_bot.testing import HallKit

PLUGIN = """
from typing import ClassVar
from relay_bot.plugin import Body, Context, Event, Identity, Plugin, State, handle

class Say(Body, type="say"):
    text: str
    about: str = ""

class Said(Event, frozen=True):
    subject: ClassVar[str] = "who"
    personal: ClassVar[tuple[str, ...]] = ("text",)
    who: str
    text: str
    about: Identity

class Sayings(State):
    said: list[Said] = []
    by: dict[str, int] = {}

    def on_said(self, event: Said) -> None:
        self.said.append(event)
        self.by[event.who] = self.by.get(event.who, 0) + 1

class SayPlugin(Plugin[Sayings]):
    @handle
    def say(self, body: Say, ctx: Context) -> None:
        ctx.record(Said(ctx.sender.identity, body.text, body.about))
"""


def everything(folder: Path) -> bytes:
    """Read every byte that the database has on disk, as somebody who copied the files would."""
    return b"".join(path.read_bytes() for path in folder.glob("relay.db*"))


@pytest.fixture
def plugins(tmp_path: Path) -> dict[str, Any]:
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "say.py").write_text(PLUGIN)
    return {"path": [str(folder)], "say": {}}


async def test_an_erased_participant_is_in_no_byte_of_the_database(tmp_path: Path, plugins: dict[str, Any]) -> None:
    async with HallKit.open(tmp_path, plugins) as kit:
        alice, bob = await kit.join("alice-4711"), await kit.join("bob")
        await alice.ask("say", {"text": "my secret wish"})
        await bob.ask("say", {"text": "hello", "about": "alice-4711"})
        erasing = asyncio.create_task(kit.hall.erase("alice-4711"))
        await bob.until_taken("say", {"text": "I speak meanwhile"})
        assert await erasing == 2
        await kit.settle()
        session = kit.hall.session
        assert session is not None
        assert session.plugins["say"].state.by == {kit.hall.erased_as("alice-4711")[0]: 1, "bob": 2}
        assert kit.fingerprints() == await kit.replayed()
        await kit.stop()
    left = everything(tmp_path)
    assert b"alice-4711" not in left
    assert b"my secret wish" not in left
    assert b"hello" in left


async def test_a_session_is_forgotten_when_its_time_is_over(tmp_path: Path) -> None:
    journal = Journal(f"sqlite:///{tmp_path / 'relay.db'}")
    await journal.start()
    try:
        now = time.time_ns() // 1_000_000
        for name, ended in (("old", now - 10_000), ("new", now)):
            info = await journal.claim(name, "RM", ended, 0)
            done: asyncio.Future[JournalError | None] = asyncio.get_running_loop().create_future()
            batch = Batch(info, settle(done))
            batch.events = [(info.id, 1, ended, "x.y", f"words in {name}".encode())]
            journal.submit(batch)
            assert await done is None
            await journal.release(info, ended, ended=True)
        assert await journal.forget_sessions(now - 5_000, []) == 1
        with sqlite3.connect(tmp_path / "relay.db") as other:
            assert other.execute("SELECT hall FROM sessions").fetchall() == [("new",)]
            assert other.execute("SELECT count(*) FROM events").fetchone() == (1,)
        other.close()
    finally:
        await journal.stop()
    assert b"words in old" not in everything(tmp_path)
    assert b"words in new" in everything(tmp_path)


def test_of_an_answers_time_and_order_only_its_lot_is_kept() -> None:
    lots, minute = Lots(), 29_000_000 * 60_000
    in_a_minute = [lots.next(minute + n % 60_000) for n in range(2_500)]
    sizes = [in_a_minute.count(lot) for lot in sorted(set(in_a_minute))]
    assert sizes == [1_000, 1_000, 500]
    assert in_a_minute == sorted(in_a_minute)
    assert lots.next(minute + 60_000) > in_a_minute[-1]


def test_a_minute_of_a_flood_stays_below_the_next_one() -> None:
    lots, minute = Lots(), 29_000_000 * 60_000
    flood = [lots.next(minute) for _ in range(1_001_000)]
    assert lots.next(minute + 60_000) > flood[-1] >= flood[-2_000]


# -- halls that begin or end meanwhile ----------------------------------------------------------------


@asynccontextmanager
async def said_by_alice(folder: Path, plugins: dict[str, Any]) -> AsyncGenerator[tuple[HallKit, Halls]]:
    """A hall in whose session alice has spoken, which is not served, and the halls that could serve it."""
    async with HallKit.open(folder, plugins) as kit:
        alice = await kit.join("alice-4711")
        await alice.ask("say", {"text": "my secret wish"})
        await kit.stop()
        kit.room.presences.clear()
        kit.room.sinks.clear()
        halls = Halls(kit._services)
        yield kit, halls
        await halls.stop()


async def test_a_hall_that_is_about_to_open_is_erased_from_too(
    tmp_path: Path, plugins: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has read its journal before, and would write what it knows into its next snapshot."""
    async with said_by_alice(tmp_path, plugins) as (kit, halls):
        load, has_read, goes_on = kit.journal.load, asyncio.Event(), asyncio.Event()

        async def slow(session: int, answers: int) -> Kept:
            kept = await load(session, answers)
            has_read.set()
            await goes_on.wait()
            return kept

        monkeypatch.setattr(kit.journal, "load", slow)
        halls.found(kit._name, "RM_kit")
        await has_read.wait()
        erasing = asyncio.create_task(halls.erase("alice-4711"))
        await asyncio.sleep(0.05)
        goes_on.set()
        assert await erasing == 1
    left = everything(tmp_path)
    assert b"alice-4711" not in left
    assert b"my secret wish" not in left


async def test_a_hall_found_while_the_journal_is_erased_from_is_too(
    tmp_path: Path, plugins: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with said_by_alice(tmp_path, plugins) as (kit, halls):
        erase = kit.journal.erase

        async def late(*arguments: Any, **options: Any) -> int:
            halls.found(kit._name, "RM_kit")
            await kit.until(lambda: (hall := halls.get(kit._name)) is not None and hall.session is not None)
            return await erase(*arguments, **options)

        with monkeypatch.context() as patched:
            patched.setattr(kit.journal, "erase", late)
            erasing = asyncio.create_task(halls.erase("alice-4711"))
            await kit.until(lambda: (hall := halls.get(kit._name)) is not None and hall.session is not None)
            patched.undo()
            await erasing
    left = everything(tmp_path)
    assert b"alice-4711" not in left
    assert b"my secret wish" not in left


async def test_a_hall_that_ends_meanwhile_is_erased_from_in_the_journal(
    tmp_path: Path, plugins: dict[str, Any]
) -> None:
    async with said_by_alice(tmp_path, plugins) as (kit, halls):
        halls.found(kit._name, "RM_kit")
        await kit.until(lambda: (hall := halls.get(kit._name)) is not None and hall.active)
        kit.close_room()
        async with asyncio.timeout(10):
            assert await halls.erase("alice-4711") == 1
    left = everything(tmp_path)
    assert b"alice-4711" not in left
    assert b"my secret wish" not in left


@pytest.mark.parametrize("served", [False, True])
async def test_what_a_plugin_kept_that_is_not_enabled_any_more_is_erased(
    tmp_path: Path, plugins: dict[str, Any], served: bool
) -> None:
    async with said_by_alice(tmp_path, plugins) as (kit, halls):
        configured = plugins | {"say": {"enabled": False}}
        off = {name: {"enabled": False} for name in builtin()}
        loaded = load_plugins(off | configured, tmp_path)
        assert loaded == {}
        others = personal_of_others(configured, tmp_path, loaded)
        halls.update(msgspec.structs.replace(kit._services, plugins=loaded, not_loaded=others))
        if served:
            halls.found(kit._name, "RM_kit")
            await kit.until(lambda: (hall := halls.get(kit._name)) is not None and hall.active)
        assert await halls.erase("alice-4711") == 1
    left = everything(tmp_path)
    assert b"alice-4711" not in left
    assert b"my secret wish" not in left


def builtin() -> list[str]:
    return [path.name for path in builtin_folder().iterdir() if (path / "__init__.py").is_file()]


async def test_a_plugin_that_can_not_be_read_keeps_the_others_rules(tmp_path: Path, plugins: dict[str, Any]) -> None:
    (tmp_path / "own" / "broken.py").write_text("import nowhere_at_all")
    found = personal_of_others(plugins, tmp_path, builtin())
    assert list(found) == ["say.said"]
    assert personal_of_others(plugins, tmp_path, [*builtin(), "say"]) == {}


async def test_an_erasure_that_a_hall_can_not_do_now_is_refused(
    tmp_path: Path, plugins: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with said_by_alice(tmp_path, plugins) as (kit, halls):

        async def claim(*arguments: Any) -> SessionInfo:
            raise Unavailable("the test wants it so")

        monkeypatch.setattr("relay_bot.hall.halls._ERASE_SECONDS", 0.05)
        monkeypatch.setattr(kit.journal, "claim", claim)
        halls.found(kit._name, "RM_kit")
        with pytest.raises(Unavailable, match="send again"):
            await halls.erase("alice-4711")


@pytest.mark.parametrize("who", ["nobody-at-all", "only-in-another-hall"])
async def test_erasing_one_whom_a_hall_does_not_name_disturbs_no_vote_there(
    tmp_path: Path, plugins: dict[str, Any], who: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with HallKit.open(tmp_path, plugins) as kit:
        async with HallKit.open(tmp_path, plugins, journal=kit.journal, shelf=kit.shelf) as other:
            zoe = await other.join("only-in-another-hall")
            await zoe.ask("say", {"text": "my secret wish"})
        voters = [await kit.join(f"voter-{number}") for number in range(60)]
        halls = Halls(kit._services)
        halls._halls[kit.hall.name] = kit.hall
        opened = kit.hall.session
        votes = [asyncio.create_task(voter.ask("say", {"text": "aye"})) for voter in voters]
        await halls.erase(who)
        await asyncio.gather(*votes)  # none was refused
        assert kit.hall.session is opened, "it was read again, for nothing"
        assert kit.hall.seq == 60


async def test_votes_in_flight_wait_while_a_session_is_read_again(tmp_path: Path, plugins: dict[str, Any]) -> None:
    async with HallKit.open(tmp_path, plugins) as kit:
        alice = await kit.join("alice-4711")
        await alice.ask("say", {"text": "my secret wish"})
        voters = [await kit.join(f"voter-{number}") for number in range(60)]
        erasing = asyncio.create_task(kit.hall.erase("alice-4711"))
        while not erasing.done():
            await asyncio.gather(*(voter.ask("say", {"text": "aye"}) for voter in voters))
        assert await erasing == 1
        assert kit.hall.seq % 60 == 1
