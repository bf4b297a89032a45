"""Invariant 3: a plugin that raises or hangs costs its own message, or its own hall a restart; never another hall."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest

from relay_bot.hall.watchdog import HandlerHung, Watchdog
from relay_bot.link import Frame
from relay_bot.testing import Guest, HallKit, Refused
from relay_bot.wire.envelope import MAX_ENVELOPE_BYTES
from tests.support.halls import acks, envelope, errors, open_hall, open_journal, send_raw, votes


@pytest.fixture
async def halls(tmp_path: Path) -> AsyncGenerator[tuple[HallKit, HallKit]]:
    """Two halls of one process, which share the journal."""
    async with (
        open_journal(tmp_path) as journal,
        open_hall(tmp_path, "trouble", "tally", journal=journal) as one,
        open_hall(tmp_path, "trouble", "tally", journal=journal) as other,
    ):
        yield one, other


async def fails(guest: Guest, how: str, code: str, *, record_first: bool = False) -> None:
    with pytest.raises(Refused) as refusal:
        await guest.ask("fail", {"how": how, "record_first": record_first}, f"{how}-{record_first}")
    assert refusal.value.code == code


async def restarted(kit: HallKit, epoch: int) -> None:
    await kit.until(lambda: kit.hall.session is not None and kit.hall.session.info.epoch > epoch)


def epoch(kit: HallKit) -> int:
    assert kit.hall.session is not None
    return kit.hall.session.info.epoch


async def tried(kit: HallKit) -> bytes:
    await kit.settle()
    return kit.fingerprints()["trouble"]


async def test_a_handler_that_raises_costs_its_own_message(halls: tuple[HallKit, HallKit]) -> None:
    one, _ = halls
    ann = await one.join("ann")
    before = epoch(one)
    await fails(ann, "raise", "internal")
    await ann.ask("vote", {})
    assert epoch(one) == before


@pytest.mark.parametrize(("how", "code"), [("raise", "internal"), ("refuse", "internal"), ("apply", "internal")])
async def test_one_that_fails_after_recording_costs_its_hall_a_restart(
    halls: tuple[HallKit, HallKit], how: str, code: str
) -> None:
    one, other = halls
    ann, bob = await one.join("ann"), await other.join("bob")
    await ann.ask("vote", {})
    before = epoch(one), epoch(other)
    await fails(ann, how, code, record_first=True)
    await restarted(one, before[0])
    assert await tried(one) == b'{"tried":[]}', "nothing is kept of what failed"
    assert ann.all("tried") == [], "nor said"
    assert one.fingerprints() == await one.replayed()
    await ann.ask("vote", {"option": "again"})
    await bob.ask("vote", {})
    assert epoch(other) == before[1]


async def test_what_was_decided_before_the_failure_is_kept(halls: tuple[HallKit, HallKit]) -> None:
    one, _ = halls
    ann, bob, carol = [await one.join(identity) for identity in ("ann", "bob", "carol")]
    ann.send("vote", {}, "v1")
    bob.send("fail", {"how": "raise", "record_first": True}, "f1")
    carol.send("vote", {}, "v2")
    await one.until(lambda: bool(acks(ann, "v1") and errors(bob, "f1") and (acks(carol, "v2") or errors(carol, "v2"))))
    await one.settle()
    assert errors(bob, "f1") == ["internal"]
    votes = (await one.call("tally", "all_votes"))["votes"]
    assert ("ann" in votes, "carol" in votes) == (True, bool(acks(carol, "v2")))
    assert errors(carol, "v2") in ([], ["busy"])


async def test_what_failed_may_be_sent_again_with_its_id(halls: tuple[HallKit, HallKit]) -> None:
    one, _ = halls
    ann = await one.join("ann")
    await fails(ann, "raise", "internal", record_first=True)
    await one.settle()
    assert await ann.ask("fail", {"how": "not at all"}, "raise-True") is None


async def test_requests_of_a_backend_are_answered_too(halls: tuple[HallKit, HallKit]) -> None:
    one, other = halls
    before = epoch(one)
    for record_first in (False, True):
        with pytest.raises(Refused, match="internal"):
            await one.backend("fail", {"how": "raise", "record_first": record_first})
    await restarted(one, before)
    assert (await one.backend("fail", {"how": "not at all"}))["sent"] is True
    assert (await other.backend("fail", {"how": "not at all"}))["sent"] is True


async def test_a_handler_that_fails_again_and_again_does_not_stop_its_hall(halls: tuple[HallKit, HallKit]) -> None:
    one, _ = halls
    ann = await one.join("ann")
    for number in range(3):
        with pytest.raises(Refused, match=r"internal|busy"):  # it waits when they come thick and fast
            await ann.ask("fail", {"how": "raise", "record_first": True}, f"m{number}")
        await ann.until_taken("vote", {"option": str(number)})
    assert (await one.call("tally", "all_votes"))["recorded"] == 3


class Gone:
    """An RPC that can't be answered any more."""

    def ok(self, payload: bytes) -> None:
        raise OSError("nobody is there")

    def fail(self, message: str, payload: bytes) -> None:
        raise OSError("nobody is there")


