"""Drives a bare bot's process."""

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from bench.drive.lines import LinesChild
from scripts.devstack.livekit_server import LiveKitServer

_CHECKOUT = Path(__file__).resolve().parents[2]


def livekit_environment(server: LiveKitServer) -> dict[str, str]:
    """What tells a bot where its LiveKit is."""
    return {
        "LIVEKIT_URL": server.url,
        "LIVEKIT_API_KEY": server.keys.key,
        "LIVEKIT_API_SECRET": server.keys.secret,
    }


class Joined(msgspec.Struct):
    rooms: int


class Seen(msgspec.Struct):
    """A bare bot's counters; see `bench.bare.bot.Counts`."""

    received: int
    nameless: int
    answered: int
    failed: int


class Bare:
    """A bare bot in its own process.

    Args:
        identity: What it is called in the halls.
        command: Starts it: `bench.bare` on the Python SDK, or the crowd's `echo` on the Go SDK.
        server: The LiveKit that it works for.
        answers: Whether it answers packets.
    """

    def __init__(
        self, identity: str, command: Sequence[str | os.PathLike[str]], server: LiveKitServer, *, answers: bool
    ) -> None:
        self.identity = identity
        self.answers = answers
        env = os.environ | livekit_environment(server)
        self._child = LinesChild(identity, command, env=env, cwd=_CHECKOUT)

    @property
    def pid(self) -> int:
        return self._child.pid

    def join(self, halls: list[str]) -> int:
        """Join more halls; returns in how many it is now."""
        return self._child.ask({"cmd": "join", "halls": halls}, Joined, seconds=30 + len(halls)).rooms

    def seen(self) -> Seen:
        return self._child.ask({"cmd": "count"}, Seen, seconds=60)

    def close(self) -> None:
        self._child.close()
