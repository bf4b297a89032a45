"""Messages that wait for a moderator: kept over restarts, and dispatched as their sender's when released."""

from __future__ import annotations

import uuid
from typing import Any, Final

import msgspec

from relay_bot.hall import core
from relay_bot.hall.judges import OnHold
from relay_bot.hall.message import Answered, Message
from relay_bot.plugin import Role, Sender
from relay_bot.settings import GateSettings
from relay_bot.wire.body import Body
from relay_bot.wire.clock import iso
from relay_bot.wire.refusal import Refuse

DECIDE: Final = "held_decide"
HELD: Final = Answered(result={"held": True})
_MAX_MESSAGE_BYTES: Final = 12_000
"""Moderators are sent it, in an envelope."""
_MAX_BYTES: Final = 500_000
"""Of all that is held in a hall; a sender may have a tenth of it."""


class HeldDecide(Body, type=DECIDE):
    """Release a held message, or reject it; a moderator, a host or a backend may."""

    held_id: str
    approved: bool


decide_decoder: Final = msgspec.json.Decoder(HeldDecide)


class NobodyWaits(msgspec.Struct, frozen=True):
    """The waiter of a released message: its sender was answered when it was held."""

    def answer(self, answer: Answered, outlet: object) -> None:
        """Nobody is told."""


def hold(
    message: Message, why: OnHold, held: dict[str, core.Held], settings: GateSettings, now: int
) -> core.MessageHeld:
    """Make the event that keeps a message; raises `Refuse` for a backend's own, and where too much is held."""
    sender = message.sender
    if sender.role is Role.BACKEND:
        raise why
    own = [each for each in held.values() if each.identity == sender.identity]
    if len(held) >= settings.max_held or len(own) >= settings.max_held_per_sender:
        raise Refuse("busy", "too many messages wait for a moderator; send again later", retry_after_ms=60_000)
    payload = bytes(message.payload).decode()
    if len(payload) > _MAX_MESSAGE_BYTES:
        raise Refuse("too_large", "a message that a moderator must see first is shorter than this", field=why.field)
    all_bytes, own_bytes = (sum(len(each.payload) for each in some) for some in (held.values(), own))
    if all_bytes + len(payload) > _MAX_BYTES or own_bytes + len(payload) > _MAX_BYTES // 10:
        raise Refuse("busy", "what waits for a moderator is too large; send again later", retry_after_ms=60_000)
    return core.MessageHeld(
        uuid.uuid4().hex,
        sender.identity,
        sender.name,
        int(sender.role),
        sender.inferred,
        message.kind,
        payload,
        message.message_id,
        message.audience,
        message.private,
        why.reason[:500],
        now,
        sender.relayed,
        message.heard,
        message.addressed,
    )


def told(held: core.Held) -> dict[str, Any]:
    """Give what moderators are told of a held message."""
    return {
        "held_id": held.held_id,
        "participant_id": held.identity,
        "type": held.kind,
        "payload": msgspec.json.decode(held.payload),
        "reason": held.reason,
        "held_at": iso(held.at),
    }


def released(held: core.Held, stamp: float) -> Message:
    """Make the message again, with its sender's identity and role as of then."""
    payload = held.payload.encode()
    return Message(
        held.kind,
        msgspec.Raw(payload),
        Sender(held.identity, held.name, Role(held.role), held.inferred, held.relayed),
        NobodyWaits(),
        stamp=stamp,
        message_id=held.message_id,
        audience=held.to,
        private=held.private,
        provided=msgspec.json.decode(payload) if held.relayed else None,
        heard=False if held.private else held.heard,
        addressed=held.addressed,
    )


def expired(held: dict[str, core.Held], settings: GateSettings, now: int) -> list[core.Held]:
    """List those that have waited too long."""
    return [each for each in held.values() if each.at + settings.held_seconds * 1000 <= now]
