"""The journal's thread: one transaction for the batches of many halls, and a result for each of them."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any

import pytest

from relay_bot.journal.batch import Batch, EventRow, Fenced, JournalError, SessionInfo, Unavailable, settle
from relay_bot.journal.sqlite import SqliteStore
from relay_bot.journal.writer import Journal
from tests.support.halls import open_journal


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncGenerator[Journal]:
    async with open_journal(tmp_path) as made:
        yield made


def store_of(journal: Journal) -> SqliteStore:
    assert journal._store is not None
    return journal._store


def row(session: SessionInfo, seq: int, body: bytes = b"{}") -> EventRow:
    return (session.id, seq, 0, "test.event", body)


def submit(
    journal: Journal, session: SessionInfo, *rows: EventRow, **parts: Any
) -> asyncio.Future[JournalError | None]:
    done: asyncio.Future[JournalError | None] = asyncio.get_running_loop().create_future()
    batch = Batch(session, settle(done))
    batch.events = list(rows)
    for name, value in parts.items():
        setattr(batch, name, value)
    journal.submit(batch)
    return done


class Held:
    """Holds the journal's thread, so that what is submitted meanwhile gathers; then counts the groups."""

    def __init__(self, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
        store = store_of(journal)
        self.groups: list[int] = []
        commit = store.commit

        def counted(group: Sequence[Batch]) -> list[JournalError | None]:
            self.groups.append(len(group))
            return commit(group)

        monkeypatch.setattr(store, "commit", counted)
        self.release = threading.Event()
        self.task = asyncio.ensure_future(journal._call(lambda _: self.release.wait(5)))

    async def let_go(self) -> None:
        await asyncio.sleep(0.01)
        self.release.set()
        await self.task


async def test_batches_of_many_halls_are_one_transaction(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = [await journal.claim(f"hall {number}", "RM", 0, 0) for number in range(10)]
    held = Held(journal, monkeypatch)
    results = [submit(journal, session, row(session, 1)) for session in sessions]
    await held.let_go()
    assert await asyncio.gather(*results) == [None] * 10
    assert held.groups == [10]


async def test_one_that_is_fenced_leaves_the_others_alone(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two, three = [await journal.claim(f"hall {number}", "RM", 0, 0) for number in range(3)]
    newer = await journal.claim("hall 1", "RM", 0, 0)
    assert (newer.id, newer.epoch) == (two.id, two.epoch + 1)
    held = Held(journal, monkeypatch)
    results = [submit(journal, session, row(session, 1)) for session in (one, two, three)]
    await held.let_go()
    assert [type(await result) for result in results] == [type(None), Fenced, type(None)]
    assert held.groups == [3]
    assert [len(await journal.read_events(session.id, 0, 9)) for session in (one, two, three)] == [1, 0, 1]
    assert await submit(journal, newer, row(newer, 1)) is None


async def test_the_same_sequence_number_twice_is_fenced_and_nothing_of_the_batch_is_kept(journal: Journal) -> None:
    """Should two owners ever have the same epoch, the sequence itself tells them apart."""
    session = await journal.claim("hall", "RM", 0, 0)
    assert await submit(journal, session, row(session, 1, b"first")) is None
    parts = {"answers": [(session.id, 0, b"key", b"")], "secrets": [(session.id, "name", b"value")]}
    rows = [row(session, seq) for seq in range(2, 1502)]  # more than one statement: the second one fails
    again = await submit(journal, session, *rows, row(session, 1, b"second"), **parts)
    assert isinstance(again, Fenced)
    assert [event[4] for event in await journal.read_events(session.id, 0, 2000)] == [b"first"]
    kept = await journal.load(session.id, 9)
    assert (kept.answers, kept.secrets) == ([], {})


async def test_one_with_a_number_that_is_taken_leaves_the_others_alone(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, three = [await journal.claim(f"hall {number}", "RM", 0, 0) for number in range(3)]
    assert await submit(journal, two, row(two, 1, b"first")) is None
    held = Held(journal, monkeypatch)
    results = [submit(journal, session, row(session, 1, b"again")) for session in (one, two, three)]
    await held.let_go()
    assert [type(await result) for result in results] == [type(None), Fenced, type(None)]
    bodies = [[event[4] for event in await journal.read_events(session.id, 0, 9)] for session in (one, two, three)]
    assert bodies == [[b"again"], [b"first"], [b"again"]]


async def test_two_batches_of_one_session_are_written_in_their_order(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await journal.claim("hall", "RM", 0, 0)
    held = Held(journal, monkeypatch)
    results = [
        submit(journal, session, secrets=[(session.id, "name", b"old")], forgotten=["name"]),
        submit(journal, session, secrets=[(session.id, "name", b"new")]),
    ]
    await held.let_go()
    assert await asyncio.gather(*results) == [None, None]
    assert held.groups == [2]
    assert (await journal.load(session.id, 9)).secrets == {"name": b"new"}


async def test_an_ended_session_takes_nothing_more(journal: Journal) -> None:
    session = await journal.claim("hall", "RM", 0, 0)
    await journal.release(session, 0, ended=True)
    assert isinstance(await submit(journal, session, row(session, 1)), Fenced)


async def test_a_transaction_that_fails_keeps_nothing_of_any(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = [await journal.claim(f"hall {number}", "RM", 0, 0) for number in range(2)]
    store = store_of(journal)
    execute = store._execute

    def failing(statement: str, parameters: Sequence[Any] = ()) -> sqlite3.Cursor:
        if statement == "COMMIT":
            raise sqlite3.OperationalError("disk I/O error")
        return execute(statement, parameters)

    held = Held(journal, monkeypatch)
    with monkeypatch.context() as broken:
        broken.setattr(store, "_execute", failing)
        results = [submit(journal, session, row(session, 1)) for session in (one, two)]
        await held.let_go()
        assert [type(await result) for result in results] == [Unavailable, Unavailable]
    assert await journal.read_events(one.id, 0, 9) == []
    assert await submit(journal, one, row(one, 1)) is None


async def test_what_sqlite_can_not_be_given_costs_its_hall_alone(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, three = [await journal.claim(f"hall {number}", "RM", 0, 0) for number in range(3)]
    held = Held(journal, monkeypatch)
    results = [submit(journal, one, row(one, 1))]
    results.append(submit(journal, two, row(two, 1), secrets=[(two.id, "half a \ud800", b"value")]))
    results.append(submit(journal, three, row(three, 1)))
    await held.let_go()
    async with asyncio.timeout(5):
        assert [type(await result) for result in results] == [type(None), Unavailable, type(None)]
    assert [len(await journal.read_events(session.id, 0, 9)) for session in (one, two, three)] == [1, 0, 1]
    assert await submit(journal, two, row(two, 1)) is None


async def test_a_hall_that_fails_as_it_hears_keeps_no_other_waiting(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = [await journal.claim(f"hall {number}", "RM", 0, 0) for number in range(2)]
    held = Held(journal, monkeypatch)

    def fails(error: JournalError | None) -> None:
        raise ZeroDivisionError

    journal.submit(Batch(one, fails))
    result = submit(journal, two, row(two, 1))
    await held.let_go()
    async with asyncio.timeout(5):
        assert await result is None


async def test_a_call_waits_behind_the_batches_before_it(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    session = await journal.claim("hall", "RM", 0, 0)
    order: list[str] = []
    held = Held(journal, monkeypatch)
    first = submit(journal, session, row(session, 1))
    first.add_done_callback(lambda _: order.append("batch"))
    release = asyncio.ensure_future(journal.release(session, 0, ended=True))
    release.add_done_callback(lambda _: order.append("release"))
    await asyncio.sleep(0)
    second = submit(journal, session, row(session, 2))
    await held.let_go()
    await asyncio.gather(first, release)
    assert (order, await first, type(await second)) == (["batch", "release"], None, Fenced)


async def test_many_rows_are_written_whole_and_in_order(journal: Journal) -> None:
    session = await journal.claim("hall", "RM", 0, 0)
    assert await submit(journal, session, *(row(session, seq) for seq in range(1, 2502))) is None
    read = [event[1] for event in await journal.read_events(session.id, 0, 5000)]
    assert read == list(range(1, 2502))
    assert [event[1] for event in await journal.read_events(session.id, 2400, 50)] == list(range(2401, 2451))


async def test_what_was_submitted_is_written_before_a_stop(tmp_path: Path) -> None:
    async with open_journal(tmp_path) as journal:
        session = await journal.claim("hall", "RM", 0, 0)
        results = [submit(journal, session, row(session, seq)) for seq in range(1, 50)]
    assert await asyncio.gather(*results) == [None] * 49


async def test_commits_are_synchronous_and_logged(journal: Journal) -> None:
    """`synchronous=FULL`: what is acked survives the power failing, too."""
    execute = store_of(journal)._execute
    assert execute("PRAGMA synchronous").fetchone() == (2,)
    assert execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert execute("PRAGMA secure_delete").fetchone() == (1,)


async def test_the_loop_is_free_while_the_journal_writes(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held(journal, monkeypatch)
    started = time.monotonic()
    await asyncio.sleep(0.01)
    assert time.monotonic() - started < 1
    await held.let_go()


# -- sessions -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("room_sid", "now", "same"),
    [("RM_1", 9_999, True), ("RM_2", 1_100, True), ("RM_2", 1_101, False)],
    ids=["the same room", "another room in time", "another room too late"],
)
async def test_a_session_goes_on_or_a_new_one_begins(journal: Journal, room_sid: str, now: int, same: bool) -> None:
    first = await journal.claim("hall", "RM_1", 1_000, 100)
    second = await journal.claim("hall", room_sid, now, 100)
    assert (second.id == first.id) is same
    assert second.epoch == (2 if same else 1)
    assert isinstance(await submit(journal, first, row(first, 1)), Fenced)


async def test_halls_have_sessions_of_their_own(journal: Journal) -> None:
    one = await journal.claim("one", "RM", 0, 100)
    other = await journal.claim("other", "RM", 0, 100)
    assert one.id != other.id


async def test_an_older_owner_cannot_end_the_session(journal: Journal) -> None:
    older = await journal.claim("hall", "RM", 0, 0)
    newer = await journal.claim("hall", "RM", 0, 0)
    await journal.release(older, 0, ended=True)
    assert await submit(journal, newer, row(newer, 1)) is None
