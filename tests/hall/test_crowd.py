"""A crowd: nobody is left out because a packet for all of them is too long, and no other hall waits for it."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from relay_bot.hall.outbox import AckGroups, Outbox, Packet
from relay_bot.hall.people import MOST_AT_ONCE
from relay_bot.link import LinkError, Presence
from relay_bot.link.packets import MAX_PACKET, addressed, group_size, packet_size
from relay_bot.observe import metrics
from relay_bot.plugin import Participant
from relay_bot.testing import Guest, HallKit
from tests.support.halls import open_hall

CROWD = 2_000


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncGenerator[HallKit]:
    async with open_hall(tmp_path) as made:
        yield made


def crowd(kit: HallKit, count: int = CROWD) -> list[Guest]:
    """Put people with UUIDs for identities into the room; the link has not told of them."""
    presence = Presence("", "", "", {}, True, False, False, True, True, False)
    guests: list[Guest] = []
    for _ in range(count):
        identity = str(uuid.uuid4())
        kit.room.presences[identity] = msgspec.structs.replace(presence, identity=identity)
        guests.append(Guest(kit, kit.room, identity))
        kit.room.guests[identity] = guests[-1]
    return guests


def dropped(place: str) -> float:
    return metrics.REGISTRY.get_sample_value("relay_dropped_total", {"place": place}) or 0.0


# -- all of them --------------------------------------------------------------------------------------


async def test_two_thousand_are_greeted_after_a_restart(kit: HallKit) -> None:
    """One packet for all of them would have 72 kB with its addressees: LiveKit refuses it."""
    guests = crowd(kit)
    await kit.restart()
    await kit.until(lambda: all(guest.all("hall_state") for guest in guests), 60)
    assert [len(guest.all("hall_state")) for guest in guests] == [1] * CROWD


async def test_an_interaction_reaches_all_whom_it_names(kit: HallKit) -> None:
    guests = crowd(kit)
    await kit.restart()
    await kit.until(lambda: len(kit.hall.roster) == CROWD, 30)
    answer = await kit.backend("news", {"text": "tea"}, to=[guest.identity for guest in guests])
    assert (answer["sent"], answer["recipient_count"]) == (True, CROWD)
    await kit.until(lambda: all(guest.all("news") for guest in guests), 60)
    assert [len(guest.all("news")) for guest in guests] == [1] * CROWD


async def test_a_snapshot_reaches_all_whom_a_function_names() -> None:
    seat, everyone = LimitedSeat(), tuple(str(uuid.uuid4()) for _ in range(CROWD))
    outbox = Outbox("hall", 4.0)
    outbox.seated(seat)
    task = asyncio.create_task(outbox.run())
    outbox.put_snapshot(("results",), Packet(b"x" * 14_000, receivers=lambda: everyone))
    await until(lambda: len(outbox) == 0 and not outbox.backlog)
    task.cancel()
    assert sorted(seat.heard(b"x" * 14_000)) == sorted(everyone)


class LimitedSeat:
    """Takes what LiveKit would take; may be told to wait."""

    sid = "RM_test"

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, tuple[str, ...]]] = []
        self.at_once = self.most_at_once = 0
        self.waits_after = 1_000_000
        """So many packets leave; the next one waits for `free`."""
        self.free = asyncio.Event()

    async def publish(self, data: bytes, *, to: Sequence[str], topic: str, reliable: bool = True) -> None:
        if packet_size(len(data), to, topic) > MAX_PACKET:
            raise LinkError("too long")
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        await asyncio.sleep(0)
        if len(self.sent) == self.waits_after:
            await self.free.wait()
        self.at_once -= 1
        self.sent.append((data, tuple(to)))

    async def leave(self) -> None:
        pass

    def heard(self, data: bytes) -> list[str]:
        return [identity for sent, to in self.sent if sent == data for identity in to]


async def until(condition: Any) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  (what is waited for has no event of its own)
            await asyncio.sleep(0.001)


async def test_what_is_too_long_for_anybody_is_counted_and_costs_nothing_else() -> None:
    seat, before = LimitedSeat(), dropped("too_large")
    outbox = Outbox("hall", 4.0)
    outbox.seated(seat)
    outbox.put([Packet(b"x" * 70_000, ("ann",)), Packet(b"small", ("ann",))])
    await outbox.flush(5)
    assert seat.sent == [(b"small", ("ann",))]
    assert dropped("too_large") == before + 1


# -- who shares a packet ------------------------------------------------------------------------------


@pytest.mark.parametrize("identity", ["p{}", "{:036}", "é👍" * 40 + "{}", "x" * 250 + "{}"])
@pytest.mark.parametrize("data", [0, 14_000, 60_000])
def test_each_is_in_one_group_and_each_group_fits(identity: str, data: int) -> None:
    to = [identity.format(number) for number in range(3_000)]
    groups = [list(part) for part in addressed(data, to, "relay", "native")]
    assert [name for group in groups for name in group] == to
    assert all(packet_size(data, group, "relay") <= MAX_PACKET for group in groups)


def test_everybody_is_no_list_of_names() -> None:
    assert [list(part) for part in addressed(100, (), "relay", "native")] == [[]]
    assert list(addressed(MAX_PACKET, (), "relay", "native")) == []
    assert list(addressed(MAX_PACKET, ("ann",), "relay", "native")) == []


def test_a_dearer_packet_has_more_addressees_and_a_longer_id_fewer() -> None:
    assert group_size(1_000, 76, "sdk") > group_size(1_000, 76, "native")
    assert group_size(1_000, 300, "native") < group_size(1_000, 76, "native")
    assert group_size(3, 76, "native") == 3, "a few share one packet"
    assert group_size(1_000, 1e6, "native") == 1


@pytest.mark.parametrize("link", ["native", "sdk"])
def test_the_acks_of_a_crowd_go_in_groups(link: str) -> None:
    groups = AckGroups(link)
    for number in range(1_000):
        groups.ack(f"identity-{number:027}", f"{number:036}", None)
    groups.flush()
    sizes = [len(packet.to) for packet in groups.packets]
    assert sum(sizes) == 1_000
    assert max(sizes) == group_size(1_000, 36 + 38 + 3, link)
    for packet in groups.packets:
        assert len(msgspec.json.decode(packet.data)["payload"]["ids"]) == len(packet.to)


# -- in slices ----------------------------------------------------------------------------------------


async def test_a_crowd_is_greeted_in_slices(kit: HallKit, monkeypatch: pytest.MonkeyPatch) -> None:
    """No turn of the loop greets more than a few, so other halls go on between them."""
    from relay_bot.hall import deciding

    turns, greeted = 0, list[int]()
    real = deciding.hall_state

    def counted(session: Any, hall: Any, participant: Participant, call: Any) -> dict[str, Any]:
        greeted.append(turns)
        return real(session, hall, participant, call)

    monkeypatch.setattr(deciding, "hall_state", counted)

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    guests = crowd(kit, 500)
    counting = asyncio.create_task(count_turns())
    try:
        await kit.restart()
        await kit.until(lambda: all(guest.all("hall_state") for guest in guests), 60)
    finally:
        counting.cancel()
    a_turn = [greeted.count(turn) for turn in set(greeted)]
    assert sum(a_turn) == 500
    assert max(a_turn) <= MOST_AT_ONCE


async def test_where_states_take_long_fewer_are_greeted_at_once(kit: HallKit, monkeypatch: pytest.MonkeyPatch) -> None:
    from relay_bot.hall import deciding

    sizes: list[int] = []

    def slow(self: deciding.Decider, people: Sequence[Participant]) -> None:
        sizes.append(len(people))
        time.sleep(0.006)

    monkeypatch.setattr(deciding.Decider, "greet", slow)
    crowd(kit, 100)
    await kit.restart()
    await kit.until(lambda: sum(sizes) == 100, 30)
    assert sizes[:6] == [32, 16, 8, 4, 2, 1]


# -- acks and snapshots -------------------------------------------------------------------------------


async def test_acks_go_between_the_packets_of_a_snapshot_for_a_crowd() -> None:
    seat, everyone = LimitedSeat(), tuple(str(uuid.uuid4()) for _ in range(500))
    outbox = Outbox("hall", 4.0)
    outbox.seated(seat)
    seat.waits_after = 2
    outbox.put_snapshot(("results",), Packet(b"snapshot", everyone))
    task = asyncio.create_task(outbox.run())
    await until(lambda: len(seat.sent) == 2)
    outbox.put([Packet(b"ack", ("ann",), ack=True), Packet(b"said", ("ann",))])
    seat.free.set()
    await until(lambda: (b"said", ("ann",)) in seat.sent)
    task.cancel()
    order = [data for data, _ in seat.sent]
    assert order.index(b"ack") == 3, "behind the packet that was on its way, not behind all of them"
    assert order[-1] == b"said", "what is said keeps its place behind what was said before"
    assert seat.most_at_once == 1


async def test_snapshots_come_less_often_in_a_large_hall() -> None:
    seat = LimitedSeat()
    outbox = Outbox("hall", 100.0, "native", lambda: 400)
    outbox.seated(seat)
    task = asyncio.create_task(outbox.run())
    outbox.put_snapshot(("a",), Packet(b"1"))
    await until(lambda: len(seat.sent) == 1)
    began = time.monotonic()
    outbox.put_snapshot(("a",), Packet(b"2"))
    await until(lambda: len(seat.sent) == 2)
    assert time.monotonic() - began >= 0.15, "400 deliveries are a fifth of a second's"
    task.cancel()


# -- the end ------------------------------------------------------------------------------------------


async def test_at_a_stop_one_sends_at_a_time_and_in_order() -> None:
    seat = LimitedSeat()
    outbox = Outbox("hall", 4.0)
    outbox.seated(seat)
    outbox.put([Packet(str(number).encode(), ("ann",)) for number in range(200)])
    task = asyncio.create_task(outbox.run())
    await until(lambda: len(seat.sent) > 10)
    await outbox.flush(10)
    task.cancel()
    assert [data for data, _ in seat.sent] == [str(number).encode() for number in range(200)]
    assert seat.most_at_once == 1


async def test_acks_do_not_wait_for_one_another_and_keep_their_order() -> None:
    """A round trip through the link for each would be a crowd's wait."""
    seat = LimitedSeat()
    outbox = Outbox("hall", 4.0)
    outbox.seated(seat)
    names = [str(number).encode() for number in range(100)]
    outbox.put([*(Packet(name, ("ann",), ack=True) for name in names), Packet(b"said", ("ann",))])
    await outbox.flush(10)
    assert [data for data, _ in seat.sent] == [*names, b"said"]
    assert seat.most_at_once == 32
