"""A hall whose session another bot has claimed does nothing any more, whether or not anything is committed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from relay_bot.hall import debts, ownership
from relay_bot.journal.batch import SessionInfo
from relay_bot.journal.owners import Owners
from relay_bot.testing import HallKit, Refused
from relay_bot.wire.clock import now_ms


def long(failures: int) -> float:
    return 1_000.0


async def claimed_by_another(kit: HallKit) -> SessionInfo:
    return await kit.journal.claim(kit.hall.name, "RM_kit", now_ms(), 60_000)


async def test_a_quiet_hall_stands_back_by_itself(tmp_path: Path) -> None:
    async with HallKit.open(tmp_path, {"polls": {}}) as kit:
        await claimed_by_another(kit)
        await kit.until(lambda: kit.hall.ownership.lost)
        assert not kit.hall.active
        await kit.until(lambda: kit._task is not None and kit._task.done())
        assert not kit.room.sinks, "it has left the room"


async def test_what_is_owed_is_not_done_by_one_who_was_fenced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where nothing but the effect would tell: the look that is taken every second comes too late for it."""
    monkeypatch.setattr(ownership, "CHECK_SECONDS", 1_000.0)
    monkeypatch.setattr(debts, "pause", long)
    async with HallKit.open(tmp_path, {"moderation": {}}) as kit:
        await kit.join("ann")
        kit.room.failing = True
        await kit.call("moderation", "decide", action="mute", participant_id="ann")
        await kit.until(lambda: any(each.error for each in kit.hall.owed_effects()))
        await claimed_by_another(kit)
        kit.room.failing = False
        for owed in kit.hall.owed_effects():
            owed.not_before = 0.0
        kit.hall._debtor._wake.set()
        await kit.until(lambda: kit.hall.ownership.lost)
        assert kit.room.effects == []
        assert kit.room.presences["ann"].can_publish_data


async def test_a_fenced_hall_says_nothing_and_answers_no_request(tmp_path: Path) -> None:
    async with HallKit.open(tmp_path, {"chat": {}}) as kit:
        ann = await kit.join("ann")
        kit.hall._outbox.seated(None)  # what is said waits
        ann.send("sync", {}, "a-message-of-mine-1")
        await kit.until(lambda: bool(kit.hall._outbox.backlog))
        heard = len(ann.received)
        await claimed_by_another(kit)
        with pytest.raises(Refused):
            await ann.say("hello")
        assert kit.hall.ownership.lost
        assert not kit.hall._outbox.backlog
        with pytest.raises(Refused, match="not active"):
            await kit.call("chat", "list_messages")
        await kit.until(lambda: kit._task is not None and kit._task.done())
        assert len(ann.received) == heard


async def test_a_session_that_is_read_again_is_not_taken_back_from_another(tmp_path: Path) -> None:
    async with HallKit.open(tmp_path, {"polls": {}}) as kit:
        other = await claimed_by_another(kit)
        assert await kit.hall.erase("nobody", unseen=True) in (0, None)  # it is read again for that
        await kit.until(lambda: kit.hall.ownership.lost)
        assert await kit.journal.holds(other)


async def test_a_hall_that_reads_its_own_session_again_holds_it(tmp_path: Path) -> None:
    async with HallKit.open(tmp_path, {"polls": {}}) as kit:
        for _ in range(5):
            await asyncio.gather(kit.hall.erase("nobody", unseen=True), kit.hall.ownership.holds())
        assert await kit.hall.ownership.holds()
        assert not kit.hall.ownership.lost


async def test_one_who_was_fenced_can_not_end_a_session(tmp_path: Path) -> None:
    async with HallKit.open(tmp_path, {"polls": {}}) as kit:
        host = await kit.join("host", role="host")
        await host.ask("poll", {"poll_id": "p", "question": "Tea?", "options": ["a", "b"], "anonymous": True})
        assert kit.hall.session is not None
        mine = kit.hall.session.info
        other = await claimed_by_another(kit)
        for ended in (False, True):
            assert not await kit.journal.release(mine, now_ms(), ended=ended)
        assert await kit.journal.holds(other)
        assert (await kit.journal.load(mine.id, 0)).secrets, "the poll's key is the other's"


async def test_halls_that_ask_at_once_cost_two_queries() -> None:
    queries: list[int] = []

    def read(sessions: Sequence[int]) -> dict[int, int]:
        queries.append(len(sessions))
        return dict.fromkeys(sessions, 1)

    owners = Owners(read)
    held = await asyncio.gather(*(owners.hold(SessionInfo(number, 1 + number % 2)) for number in range(100)))
    assert held == [number % 2 == 0 for number in range(100)]
    assert sum(queries) == 100
    assert len(queries) <= 2
