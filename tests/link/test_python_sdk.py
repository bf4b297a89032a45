"""What only the Python SDK's link has to take care of."""

import asyncio
import time
from typing import Any

import pytest
from livekit.rtc._ffi_client import FfiClient  # pyright: ignore[reportPrivateUsage] - the link stands on it, too

from relay_bot.link import Joined, python_sdk
from tests.link.world import Recorder, counted, eventually, hall_on
from tests.support.livekit_server import LiveKit

pytestmark = pytest.mark.server


async def test_what_comes_while_the_loop_stands_still_is_bounded_and_counted(
    livekit: LiveKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(python_sdk, "MAX_INBOX", 50)
    async with hall_on(livekit, livekit.new_hall(), python_sdk.PythonSdkLink()) as hall:
        _, sink = await hall.bot()
        ann = await hall.guest("ann")
        await sink.first(Joined)
        await ann.send(b"first")  # an SDK opens its way to the server with the first packet
        await sink.until(lambda: len(sink.frames) == 1)
        before = counted("relay_link_dropped_total", reason="overflow")
        sending = [asyncio.create_task(ann.send(b"vote")) for _ in range(300)]
        await asyncio.sleep(0)  # the SDK has them all
        time.sleep(2)  # noqa: ASYNC251 - this is the stall
        await asyncio.gather(*sending)

        def dropped() -> float:
            return counted("relay_link_dropped_total", reason="overflow") - before

        await eventually(lambda: dropped() + len(sink.frames) == 301)
        assert dropped() > 0
        await ann.send(b"last")
        await sink.until(lambda: sink.frames[-1].data == b"last")


async def test_requests_and_parts_of_texts_are_bounded_like_packets(
    livekit: LiveKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A text that lost a part is dropped whole: nobody gets words that were not said so."""
    monkeypatch.setattr(python_sdk, "MAX_INBOX", 2)
    async with hall_on(livekit, livekit.new_hall(), python_sdk.PythonSdkLink()) as hall:
        seat, sink = await hall.bot()
        assert isinstance(seat, python_sdk.SdkSeat)
        ann = await hall.guest("ann")
        await sink.first(Joined)
        writer = await ann.room.local_participant.stream_text(topic="lk.chat")
        await writer.write("first, ")
        streams = seat._streams  # pyright: ignore[reportPrivateUsage] - a text under way shows nowhere else
        await eventually(lambda: any(stream.parts for stream in streams.values()))
        parts = [writer.write("and then " * 6_000)]  # the SDK sends it in four
        requests = [ann.call("{}") for _ in range(20)]
        for sent in (parts, requests):
            before = counted("relay_link_dropped_total", reason="overflow")
            sending = [asyncio.create_task(each) for each in sent]
            await asyncio.sleep(0)  # the SDK has them all
            time.sleep(2)  # noqa: ASYNC251 - this is the stall
            assert len(seat._inbox) <= 2  # pyright: ignore[reportPrivateUsage] - the bound itself
            assert counted("relay_link_dropped_total", reason="overflow") > before
            if sent is parts:
                await asyncio.gather(*sending)
        for task in sending:  # nobody answers requests here
            task.cancel()
        await asyncio.gather(*sending, return_exceptions=True)
        await writer.aclose()
        await ann.room.local_participant.send_text("whole", topic="lk.chat")
        await sink.until(lambda: any(frame.door == "chat" for frame in sink.frames))
        assert [frame.data for frame in sink.frames if frame.door == "chat"] == [b"whole"]


async def test_a_join_that_is_given_up_takes_the_rooms_events(
    livekit: LiveKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or else the native library panics half a minute later, and its panic ends the process."""
    asked: list[str] = []
    request = FfiClient.request

    def spy(self: FfiClient, req: Any) -> Any:
        asked.append(req.WhichOneof("message"))
        return request(self, req)

    monkeypatch.setattr(FfiClient, "request", spy)
    async with hall_on(livekit, livekit.new_hall(), python_sdk.PythonSdkLink()) as hall:
        joining = asyncio.create_task(hall.link.join(livekit.url, hall.bot_token(), Recorder()))
        await asyncio.sleep(0.02)
        joining.cancel()
        await asyncio.gather(joining, return_exceptions=True)
        await eventually(lambda: "disconnect" in asked)
    assert asked.index("ready_for_room_event") < asked.index("disconnect")
