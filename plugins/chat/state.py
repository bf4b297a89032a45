"""The chat of a hall session, as the journal tells it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import msgspec

from plugins.chat.bodies import Mode
from relay_bot.plugin import Event, Identity, State, emoji_key


class MessageSaid(Event, frozen=True):
    """A message; `to` is `None` for everybody, and `keep` the number of messages that the state holds at most.

    One that takes the place of an inferred message with the same id says what its sender really said.
    """

    subject: ClassVar[str] = "sender_id"
    personal: ClassVar[tuple[str, ...]] = ("text", "display_name")

    message_id: str
    sender_id: Identity
    display_name: str
    text: str
    sent_at: int
    keep: int
    to: tuple[Identity, ...] | None = None
    reply_to: str | None = None
    inferred: bool = False
    sent_on: bool = False
    """The bot sent it on: nobody has it from its sender."""
    cut: bool = False


class MessageDeleted(Event, frozen=True):
    """A message was deleted by its author, a moderator, or a backend (`by` empty)."""

    redacts: ClassVar[tuple[type[Event], str] | None] = (MessageSaid, "message_id")

    message_id: str
    by: Identity


class Reacted(Event, frozen=True):
    """A participant's reaction to a message: one for each emoji."""

    message_id: str
    emoji: str
    identity: Identity


class ModeSet(Event, frozen=True):
    """Who may write from now on."""

    mode: Mode


class Message(msgspec.Struct):
    """One message. A deleted one stays, empty, until it is too old: its id must not come to life again."""

    message_id: str
    sender_id: Identity
    display_name: str
    text: str
    sent_at: int
    to: tuple[Identity, ...] | None = None
    reply_to: str | None = None
    inferred: bool = False
    deleted: bool = False
    cut: bool = False
    """It was longer than what is kept of it."""
    reactions: dict[str, set[Identity]] = {}
    """Who reacted, by emoji."""

    @property
    def audience(self) -> tuple[str, ...] | None:
        """Those who may see it: sender and addressees, or `None` for everybody."""
        if self.to is None:
            return None
        return tuple(dict.fromkeys(identity for identity in (self.sender_id, *self.to) if identity))

    def visible_to(self, reader: str | None) -> bool:
        """Tell whether a participant may see it; `None` is a backend, which may see all."""
        return reader is None or self.to is None or reader == self.sender_id or reader in self.to

    def reaction_count(self) -> int:
        """Count the reactions of all emoji."""
        return sum(len(identities) for identities in self.reactions.values())


class Chats(State):
    """The newest messages by id, oldest first."""

    messages: dict[str, Message] = {}
    mode: Mode = "open"
    reactions: int = 0
    """How many reactions all the messages hold together."""

    def on_message_said(self, event: MessageSaid) -> None:
        """Keep a message, and let the oldest go."""
        known = self.messages.get(event.message_id)
        self.messages[event.message_id] = Message(
            event.message_id,
            event.sender_id,
            event.display_name,
            event.text,
            event.sent_at,
            event.to,
            event.reply_to,
            event.inferred,
            cut=event.cut,
            reactions=known.reactions if known else {},
        )
        while len(self.messages) > event.keep:
            oldest = self.messages.pop(next(iter(self.messages)))
            self.reactions -= oldest.reaction_count()

    def on_message_deleted(self, event: MessageDeleted) -> None:
        """Empty a message."""
        message = self.messages[event.message_id]
        self.reactions -= message.reaction_count()
        message.deleted = True
        message.text = message.display_name = ""
        message.reactions = {}

    def on_reacted(self, event: Reacted) -> None:
        """Count a reaction."""
        # Older journals have one emoji with and without variation selectors.
        identities = self.messages[event.message_id].reactions.setdefault(emoji_key(event.emoji), set())
        if event.identity not in identities:
            identities.add(event.identity)
            self.reactions += 1

    def on_mode_set(self, event: ModeSet) -> None:
        """Open the chat, or close it to viewers."""
        self.mode = event.mode

    def newest_first(self, reader: str | None, before: str | None = None) -> Iterator[Message]:
        """Go through what `reader` may see and is not deleted, from the newest, or from before a message."""
        older = before is None
        for message in reversed(self.messages.values()):
            if older and not message.deleted and message.visible_to(reader):
                yield message
            older = older or message.message_id == before
