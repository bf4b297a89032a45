"""Contract of every link: joining and leaving."""

import asyncio
import socket
import time

import pytest

from relay_bot.link import Changed, Joined, Left, Link, LinkError
from tests.link.conftest import Halls, Kind
from tests.link.world import Hall, Recorder, presence_of

pytestmark = pytest.mark.server


async def test_those_already_here_arrive_before_the_seat_is_given(hall: Hall) -> None:
    await hall.guest("ann", name="Ann", metadata='{"a":1}', attributes={"relay.role": "host"})
    await hall.guest("bob")
    before = time.monotonic()
    seat, sink = await hall.bot()
    told = {joined.presence.identity: joined for joined in sink.all_of(Joined)}
    assert set(told) == {"ann", "bob"}
    ann = told["ann"].presence
    assert (ann.name, ann.metadata, ann.attributes) == ("Ann", '{"a":1}', {"relay.role": "host"})
    assert (ann.can_publish, ann.can_publish_data, ann.can_subscribe) == (True, True, True)
    assert (ann.hidden, ann.tracks) == (False, ())
    assert told["ann"].stamp < before - 1, "they were here before us, and so are known for long"
    assert seat.sid.startswith("RM_")


async def test_those_who_come_later_are_told_until_they_are_active(hall: Hall) -> None:
    _, sink = await hall.bot()
    before = time.monotonic()
    await hall.guest("ann", name="Ann", announce=False)
    joined = await sink.first(Joined)
    assert (joined.presence.identity, joined.presence.name) == ("ann", "Ann")
    assert before <= joined.stamp <= time.monotonic()
    await sink.until(lambda: presence_of(sink, "ann").active)


async def test_someone_who_leaves_is_told(hall: Hall) -> None:
    _, sink = await hall.bot()
    ann = await hall.guest("ann")
    await sink.first(Joined)
    await ann.leave()
    assert (await sink.first(Left)).identity == "ann"


async def test_the_bot_is_hidden_and_never_told_of_itself(hall: Hall) -> None:
    _, sink = await hall.bot()
    ann = await hall.guest("ann")
    await sink.first(Joined)
    assert await hall.identities() == {"ann", "relay-bot"}
    assert set(ann.room.remote_participants) == set()
    assert {change.presence.identity for change in sink.all_of(Changed)} <= {"ann"}
    assert {joined.presence.identity for joined in sink.all_of(Joined)} == {"ann"}


async def test_what_happens_in_a_room_stays_in_its_seat(hall: Hall, new_hall: Halls) -> None:
    async with new_hall() as other:
        _, sink = await hall.bot()
        _, other_sink = await other.bot()
        ann, bob = await hall.guest("ann"), await other.guest("bob")
        await sink.first(Joined)
        await other_sink.first(Joined)
        await ann.send(b"from ann")
        await bob.send(b"from bob")
        await sink.until(lambda: len(sink.frames) == 1)
        await other_sink.until(lambda: len(other_sink.frames) == 1)
        assert (sink.frames[0].data, other_sink.frames[0].data) == (b"from ann", b"from bob")


async def test_leaving_can_be_done_again_and_nothing_arrives_after_it(hall: Hall) -> None:
    seat, sink = await hall.bot()
    ann = await hall.guest("ann")
    await sink.first(Joined)
    await asyncio.gather(seat.leave(), seat.leave())
    await seat.leave()
    before = len(sink.arrivals)
    await hall.until_present("ann")
    await ann.send(b"is anybody here?", to=())
    await ann.leave()
    await asyncio.sleep(0.5)
    assert sink.arrivals[before:] == []
    with pytest.raises(LinkError):
        await seat.publish(b"x", to=[], topic="")


async def test_a_room_can_be_joined_again_after_leaving(hall: Hall) -> None:
    seat, _ = await hall.bot()
    ann = await hall.guest("ann")
    await seat.leave()
    seat, sink = await hall.bot()
    assert [joined.presence.identity for joined in sink.all_of(Joined)] == ["ann"]
    await seat.publish(b"again", to=["ann"], topic="")
    assert await ann.received(1) == [b"again"]


async def test_a_token_that_is_refused_is_an_error(hall: Hall) -> None:
    token = hall.bot_token()
    with pytest.raises(LinkError):
        await hall.link.join(hall.server.url, token[:-6] + "AAAAAA", Recorder())


async def test_a_server_that_is_not_there_is_an_error(hall: Hall, kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kind.module, "CONNECT_SECONDS", 4.0)
    with socket.socket() as held:  # bound, and nobody listens
        held.bind(("127.0.0.1", 0))
        with pytest.raises(LinkError):
            await hall.link.join(f"ws://127.0.0.1:{held.getsockname()[1]}", hall.bot_token(), Recorder())


async def test_joining_has_a_time_limit(link: Link, kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kind.module, "CONNECT_SECONDS", 2.0)
    with socket.socket() as mute:  # takes the connection, and says nothing
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        before = time.monotonic()
        sink = Recorder()
        with pytest.raises(LinkError):
            await link.join(f"ws://127.0.0.1:{mute.getsockname()[1]}", "token", sink)
        assert time.monotonic() - before < 6.0
        assert sink.arrivals == []


async def test_a_join_that_is_cancelled_leaves_nobody_behind(hall: Hall) -> None:
    await hall.guest("ann")
    warm, _ = await hall.bot()
    await warm.leave()
    joining = asyncio.create_task(hall.link.join(hall.server.url, hall.bot_token(), Recorder()))
    await asyncio.sleep(0.02)
    joining.cancel()
    await asyncio.gather(joining, return_exceptions=True)
    await hall.link.close()  # what was begun is undone by then
    await hall.until_present("ann")
