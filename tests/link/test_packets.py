"""Contract of every link: data packets, both ways."""

import asyncio
import time

import pytest
from livekit import rtc
from livekit.protocol.room import SendDataRequest

from relay_bot.link import Encrypted, Joined, LinkError
from tests.link.conftest import Halls, Kind
from tests.link.world import BOT, Hall, counted, eventually

pytestmark = pytest.mark.server


async def test_a_packet_comes_in_with_its_sender_topic_and_time(hall: Hall) -> None:
    _, sink = await hall.bot()
    ann = await hall.guest("ann")
    await sink.first(Joined)
    before = time.monotonic()
    await ann.send(b"\x00\xff vote", topic="relay")
    await sink.until(lambda: len(sink.frames) == 1)
    frame = sink.frames[0]
    assert (frame.data, frame.sender, frame.topic) == (b"\x00\xff vote", "ann", "relay")
    assert (frame.door, frame.reliable, frame.stream_id, frame.reply) == ("packet", True, "", None)
    assert before <= frame.stamp <= time.monotonic()


@pytest.mark.parametrize("to", [[], [BOT], [BOT, "bob", "nobody"]])
async def test_to_whom_a_packet_was_addressed(hall: Hall, kind: Kind, to: list[str]) -> None:
    _, sink = await hall.bot()
    ann = await hall.guest("ann")
    await sink.first(Joined)
    await ann.send(b"hello", to=to)
    await sink.until(lambda: len(sink.frames) == 1)
    assert set(sink.frames[0].to) == (set(to) if kind.tells_addressees else set())


async def test_lossy_packets_are_told_from_reliable_ones(hall: Hall) -> None:
    _, sink = await hall.bot()
    ann = await hall.guest("ann")
    await sink.first(Joined)
    for _ in range(100):  # one or the other may get lost, even here
        await ann.send(b"lossy", reliable=False)
        await asyncio.sleep(0.02)
        if sink.frames:
            break
    assert not sink.frames[0].reliable
    await ann.send(b"reliable")
    await sink.until(lambda: sink.frames[-1].data == b"reliable")
    assert sink.frames[-1].reliable


async def test_reliable_packets_come_in_order_and_once(hall: Hall) -> None:
    _, sink = await hall.bot()
    ann = await hall.guest("ann")
    await sink.first(Joined)
    sent = [str(number).encode() for number in range(300)]
    for data in sent:
        await ann.send(data)
    await sink.until(lambda: len(sink.frames) >= len(sent))
    assert [frame.data for frame in sink.frames] == sent
    stamps = [frame.stamp for frame in sink.frames]
    assert stamps == sorted(stamps)


async def test_a_packet_of_15000_bytes_passes_both_ways(hall: Hall) -> None:
    seat, sink = await hall.bot()
    ann = await hall.guest("ann")
    await sink.first(Joined)
    await ann.send(b"a" * 15_000)
    await sink.until(lambda: len(sink.frames) == 1)
    assert sink.frames[0].data == b"a" * 15_000
    await seat.publish(b"b" * 15_000, to=["ann"], topic="")
    assert await ann.received(1) == [b"b" * 15_000]


async def test_the_sender_in_the_first_moments_after_joining(hall: Hall, kind: Kind) -> None:
    """The SFU tells of new participants in batches, but it stamps every packet with its sender."""
    _, sink = await hall.bot()
    senders = [f"early-{number}" for number in range(10)]
    for sender in senders:
        guest = await hall.guest(sender, announce=False)
        await guest.send(sender.encode())
    await sink.until(lambda: len(sink.frames) >= len(senders) - 1)  # one sent so early can vanish at the SFU
    if kind.names_every_sender:
        assert all(frame.sender == frame.data.decode() for frame in sink.frames)
    else:
        assert all(frame.sender in ("", frame.data.decode()) for frame in sink.frames)


async def test_a_packet_of_the_server_api_has_no_sender(hall: Hall) -> None:
    _, sink = await hall.bot()
    request = SendDataRequest(room=hall.name, data=b"from nobody", destination_identities=["relay-bot"])
    for _ in range(40):  # data that is pushed in the first moments can get lost
        await hall.api.room.send_data(request)
        await asyncio.sleep(0.05)
        if sink.frames:
            break
    assert (sink.frames[0].data, sink.frames[0].sender) == (b"from nobody", "")