async def test_one_that_can_not_be_answered_keeps_nobody_waiting(halls: tuple[HallKit, HallKit]) -> None:
    one, _ = halls
    ann, _ = await one.join("ann"), await one.join("bob")
    data = envelope("vote", {}, id="gone")
    one.room.tell(Frame(data, "bob", time.monotonic(), "rpc", reply=Gone()))
    await ann.ask("vote", {})
    await one.until(lambda: one.hall.summary()["seq"] == 2)
    assert set(await votes(one)) == {"ann", "bob"}


async def test_what_can_not_be_said_does_not_stop_the_hall(
    halls: tuple[HallKit, HallKit], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _ = halls
    ann = await one.join("ann")

    def fails(sent: object) -> list[object]:
        raise ZeroDivisionError

    monkeypatch.setattr(one.hall._committer, "_packets", fails)
    await ann.ask("vote", {})
    async with asyncio.timeout(5):
        await one.stop()
    await one.start()
    assert await votes(one) == {"ann": "yes"}


# -- hanging ------------------------------------------------------------------------------------------


@pytest.fixture
def watchdog() -> Generator[Watchdog]:
    made = Watchdog(limit_seconds=0.2)
    made.start()
    yield made
    made.stop()


def guarded_by(kit: HallKit, watchdog: Watchdog) -> None:
    """Have the process's watchdog look after a hall, as the app does."""
    kit.hall._calls._watchdog = watchdog


@pytest.mark.parametrize("how", ["hang", "hang_deaf"])
@pytest.mark.parametrize("record_first", [False, True])
async def test_a_handler_that_hangs_is_interrupted(
    halls: tuple[HallKit, HallKit], watchdog: Watchdog, how: str, record_first: bool
) -> None:
    one, other = halls
    ann, bob = await one.join("ann"), await other.join("bob")
    guarded_by(one, watchdog)
    started = time.monotonic()
    await fails(ann, how, "internal", record_first=record_first)
    await bob.ask("vote", {})
    await one.settle()
    await ann.ask("vote", {})
    assert time.monotonic() - started < 3
    assert await tried(one) == b'{"tried":[]}'


def test_a_call_in_time_is_left_alone(watchdog: Watchdog) -> None:
    for _ in range(4):
        watchdog.enter()
        time.sleep(0.1)
        assert watchdog.leave() >= 0.1
    time.sleep(0.4)  # nothing is being called: the loop may be busy with something else


def test_a_hanging_call_is_broken_into_once(watchdog: Watchdog) -> None:
    watchdog.enter()
    with pytest.raises(HandlerHung):
        time.sleep(5)
    time.sleep(0.4)
    assert watchdog.leave() == 0.0


async def test_without_a_watchdog_nothing_is_watched() -> None:
    idle = Watchdog(limit_seconds=0.01)
    idle.enter()
    await asyncio.sleep(0.05)
    assert idle.leave() >= 0.05
    idle.stop()


# -- what is too large to be said ---------------------------------------------------------------------


async def test_an_envelope_that_is_too_large_after_a_decision_is_left_out(tmp_path: Path) -> None:
    """It is longer on its way out than it came in, by who sent it and when."""
    async with open_hall(tmp_path, "desk") as kit:
        ann = await kit.join("ann")
        session = kit.hall.session
        head = envelope("chat", {"text": ""}, id="m")
        text = "x" * (MAX_ENVELOPE_BYTES - len(head))
        send_raw(kit, envelope("chat", {"text": text}, id="m"), "ann")
        await ann.wait("ack")
        assert kit.hall.session is session, "the hall did not have to open its session again"
        assert ann.all("chat") == []
        await ann.say("short")
        assert ann.last("chat") == {"text": "short"}
        assert (await ann.ask("sync", {}))["lines"][-1] == "short"
        assert kit.fingerprints() == await kit.replayed()


async def test_one_before_any_decision_is_refused(tmp_path: Path) -> None:
    async with open_hall(tmp_path, "desk") as kit:
        ann = await kit.join("ann")
        text = "x" * (MAX_ENVELOPE_BYTES - len(envelope("say", {"lines": [""]}, id="m")))
        send_raw(kit, envelope("say", {"lines": [text]}, id="m"), "ann")
        assert (await ann.wait("error"))["code"] == "too_large"
