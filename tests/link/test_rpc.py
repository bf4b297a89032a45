"""Contract of every link: RPC to the bot."""

import asyncio

import pytest
from livekit import rtc

from relay_bot.link import Frame, Reply
from tests.link.world import Guest, Hall, Recorder

pytestmark = pytest.mark.server


async def call(hall: Hall, payload: str = "{}") -> tuple[Guest, Recorder, Frame, Reply, "asyncio.Task[str]"]:
    """Let someone call the bot; gives the request that arrived and the call that waits for its answer."""
    _, sink = await hall.bot()
    ann = await hall.guest("ann")
    calling = asyncio.create_task(ann.call(payload))
    frame = await sink.first(Frame)
    assert frame.reply is not None
    return ann, sink, frame, frame.reply, calling


async def test_a_request_comes_with_its_sender_and_is_answered(hall: Hall) -> None:
    _, _, frame, reply, calling = await call(hall, '{"é": 1}')
    assert (frame.door, frame.sender, frame.data) == ("rpc", "ann", '{"é": 1}'.encode())
    assert (frame.topic, frame.stream_id, frame.reliable) == ("", "", True)
    reply.ok('{"ids":["ü"]}'.encode())
    assert await calling == '{"ids":["ü"]}'


async def test_a_request_is_refused_with_data(hall: Hall) -> None:
    _, _, _, reply, calling = await call(hall)
    reply.fail("muted", b'{"code":"muted"}')
    with pytest.raises(rtc.RpcError) as raised:
        await calling
    assert (raised.value.code, raised.value.message, raised.value.data) == (1500, "muted", '{"code":"muted"}')


async def test_only_the_first_answer_counts(hall: Hall) -> None:
    ann, sink, _, reply, calling = await call(hall)
    reply.ok(b"first")
    reply.ok(b"second")
    reply.fail("third", b"")
    assert await calling == "first"
    again = asyncio.create_task(ann.call("again"))
    frame = await sink.first(Frame, lambda frame: frame.data == b"again")
    assert frame.reply is not None
    frame.reply.ok(b"fourth")
    assert await again == "fourth"


async def test_the_sender_is_named_in_the_first_moments_after_joining(hall: Hall) -> None:
    _, sink = await hall.bot()
    for number in range(5):
        guest = await hall.guest(f"early-{number}", announce=False)
        calling = asyncio.create_task(guest.call(str(number)))
        await sink.until(lambda: len(sink.frames) == number + 1)  # noqa: B023 - awaited in this turn
        frame = sink.frames[-1]
        assert frame.sender == f"early-{number}"
        assert frame.reply is not None
        frame.reply.ok(b"")
        await calling


async def test_a_method_that_the_bot_does_not_have(hall: Hall) -> None:
    _, sink = await hall.bot()
    ann = await hall.guest("ann")
    with pytest.raises(rtc.RpcError) as raised:
        await ann.call("{}", method="shutdown")
    assert raised.value.code == rtc.RpcError.ErrorCode.UNSUPPORTED_METHOD
    assert sink.frames == []


async def test_many_requests_at_once_get_their_own_answers(hall: Hall) -> None:
    _, sink = await hall.bot()
    guests = [await hall.guest(f"guest-{number}") for number in range(3)]
    calls = [asyncio.create_task(guest.call(f"{guest.identity}/{n}")) for guest in guests for n in range(10)]
    await sink.until(lambda: len(sink.frames) == 30)
    for frame in reversed(sink.frames):
        assert frame.reply is not None
        assert frame.data.decode().startswith(frame.sender)
        frame.reply.ok(frame.data)
    answers = await asyncio.gather(*calls)
    assert answers == [f"{guest.identity}/{n}" for guest in guests for n in range(10)]


async def test_an_answer_after_leaving_is_no_error(hall: Hall) -> None:
    _, _, _, reply, calling = await call(hall)
    await hall.seats[0].leave()
    reply.ok(b"too late")
    calling.cancel()
    await asyncio.gather(calling, return_exceptions=True)
