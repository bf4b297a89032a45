"""The gate: nothing behind it sees a byte whose sender is not known.

It reads packets, finds out who sent them, holds those of whom that is not known yet, and refuses what is
too fast, muted or malformed. What passes is a `Message`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import msgspec

from relay_bot.hall.hold import FRESH_SECONDS, Hold
from relay_bot.hall.limits import Limiter
from relay_bot.hall.message import Message, PacketWaiter, RpcWaiter, Waiter, answer_key, refused
from relay_bot.hall.outbox import AckGroups, Packet
from relay_bot.hall.roster import HallRoster
from relay_bot.link import Door, Frame
from relay_bot.observe import metrics
from relay_bot.plugin import Participant, Role, Sender
from relay_bot.settings import GateSettings
from relay_bot.wire import dialects
from relay_bot.wire.dialects import livekit_chat, show
from relay_bot.wire.envelope import MAX_ENVELOPE_BYTES, MAX_ID_CHARS, TOPIC, decode_envelope, too_deep
from relay_bot.wire.mending import mended, mended_text
from relay_bot.wire.refusal import Refuse

_MAX_LOOKED: Final = 5_000
_MAX_REFUSALS: Final = 2_000
"""Refusals that may wait for the next turn of the loop; who hears none sends again."""
_COUNTED: Final[dict[Door, Any]] = {
    "packet": metrics.MESSAGES.labels("packet"),
    "rpc": metrics.MESSAGES.labels("rpc"),
    "chat": metrics.MESSAGES.labels("chat"),
}


class Read(msgspec.Struct, frozen=True, gc=False):
    """A frame that has been read: what it says, whoever sent it."""

    frame: Frame
    kind: str
    payload: msgspec.Raw
    message_id: str | None
    claimed: str | None
    dialect: str = ""


class Gate:
    """The gate of one hall."""

    def __init__(
        self, settings: GateSettings, enabled_dialects: frozenset[str], roster: HallRoster, bot_identity: str = ""
    ) -> None:
        self._bot_identity = bot_identity
        self._roster = roster
        self._limiter = Limiter(settings)
        self._dialects = enabled_dialects
        self._senders: dict[str, Sender] = {}
        self._looked: dict[str, Participant] = {}
        self.nameless: Hold[Read] = Hold(settings.hold_seconds)
        self.strangers: Hold[Read] = Hold(settings.hold_seconds)
        self.heard_dialects: set[str] = set()
        self.refusals: list[Packet] = []
        self.on_refusal: Callable[[], None] | None = None
        """Called when the first refusal waits to be taken."""
        self._doors: Counter[Door] = Counter()

    # -- reading --------------------------------------------------------------------------------------

    def read(self, frame: Frame) -> Read | None:
        """Read a frame; a refused one is answered here and gives `None`."""
        self._doors[frame.door] += 1
        try:
            return self._read(frame)
        except Refuse as refusal:
            if self._is_for_us(frame):
                self.refuse(frame, refusal, self.id_of(frame))
            else:
                metrics.REFUSED.labels("foreign").inc()
            return None

    def _is_for_us(self, frame: Frame) -> bool:
        """Tell whether a packet that can't be taken was meant for the bot: an application has packets of its own."""
        if frame.door != "packet" or frame.topic == TOPIC or self._bot_identity in frame.to:
            return True
        return b'"relay_version"' in frame.data

    def count(self) -> None:
        """Put into the metrics how many were read since the last time: one by one that costs as much as reading."""
        for door, messages in self._doors.items():
            _COUNTED[door].inc(messages)
        self._doors.clear()

    def _read(self, frame: Frame) -> Read | None:
        if frame.door == "chat":
            return _spoken(frame, livekit_chat.read_stream(mended_text(frame.data), frame.stream_id))
        data = frame.data
        try:
            envelope = decode_envelope(data)
        except Refuse as refusal:
            if refusal.code not in ("malformed", "too_large"):
                raise
            data = _as_browsers_read(data)
            if frame.door == "packet":
                if frame.topic == livekit_chat.TOPIC and livekit_chat.is_copy(data):
                    return None
                spoken = dialects.recognise(data, frame.topic, self._dialects)
                if spoken is not None:
                    return _spoken(frame, spoken)
            if data is frame.data:
                raise
            envelope = decode_envelope(data)
        return Read(frame, envelope.type, envelope.payload, envelope.id, envelope.sender_id)

    # -- who sent it ------------------------------------------------------------------------------------

    def identify(self, read: Read, now: float) -> Sender | None:
        """Find the sender; `None` where the message is held, or refused."""
        frame = read.frame
        if frame.sender:
            sender = self.sender(frame.sender)
            if sender is None and not self.strangers.add(frame.sender, read, now):
                self._refuse_read(read, Refuse("busy", "too many are joining; send again", retry_after_ms=2000))
            return sender
        if not read.claimed:
            metrics.REFUSED.labels("sender_unknown").inc()
            return None
        known_for = self._roster.known_for(read.claimed, frame.stamp)
        if known_for is None:
            if not self.nameless.add(read.claimed, read, now):
                metrics.REFUSED.labels("sender_unknown").inc()
            return None
        if known_for <= FRESH_SECONDS:
            return self.inferred(read.claimed)
        self.refuse_claim(read, now)
        return None

    def sender(self, identity: str) -> Sender | None:
        """Give a certain sender with their role; `None` while the roster doesn't have them."""
        found = self._senders.get(identity)
        if found is None:
            person = self._roster.anyone(identity) or self._looked.get(identity)
            if person is None:
                return None
            found = self._senders[identity] = Sender(identity, person.name, person.role)
        return found

    def inferred(self, identity: str) -> Sender:
        """Give a sender known by their claim alone: never more than a viewer."""
        metrics.INFERRED.inc()
        person = self._roster.get(identity)
        return Sender(identity, person.name if person else "", Role.VIEWER, inferred=True)

    def refuse_claim(self, read: Read, now: float) -> None:
        """Refuse a message whose claimed sender can't have been the one. They hear it, in case they were."""
        metrics.REFUSED.labels("sender_unknown").inc()
        claimed = read.claimed
        if claimed and self._roster.get(claimed) and self._limiter.may_hear(f"\0claimed {claimed}", now):
            refusal = Refuse("sender_unknown", "the sender can't be told yet; send again with the same id")
            self._answer(PacketWaiter(claimed, read.message_id, bool(read.dialect)), refusal)

    def meet(self, person: Participant) -> None:
        """Learn a dialect from who comes: they are spoken to in it before they have said a word."""
        if show.is_spoken_by(person.metadata):
            self.hear("show")

    @property
    def enabled_dialects(self) -> frozenset[str]:
        """The dialects that the configuration names."""
        return self._dialects

    def hear(self, dialect: str) -> None:
        """Take note that a dialect is spoken here."""
        if dialect in self._dialects or dialect == livekit_chat.NAME:
            self.heard_dialects.add(dialect)

    def forget(self, identity: str) -> None:
        """Forget what was read of a participant: it changed, or they left."""
        self._senders.pop(identity, None)
        self._looked.pop(identity, None)

    def looked(self, people: list[Participant]) -> list[str]:
        """Learn from the server API of participants that the link doesn't know yet; gives whom it knows now."""
        if len(self._looked) > _MAX_LOOKED:
            self._looked.clear()
        waiting = set(self.strangers.identities())
        self._looked |= {person.identity: person for person in people if person.identity in waiting}
        return [identity for identity in waiting if identity in self._looked]

    def unlisted(self, identity: str) -> Sender:
        """Give a certain sender of whom nothing else could be learned."""
        return Sender(identity, "", Role.VIEWER)

    # -- admission --------------------------------------------------------------------------------------

    def admit(self, read: Read, sender: Sender, now: float, answered: Callable[[bytes], bool]) -> Message | None:
        """Make the message, if its sender has not been too fast; a refused one is answered here.

        One that was `answered` before (by its key) costs nothing: clients send again, and some send each message twice.
        """
        key = None
        if read.message_id is not None:
            # A forger's inferred message must not pass for the certain one that comes with the same id.
            extra = bytes(read.payload) if sender.inferred else b""
            key = answer_key(sender.identity, read.message_id, extra)
        repeated = key is not None and answered(key)
        wait = 0.0 if repeated else self._limiter.wait(sender.identity, read.kind, now)
        if wait > 0:
            milliseconds = int(wait * 1000) + 1
            self._refuse_read(
                read,
                Refuse("rate_limited", f"too fast: wait {milliseconds} ms", retry_after_ms=milliseconds),
                sender.identity,
            )
            return None
        self.hear(read.dialect)
        to = read.frame.to
        others = tuple([identity for identity in to if identity != self._bot_identity]) if to else ()
        return Message(
            read.kind,
            read.payload,
            sender,
            _waiter(read, sender.identity),
            stamp=read.frame.stamp,
            message_id=read.message_id,
            key=key,
            private=read.frame.door == "rpc",
            heard=_is_heard(read, others),
            addressed=others,
            claimed=read.claimed,
        )

    def take_refusals(self) -> list[Packet]:
        """Give the answers to what was refused here."""
        taken, self.refusals = self.refusals, []
        return taken

    # -- refusing ----------------------------------------------------------------------------------------

    def _refuse_read(self, read: Read, refusal: Refuse, identity: str = "") -> None:
        metrics.REFUSED.labels(refusal.code).inc()
        identity = identity or read.frame.sender
        if read.frame.reply is not None or self._limiter.may_hear(identity, read.frame.stamp):
            self._answer(_waiter(read, identity), refusal)

    def id_of(self, frame: Frame) -> str | None:
        """Find the id of a packet that is not taken, so that its sender knows which one was refused."""
        if len(frame.data) > MAX_ENVELOPE_BYTES * 5:
            return None
        try:
            found = msgspec.json.decode(_as_browsers_read(frame.data), type=_IdAlone).id
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        return found if found is not None and 0 < len(found) <= MAX_ID_CHARS else None

    def refuse(self, frame: Frame, refusal: Refuse, message_id: str | None) -> None:
        """Refuse a frame that was not read (malformed, or no room for it)."""
        metrics.REFUSED.labels(refusal.code).inc()
        if frame.reply is not None:
            self._answer(RpcWaiter(frame.reply, message_id), refusal)
        elif frame.sender and self._limiter.may_hear(frame.sender, frame.stamp):
            self._answer(PacketWaiter(frame.sender, message_id), refusal)

    def _answer(self, waiter: Waiter, refusal: Refuse) -> None:
        """Tell a refusal that changed nothing: it waits for no commit."""
        groups = AckGroups()
        waiter.answer(refused(refusal), groups)
        if not groups.packets:
            return
        if len(self.refusals) >= _MAX_REFUSALS:
            metrics.DROPPED.labels("refusals").inc(len(groups.packets))
            return
        self.refusals += groups.packets
        if len(self.refusals) == len(groups.packets) and self.on_refusal is not None:
            self.on_refusal()


def _as_browsers_read(data: bytes) -> bytes:
    """Give the JSON text that a browser would read, where that is another one; else `data` itself."""
    if len(data) > MAX_ENVELOPE_BYTES * 5 or too_deep(data):
        return data
    try:
        msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return mended(data) or data
    return data


def _spoken(frame: Frame, spoken: dialects.Spoken) -> Read:
    message_id = spoken.id if spoken.id and len(spoken.id) <= MAX_ID_CHARS else None
    payload = msgspec.Raw(msgspec.json.encode(spoken.payload))
    return Read(frame, spoken.kind, payload, message_id, spoken.claimed, spoken.dialect)


def _is_heard(read: Read, others: tuple[str, ...]) -> bool | None:
    """See `Context.heard`."""
    if read.frame.door == "rpc":
        return False
    if read.frame.to:
        return bool(others)
    return True if read.dialect else None


def _waiter(read: Read, identity: str) -> Waiter:
    if read.frame.reply is not None:
        return RpcWaiter(read.frame.reply, read.message_id)
    return PacketWaiter(identity, read.message_id, bool(read.dialect))


class _IdAlone(msgspec.Struct, frozen=True):
    id: str | None = None