async def test_a_packet_goes_out_to_those_who_are_named(hall: Hall) -> None:
    seat, sink = await hall.bot()
    ann, bob, cid = [await hall.guest(name) for name in ("ann", "bob", "cid")]
    await sink.until(lambda: len(sink.all_of(Joined)) == 3)
    await seat.publish(b"some", to=["ann", "bob"], topic="relay")
    await seat.publish(b"all", to=[], topic="relay")
    assert await ann.received(2) == [b"some", b"all"]
    assert await bob.received(2) == [b"some", b"all"]
    assert await cid.received(1) == [b"all"]
    assert {packet.topic for packet in ann.packets} == {"relay"}
    assert all(packet.participant is None for packet in ann.packets), "what a hidden bot's packets look like"
    assert ann.packets[0].kind == rtc.DataPacketKind.KIND_RELIABLE


async def test_a_lossy_packet_goes_out_lossy(hall: Hall) -> None:
    seat, sink = await hall.bot()
    ann = await hall.guest("ann")
    await sink.first(Joined)
    for _ in range(100):
        await seat.publish(b"lossy", to=[], topic="", reliable=False)
        await asyncio.sleep(0.02)
        if ann.packets:
            break
    assert ann.packets[0].kind == rtc.DataPacketKind.KIND_LOSSY


async def test_packets_go_out_in_the_order_of_the_calls(hall: Hall) -> None:
    seat, sink = await hall.bot()
    ann = await hall.guest("ann")
    await sink.first(Joined)
    sent = [str(number).encode() for number in range(200)]
    await asyncio.gather(*(seat.publish(data, to=["ann"], topic="") for data in sent))
    assert await ann.received(len(sent)) == sent


async def test_a_packet_to_someone_who_is_not_here_is_no_error(hall: Hall) -> None:
    seat, _ = await hall.bot()
    await seat.publish(b"x", to=["nobody"], topic="")


async def test_a_packet_with_many_addressees(hall: Hall) -> None:
    """One ack packet answers all whose votes went into one commit."""
    seat, sink = await hall.bot()
    ann = await hall.guest("ann")
    await sink.first(Joined)
    await seat.publish(b"x", to=[f"participant-{number:05}" for number in range(1000)] + ["ann"], topic="")
    assert await ann.received(1) == [b"x"]


async def test_a_packet_that_no_client_would_take_is_refused(hall: Hall) -> None:
    seat, sink = await hall.bot()
    ann = await hall.guest("ann")
    await sink.first(Joined)
    with pytest.raises(LinkError):
        await seat.publish(b"x" * 70_000, to=["ann"], topic="")
    await seat.publish(b"small", to=["ann"], topic="")
    assert await ann.received(1) == [b"small"], "the seat goes on"


async def test_a_participant_may_send_64_kilobytes(hall: Hall) -> None:
    """More than we ever accept, but neither the seat nor the link may break on it."""
    _, sink = await hall.bot()
    ann = await hall.guest("ann")
    await sink.first(Joined)
    await ann.send(b"x" * 63_000)
    await ann.send(b"after")
    await sink.until(lambda: bool(sink.frames) and sink.frames[-1].data == b"after")
    assert len(sink.frames) <= 2
    assert len(sink.frames[0].data) in (63_000, 5)


async def test_what_goes_through_is_counted(hall: Hall, new_hall: Halls) -> None:
    before = counted("relay_link_frames_total")
    async with new_hall() as other:
        _, sink = await hall.bot()
        seat, _ = await other.bot()
        await eventually(lambda: counted("relay_link_rooms", kind=hall.link.name) == 2)
        ann = await hall.guest("ann")
        await sink.first(Joined)
        for _ in range(10):
            await ann.send(b"vote")
        await sink.until(lambda: len(sink.frames) == 10)
        await eventually(lambda: counted("relay_link_frames_total") == before + 10)
        await seat.leave()
        await eventually(lambda: counted("relay_link_rooms", kind=hall.link.name) == 1)


async def test_an_encrypted_room_is_told_once(hall: Hall, kind: Kind) -> None:
    """The Python SDK tells of the tracks alone, the native link of the packets."""
    _, sink = await hall.bot()
    ann = await hall.guest("ann", encrypted=True)
    await sink.first(Joined)
    if not kind.tells_addressees:
        await ann.publish_audio()
    for _ in range(3):
        await ann.send(b"secret")
    await sink.first(Encrypted)
    bob = await hall.guest("bob")
    await bob.send(b"open")
    await sink.until(lambda: bool(sink.frames))
    assert [frame.data for frame in sink.frames] == [b"open"]
    assert len(sink.all_of(Encrypted)) == 1
