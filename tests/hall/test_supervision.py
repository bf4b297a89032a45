"""Invariant 9: nothing dies unheard. A task of a hall that raises is started again; one that goes on, ends its hall."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from relay_bot.hall import supervisor
from relay_bot.hall.feed import Feed, Subscription
from relay_bot.hall.supervisor import RESTARTS, Supervisor
from relay_bot.hall.watchdog import Watchdog
from relay_bot.link import Frame, Lost, Reason
from relay_bot.observe import metrics
from relay_bot.plugin import SetPermissions
from relay_bot.testing import HallKit
from tests.hall.test_halls import World, world
from tests.support.halls import envelope, open_hall, votes

__all__ = ["world"]


def at_once(failures: int) -> float:
    return 0.001


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "pause", at_once)


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncGenerator[HallKit]:
    async with open_hall(tmp_path, "tally", "errands") as made:
        yield made


class Fault:
    """Stands in for a method that raises the first times it is called."""

    def __init__(self, target: Any, name: str, times: float, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls = 0
        self._times = times
        self._real = getattr(target, name)
        monkeypatch.setattr(target, name, self)

    def __call__(self, *args: Any, **more: Any) -> Any:
        self.calls += 1
        if self.calls <= self._times:
            raise ValueError("what somebody said")
        return self._real(*args, **more)


def failed(part: str) -> float:
    return metrics.REGISTRY.get_sample_value("relay_helper_failures_total", {"part": part}) or 0.0


def parts(kit: HallKit) -> dict[str, str]:
    return {trouble.part: trouble.detail for trouble in kit.hall.troubles()}


# -- each of them -------------------------------------------------------------------------------------


async def test_the_outbox_goes_on_after_an_error(kit: HallKit, monkeypatch: pytest.MonkeyPatch) -> None:
    ann = await kit.join("ann")
    Fault(kit.hall._outbox._seat, "publish", 1, monkeypatch)
    before = failed("outbox")
    with capture_logs() as logs:
        ann.send("vote", {}, "a-message-that-is-lost")
        await kit.until(lambda: failed("outbox") == before + 1)
    told = next(line for line in logs if line["event"] == "helper.failed")
    assert (told["helper"], told["error"], told["hall"]) == ("outbox", "ValueError", kit.hall.name)
    assert told["place"].startswith("test_supervision.py:")
    assert "somebody" not in str({key: value for key, value in told.items() if key != "exc_info"})
    assert parts(kit)["outbox"].startswith("ValueError at test_supervision.py:")
    await kit.until(lambda: kit.hall._supervisor.runs("outbox"))
    ann.send("vote", {}, "a-message-that-is-acked")
    await ann.wait("ack", lambda payload: "a-message-that-is-acked" in payload["ids"])


async def test_effects_go_on_after_an_error(kit: HallKit, monkeypatch: pytest.MonkeyPatch) -> None:
    """One `ValueError` meant that nobody was ever kicked again, in a hall that was called live."""
    ann = await kit.join("ann")
    fault = Fault(kit._services.rooms, "perform", 1, monkeypatch)
    await ann.ask("grant", {"key": "k", "identity": "ann"})
    await kit.until(lambda: bool(kit.room.effects))
    assert fault.calls >= 2
    assert isinstance(kit.room.effects[0], SetPermissions)


async def test_the_heartbeat_goes_on_after_an_error(kit: HallKit, monkeypatch: pytest.MonkeyPatch) -> None:
    fault = Fault(kit.journal, "release", 1, monkeypatch)
    kit.hall.room_is("RM_another")
    await kit.until(lambda: fault.calls == 1)
    await kit.until(lambda: kit.hall._supervisor.runs("heartbeat"))
    kit.hall.room_is("RM_yet_another")
    await kit.until(lambda: fault.calls >= 2)


async def test_the_lookup_goes_on_after_an_error(kit: HallKit, monkeypatch: pytest.MonkeyPatch) -> None:
    Fault(kit._services.rooms, "presences", 1, monkeypatch)
    await kit.join("ann", known=False)
    data = envelope("vote", {"option": "tea"}, id="1")
    kit.room.tell(Frame(data, "ann", time.monotonic()))
    await kit.until(lambda: kit.hall.seq == 1)
    assert await votes(kit) == {"ann": "tea"}


async def test_the_connection_is_made_anew_after_an_error(kit: HallKit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where there was a seat by then: it is left, and what comes for it is not taken for the new one's."""
    fault = Fault(kit._services.rooms, "exists", 1, monkeypatch)
    monkeypatch.setattr("relay_bot.hall.seat.pause", at_once)
    old = list(kit.room.sinks)
    kit.room.tell(Lost(Reason.NETWORK, "told to"))
    await kit.until(lambda: fault.calls == 1 and kit.hall.status == "live" and kit.room.sinks != old)
    for sink in old:
        sink.arrive([Lost(Reason.DUPLICATE, "the seat before")])
    ann = await kit.join("ann")
    await ann.ask("vote", {})
    assert kit.hall.status == "live"


