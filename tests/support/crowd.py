"""A crowd of participants on LiveKit's Go SDK: for tests that need more packets than Python clients can send."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from bench.drive.crowd import Outcome
from bench.drive.programs import ensure_programs
from scripts.devstack.voice import Voice
from tests.support.livekit_server import LiveKit

_PATIENCE = 60.0


def crowd_program() -> Path:
    """The bench's crowd, built now if its sources changed or it was never built."""
    return ensure_programs(Voice()).crowd


class Crowd:
    """One process of participants, told what to do in JSON lines."""

    def __init__(self, child: asyncio.subprocess.Process, livekit: LiveKit) -> None:
        self._child = child
        self._livekit = livekit

    async def join(self, hall: str, participants: int) -> None:
        """Bring so many participants into a hall."""
        server = {"url": self._livekit.url, "key": self._livekit.key, "secret": self._livekit.secret}
        await self._ask(server | {"cmd": "join", "halls": [hall], "participants": participants, "prefix": "crowd-"})

    async def vote(
        self, bot: str, hall: str, poll_id: str, *, votes: int, seconds: float, answered: bool = True
    ) -> Outcome:
        """Let each participant vote so often, spread over so many seconds; with `answered`, until all are acked."""
        command: dict[str, object] = {"cmd": "burst", "to": bot, "halls": [hall], "poll_id": poll_id, "options": 2}
        command |= {"votes": votes, "spread_ms": int(seconds * 1000), "with_id": answered}
        line = await self._ask(command | {"resend_ms": 2000, "timeout_ms": int((seconds + 30) * 1000)})
        return msgspec.convert(line, Outcome)

    async def _ask(self, command: Mapping[str, object]) -> dict[str, Any]:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(msgspec.json.encode(command) + b"\n")
        line = await asyncio.wait_for(self._child.stdout.readline(), _PATIENCE)
        answer: dict[str, Any] = msgspec.json.decode(line)
        assert answer["event"] != "failed", answer
        return answer


@asynccontextmanager
async def crowd_on(livekit: LiveKit) -> AsyncGenerator[Crowd]:
    """A crowd that goes home at the end."""
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(await asyncio.to_thread(crowd_program), stdin=pipe, stdout=pipe)
    try:
        yield Crowd(child, livekit)
    finally:
        assert child.stdin is not None
        child.stdin.close()
        try:
            await asyncio.wait_for(child.wait(), 10)
        except TimeoutError:
            child.kill()
            await child.wait()
