"""Contract of every link: text streams both ways, as LiveKit's own chat is, and what becomes of other streams."""

import asyncio
import random

import pytest
from livekit import rtc

from relay_bot.link import MAX_STREAM_BYTES, Frame, Joined, LinkError
from tests.link.conftest import Kind
from tests.link.world import BOT, Guest, Hall, Recorder, counted, eventually

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


@pytest.mark.parametrize("announced", [True, False])
async def test_of_a_text_that_is_too_long_the_beginning_arrives(hall: Hall, announced: bool) -> None:
    ann, sink = await seated(hall)
    text = "x" + "é" * MAX_STREAM_BYTES
    if announced:
        await ann.room.local_participant.send_text(text, topic="lk.chat")
    else:
        writer = await ann.room.local_participant.stream_text(topic="lk.chat")
        for start in range(0, len(text), 7_000):
            await writer.write(text[start : start + 7_000])
        await writer.aclose()
    frame = await sink.first(Frame)
    assert text.startswith(frame.data.decode())
    assert MAX_STREAM_BYTES - 4 < len(frame.data) <= MAX_STREAM_BYTES


@pytest.mark.parametrize("to", [[BOT], [BOT, "bob"], None])
async def test_to_whom_a_text_was_addressed(hall: Hall, kind: Kind, to: list[str] | None) -> None:
    ann, sink = await seated(hall)
    await ann.room.local_participant.send_text("hello", topic="lk.chat", destination_identities=to)
    frame = await sink.first(Frame)
    assert set(frame.to) == (set(to or ()) if kind.tells_addressees else set())


async def test_who_leaves_streams_open_keeps_nobody_elses_text_out(hall: Hall) -> None:
    ann, sink = await seated(hall)
    bob = await hall.guest("bob")
    before = counted("relay_link_dropped_total", reason="text")
    for _ in range(20):
        writer = await ann.room.local_participant.stream_text(topic="lk.chat")
        await writer.write("and then")
    await eventually(lambda: counted("relay_link_dropped_total", reason="text") == before + 4)
    await bob.room.local_participant.send_text("short", topic="lk.chat")
    frame = await sink.first(Frame)
    assert (frame.sender, frame.data) == ("bob", b"short")
    await ann.leave()
    await eventually(lambda: counted("relay_link_dropped_total", reason="text") == before + 20)


async def test_a_byte_stream_is_dropped_and_counted(hall: Hall) -> None:
    ann, sink = await seated(hall)
    before = counted("relay_link_dropped_total", reason="bytes")
    writer = await ann.room.local_participant.stream_bytes("picture.png", topic="lk.chat")
    await writer.write(b"\x89PNG")
    await writer.aclose()
    await ann.room.local_participant.send_text("text", topic="lk.chat")
    frame = await sink.first(Frame)
    assert frame.data == b"text"
    await eventually(lambda: counted("relay_link_dropped_total", reason="bytes") == before + 1)
    assert len(sink.frames) == 1


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


def hears(guest: Guest) -> list[str]:
    """Let a guest listen to the chat; gives the list that each text comes to, once it is whole."""
    heard: list[str] = []

    async def read(reader: rtc.TextStreamReader) -> None:
        heard.append(await reader.read_all())

    def opened(reader: rtc.TextStreamReader, sender: str) -> None:
        assert sender == "", "what a hidden bot's texts look like"
        guest.tasks.add(task := asyncio.create_task(read(reader)))
        task.add_done_callback(guest.tasks.discard)

    guest.room.register_text_stream_handler("lk.chat", opened)
    return heard


@pytest.mark.parametrize("text", TEXTS, ids=["short", "long", "noise"])
async def test_a_text_goes_out_to_those_who_are_named(hall: Hall, text: str) -> None:
    seat, sink = await hall.bot()
    ann, bob = [await hall.guest(name) for name in ("ann", "bob")]
    await sink.until(lambda: len(sink.all_of(Joined)) == 2)
    at_anns, at_bobs = hears(ann), hears(bob)
    await seat.send_text(text, to=["ann"], topic="lk.chat")
    await seat.send_text("to all", to=[], topic="lk.chat")
    await eventually(lambda: len(at_anns) == 2 and len(at_bobs) == 1)
    assert set(at_anns) == {text, "to all"}
    assert at_bobs == ["to all"]


async def test_texts_and_packets_go_out_side_by_side(hall: Hall) -> None:
    seat, sink = await hall.bot()
    ann = await hall.guest("ann")
    await sink.first(Joined)
    heard = hears(ann)
    sent = [str(number) for number in range(20)]
    for text in sent:
        await asyncio.gather(
            seat.publish(b"packet", to=["ann"], topic=""), seat.send_text(text, to=["ann"], topic="lk.chat")
        )
    await eventually(lambda: len(heard) == len(sent) and len(ann.packets) == len(sent))
    assert set(heard) == set(sent)


async def test_a_text_that_no_link_would_take_is_refused(hall: Hall) -> None:
    seat, sink = await hall.bot()
    ann = await hall.guest("ann")
    await sink.first(Joined)
    heard = hears(ann)
    with pytest.raises(LinkError, match="too long"):
        await seat.send_text("é" * (MAX_STREAM_BYTES // 2 + 1), to=["ann"], topic="lk.chat")
    await seat.send_text("small", to=["ann"], topic="lk.chat")
    await eventually(lambda: heard == ["small"])
    await seat.leave()
    with pytest.raises(LinkError):
        await seat.send_text("gone", to=["ann"], topic="lk.chat")
