"""Contract of every link: LiveKit's own chat, which comes as text streams."""

import asyncio
import random

import pytest

from relay_bot.link import MAX_STREAM_BYTES, Frame, Joined
from tests.link.world import BOT, Guest, Hall, Recorder, eventually

pytestmark = pytest.mark.server

TEXTS = ["hello", "é" * 20_000, random.Random(1).randbytes(15_000).hex()]


async def seated(hall: Hall) -> tuple[Guest, Recorder]:
    _, sink = await hall.bot()
    ann = await hall.guest("ann")
    await sink.first(Joined)
    return ann, sink


@pytest.mark.parametrize("to", [[BOT], None], ids=["addressed", "broadcast"])
@pytest.mark.parametrize("witness", [False, True], ids=["alone", "witnessed"])
@pytest.mark.parametrize("text", TEXTS, ids=["short", "long", "noise"])
async def test_a_text_arrives_whole_with_its_sender_and_id(
    hall: Hall, text: str, to: list[str] | None, witness: bool
) -> None:
    """The SDK packs a text differently, by who else it sees in the room."""
    ann, sink = await seated(hall)
    if witness:
        bob = await hall.guest("bob")
        await eventually(lambda: "bob" in ann.room.remote_participants)
        bob.room.register_text_stream_handler("lk.chat", lambda reader, identity: None)
    info = await ann.room.local_participant.send_text(text, topic="lk.chat", destination_identities=to)
    frame = await sink.first(Frame)
    assert (frame.door, frame.sender, frame.topic, frame.reliable) == ("chat", "ann", "lk.chat", True)
    assert frame.data.decode() == text
    assert frame.stream_id == info.stream_id


async def test_the_sender_is_named_in_the_first_moments_after_joining(hall: Hall) -> None:
    _, sink = await hall.bot()
    senders = [f"early-{number}" for number in range(5)]
    for sender in senders:
        guest = await hall.guest(sender, announce=False)
        await guest.room.local_participant.send_text(sender, topic="lk.chat")
    await sink.until(lambda: len(sink.frames) >= len(senders) - 1)
    assert all(frame.sender == frame.data.decode() for frame in sink.frames)


async def test_a_text_on_another_topic_is_not_handed_on(hall: Hall) -> None:
    ann, sink = await seated(hall)
    await ann.room.local_participant.send_text("elsewhere", topic="my-topic")
    await ann.room.local_participant.send_text("here", topic="lk.chat")
    frame = await sink.first(Frame)
    assert frame.data == b"here"


async def test_a_text_that_is_too_long_is_dropped(hall: Hall) -> None:
    ann, sink = await seated(hall)
    await ann.room.local_participant.send_text("x" * (MAX_STREAM_BYTES + 1), topic="lk.chat")
    writer = await ann.room.local_participant.stream_text(topic="lk.chat")  # one that doesn't say its length
    for _ in range(5):
        await writer.write("x" * (MAX_STREAM_BYTES // 4))
    await writer.aclose()
    await ann.room.local_participant.send_text("short", topic="lk.chat")
    frame = await sink.first(Frame, limit=20)
    assert frame.data == b"short"


async def test_a_byte_stream_is_not_handed_on(hall: Hall) -> None:
    ann, sink = await seated(hall)
    writer = await ann.room.local_participant.stream_bytes("picture.png", topic="lk.chat")
    await writer.write(b"\x89PNG")
    await writer.aclose()
    await ann.room.local_participant.send_text("text", topic="lk.chat")
    frame = await sink.first(Frame)
    assert frame.data == b"text"


async def test_streams_under_way_at_once_do_not_mix(hall: Hall) -> None:
    ann, sink = await seated(hall)
    bob = await hall.guest("bob")
    writers = [await guest.room.local_participant.stream_text(topic="lk.chat") for guest in (ann, bob, ann)]
    for _ in range(3):
        for number, writer in enumerate(writers):
            await writer.write(str(number))
    await asyncio.gather(*(writer.aclose() for writer in writers))
    await sink.until(lambda: len(sink.frames) == 3)
    assert {(frame.sender, frame.data) for frame in sink.frames} == {
        ("ann", b"000"),
        ("bob", b"111"),
        ("ann", b"222"),
    }


async def test_a_stream_without_an_end_does_not_arrive(hall: Hall) -> None:
    ann, sink = await seated(hall)
    writer = await ann.room.local_participant.stream_text(topic="lk.chat")
    await writer.write("half a")
    await ann.send(b"packet")
    await sink.until(lambda: len(sink.frames) == 1)
    assert sink.frames[0].door == "packet"
    await writer.aclose()
    frame = await sink.first(Frame, lambda frame: frame.door == "chat")
    assert frame.data == b"half a"
