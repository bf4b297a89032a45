"""What the native link's two ends say to each other: see docs/link-protocol.md.

The arrivals are the interface's own classes, so that decoding a message makes the lists which the sinks are
given, with next to no code of ours for each packet.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from relay_bot.link import Changed, Encrypted, Frame, Interrupted, Joined, Left, Lost, Resumed

PROTOCOL: Final = 3
MAX_MESSAGE: Final = 1 << 20
"""Bytes of a message of the link's: it closes one at a quarter of this, and bounds what one arrival can add."""
MAX_COMMANDS: Final = 32
"""Commands in one message to the link, each of at most one packet."""
HEAD: Final = 4
"""Bytes of a message's length, big-endian, before it."""

HELLO, JOIN, LEAVE, PUBLISH, REPLY, CREDIT, PING, TEXT = range(8)


class Request(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=1):
    """An RPC, before it is given the means to be answered."""

    data: bytes
    sender: str
    stamp: float
    number: str


Item = Frame | Request | Joined | Left | Changed | Interrupted | Resumed | Lost | Encrypted


class Welcome(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """The link answers the hello with what it is."""

    protocol: int
    version: str
    source: str


class JoinAnswer(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """A seat was taken, or why not."""

    seat: int
    sid: str
    error: str | None


class LeftAnswer(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """A seat is not there any more."""

    seat: int


class Published(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """A packet was taken by its channel, or why not."""

    number: int
    error: str | None


class Pong(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """The link lives, and this went through it since its start."""

    seats: int = 0
    frames: int = 0
    lossy: int = 0
    flooded: int = 0
    overflow: int = 0
    text: int = 0
    bytes: int = 0
    encrypted: int = 0


DROPPED: Final = ("lossy", "flooded", "overflow", "text", "bytes", "encrypted")
"""Those of a pong's counters that say why something was dropped."""

Answer = Welcome | JoinAnswer | LeftAnswer | Published | Pong

decode: Final = msgspec.msgpack.Decoder(tuple[list[Answer], list[tuple[int, list[Item]]]]).decode
_encode: Final = msgspec.msgpack.Encoder().encode


def encode(commands: Sequence[tuple[Any, ...]]) -> bytes:
    """Make one message of these commands."""
    body = _encode(commands)
    return len(body).to_bytes(HEAD, "big") + body
