"""Contract of every link, the kit's own included: how much a packet holds, and who gets it.

A fake without the limits of the real thing hides faults: in the kit 2,000 people were greeted, in a room nobody was.
"""

import json
import uuid
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import accumulate
from typing import Any, cast

import pytest

from relay_bot.link import Joined, LinkError, Seat
from relay_bot.link.packets import MAX_PACKET, addressed, addressee_size, packet_size
from relay_bot.testing import Guest, _Link, _Room
from tests.link.conftest import KINDS_OF_LINKS
from tests.link.world import Recorder, eventually, hall_on
from tests.support.livekit_server import LiveKit

TOPIC = "relay"


class Party:
    """A seat in a room with two participants, ann and bob."""

    def __init__(self, kind: str, seat: Seat, heard: dict[str, Callable[[], list[Any]]]) -> None:
        self.kind = kind
        self.seat = seat
        self._heard = heard

    async def say(self, value: Any, to: Sequence[str] = ()) -> None:
        """Send a JSON text."""
        await self.seat.publish(json.dumps(value).encode(), to=to, topic=TOPIC)

    def heard(self, identity: str) -> list[Any]:
        return self._heard[identity]()

    async def until_heard(self, identity: str, *values: Any) -> None:
        await eventually(lambda: self.heard(identity) == list(values), 10)


class Ear:
    """A guest of the kit, as far as its seat knows one."""

    def __init__(self) -> None:
        self._received: list[Any] = []

    def hear(self, packet: Any) -> None:
        self._received.append(packet)

    def heard(self) -> list[Any]:
        return list(self._received)


@asynccontextmanager
async def party_of_kit() -> AsyncGenerator[Party]:
    room, ears = _Room(), {name: Ear() for name in ("ann", "bob")}
    room.guests = cast("dict[str, Guest]", ears)
    seat = await _Link(room).join("ws://kit", "token", Recorder())
    yield Party("kit", seat, {name: ear.heard for name, ear in ears.items()})
    await seat.leave()


@asynccontextmanager
async def party_of(kind: str, livekit: LiveKit) -> AsyncGenerator[Party]:
    link = KINDS_OF_LINKS[kind].make()
    async with hall_on(livekit, livekit.new_hall(), link) as hall:
        seat, sink = await hall.bot()
        guests = {name: await hall.guest(name) for name in ("ann", "bob")}
        await sink.until(lambda: len(sink.all_of(Joined)) == 2)

        def heard(name: str) -> Callable[[], list[Any]]:
            return lambda: [json.loads(packet.data) for packet in guests[name].packets]

        yield Party(kind, seat, {name: heard(name) for name in guests})
    await link.close()


@pytest.fixture(params=["kit", *(pytest.param(kind, marks=pytest.mark.server) for kind in KINDS_OF_LINKS)])
async def party(request: pytest.FixtureRequest) -> AsyncGenerator[Party]:
    made: AbstractAsyncContextManager[Party]
    made = party_of_kit() if request.param == "kit" else party_of(request.param, request.getfixturevalue("livekit"))
    async with made as party:
        yield party


def long(size: int) -> str:
    """A value whose JSON text has so many bytes."""
    return "x" * (size - 2)


async def test_a_packet_of_64000_bytes_and_more_is_refused(party: Party) -> None:
    for size in (MAX_PACKET, MAX_PACKET + 1, 100_000):
        with pytest.raises(LinkError):
            await party.say(long(size), ["ann"])
    await party.say("after", ["ann"])
    await party.until_heard("ann", "after")


async def test_the_addressees_count(party: Party) -> None:
    crowd = [str(uuid.uuid4()) for _ in range(2_000)]
    with pytest.raises(LinkError):
        await party.say("to all of them", [*crowd, "ann"])
    await party.say("to some of them", [*crowd[:1_000], "ann"])
    await party.until_heard("ann", "to some of them")


async def test_they_count_by_their_bytes(party: Party) -> None:
    """As characters these would be few enough."""
    crowd = [f"é👍é👍{number:032}" for number in range(1_550)]
    assert sum(map(len, crowd)) < MAX_PACKET
    with pytest.raises(LinkError):
        await party.say("x", crowd)


@pytest.mark.parametrize("identity", ["p{}", "{:036}", "é👍{}", "x" * 250 + "{}"])
async def test_what_is_split_to_fit_is_taken(party: Party, identity: str) -> None:
    """At the very edge: each group is filled to the limit, whatever would be cheapest."""
    to = [identity.format(number) for number in range(12_000)]
    data = 500
    room = MAX_PACKET - packet_size(data, ["ann"], TOPIC)
    ends = accumulate(map(addressee_size, to))
    part = to[: sum(end <= room for end in ends)]
    assert packet_size(data, [*part, "ann"], TOPIC) > MAX_PACKET - 300
    await party.say(long(data), [*part, "ann"])
    await party.until_heard("ann", long(data))
    groups = [list(group) for group in addressed(14_000, [*to[:200], "ann"], TOPIC, party.kind)]
    for group in groups:
        await party.say(long(14_000), group)
    await party.until_heard("ann", long(data), long(14_000))


async def test_a_packet_that_is_as_long_as_may_be_arrives(party: Party) -> None:
    size = MAX_PACKET - packet_size(0, ["ann"], TOPIC)
    await party.say(long(size), ["ann"])
    await party.until_heard("ann", long(size))


async def test_nobody_named_is_everybody(party: Party) -> None:
    await party.say("all")
    await party.say("bob", ["bob"])
    await party.until_heard("ann", "all")
    await party.until_heard("bob", "all", "bob")


async def test_who_is_not_here_is_no_error(party: Party) -> None:
    await party.say("nobody", ["carol"])
    await party.say("some", ["carol", "ann"])
    await party.until_heard("ann", "some")
    assert party.heard("bob") == []


async def test_one_who_is_named_twice_hears_it_once(party: Party) -> None:
    await party.say("once", ["ann", "ann"])
    await party.say("last", ["ann"])
    await party.until_heard("ann", "once", "last")


async def test_they_come_in_order(party: Party) -> None:
    for number in range(100):
        await party.say(number, ["ann"] if number % 2 else [])
    await party.until_heard("ann", *range(100))


async def test_a_seat_that_was_left_sends_nothing(party: Party) -> None:
    await party.seat.leave()
    with pytest.raises(LinkError):
        await party.say("after", ["ann"])
