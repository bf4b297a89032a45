"""Turns: what is decided between two commits leaves together, once it is kept, and nobody is left waiting."""

from __future__ import annotations

import asyncio
import sqlite3
import time
import uuid
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from relay_bot.hall import hall as module
from relay_bot.hall.committing import Committer
from relay_bot.observe import metrics
from relay_bot.testing import Guest, HallKit, Refused
from tests.support.halls import acks, errors, open_hall, open_journal, unlimited


@pytest.fixture
def slow_commits(kit: HallKit, monkeypatch: pytest.MonkeyPatch) -> None:
    store: Any = kit.journal._store
    commit = store.commit

    def slowly(group: list[Any]) -> Any:
        time.sleep(0.05)
        return commit(group)

    monkeypatch.setattr(store, "commit", slowly)


@pytest.mark.usefixtures("slow_commits")
class TestWhileACommitIsSlow:
    async def test_nothing_is_acked_before_it(self, kit: HallKit, tmp_path: Path) -> None:
        ann = await kit.join("ann")
        ann.send("vote", {}, "m1")
        await asyncio.sleep(0.02)
        assert (ann.all("ack"), ann.all("tally")) == ([], [])
        await ann.wait("ack")
        assert kept(tmp_path) == Counter({"yes": 1})

    async def test_a_full_turn_waits_for_it_and_all_are_answered(
        self, kit: HallKit, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "_MESSAGES_A_TURN", 50)
        guests = [await kit.join(f"p{number}") for number in range(5)]
        started = time.monotonic()
        for number in range(100):
            for guest in guests:
                guest.send("vote", {"option": str(number)}, f"{guest.identity}-{number:020}")
        await kit.settle()
        assert time.monotonic() - started < 5
        for guest in guests:
            assert [acks(guest, f"{guest.identity}-{number:020}") for number in range(100)] == [1] * 100

    async def test_a_hall_with_a_full_turn_rests(self, kit: HallKit, monkeypatch: pytest.MonkeyPatch) -> None:
        """One that spins for room takes the time from the commit that makes it."""
        monkeypatch.setattr(module, "_MESSAGES_A_TURN", 10)
        monkeypatch.setattr(module, "_ITEMS_A_SLICE", 10)
        looks = 0

        def busy(self: Committer) -> bool:
            nonlocal looks
            looks += 1
            return self._under_way is not None

        ann = await kit.join("ann")
        monkeypatch.setattr(Committer, "busy", property(busy))
        for number in range(100):
            ann.send("vote", {}, f"m{number}")
        await kit.until(lambda: all(acks(ann, f"m{number}") for number in range(100)))
        assert looks < 200

    async def test_a_snapshot_tells_no_more_than_is_kept(self, kit: HallKit, tmp_path: Path) -> None:
        ann = await kit.join("ann")
        for number in range(10):
            ann.send("vote", {"option": str(number)})
            await asyncio.sleep(0.02)
            for told in ann.all("tally"):
                assert told["seq"] <= sum(kept(tmp_path).values())


class TestACrowd:
    """Messages of a crowd gather for a while between two commits."""

    @pytest.fixture
    async def ann(self, kit: HallKit, monkeypatch: pytest.MonkeyPatch) -> Guest:
        monkeypatch.setattr(module, "_CROWD", 10)
        monkeypatch.setattr(module, "_MESSAGES_A_TURN", 100)
        return await kit.join("ann")

    async def send(self, ann: Guest, kit: HallKit, name: str, count: int) -> float:
        """Send so many messages, one in each turn of the loop; gives how many commits they took."""
        before = commits()
        for number in range(count):
            ann.send("vote", {}, f"{name}-{number}")
            await asyncio.sleep(0)
        await kit.until(lambda: all(acks(ann, f"{name}-{number}") for number in range(count)))
        return commits() - before

    async def test_what_comes_after_its_turn_is_committed_together(
        self, ann: Guest, kit: HallKit, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "_GATHER_SECONDS", 1.0)
        await self.send_at_once(ann, kit, 10)
        assert await self.send(ann, kit, "next", 9) == 1
        assert await self.send(ann, kit, "after", 1) == 1

    async def test_fewer_than_a_crowd_never_wait(
        self, ann: Guest, kit: HallKit, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "_GATHER_SECONDS", 15.0)
        await self.send_at_once(ann, kit, 9)
        await self.send_at_once(ann, kit, 9)

    async def test_a_full_turn_waits_no_longer(self, ann: Guest, kit: HallKit, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "_GATHER_SECONDS", 15.0)
        await self.send_at_once(ann, kit, 10)
        await self.send_at_once(ann, kit, 100)

    async def send_at_once(self, ann: Guest, kit: HallKit, count: int) -> None:
        names = [f"{uuid.uuid4()}" for _ in range(count)]
        for name in names:
            ann.send("vote", {}, name)
        await kit.until(lambda: all(acks(ann, name) for name in names))


def commits() -> float:
    return metrics.REGISTRY.get_sample_value("relay_commit_rows_count") or 0.0


def kept(folder: Path) -> Counter[str]:
    """Count the votes that the database has, by option."""
    connection = sqlite3.connect(folder / "relay.db")
    try:
        query = "SELECT json_extract(CAST(body AS TEXT), '$.option') FROM events WHERE kind = 'tally.voted'"
        return Counter(option for (option,) in connection.execute(query))
    finally:
        connection.close()


# -- a hall that is killed ----------------------------------------------------------------------------


