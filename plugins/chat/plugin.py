"""The decisions about chat."""

from __future__ import annotations

import uuid
from typing import Annotated, Any, Final

import msgspec

from plugins.chat.bodies import (
    MAX_PAGE,
    AskHistory,
    Delete,
    ExportMessages,
    ListMessages,
    Mode,
    OneMessage,
    React,
    Say,
    SetMode,
)
from plugins.chat.state import Chats, Message, MessageDeleted, MessageSaid, ModeSet, Reacted
from plugins.chat.views import COLUMNS, Deleted, MessagePage, counts, jsonl, page, passing, said, size, table, view
from relay_bot.plugin import (
    XLSX,
    Arguments,
    Context,
    Download,
    Event,
    Participant,
    Plugin,
    Refuse,
    Role,
    Sender,
    clean_text,
    command,
    csv_file,
    emoji_key,
    handle,
    is_emoji,
    one_line,
    route,
    xlsx_file,
)

_MAX_MESSAGE_BYTES: Final = 13_500
"""A message that is kept must fit into an envelope again, on its own and in the history."""
_HEARD_BYTES: Final = 10_000
"""What is kept of a text that everybody has heard already, however long it is."""
_HISTORY_BYTES: Final = 13_900
_NO_PATH: Final = (".", "..")
"""Ids that can't stand in a URL's path: browsers leave them out."""
_OWN_IDS: Final = uuid.UUID("6e1c1d57-53a5-4f0e-9b43-6a2f3f0c8d11")


class ChatSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`plugins.chat`."""

    max_messages: Annotated[int, msgspec.Meta(ge=1, le=20_000)] = 2_000
    """Kept in a hall session; the oldest go first."""
    max_text: Annotated[int, msgspec.Meta(ge=1, le=4_000)] = 4_000
    history: Annotated[int, msgspec.Meta(ge=0, le=MAX_PAGE)] = 50
    """Messages that somebody who joins is given."""
    max_emojis: Annotated[int, msgspec.Meta(ge=1, le=50)] = 30
    """Different emoji on one message."""
    max_reactions: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 100_000
    """Reactions to all the messages of a hall session together."""


class ChatPlugin(Plugin[Chats, ChatSettings]):
    """The chat of one hall."""

    # -- saying -------------------------------------------------------------------------------------

    @handle
    def say(self, body: Say, ctx: Context) -> dict[str, Any] | None:
        """Keep a message, and send it on where nobody but the bot has heard it."""
        if self.state.mode == "hosts" and ctx.sender.role is Role.VIEWER:
            raise Refuse("forbidden", "the chat is open to hosts only now")
        message = self._message(body, ctx)
        known = self.state.messages.get(message.message_id)
        if known is None or (known.inferred and not message.inferred and not known.deleted):
            self._keep(message, body.text, ctx)
        result: dict[str, Any] = {}
        if message.message_id != ctx.message_id:
            result["message_id"] = message.message_id
        absent = [identity for identity in message.to or () if not self._is_here(identity)]
        if absent:
            result["not_here"] = absent
        return result or None

    def _is_here(self, identity: str) -> bool:
        return identity == self.hall.bot_identity or self.hall.roster.get(identity) is not None

    def _message(self, body: Say, ctx: Context) -> Message:
        text, cut = clean_text(body.text), False
        too_long = len(text) > self.settings.max_text or len(text.encode()) > _HEARD_BYTES
        if ctx.heard and too_long:
            text, cut = _cut(text, self.settings.max_text), True
        if not 1 <= len(text) <= self.settings.max_text:
            raise Refuse("malformed", f"a text has 1 to {self.settings.max_text} characters", field="payload.text")
        named = (*(body.to or ()), *(ctx.audience or ()), *ctx.addressed)
        to = tuple(dict.fromkeys(named)) if named or ctx.audience is not None else None
        if to is None and body.private:
            to = ()  # the dialect's packet does not say to whom it went
        message = Message(
            self._id_for(ctx),
            ctx.sender.identity,
            self._display_name(body, ctx),
            text,
            ctx.now,
            to,
            body.reply_to,
            ctx.sender.inferred,
            cut=cut,
        )
        if size(message) > _MAX_MESSAGE_BYTES:
            raise Refuse("too_large", f"the message would have {size(message)} bytes of {_MAX_MESSAGE_BYTES}")
        return message

    def _keep(self, message: Message, text: str, ctx: Context) -> None:
        send_on = _must_be_sent(message, ctx)
        ctx.record(
            MessageSaid(
                message.message_id,
                message.sender_id,
                message.display_name,
                message.text,
                message.sent_at,
                self.settings.max_messages,
                message.to,
                message.reply_to,
                message.inferred,
                send_on,
                message.cut,
            )
        )
        if send_on:
            payload = said(message)
            if ctx.provided is not None:
                payload["text"] = text  # a backend's payload is delivered as it was provided
            ctx.publish("chat", payload, to=message.audience, sender_id=message.sender_id or None)

    def say_again(self, event: Event, ctx: Context) -> None:
        """Send on what may not have been sent on before a restart; what was deleted since, as deleted."""
        if isinstance(event, MessageSaid) and event.sent_on:
            message = self.state.messages.get(event.message_id)
            if message is not None and not message.deleted:
                ctx.publish("chat", said(message), to=message.audience, sender_id=message.sender_id or None)
        elif isinstance(event, MessageDeleted):
            message = self.state.messages.get(event.message_id)
            if message is not None:
                ctx.publish("chat_deleted", {"message_id": event.message_id}, to=message.audience)

    def _id_for(self, ctx: Context) -> str:
        """Give the sender's own id for the message, unless somebody else's message has it."""
        chosen = ctx.message_id
        if chosen is not None:
            own = () if chosen in _NO_PATH else (chosen,)
            for candidate in (*own, str(uuid.uuid5(_OWN_IDS, f"{ctx.sender.identity}\n{chosen}"))):
                holder = self.state.messages.get(candidate)
                if holder is None or holder.sender_id == ctx.sender.identity:
                    return candidate
        return str(uuid.uuid4())

    def _display_name(self, body: Say, ctx: Context) -> str:
        """Give the token's name; a claimed one only where there is none, and nobody here is called so."""
        sender = ctx.sender
        claimed = one_line(body.display_name or "")
        if ctx.provided is not None:  # the backend knows its users
            return claimed or sender.name or sender.identity
        if sender.name or not claimed:
            return sender.name or sender.identity
        return sender.identity if self.hall.roster.is_taken(claimed, sender.identity) else claimed

    # -- reacting -----------------------------------------------------------------------------------

    @handle
    def react(self, body: React, ctx: Context) -> None:
        """Count a reaction to a message; one to the moment only passes by."""
        if body.message_id is None:
            _check_emoji(body.emoji)
            if ctx.heard is False and ctx.provided is None:  # a backend's goes on just as it is
                ctx.publish("reaction", passing(body), sender_id=ctx.sender.identity)
            return
        identity = ctx.sender.require_participant()
        message = self._visible(body.message_id, ctx.sender)
        _check_emoji(body.emoji)
        emoji = emoji_key(body.emoji)
        if not self._has_reacted(message, emoji, identity):
            self._check_reaction(message, emoji)
            ctx.record(Reacted(message.message_id, emoji, identity))
            ctx.publish_latest(
                "reaction_counts",
                lambda: self._counts(message.message_id),
                key=message.message_id,
                to=message.audience,
            )
            if ctx.heard is False and ctx.provided is None:
                ctx.publish("reaction", passing(body), to=message.audience, sender_id=identity)
        if ctx.provided is not None and message.to is not None:
            # Said here, or it would go on to everybody.
            ctx.publish("reaction", passing(body), to=message.audience, sender_id=identity)

    def _has_reacted(self, message: Message, emoji: str, identity: str) -> bool:
        reacted = message.reactions.get(emoji)
        return bool(reacted) and any(name in reacted for name in (identity, *self.hall.erased_as(identity)))

    def _check_reaction(self, message: Message, emoji: str) -> None:
        if emoji not in message.reactions and len(message.reactions) >= self.settings.max_emojis:
            raise Refuse("busy", f"a message has at most {self.settings.max_emojis} different reactions")
        if self.state.reactions >= self.settings.max_reactions:
            raise Refuse("busy", f"this hall has {self.settings.max_reactions} reactions, which is the limit")

    def _counts(self, message_id: str) -> dict[str, Any] | None:
        message = self.state.messages.get(message_id)
        return None if message is None or message.deleted else counts(message, self.hall.seq)

    # -- deleting -----------------------------------------------------------------------------------

    @handle(forward=False)
    def delete(self, body: Delete, ctx: Context) -> None:
        """Delete a message: one's own, or any as a moderator."""
        message = self._find(body.message_id)
        if ctx.sender.role < Role.MODERATOR:
            message = self._visible(body.message_id, ctx.sender)
            if message.sender_id != ctx.sender.identity:
                raise Refuse("forbidden", "only its author or a moderator may delete a message")
            if ctx.sender.inferred:
                raise Refuse("sender_unknown", "the sender can't be told for certain yet; send again")
        elif message.sender_id:
            self.hall.roster.may_act_on(ctx.sender, message.sender_id)
        else:
            ctx.sender.require(Role.HOST)  # a backend wrote it
        self._delete(message, ctx)

    @route("DELETE", "/messages/{message_id}")
    def delete_message(self, request: OneMessage, ctx: Context) -> Deleted:
        """Delete a message."""
        self._delete(self._find(request.message_id, "message_id"), ctx)
        return Deleted(request.message_id)

    def _delete(self, message: Message, ctx: Context) -> None:
        if message.deleted:
            return
        ctx.record(MessageDeleted(message.message_id, ctx.sender.identity))
        ctx.drop_latest("reaction_counts", key=message.message_id, to=message.audience)
        ctx.publish("chat_deleted", {"message_id": message.message_id}, to=message.audience)

    def _find(self, message_id: str, field: str = "payload.message_id") -> Message:
        message = self.state.messages.get(message_id)
        if message is None:
            raise _no_message(field)
        return message

    def _visible(self, message_id: str, sender: Sender) -> Message:
        message = self._find(message_id)
        reader = None if sender.is_backend else sender.identity
        if message.deleted or not message.visible_to(reader):
            raise _no_message("payload.message_id")
        return message

    # -- who may write ------------------------------------------------------------------------------

    @handle(forward=False)
    def set_mode(self, body: SetMode, ctx: Context) -> None:
        """Open the chat, or close it to viewers; a host or a backend may."""
        ctx.sender.require(Role.HOST)
        self._set_mode(body.mode, ctx)

    @command("chat", "open|hosts", role=Role.HOST)
    def chat_command(self, arguments: Arguments, ctx: Context) -> str:
        """Open the chat to everybody, or close it to viewers."""
        mode = arguments.choice()
        if mode == "open":
            self._set_mode("open", ctx)
            return "the chat is open to everybody"
        if mode == "hosts":
            self._set_mode("hosts", ctx)
            return "the chat is closed to viewers"
        raise Refuse("malformed", "expected open or hosts")

    def _set_mode(self, mode: Mode, ctx: Context) -> None:
        if mode != self.state.mode:
            ctx.record(ModeSet(mode))
        ctx.publish("chat_mode", {"mode": mode})

    # -- reading ------------------------------------------------------------------------------------

    @handle(forward=False, reads=True)
    def history(self, body: AskHistory, ctx: Context) -> MessagePage | None:
        """Give a participant the messages that they may see, as many as an envelope holds."""
        identity = ctx.sender.identity
        if ctx.sender.is_backend:
            raise Refuse("forbidden", "a backend reads the messages by GET")
        if body.before is not None and not self._find(body.before, "payload.before").visible_to(identity):
            raise _no_message("payload.before")
        found = page(self.state.newest_first(identity, body.before), body.limit, _HISTORY_BYTES)
        if ctx.private:
            return found
        ctx.publish("chat_history", found, to=(identity,))
        return None

    @route("GET", "/messages")
    def list_messages(self, request: ListMessages, ctx: Context) -> MessagePage:
        """List the messages that are kept, private ones too, newest page first."""
        if request.before is not None:
            self._find(request.before, "before")
        return page(self.state.newest_first(None, request.before), request.limit)

    @route("GET", "/messages/export", files=("application/x-ndjson", "text/csv", XLSX))
    def export_messages(self, request: ExportMessages, ctx: Context) -> Download:
        """Download the messages that are kept, private ones too."""
        messages = [view(message) for message in self.state.messages.values() if not message.deleted]
        if request.format == "csv":
            return Download(
                "messages.csv", "text/csv", csv_file(COLUMNS, table(messages), request.delimiter, mark=False)
            )
        if request.format == "xlsx":
            return Download("messages.xlsx", XLSX, xlsx_file([("messages", COLUMNS, table(messages))]))
        return Download("messages.jsonl", "application/x-ndjson", jsonl(messages))

    def hall_state(self, participant: Participant) -> dict[str, Any]:
        """Tell who may write, and the last messages that the participant may see."""
        newest = page(self.state.newest_first(participant.identity), self.settings.history)
        return {"chat": {"mode": self.state.mode}, "messages": newest.messages}

    def summary(self) -> dict[str, Any]:
        """Tell who may write."""
        return {"chat": {"mode": self.state.mode, "messages": len(self.state.messages)}}


def _must_be_sent(message: Message, ctx: Context) -> bool:
    """Tell whether the bot sends a message on: somebody whom it is for may not have it."""
    if ctx.heard is None:  # it may have gone to the bot alone or to everybody; to whom it is to go, it may tell
        return bool(message.to) and not message.inferred
    return not ctx.heard or (bool(message.to) and not set(message.to) <= set(ctx.addressed))


def _check_emoji(text: str) -> None:
    if not is_emoji(text):
        raise Refuse("malformed", "expected one emoji; words go into the chat", field="payload.emoji")


def _no_message(field: str) -> Refuse:
    return Refuse("not_found", "there is no such message, or it is too old", field=field)


def _cut(text: str, most: int) -> str:
    """Cut a text to so many characters, and to what an envelope can hold of it."""
    return text[:most].encode()[:_HEARD_BYTES].decode("utf-8", "ignore").strip()
