"""What happens when the disk is full, locked or damaged: nothing is acked that isn't kept, and the hall comes back."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from relay_bot.journal import writer
from relay_bot.journal.batch import Unavailable
from relay_bot.journal.writer import Journal
from relay_bot.testing import Guest, HallKit, Refused


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncGenerator[Journal]:
    made = Journal(f"sqlite:///{tmp_path / 'relay.db'}")
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def kit(tmp_path: Path, journal: Journal) -> AsyncGenerator[HallKit]:
    async with HallKit.open(tmp_path, {"polls": {}}, journal=journal) as made:
        yield made


@pytest.fixture
async def alice(kit: HallKit) -> Guest:
    guest = await kit.join("alice")
    await kit.backend("poll", {"poll_id": "p", "question": "Tea?", "options": ["yes", "no"]})
    return guest


async def vote_until_taken(kit: HallKit, guest: Guest, option: int, message_id: str) -> int:
    """Send a vote as a client does, with one id until it is acked; gives how often it was refused as busy."""
    refused = 0
    async with asyncio.timeout(30):
        while True:
            try:
                await guest.ask("poll_response", {"poll_id": "p", "option": option}, message_id)
            except Refused as answer:
                if answer.code != "busy" or answer.payload["retry_after_ms"] <= 0:
                    raise
                refused += 1
                await asyncio.sleep(0.1)
            else:
                return refused


async def expect_busy(guest: Guest, option: int, message_id: str) -> None:
    with pytest.raises(Refused) as refusal:
        await guest.ask("poll_response", {"poll_id": "p", "option": option}, message_id)
    assert refusal.value.code == "busy"


async def open_polls(kit: HallKit, question: str) -> None:
    for number in range(200):  # the last page may have room for a few rows
        await kit.backend("poll", {"poll_id": f"q{number}", "question": question, "options": ["a", "b"]})


async def counts(kit: HallKit) -> list[int]:
    poll = await kit.call("polls", "get_poll", poll_id="p")
    return poll["counts"]


def on_the_thread(journal: Journal, statement: str) -> None:
    """Change the settings of the connection that the journal writes with."""
    store = journal._store
    assert store is not None
    store._connection.execute(statement).fetchall()


async def test_a_full_disk_refuses_and_recovers(kit: HallKit, alice: Guest, journal: Journal) -> None:
    await vote_until_taken(kit, alice, 0, "first")
    on_the_thread(journal, "PRAGMA max_page_count=1")  # SQLite then answers as on a full disk
    filler = "x" * 400
    with pytest.raises(Refused, match=r"busy|hall_not_active"):
        await open_polls(kit, filler)
    await kit.until(lambda: kit.hall.status == "degraded")
    on_the_thread(journal, "PRAGMA max_page_count=1000000")
    await vote_until_taken(kit, alice, 1, "second")
    assert await counts(kit) == [0, 1]
    assert kit.fingerprints() == await kit.replayed()


async def test_a_locked_database_refuses_and_recovers(kit: HallKit, alice: Guest, tmp_path: Path) -> None:
    await vote_until_taken(kit, alice, 0, "first")
    other = sqlite3.connect(tmp_path / "relay.db", isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        await expect_busy(alice, 1, "second")
        assert other.execute("SELECT count(*) FROM events WHERE kind = 'polls.voted'").fetchone() == (1,)
        other.execute("ROLLBACK")
    finally:
        other.close()
    await vote_until_taken(kit, alice, 1, "second")
    assert await counts(kit) == [0, 1]
    assert kit.fingerprints() == await kit.replayed()


async def test_a_damaged_database_refuses_and_recovers(kit: HallKit, alice: Guest, tmp_path: Path) -> None:
    await vote_until_taken(kit, alice, 0, "first")
    path = tmp_path / "relay.db"
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    other.close()
    whole = path.read_bytes()
    path.write_bytes(b"\xff" * len(whole))
    await expect_busy(alice, 1, "second")
    await kit.until(lambda: kit.hall.status == "degraded")
    path.write_bytes(whole)
    await vote_until_taken(kit, alice, 1, "second")
    assert await counts(kit) == [0, 1]


async def test_the_same_id_gets_the_same_answer_after_a_failure(kit: HallKit, alice: Guest, tmp_path: Path) -> None:
    """A commit that failed for its sender may have been kept after all: the id tells."""
    await vote_until_taken(kit, alice, 0, "first")
    await kit.restart()
    assert await vote_until_taken(kit, alice, 1, "first") == 0
    assert await counts(kit) == [1, 0]


async def test_a_second_owner_fences_the_first(tmp_path: Path, journal: Journal, kit: HallKit, alice: Guest) -> None:
    """Invariant 6: two bots never both decide, also where LiveKit lets both of them in."""
    await vote_until_taken(kit, alice, 0, "first")
    second = HallKit(journal, kit.loaded, kit.settings, kit.shelf)
    second.take_over(kit)
    await second.start()
    try:
        with pytest.raises(Refused):
            await alice.ask("poll_response", {"poll_id": "p", "option": 1}, "second")
        await kit.until(lambda: kit.hall.status == "ended")
        assert await counts(second) == [1, 0]
    finally:
        await second.stop()


# -- its thread ---------------------------------------------------------------------------------------


class _Dies:
    """Stands in for a method of the store: it ends the thread that calls it, as often as it is told to."""

    def __init__(self, journal: Journal, name: str, monkeypatch: pytest.MonkeyPatch, times: int = 1) -> None:
        self.left = times
        self._real = getattr(journal._store, name)
        monkeypatch.setattr(journal._store, name, self)
        monkeypatch.setattr(writer, "_RESTART_SECONDS", 0.05)

    def __call__(self, *args: object, **more: object) -> object:
        if self.left:
            self.left -= 1
            raise SystemExit("told to end")
        return self._real(*args, **more)


async def test_who_waits_for_a_thread_that_ends_is_told(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    _Dies(journal, "probe", monkeypatch)
    async with asyncio.timeout(5):
        waiting = [asyncio.create_task(journal.probe()) for _ in range(3)]
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(result) for result in results] == [Unavailable] * 3
        with pytest.raises(Unavailable, match="thread ended"):
            await journal.probe()


async def test_the_thread_is_started_again(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    _Dies(journal, "probe", monkeypatch, times=2)
    async with asyncio.timeout(10):
        while True:
            try:
                await journal.probe()
                break
            except Unavailable:
                await asyncio.sleep(0.01)


async def test_a_hall_goes_on_after_the_thread_ended_in_a_commit(
    kit: HallKit, alice: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    _Dies(kit.journal, "commit", monkeypatch)
    assert await vote_until_taken(kit, alice, 0, "v1") >= 1
    assert kit.hall.status == "live"


async def test_a_journal_whose_thread_ended_can_be_stopped(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    _Dies(journal, "probe", monkeypatch)
    with pytest.raises(Unavailable):
        await journal.probe()
    async with asyncio.timeout(5):
        await journal.stop()
    await asyncio.sleep(0.1)
    assert not [thread for thread in threading.enumerate() if thread.name == "journal"]
