"""The other published ways of speaking, recognised by shape and read as the envelope's types.

Each dialect is a module with `read(packet) -> Spoken | None` and `say(kind, payload, …) -> bytes | None`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from relay_bot.wire.dialects import chat, livekit_chat, show
from relay_bot.wire.dialects.packet import LoosePacket, Spoken

__all__ = ["DIALECTS", "Spoken", "recognise", "say"]

DIALECTS: Final = {"show": show, "chat": chat}
"""Those that a hall can be spoken to in; LiveKit's own chat is always understood."""

_decoder = msgspec.json.Decoder(dict[str, Any])


def recognise(data: bytes, topic: str, enabled: frozenset[str]) -> Spoken | None:
    """Read a packet that is no envelope; `None` where it belongs to no enabled dialect."""
    try:
        packet = LoosePacket(_decoder.decode(data))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if topic == livekit_chat.TOPIC:
        return livekit_chat.read(packet)
    for name in enabled:
        spoken = DIALECTS[name].read(packet)
        if spoken is not None:
            return spoken
    return None


def say(
    name: str,
    kind: str,
    payload: Mapping[str, Any],
    *,
    sender: tuple[str, str],
    at_ms: int,
    extra: Mapping[str, Any] | None = None,
) -> bytes | None:
    """Say something in a dialect; `None` where it has no word for it. `sender` is (identity, name).

    `extra`: fields that a backend provided beside those that are known here; they stand beside the dialect's own.
    """
    said = DIALECTS[name].say(kind, payload, sender=sender, at_ms=at_ms)
    if said is None or not extra:
        return said
    return msgspec.json.encode({**extra, **msgspec.json.decode(said)})
