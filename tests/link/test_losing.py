"""Contract of every link: how a seat is lost, and how a broken connection is mended."""

import asyncio
import os
import signal

import pytest

from relay_bot.link import Interrupted, Joined, LinkError, Lost, Reason, Resumed
from tests.link.conftest import Kind
from tests.link.proxy import Proxy
from tests.link.world import Hall, presence_of
from tests.support.livekit_server import LiveKit, LiveKitServer

pytestmark = pytest.mark.server


async def test_the_room_closes_when_the_last_human_has_left(hall: Hall) -> None:
    """With the agent's grants the bot doesn't keep its room open."""
    await hall.create(departure_timeout=1, empty_timeout=5)
    seat, sink = await hall.bot()
    ann = await hall.guest("ann")
    await sink.first(Joined)
    await ann.leave()
    lost = await sink.first(Lost, limit=15)
    assert lost.reason is Reason.ROOM_ENDED
    assert "ROOM" in lost.detail
    with pytest.raises(LinkError):
        await seat.publish(b"x", to=[], topic="")
    await seat.leave()


async def test_the_room_is_deleted(hall: Hall) -> None:
    _, sink = await hall.bot()
    await hall.delete()
    assert (await sink.first(Lost)).reason is Reason.ROOM_ENDED
    assert isinstance(sink.arrivals[-1], Lost), "it is the last thing that a sink is told"


async def test_another_one_joins_with_the_bots_identity(hall: Hall) -> None:
    _, sink = await hall.bot()
    _, second = await hall.bot()
    assert (await sink.first(Lost)).reason is Reason.DUPLICATE
    await asyncio.sleep(0.3)
    assert second.all_of(Lost) == []


async def test_the_bot_is_removed(hall: Hall) -> None:
    _, sink = await hall.bot()
    await hall.remove("relay-bot")
    assert (await sink.first(Lost)).reason is Reason.REMOVED


async def test_the_server_is_killed_and_started_again(own_hall: Hall, own_server: LiveKitServer, kind: Kind) -> None:
    seat, sink = await own_hall.bot()
    before = seat.sid
    own_server.kill()
    await sink.first(Interrupted)
    own_server.start()
    await sink.until(lambda: bool(sink.all_of(Resumed) or sink.all_of(Lost)), 40)
    if sink.all_of(Lost):
        assert sink.all_of(Lost)[0].reason is Reason.NETWORK
        seat, sink = await own_hall.bot()
    else:
        assert sink.all_of(Resumed)[0].sid == seat.sid
    if kind.tells_new_sid:
        assert seat.sid != before, "it is another room of the same name"
    ann = await own_hall.guest("ann")
    await sink.first(Joined, lambda joined: joined.presence.identity == "ann")
    await seat.publish(b"back", to=["ann"], topic="")
    assert await ann.received(1) == [b"back"]
    await ann.send(b"vote")
    await sink.until(lambda: [frame.data for frame in sink.frames] == [b"vote"])


async def test_the_signal_connection_is_cut(hall: Hall, livekit: LiveKit) -> None:
    async with Proxy(livekit.server.ports.http) as proxy:
        seat, sink = await hall.bot(url=proxy.url)
        ann = await hall.guest("ann")
        await sink.first(Joined)
        await proxy.cut(seconds=1.0)
        await sink.first(Interrupted)
        await sink.first(Resumed, limit=20)
        assert sink.all_of(Lost) == []
        await ann.send(b"vote")
        await sink.until(lambda: [frame.data for frame in sink.frames] == [b"vote"])
        await seat.publish(b"ack", to=["ann"], topic="")
        assert await ann.received(1) == [b"ack"]
        await hall.update("ann", name="Anna")
        await sink.until(lambda: presence_of(sink, "ann").name == "Anna")


async def test_the_network_stands_still_for_a_while(own_hall: Hall, own_server: LiveKitServer) -> None:
    seat, sink = await own_hall.bot()
    ann = await own_hall.guest("ann")
    await sink.first(Joined)
    await ann.send(b"before")  # an SDK opens its way to the server with the first packet
    await sink.until(lambda: len(sink.frames) == 1)
    os.kill(own_server.pid, signal.SIGSTOP)
    await ann.send(b"into the dark")
    await asyncio.sleep(2.0)
    os.kill(own_server.pid, signal.SIGCONT)
    await sink.until(lambda: len(sink.frames) == 2, 20)
    assert sink.frames[1].data == b"into the dark"
    await seat.publish(b"ack", to=["ann"], topic="")
    assert await ann.received(1, 20) == [b"ack"]


async def test_a_server_that_stays_away_costs_the_seat(own_hall: Hall, own_server: LiveKitServer) -> None:
    _, sink = await own_hall.bot()
    own_server.kill()
    await sink.first(Interrupted)
    lost = await sink.first(Lost, limit=90)
    assert lost.reason is Reason.NETWORK
    own_server.start()
    seat, _ = await own_hall.bot()
    assert seat.sid.startswith("RM_")
