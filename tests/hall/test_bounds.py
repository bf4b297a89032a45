"""Nothing is without a bound, and no bound costs what a hall can't be without."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from relay_bot.hall import gate as gate_module
from relay_bot.hall import mailbox as mailbox_module
from relay_bot.hall.mailbox import Mailbox
from relay_bot.hall.seat import Seated, SeatKeeper
from relay_bot.link import Frame, Interrupted, Joined, Lost, Reason, Resumed
from relay_bot.observe import metrics
from relay_bot.wire.refusal import Refuse
from tests.support.halls import errors, open_hall, unlimited


def frame(number: int = 0) -> Frame:
    return Frame(b"{}", "ann", time.monotonic())


def dropped(place: str) -> float:
    return metrics.REGISTRY.get_sample_value("relay_dropped_total", {"place": place}) or 0.0


async def test_refusals_leave_while_the_journal_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay_bot.hall.hall._MESSAGES_A_TURN", 1)
    async with open_hall(tmp_path, settings=unlimited(mailbox=5)) as kit:
        ann = await kit.join("ann")
        goes_on = threading.Event()
        assert kit.journal._store is not None
        real = kit.journal._store.commit

        def hangs(*args: Any) -> Any:
            goes_on.wait(30)
            return real(*args)

        monkeypatch.setattr(kit.journal._store, "commit", hangs)
        try:
            for number in range(2):  # one is being committed, one fills the turn that waits for it
                ann.send("vote", {}, f"vote-{number}")
                await asyncio.sleep(0.05)
            for number in range(10):
                ann.send("vote", {}, f"more-{number}")
            await ann.wait("error", lambda payload: payload["id"] == "more-9")
            assert set(errors(ann)) == {"busy"}
            assert not kit.hall._gate.refusals
        finally:
            goes_on.set()
        await kit.settle()


async def test_refusals_that_wait_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate_module, "_MAX_REFUSALS", 10)
    async with open_hall(tmp_path) as kit:
        ann = await kit.join("ann")
        before = dropped("refusals")
        for number in range(100):  # in one turn of the loop
            kit.hall._gate.refuse(frame(), Refuse("busy", "told to"), f"m{number}")
        assert len(kit.hall._gate.refusals) == 10
        assert dropped("refusals") == before + 90
        await ann.wait("error", lambda payload: payload["id"] == "m9")
        assert not kit.hall._gate.refusals


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> Mailbox:
    """A mailbox that has room for nothing."""
    monkeypatch.setattr(mailbox_module, "_ROSTER_RESERVE", 0)
    mailbox = Mailbox(1, lambda frame: None)
    mailbox.arrive([frame()])
    return mailbox


def test_a_full_mailbox_hears_what_becomes_of_the_room(full: Mailbox) -> None:
    news = [Interrupted(), Resumed("RM_new"), Lost(Reason.NETWORK, "")]
    full.arrive(news)
    assert full.take(10)[1:] == news


def test_a_full_mailbox_refuses_what_can_be_asked_again(full: Mailbox) -> None:
    assert not full.put(object())
    full.arrive([frame()])
    assert len(full) == 1


async def test_a_full_mailbox_hears_that_the_bot_is_seated(full: Mailbox, tmp_path: Path) -> None:
    """Else the hall would never be live."""
    async with open_hall(tmp_path) as kit:
        keeper = SeatKeeper("hall", kit._services, full)
        task = asyncio.create_task(keeper.run())
        await kit.until(lambda: keeper.seat is not None)
        await asyncio.sleep(0)
        task.cancel()
        await keeper.leave()
        assert any(isinstance(item, Seated) for item in full.take(10))


async def test_a_hall_with_a_full_mailbox_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_hall(tmp_path, settings=unlimited(mailbox=1)) as kit:
        await kit.join("ann")
        monkeypatch.setattr(mailbox_module, "_ROSTER_RESERVE", 0)
        joined = [Joined(kit.room.presences["ann"], 0.0)] * 10
        kit.room.tell(*joined)
        await kit.stop()
        assert kit.hall.status == "ended"