async def test_a_seat_that_was_there_is_left_before_another_is_taken(
    kit: HallKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = kit.hall._keeper
    assert len(kit.room.sinks) == 1
    lost = keeper._lost
    assert lost is not None
    lost.set_exception(ValueError("a fault of ours"))
    await kit.until(lambda: keeper.seat is not None and kit.hall.status == "live" and keeper._lost is not lost)
    assert len(kit.room.sinks) == 1
    ann = await kit.join("ann")
    await ann.ask("vote", {})


async def test_a_follower_that_fails_takes_nothing_with_it(kit: HallKit, monkeypatch: pytest.MonkeyPatch) -> None:
    broken, other = kit.hall.feed.subscribe(), kit.hall.feed.subscribe()
    real = Subscription.put

    def put(self: Subscription, rows: Any) -> None:
        if self is broken:
            raise ValueError("told to fail")
        real(self, rows)

    monkeypatch.setattr(Subscription, "put", put)
    ann = await kit.join("ann")
    await ann.ask("grant", {"key": "k", "identity": "ann"})
    await kit.until(lambda: bool(kit.room.effects))
    assert broken.ending == "too_slow", "it comes again with the last seq that it has"
    assert other.ending is None
    assert await other.take(10, 1)


async def test_a_feed_that_fails_costs_no_effect(kit: HallKit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Feed, "publish", _raise)
    ann = await kit.join("ann")
    await ann.ask("grant", {"key": "k", "identity": "ann"})
    await kit.until(lambda: bool(kit.room.effects))


def _raise(*_: Any) -> None:
    raise ValueError("told to fail")


# -- what goes on failing -----------------------------------------------------------------------------


async def test_a_hall_whose_task_goes_on_failing_ends_and_comes_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def soon(failures: int) -> float:
        return 0.05

    monkeypatch.setattr("relay_bot.hall.halls.pause", soon)
    world.livekit.rooms = [("hall", "RM_kit")]
    await world.halls.reconcile()
    await world.until_live("hall")
    hall = world.halls.get("hall")
    assert hall is not None
    fault = Fault(hall._debtor, "_work", RESTARTS + 1, monkeypatch)
    hall._debtor._wake.set()
    await world.until_over("hall")
    assert fault.calls == RESTARTS + 1
    assert [(trouble.part, trouble.hall_id) for trouble in world.halls.troubles()] == [("hall", "hall")]
    await world.halls.reconcile()
    assert world.halls.get("hall") is None, "not at once"
    await asyncio.sleep(0.06)
    await world.halls.reconcile()
    await world.until_live("hall")
    assert world.halls.get("hall") is not hall
    assert world.halls.troubles() == []


async def test_an_effect_that_is_not_done_for_long_is_told(kit: HallKit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay_bot.hall.hall._OVERDUE_SECONDS", 0.0)
    ann = await kit.join("ann")
    kit.room.failing = True
    await ann.ask("grant", {"key": "k", "identity": "ann"})
    await kit.until(lambda: "effects" in parts(kit))
    assert parts(kit)["effects"] == "1 not done for 0 s"


# -- the supervisor itself ----------------------------------------------------------------------------


async def test_something_cancelled_inside_is_a_failure_and_not_the_end() -> None:
    calls = 0

    async def work() -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise asyncio.CancelledError
        await asyncio.sleep(60)

    made = Supervisor()
    made.start("x", work)
    async with asyncio.timeout(5):
        while calls < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    assert made.runs("x")
    await made.stop()
    assert not made.runs("x")


async def test_the_processs_own_tasks_have_no_bound() -> None:
    calls = 0

    async def work() -> None:
        nonlocal calls
        calls += 1
        if calls < RESTARTS * 3:
            raise ValueError
        await asyncio.sleep(60)

    made = Supervisor()
    made.start("finder", work)
    async with asyncio.timeout(5):
        while calls < RESTARTS * 3:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    assert [trouble.part for trouble in made.troubles()] == ["finder"], "until it has worked for a while"
    await made.stop()


async def test_a_watchdog_that_fails_looks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    watchdog = Watchdog()
    fault = Fault(watchdog, "_look", 2, monkeypatch)
    watchdog.start()
    try:
        async with asyncio.timeout(10):
            while fault.calls < 4:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert watchdog.troubles() == []
    finally:
        watchdog.stop()
