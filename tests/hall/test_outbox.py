"""The outbox: in order, throttled, bounded."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from relay_bot.hall import outbox as module
from relay_bot.hall.outbox import Outbox, Packet
from relay_bot.link import LinkError
from relay_bot.testing import HallKit
from tests.support.halls import open_hall


class Seat:
    """Remembers what is sent; may fail, and may wait until it is let go."""

    sid = "RM_test"

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.at: list[float] = []
        self.receivers: list[tuple[str, ...]] = []
        self.failing = False
        self.free = asyncio.Event()
        self.free.set()

    async def publish(self, data: bytes, *, to: Sequence[str], topic: str, reliable: bool = True) -> None:
        await self.free.wait()
        if self.failing:
            raise LinkError("told to fail")
        self.receivers.append(tuple(to))
        self.sent.append(data)
        self.at.append(time.monotonic())

    async def leave(self) -> None:
        pass


@asynccontextmanager
async def running(seat: Seat | None) -> AsyncGenerator[Outbox]:
    outbox = Outbox("hall", 4.0)
    outbox.seated(seat)
    task = asyncio.create_task(outbox.run())
    try:
        yield outbox
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(seat: Seat, count: int) -> None:
    async with asyncio.timeout(2):
        while len(seat.sent) < count:  # noqa: ASYNC110  (what is waited for has no event of its own)
            await asyncio.sleep(0.001)


def packets(*names: str) -> list[Packet]:
    return [Packet(name.encode()) for name in names]


async def test_packets_leave_in_order() -> None:
    seat = Seat()
    async with running(seat) as outbox:
        outbox.put(packets("1", "2"))
        outbox.put(packets("3"))
        await until(seat, 3)
        assert seat.sent == [b"1", b"2", b"3"]
        assert outbox.backlog == 0


async def test_a_snapshot_leaves_at_once_and_its_successors_a_quarter_of_a_second_apart() -> None:
    seat = Seat()
    async with running(seat) as outbox:
        outbox.put_snapshot(("a",), Packet(b"1"))
        await until(seat, 1)
        for number in range(2, 50):
            outbox.put_snapshot(("a",), Packet(str(number).encode()))
        await until(seat, 2)
        assert seat.sent == [b"1", b"49"]
        assert seat.at[1] - seat.at[0] >= 0.24


async def test_snapshots_of_two_things_do_not_wait_for_one_another() -> None:
    seat = Seat()
    async with running(seat) as outbox:
        for key in ("a", "b", "c"):
            outbox.put_snapshot((key,), Packet(key.encode()))
        await until(seat, 3)
        assert sorted(seat.sent) == [b"a", b"b", b"c"]
        assert seat.at[2] - seat.at[0] < 0.2


async def test_packets_go_before_snapshots() -> None:
    """An ack that waits for a throttled snapshot would look lost."""
    seat = Seat()
    seat.free.clear()
    async with running(seat) as outbox:
        outbox.put_snapshot(("a",), Packet(b"snapshot"))
        outbox.put(packets("ack"))
        await asyncio.sleep(0.01)
        seat.free.set()
        await until(seat, 2)
        assert seat.sent == [b"ack", b"snapshot"]


async def test_a_dropped_snapshot_never_leaves() -> None:
    seat = Seat()
    async with running(seat) as outbox:
        outbox.put_snapshot(("a",), Packet(b"1"))
        await until(seat, 1)
        outbox.put_snapshot(("a",), Packet(b"2"))
        outbox.drop_snapshot(("a",))
        outbox.put(packets("final"))
        await asyncio.sleep(0.3)
        assert seat.sent == [b"1", b"final"]


async def test_without_a_seat_everything_waits() -> None:
    seat = Seat()
    async with running(None) as outbox:
        outbox.put(packets("1"))
        outbox.put_snapshot(("a",), Packet(b"2"))
        await asyncio.sleep(0.02)
        assert len(outbox) == 2
        outbox.seated(seat)
        await until(seat, 2)


async def test_what_cannot_be_sent_is_given_up_and_the_rest_goes_on() -> None:
    seat = Seat()
    seat.failing = True
    async with running(seat) as outbox:
        outbox.put(packets("1"))
        await asyncio.sleep(0.02)
        seat.failing = False
        outbox.put(packets("2"))
        await until(seat, 1)
        assert seat.sent == [b"2"]


async def test_packets_and_snapshots_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_PACKETS", 5)
    monkeypatch.setattr(module, "_MAX_SNAPSHOTS", 3)
    outbox = Outbox("hall", 4.0)
    outbox.put(packets(*"123456789"))
    for key in "abcdef":
        outbox.put_snapshot((key,), Packet(b"old"))
    assert len(outbox) == 5 + 3
    outbox.put_snapshot(("a",), Packet(b"new"))
    seat = Seat()
    outbox.seated(seat)
    await outbox.flush(1.0)
    assert seat.sent == [b"1", b"2", b"3", b"4", b"5"]
    assert outbox._snapshots[("a",)].data == b"new"


async def test_a_function_names_the_receivers_when_the_packet_leaves() -> None:
    seat, people = Seat(), ["ann"]

    def broken() -> list[str]:
        raise RuntimeError("a mistake in a plugin")

    async with running(seat) as outbox:
        outbox.put_snapshot(("a",), Packet(b"first", receivers=lambda: people))
        await until(seat, 1)
        outbox.put_snapshot(("a",), Packet(b"second", receivers=lambda: people))
        await asyncio.sleep(0.05)
        people.append("bob")  # while it waits for its time
        await until(seat, 2)
        assert list(zip(seat.sent, seat.receivers, strict=True)) == [
            (b"first", ("ann",)),
            (b"second", ("ann", "bob")),
        ]
        outbox.put_snapshot(("b",), Packet(b"for nobody", receivers=lambda: ()))
        outbox.put_snapshot(("c",), Packet(b"for whom?", receivers=broken))
        outbox.put(packets("last"))
        await until(seat, 3)
        await asyncio.sleep(0.02)
        assert not len(outbox)
        assert seat.sent[2:] == [b"last"], "what is for nobody must not go to everybody"


async def test_a_flush_has_a_time_limit() -> None:
    seat = Seat()
    seat.free.clear()
    outbox = Outbox("hall", 4.0)
    outbox.seated(seat)
    outbox.put(packets("1"))
    started = time.monotonic()
    await outbox.flush(0.05)
    assert time.monotonic() - started < 1
    assert seat.sent == []


# -- in the hall --------------------------------------------------------------------------------------


async def test_a_thousand_votes_make_few_snapshots_and_the_newest_wins(kit: HallKit) -> None:
    guests = [await kit.join(f"p{number}") for number in range(10)]
    for round_ in range(100):
        for guest in guests:
            guest.send("vote", {"option": str(round_)})
        await asyncio.sleep(0)
    await guests[0].wait("tally", lambda payload: payload["seq"] == 1000)
    assert len(guests[0].all("tally")) <= 8
    assert [payload["seq"] for payload in guests[0].all("tally")] == sorted(
        payload["seq"] for payload in guests[0].all("tally")
    )


async def test_what_is_said_comes_in_order(tmp_path: Path) -> None:
    async with open_hall(tmp_path, "desk") as kit:
        ann = await kit.join("ann")
        lines = [str(number) for number in range(200)]
        for start in range(0, 200, 20):
            ann.send("say", {"lines": lines[start : start + 20]})
        await kit.settle()
        assert [payload["line"] for payload in ann.all("said")] == lines
