"""A crowd of participants on LiveKit's Go SDK: for tests that need more of them than Python clients can be."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from bench.drive.crowd import Crowd
from bench.drive.programs import ensure_programs
from scripts.devstack.voice import Voice
from tests.support.livekit_server import LiveKit


@asynccontextmanager
async def crowd_on(livekit: LiveKit) -> AsyncGenerator[Crowd]:
    """The bench's crowd, built if it has to be, that goes home at the end. Its methods block: call them in a thread."""
    crowd = await asyncio.to_thread(lambda: Crowd(ensure_programs(Voice()).crowd, livekit.server))
    try:
        yield crowd
    finally:
        await asyncio.to_thread(crowd.close)
