"""LiveKit's own chat: a text stream on `lk.chat`, and for older clients a packet on `lk-chat-topic`.

`useChat` sends both, with the same id: they are one message.
"""

import uuid
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from relay_bot.wire.dialects.packet import LoosePacket, Spoken

NAME: Final = "livekit_chat"
TOPIC = "lk-chat-topic"


class _Copy(msgspec.Struct, frozen=True):
    ignoreLegacy: Any = None  # noqa: N815  (the published name)


_copy = msgspec.json.Decoder(_Copy)


def read(packet: LoosePacket) -> Spoken | None:
    """Read the packet `{id, timestamp, message, ignoreLegacy}`, of older clients without an id. It names no sender."""
    text = packet.text_or_none("message")
    if text is None:
        return None
    return Spoken(NAME, "chat", {"text": text}, packet.id, None)


def is_copy(data: bytes) -> bool:
    """Tell whether a packet is the copy of a text stream for those who can't read streams: `ignoreLegacy`.

    It goes to everybody, also where the stream is for some alone. What was said, and to whom, is in the stream.
    """
    try:
        return _copy.decode(data).ignoreLegacy is True
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def read_stream(text: str, stream_id: str) -> Spoken:
    """Read a whole text stream."""
    return Spoken(NAME, "chat", {"text": text}, stream_id or None, None)


def say(kind: str, payload: Mapping[str, Any], *, sender: tuple[str, str], at_ms: int) -> bytes | None:
    """Say a chat message or an announcement as the packet of older clients, which newer ones read as well.

    Clients take the sender from the connection, which a hidden bot has no name on: so the text begins with it.
    """
    if kind not in ("chat", "announcement"):
        return None
    message_id = payload.get("message_id") or str(uuid.uuid4())
    text = f"{sender[1]}: {payload.get('text', '')}"
    # Newer clients name it so, and pages of other kinds, which get all packets, look at the `type` of each.
    return msgspec.json.encode({"id": message_id, "timestamp": at_ms, "message": text, "type": "chatMessage"})
