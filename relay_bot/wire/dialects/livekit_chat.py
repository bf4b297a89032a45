"""LiveKit's own chat: a text stream on `lk.chat`, and for older clients a packet on `lk-chat-topic`.

`useChat` sends both, with the same id: they are one message.
"""

from relay_bot.wire.dialects.packet import LoosePacket, Spoken

TOPIC = "lk-chat-topic"


def read(packet: LoosePacket) -> Spoken | None:
    """Read the packet `{id, timestamp, message, ignoreLegacy}`. It names no sender."""
    if packet.message is None or not packet.id:
        return None
    return Spoken("livekit_chat", "chat", {"text": packet.message}, packet.id, None)


def read_stream(text: str, stream_id: str) -> Spoken:
    """Read a whole text stream."""
    return Spoken("livekit_chat", "chat", {"text": text}, stream_id or None, None)
