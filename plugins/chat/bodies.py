"""What clients and backends send about chat."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

from relay_bot.plugin import Body, Delimiter, Request, public

MessageId = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Identity = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
Mode = Literal["open", "hosts"]
"""Who may write: everybody, or all but viewers."""

MAX_PAGE: Final = 200


class Say(Body, type="chat"):
    """Say something (reference: interactions, "Chat message"). `private` is the chat dialect's `isPrivate`."""

    text: Annotated[str, public("chat text")]
    display_name: Annotated[str, msgspec.Meta(max_length=256), public("display name")] | None = None
    to: Annotated[list[Identity], msgspec.Meta(min_length=1, max_length=100)] | None = None
    reply_to: MessageId | None = None
    private: bool = False


class React(Body, type="reaction"):
    """React (reference: interactions, "Reaction"): to the moment, or with `message_id` to a message."""

    emoji: Annotated[str, msgspec.Meta(min_length=1, max_length=32), public("reaction")]
    x: float | None = None
    y: float | None = None
    message_id: MessageId | None = None


class Delete(Body, type="chat_delete"):
    """Delete a message: one's own, or any as a moderator."""

    message_id: MessageId


class SetMode(Body, type="chat_mode"):
    """Say who may write."""

    mode: Mode


class AskHistory(Body, type="chat_history"):
    """Ask for messages older than `before`, or for the newest."""

    before: MessageId | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_PAGE)] = 50


class ListMessages(Request, frozen=True):
    """A page of the messages: the newest, or those before the one named in `before`."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_PAGE)] = 50
    before: MessageId | None = None


class ExportMessages(Request, frozen=True):
    """All messages that are kept, as a file."""

    format: Literal["csv", "jsonl", "xlsx"] = "jsonl"
    delimiter: Delimiter = ","
    """Of csv."""


class OneMessage(Request, frozen=True):
    """A message, by the path."""

    message_id: MessageId
