"""What the bot says, as the clients of other published forms read it.

The chat text's messages and the envelope share `type: "chat"`, and all packets go to all pages: so one packet serves
both, the chat text's fields beside the envelope's. LiveKit's stock chat looks at packets of its own topic alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Final

import msgspec

from relay_bot.hall.staged import Outgoing
from relay_bot.wire import dialects
from relay_bot.wire.clock import parse_iso
from relay_bot.wire.dialects import livekit_chat
from relay_bot.wire.envelope import MAX_ENVELOPE_BYTES, TOPIC, encode_envelope

_SHARED: Final = frozenset({"chat", "reaction"})
_HISTORY: Final = 20
"""The newest messages that those who come are told in the forms that they may know."""

Sender = tuple[str, str]
"""Identity and name."""


def packets(
    sent: Outgoing, sender: Sender, enabled: Collection[str], heard: Collection[str], at_ms: int
) -> Iterator[tuple[bytes, str]]:
    """Give the packets that say something: data and topic. `heard`: the forms that clients here were heard in."""
    if sent.kind == "chat" or livekit_chat.NAME in heard:  # nobody sees who reads stock chat before they write
        stock = livekit_chat.say(sent.kind, sent.payload, sender=sender, at_ms=at_ms)
        if stock is not None:
            yield stock, livekit_chat.TOPIC
    shared = "chat" in enabled and sent.kind in _SHARED
    yield (_beside(sent.data, sent.kind, sent.payload, sender, at_ms, sent.extra) if shared else sent.data), TOPIC
    for name in heard:
        if name != livekit_chat.NAME and not (name == "chat" and sent.kind in _SHARED):
            said = dialects.say(name, sent.kind, sent.payload, sender=sender, at_ms=at_ms, extra=sent.extra)
            if said is not None:
                yield said, TOPIC


def history(
    state: Mapping[str, Any], bot: Sender, heard: Collection[str], name_of: Callable[[str], str]
) -> Iterator[tuple[bytes, str]]:
    """Give the newest messages of a `hall_state` for those who know no `hall_state`."""
    for message in state.get("messages", ())[-_HISTORY:]:
        sender_id: str | None = message["sender_id"]
        named: str = message.get("display_name") or (name_of(sender_id) if sender_id else bot[1])
        sender, at_ms = (sender_id or bot[0], named), parse_iso(message["timestamp"])
        if "chat" in heard:
            payload = {key: message[key] for key in _SAID if key in message}
            data = encode_envelope("chat", payload, sender_id=sender_id, at_ms=at_ms)
            yield _beside(data, "chat", payload, sender, at_ms), TOPIC
        if livekit_chat.NAME in heard:
            stock = livekit_chat.say("chat", message, sender=sender, at_ms=at_ms)
            if stock is not None:
                yield stock, livekit_chat.TOPIC


_SAID: Final = ("message_id", "text", "display_name", "to", "private", "reply_to")


def _beside(
    data: bytes,
    kind: str,
    payload: Mapping[str, Any],
    sender: Sender,
    at_ms: int,
    extra: Mapping[str, Any] | None = None,
) -> bytes:
    """Put the chat text's fields beside an envelope's; of its text as much as there is room for."""
    said = dialects.say("chat", kind, payload, sender=sender, at_ms=at_ms, extra=extra)
    if said is None:  # a reaction to the moment
        return data
    envelope: dict[str, Any] = msgspec.json.decode(data)
    beside: dict[str, Any] = msgspec.json.decode(said)
    made = msgspec.json.encode({**beside, **envelope})
    while len(made) > MAX_ENVELOPE_BYTES:
        text = str(beside.get("text", ""))
        if len(text) < _SHORT:
            return data  # no room beside what a backend has provided
        beside["text"] = text[: len(text) * 3 // 4].rstrip("\N{HORIZONTAL ELLIPSIS}") + "\N{HORIZONTAL ELLIPSIS}"
        made = msgspec.json.encode({**beside, **envelope})
    return made


_SHORT: Final = 10
