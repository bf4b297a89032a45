"""A clock that is set while the bot runs delays no timer by more than a second, and has no new answer forgotten."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import msgspec
import pytest

from relay_bot.hall import answers
from relay_bot.hall.deadlines import LOOK_SECONDS, Deadlines
from relay_bot.journal import batch
from relay_bot.journal.batch import Lots
from relay_bot.settings import StorageSettings
from relay_bot.testing import HallKit
from tests.support.halls import acks, open_hall, unlimited

HOUR = 3_600_000


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncGenerator[HallKit]:
    async with open_hall(tmp_path, "errands", "tally") as made:
        yield made


@pytest.fixture
def jump(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Sets the clock of the machine forward or back by milliseconds; the monotonic one goes on."""
    real, offset = time.time_ns, 0

    def set_clock(by: int) -> None:
        nonlocal offset
        offset += by

    monkeypatch.setattr(time, "time_ns", lambda: real() + offset * 1_000_000)
    return set_clock


def rang(kit: HallKit) -> list[str]:
    return msgspec.json.decode(kit.fingerprints()["errands"])["rang"]


async def test_a_clock_set_back_delays_no_timer(kit: HallKit, jump: Callable[[int], None]) -> None:
    ann = await kit.join("ann")
    await ann.ask("remind", {"key": "tea", "in_ms": 300})
    jump(-HOUR)
    await kit.until(lambda: rang(kit) == ["tea"], 300 / 1000 + 1)


async def test_nor_where_its_session_is_opened_anew_meanwhile(kit: HallKit, jump: Callable[[int], None]) -> None:
    ann = await kit.join("ann")
    await ann.ask("remind", {"key": "tea", "in_ms": 500})
    jump(-HOUR)
    assert kit.hall._decider is not None
    kit.hall._restart(kit.hall._decider, "handler")
    kit.hall._mailbox.wake()
    await kit.until(lambda: kit.hall._decider is not None)
    await kit.until(lambda: rang(kit) == ["tea"], 500 / 1000 + 1)


async def test_a_clock_set_forward_is_seen_within_a_second(kit: HallKit, jump: Callable[[int], None]) -> None:
    """A hall that slept until its timer would sleep on."""
    ann = await kit.join("ann")
    await ann.ask("remind", {"key": "tea", "in_ms": HOUR - 100_000})
    await asyncio.sleep(0.05)
    jump(HOUR)
    await kit.until(lambda: rang(kit) == ["tea"], 1.5)


async def test_a_timer_that_is_set_after_the_jump_takes_its_time(kit: HallKit, jump: Callable[[int], None]) -> None:
    ann = await kit.join("ann")
    jump(-HOUR)
    await ann.ask("remind", {"key": "tea", "in_ms": 300})
    await asyncio.sleep(0.1)
    assert rang(kit) == []
    await kit.until(lambda: rang(kit) == ["tea"], 1.3)


def test_due_by_whichever_clock_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monotonic = 1_000.0
    monkeypatch.setattr(time, "monotonic", lambda: monotonic)
    deadlines, timers = Deadlines(), {"a": 10_000, "b": 20_000}
    assert deadlines.due(timers, 5_000) == []
    assert deadlines.wait(timers, 5_000) == LOOK_SECONDS
    monotonic += 4.9
    assert deadlines.wait(timers, 9_900) == pytest.approx(0.1)
    assert deadlines.due(timers, 25_000) == ["a", "b"], "set forward"
    assert deadlines.due(timers, -HOUR) == []
    monotonic += 0.2
    assert deadlines.due(timers, -HOUR) == ["a"], "set back"
    assert deadlines.due(timers | {"a": 5_000 - HOUR}, -HOUR) == [], "another timer under the same name"
    assert deadlines.due({}, 0) == []


# -- answers ------------------------------------------------------------------------------------------


def test_lots_never_go_back() -> None:
    lots = Lots()
    before = [lots.next(HOUR * 1_000) for _ in range(1_500)]
    after = [lots.next(HOUR * 999) for _ in range(1_500)]
    assert before + after == sorted(before + after)
    assert len(set(before + after)) == 3, "a thousand to a lot, as ever"
    assert lots.next(HOUR * 1_001) > after[-1]


def test_lots_go_on_where_they_were_kept() -> None:
    lots = Lots()
    kept = [lots.next(HOUR * 1_000) for _ in range(1_500)][-1]
    again = Lots()
    again.begin(kept)
    assert again.next(HOUR * 999) >= kept
    assert again.next(HOUR * 1_001) == Lots.first(HOUR * 1_001)


async def test_the_newest_answers_are_remembered_after_a_clock_was_set_back(
    tmp_path: Path, jump: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a vote that is sent again after a restart is counted as a new one."""
    monkeypatch.setattr(batch, "_ANSWERS_A_LOT", 1)
    monkeypatch.setattr(answers, "BYTES_AN_ANSWER", 3_000)  # so that three are as many as are kept
    settings = msgspec.structs.replace(unlimited(), storage=StorageSettings(answers_bytes=10_000))
    async with open_hall(tmp_path, settings=settings) as kit:
        ann = await kit.join("ann")
        for number in range(5):
            await ann.ask("vote", {}, f"before-{number}")
        jump(-HOUR)
        for restart in range(2):
            await ann.ask("vote", {}, f"after-{restart}")
            await kit.restart()
            seq = kit.hall.seq
            ann.send("vote", {}, f"after-{restart}")
            await kit.until(lambda wanted=f"after-{restart}": acks(ann, wanted) == 1)
            assert kit.hall.seq == seq