async def send_burst(guests: list[Guest], each: int) -> list[tuple[Guest, str]]:
    sent: list[tuple[Guest, str]] = []
    for number in range(each):
        for guest in guests:
            message_id = f"{guest.identity}-{number:016}"
            guest.send("vote", {"option": message_id}, message_id)
            sent.append((guest, message_id))
    return sent


@pytest.mark.parametrize("turns_of_the_loop", [0, 1, 2, 4, 8, 16, 40])
async def test_a_hall_killed_in_a_burst_keeps_what_it_acked_and_counts_nothing_twice(
    kit: HallKit, tmp_path: Path, turns_of_the_loop: int
) -> None:
    guests = [await kit.join(f"p{number}") for number in range(10)]
    sent = await send_burst(guests, 60)
    for _ in range(turns_of_the_loop):
        await asyncio.sleep(0)
    await kit.restart()
    await kit.settle()
    acked = {message_id for guest, message_id in sent if acks(guest, message_id)}
    assert acked <= kept(tmp_path).keys()
    assert kit.fingerprints() == await kit.replayed()
    assert (await kit.call("tally", "all_votes"))["recorded"] == sum(kept(tmp_path).values())
    for guest, message_id in sent:  # as clients do that had no answer, and those that had one
        guest.send("vote", {"option": message_id}, message_id)
    await kit.settle()
    assert kept(tmp_path) == Counter(message_id for _, message_id in sent)
    assert all(acks(guest, message_id) for guest, message_id in sent)


async def test_a_hall_killed_in_a_slow_commit_keeps_no_more_than_the_journal(
    kit: HallKit, tmp_path: Path, slow_commits: None
) -> None:
    ann = await kit.join("ann")
    ann.send("vote", {"option": "one"}, "m1")
    await asyncio.sleep(0.01)  # the first commit is under way; what follows gathers for the next
    ann.send("vote", {"option": "two"}, "m2")
    await asyncio.sleep(0.01)
    await kit.restart()
    found = await kit.call("tally", "all_votes")
    assert found["recorded"] == sum(kept(tmp_path).values())
    assert kit.fingerprints() == await kit.replayed()
    await ann.ask("vote", {"option": "two"}, "m2")
    assert kept(tmp_path)["two"] == 1


# -- an orderly end -----------------------------------------------------------------------------------


Ask = Callable[[HallKit, Guest], Coroutine[Any, Any, Any]]


async def ask_rpc(kit: HallKit, guest: Guest) -> Any:
    return await guest.ask("vote", {"option": "late"})


async def ask_backend(kit: HallKit, guest: Guest) -> Any:
    return await kit.backend("vote", {"option": "late"}, sender_id="ann")


@pytest.mark.parametrize("ask", [ask_rpc, ask_backend])
@pytest.mark.parametrize("how", ["stop", "close_room"])
async def test_who_asks_as_the_hall_ends_is_answered(tmp_path: Path, how: str, ask: Ask) -> None:
    async with open_journal(tmp_path) as journal, open_hall(tmp_path, journal=journal) as kit:
        ann = await kit.join("ann")
        asked = [asyncio.create_task(ask(kit, ann)) for _ in range(3)]
        await asyncio.sleep(0)
        if how == "stop":
            kit.hall.stop()
        else:
            kit.close_room()
        asked += [asyncio.create_task(ask(kit, ann)) for _ in range(3)]
        async with asyncio.timeout(2):
            answers = await asyncio.gather(*asked, return_exceptions=True)
        for answer in answers:
            assert not isinstance(answer, Exception) or (
                isinstance(answer, Refused) and answer.code == "hall_not_active"
            )
        taken = sum(not isinstance(answer, Exception) for answer in answers)
        await kit.until(lambda: kit.hall.status == "ended")
        assert kept(tmp_path) == Counter({"late": taken} if taken else {})


async def test_a_stop_keeps_what_arrived_before_it(tmp_path: Path) -> None:
    async with open_journal(tmp_path) as journal:
        async with open_hall(tmp_path, journal=journal, settings=unlimited()) as kit:
            ann = await kit.join("ann")
            for number in range(500):
                ann.send("vote", {"option": str(number)}, f"m{number}")
        assert (len(kept(tmp_path)), errors(ann)) == (500, [])
        assert sum(acks(ann, f"m{number}") for number in range(500)) == 500


async def test_a_room_that_closes_ends_the_session_with_the_plugins_last_word(tmp_path: Path) -> None:
    async with open_journal(tmp_path) as journal:
        async with open_hall(tmp_path, journal=journal) as kit:
            ann = await kit.join("ann")
            await ann.ask("vote", {})
            assert kit.hall.session is not None
            session = kit.hall.session.info.id
            kit.close_room()
            await kit.until(lambda: kit.hall.status == "ended")
        rows = await journal.read_events(session, 0, 100)
        assert rows[-1][3] == "tally.ended"
        again = await journal.claim(kit.hall.name, "RM_kit", 0, 60_000)
        assert again.id != session


async def test_a_room_that_closes_closes_its_open_polls(tmp_path: Path) -> None:
    async with (
        open_journal(tmp_path) as journal,
        HallKit.open(tmp_path, {"polls": {}}, journal=journal) as kit,
    ):
        await kit.backend("poll", {"poll_id": "p", "question": "Tea?", "options": ["yes", "no"]})
        assert kit.hall.session is not None
        session = kit.hall.session
        kit.close_room()
        await kit.until(lambda: kit.hall.status == "ended")
        rows = await journal.read_events(session.info.id, 0, 100)
        assert [row[3] for row in rows if row[3].startswith("polls.")] == ["polls.poll_opened", "polls.poll_closed"]
