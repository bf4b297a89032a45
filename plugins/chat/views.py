"""How chat looks on the wire, on the control endpoint and in files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final

import msgspec

from plugins.chat.bodies import React
from plugins.chat.state import Message
from relay_bot.plugin import iso

COLUMNS: Final = (
    "message_id", "timestamp", "sender_id", "display_name", "to", "reply_to", "text", "reactions", "inferred",
)  # fmt: skip

_encoder = msgspec.json.Encoder()


class MessageView(msgspec.Struct, frozen=True, omit_defaults=True):
    """A message; `sender_id` is null for a backend's own, `reactions` counts participants by emoji.

    `private`: only the sender and those in `to` may see it. `inferred`: the sender is known by their claim alone.
    """

    message_id: str
    sender_id: str | None
    display_name: str
    text: str
    timestamp: str
    to: tuple[str, ...] = ()
    reply_to: str | None = None
    private: bool = False
    inferred: bool = False
    reactions: dict[str, int] = {}
    truncated: bool = False
    """It was longer; this is its beginning."""


class MessagePage(msgspec.Struct, frozen=True, omit_defaults=True):
    """Messages, oldest first; `next_before` asks for those before them, where there are any."""

    messages: list[MessageView]
    next_before: str | None = None


class Deleted(msgspec.Struct, frozen=True):
    """Which message is deleted now."""

    message_id: str


def view(message: Message) -> MessageView:
    """Describe a message."""
    return MessageView(
        message.message_id,
        message.sender_id or None,
        message.display_name,
        message.text,
        iso(message.sent_at),
        message.to or (),
        message.reply_to,
        message.to is not None,
        message.inferred,
        {emoji: len(identities) for emoji, identities in message.reactions.items()},
        message.cut,
    )


def said(message: Message) -> dict[str, Any]:
    """Make the payload of `chat`."""
    payload: dict[str, Any] = {"message_id": message.message_id, "text": message.text}
    if message.display_name:
        payload["display_name"] = message.display_name
    if message.to is not None:
        payload["to"] = list(message.to)
        payload["private"] = True
    if message.reply_to is not None:
        payload["reply_to"] = message.reply_to
    return payload


def passing(reaction: React) -> dict[str, Any]:
    """Make the payload of `reaction`."""
    fields = {"emoji": reaction.emoji, "x": reaction.x, "y": reaction.y, "message_id": reaction.message_id}
    return {name: value for name, value in fields.items() if value is not None}


def size(message: Message) -> int:
    """Measure a message as it will be told, in bytes."""
    return len(_encoder.encode(view(message)))


def counts(message: Message, seq: int) -> dict[str, Any]:
    """Make the payload of `reaction_counts`."""
    return {"message_id": message.message_id, "counts": view(message).reactions, "seq": seq}


def page(newest_first: Iterator[Message], limit: int, room: int | None = None) -> MessagePage:
    """Take the newest messages: at most `limit`, and at most `room` bytes of JSON (but one in any case)."""
    found: list[MessageView] = []
    for message in islice(newest_first, limit):
        each = view(message)
        if room is not None:
            room -= len(_encoder.encode(each)) + 1
            if room < 0 and found:
                return MessagePage(found[::-1], found[-1].message_id)
            if room < 0:
                each = msgspec.structs.replace(each, reactions={})
        found.append(each)
    more = next(newest_first, None) is not None
    return MessagePage(found[::-1], found[-1].message_id if found and more else None)


def jsonl(messages: Iterable[MessageView]) -> bytes:
    """Write one JSON object a line."""
    return b"".join(_encoder.encode(message) + b"\n" for message in messages)


def table(messages: Iterable[MessageView]) -> Iterator[tuple[str | None, ...]]:
    """Give the rows of a table of messages; its columns are `COLUMNS`."""
    for message in messages:
        to = "; ".join(message.to) if message.private else ""
        reactions = "; ".join(f"{emoji} {count}" for emoji, count in message.reactions.items())
        yield (
            message.message_id, message.timestamp, message.sender_id, message.display_name, to,
            message.reply_to, message.text, reactions, "yes" if message.inferred else "",
        )  # fmt: skip
