"""LiveKit's own chat: a text stream on `lk.chat`, and for older clients a packet on `lk-chat-topic`.

`useChat` sends both, with the same id: they are one message.
"""

from typing import Any

import msgspec

from relay_bot.wire.dialects.packet import LoosePacket, Spoken

TOPIC = "lk-chat-topic"


class _Copy(msgspec.Struct, frozen=True):
    ignoreLegacy: Any = None  # noqa: N815  (the published name)


_copy = msgspec.json.Decoder(_Copy)


def read(packet: LoosePacket) -> Spoken | None:
    """Read the packet `{id, timestamp, message, ignoreLegacy}`, of older clients without an id. It names no sender."""
    text = packet.text_or_none("message")
    if text is None:
        return None
    return Spoken("livekit_chat", "chat", {"text": text}, packet.id, None)


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
    return Spoken("livekit_chat", "chat", {"text": text}, stream_id or None, None)
