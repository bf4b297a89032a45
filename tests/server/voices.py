"""A participant who really speaks, and one who really hears."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, cast

from livekit import rtc

from tests.support.clients import Participant

_RATE = 48_000
_FRAME = 480  # 10 ms


@asynccontextmanager
async def speaking(person: Participant, limit: float = 5.0) -> AsyncGenerator[rtc.LocalTrackPublication]:
    """Publish a microphone with a tone in it. Raises what the SDK raises where they may not."""
    source = rtc.AudioSource(_RATE, 1)
    track = rtc.LocalAudioTrack.create_audio_track("microphone", source)
    options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
    local = person.room.local_participant
    talk = asyncio.create_task(_talk(source))
    publication: rtc.LocalTrackPublication | None = None
    try:
        publication = await asyncio.wait_for(local.publish_track(track, options), limit)
        yield publication
    finally:
        talk.cancel()
        await asyncio.gather(talk, return_exceptions=True)
        await source.aclose()


async def _talk(source: rtc.AudioSource) -> None:
    tone = b"".join((8_000 if at // 54 % 2 else -8_000).to_bytes(2, "little", signed=True) for at in range(_FRAME))
    while True:
        await source.capture_frame(rtc.AudioFrame(tone, _RATE, 1, _FRAME))


async def hears(listener: Participant, speaker: str, limit: float = 10.0) -> bool:
    """Subscribe to someone's microphone, and tell whether a sound that isn't silence comes within the limit."""
    try:
        async with asyncio.timeout(limit):
            stream = rtc.AudioStream(await _subscribed(listener, speaker))
            try:
                async for event in stream:
                    frame = cast(Any, event).frame
                    if max(abs(sample) for sample in frame.data.cast("b").cast("h")) > 1_000:
                        return True
            finally:
                await stream.aclose()
    except TimeoutError:
        pass
    return False


async def _subscribed(listener: Participant, speaker: str) -> rtc.Track:
    while True:
        person = listener.room.remote_participants.get(speaker)
        for publication in person.track_publications.values() if person else ():
            if not publication.subscribed:
                publication.set_subscribed(True)
            if publication.track is not None:
                return cast(rtc.Track, publication.track)
        await asyncio.sleep(0.05)
