"""The link: how the bot is in a room. Everything behind it is LiveKit, nothing before it knows which SDK.

A link joins halls and gives a `Seat` for each; what happens there comes to the hall's `Sink`, in the
order in which the SDK told it, in lists (one call for all that came since the last turn of the loop).
Text streams on other topics than the chat's are ignored, byte streams dropped and counted: the bot has no use
for them. What arrives is tagged, so that a link which lives in another process can decode it as it is.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from relay_bot.plugin import Track

RPC_METHOD = "relay"
CHAT_TOPIC = "lk.chat"
MAX_STREAM_BYTES = 60_000
"""The link hands on this much of longer text streams, and refuses them on their way out: no message is near it."""


class Reason(enum.Enum):
    """Why a seat was lost."""

    ROOM_ENDED = "room_ended"
    """The room was closed or deleted: the hall session is over."""
    DUPLICATE = "duplicate"
    """Another one joined with the bot's identity: step back."""
    REMOVED = "removed"
    """Someone removed the bot through the server API."""
    NETWORK = "network"
    """Anything else: join again for as long as the room exists."""


class Presence(msgspec.Struct, frozen=True):
    """A participant as the SFU describes them, before any role is read from it."""

    identity: str
    name: str
    metadata: str
    attributes: dict[str, str]
    active: bool
    hidden: bool
    can_publish: bool
    can_publish_data: bool
    can_subscribe: bool
    can_update_metadata: bool
    tracks: tuple[Track, ...] = ()
    sid: str = ""
    """The SFU's name for this connection; a quick reconnect keeps it, a full one does not."""


class Reply(Protocol):
    """How an RPC is answered, once."""

    def ok(self, payload: bytes) -> None:
        """Answer with a JSON text."""
        ...

    def fail(self, message: str, payload: bytes) -> None:
        """Answer with an RpcError whose data is a JSON text."""
        ...


Door = Literal["packet", "rpc", "chat"]


class Frame(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=0):
    """One message of a participant's: a data packet, an RPC request or a whole chat text stream.

    `sender` is the identity that the SFU stamped on it, or empty where the SDK lost it. `stamp` is the
    bot's monotonic clock on arrival, in seconds. `stream_id` is set for a text stream, `reply` for an RPC.
    `to`: whom a packet or a text was addressed to, the bot among them; empty for everybody, or where the SDK hides it.
    """

    data: bytes
    sender: str
    stamp: float
    door: Door = "packet"
    topic: str = ""
    reliable: bool = True
    stream_id: str = ""
    to: tuple[str, ...] = ()
    reply: Reply | None = None


class Joined(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """A participant is in the room (or was already when the seat was taken)."""

    presence: Presence
    stamp: float


class Left(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """A participant left the room."""

    identity: str


class Changed(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """Something of a participant changed, or they became active."""

    presence: Presence


class Interrupted(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """The connection broke and the link is mending it."""


class Resumed(msgspec.Struct, frozen=True, array_like=True, tag=6):
    """The connection is mended. The room may be another one of the same name: `sid` tells."""

    sid: str


class Lost(msgspec.Struct, frozen=True, array_like=True, tag=7):
    """The seat is gone; the link has given up on it."""

    reason: Reason
    detail: str


class Encrypted(msgspec.Struct, frozen=True, array_like=True, tag=8):
    """The room is end-to-end encrypted: what its participants send can't be read. Told once for each seat.

    The native link tells it of the first such packet. The Python SDK hides these, so its link goes by the tracks.
    """


Arrival = Frame | Joined | Left | Changed | Interrupted | Resumed | Lost | Encrypted


class Sink(Protocol):
    """Where a seat's arrivals go. Called in the loop; it must put them away and return."""

    def arrive(self, arrivals: Sequence[Arrival]) -> None:
        """Take what happened, in order."""
        ...


class LinkError(Exception):
    """The link could not do what was asked; the text says why."""


class Seat(Protocol):
    """The bot's place in one room."""

    @property
    def sid(self) -> str:
        """The room's session id at LiveKit."""
        ...

    async def publish(self, data: bytes, *, to: Sequence[str], topic: str, reliable: bool = True) -> None:
        """Send a packet to these identities, or to everybody where `to` is empty.

        Raises `LinkError`, also for more than 64,000 bytes with the addressees, see `relay_bot.link.packets`.
        """
        ...

    async def leave(self) -> None:
        """Give the seat up; within a time limit, and never an error."""
        ...


class TextSeat(Seat, Protocol):
    """A seat that sends text streams, too: what each link gives, though a hall says all that it says in packets."""

    async def send_text(self, text: str, *, to: Sequence[str], topic: str) -> None:
        """Send a text to these identities, or to everybody where `to` is empty; raises `LinkError`.

        Like the packets of a hidden participant it arrives without the name of its sender.
        """
        ...


class Link(Protocol):
    """One way of being in rooms. Its `name` is what `link.kind` calls it."""

    name: str

    async def join(self, url: str, token: str, sink: Sink) -> Seat:
        """Join the room that the token names; raises `LinkError`, also after the time limit.

        Those already in the room arrive at the sink as `Joined` before anything else.
        """
        ...

    async def close(self) -> None:
        """Give up what the link holds; all seats have been left before."""
        ...
