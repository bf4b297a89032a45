"""A turn: what a hall decides between two commits, gathered so that all of it leaves together or not at all."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final, TypeVar

import msgspec
import structlog

from relay_bot.hall import core
from relay_bot.hall.answers import seal
from relay_bot.hall.calling import PluginCalls
from relay_bot.hall.effects import encode_effect
from relay_bot.hall.judges import Judges, OnHold
from relay_bot.hall.message import ROW_BYTES, Answered, Message, Waiter
from relay_bot.hall.services import Services
from relay_bot.hall.session import Session
from relay_bot.hall.shelf import Shelf, read_row
from relay_bot.hall.staged import Latest, Outgoing, Staged, To
from relay_bot.journal.batch import AnswerRow, EventRow, Redaction, SecretRow, ShelfRow, SnapshotRow
from relay_bot.judging import Content
from relay_bot.observe import metrics
from relay_bot.plugin import (
    Context,
    Effect,
    Event,
    Payload,
    Receivers,
    Role,
    Sender,
    Shelved,
)
from relay_bot.wire.envelope import MAX_ENVELOPE_BYTES, encode_envelope
from relay_bot.wire.refusal import TRANSIENT, Refuse

log = structlog.get_logger("turn")

THE_BACKEND: Final = Sender("", "", Role.BACKEND)
_MAX_LINE: Final = 14_000
_NOTHING: Final[Mapping[str, Any]] = {}

H = TypeVar("H", bound=Shelved)

Debt = tuple[str, str, core.Owed]
"""plugin, key, what is owed"""


class Halted(Exception):
    """A call failed after it had recorded: the session in memory is no longer what its journal says."""


class Turn:
    """What was decided since the last batch was handed to the journal."""

    def __init__(self, session: Session, services: Services, calls: PluginCalls) -> None:
        self.session = session
        self.services = services
        self.calls = calls
        self.events: list[EventRow] = []
        self.answer_rows: list[AnswerRow] = []
        self.secrets: list[SecretRow] = []
        self.forgotten: list[str] = []
        self.shelved: list[ShelfRow] = []
        self.answers: list[tuple[Message | None, Waiter, Answered]] = []
        self.waiting_ids: set[str] = set()
        """The ids of the messages that wait for this turn."""
        self.outgoing: list[Outgoing] = []
        self.latest: dict[tuple[str, ...], Latest | None] = {}
        self.redactions: list[Redaction] = []
        self.states: list[SnapshotRow] = []
        self.owes = False
        self.debts: list[Debt] | None = None
        self.messages = 0
        self.now = 0
        self.released = False
        """A message is being decided that a moderator has approved of: nothing holds it."""

    def merge(self, staged: Staged) -> None:
        """Take in what a call asked for: it has ended well."""
        if staged.events:
            self.events += staged.events
        if staged.outgoing is not None:
            self.outgoing += staged.outgoing
        if staged.latest is not None:
            self.latest |= staged.latest
        if staged.shelved is not None:
            self.shelved += staged.shelved
        if staged.owes:
            self.owes = True
        if staged.secrets is not None:
            self._merge_secrets(staged.secrets)

    def _merge_secrets(self, secrets: dict[str, bytes | None]) -> None:
        session = self.session
        for name, value in secrets.items():
            self.secrets = [row for row in self.secrets if row[1] != name]
            self.forgotten = [other for other in self.forgotten if other != name]
            if value is None:
                session.secrets.pop(name, None)
                self.forgotten.append(name)
            else:
                session.secrets[name] = value
                self.secrets.append((session.info.id, name, value))

    def must_be_kept(self) -> bool:
        """Tell whether the journal has anything to keep of it."""
        return bool(self.events or self.answer_rows or self.secrets or self.forgotten or self.shelved)

    def is_empty(self) -> bool:
        """Tell whether there is nothing to commit and nothing to release."""
        return not (self.must_be_kept() or self.answers or self.outgoing or self.latest)

    def answer(self, message: Message, answer: Answered, now: int) -> None:
        """Answer a message when this turn is durable, and remember the answer for its repetitions."""
        self.answers.append((message, message.waiter, answer))
        if message.message_id:
            self.waiting_ids.add(message.message_id)
        key = message.key
        if key is None or not answer.kept or (answer.error is not None and answer.error["code"] in TRANSIENT):
            return
        sealed = seal(answer, key)
        self.session.answers.put(key, sealed)
        self.answer_rows.append((self.session.info.id, self.session.lots.next(now), key[:ROW_BYTES], sealed))

    def seal(self) -> list[tuple[tuple[str, ...], Outgoing | None]]:
        """Make the snapshots that were asked for, from the state as it is at the end of the turn."""
        made: list[tuple[tuple[str, ...], Outgoing | None]] = []
        for key, latest in self.latest.items():
            if latest is None:
                made.append((key, None))
                continue
            if latest.plugin not in self.session.plugins:  # given up on since
                continue
            try:
                sent = self.calls(latest.plugin, partial(self._snapshot, latest))
            except Refuse as refusal:  # one that is too large as well: the turn's decisions stand without it
                log.error("turn.snapshot_failed", kind=latest.kind, reason=refusal.message)
            else:
                if sent is not None:
                    made.append((key, sent))
        return made

    def _snapshot(self, latest: Latest) -> Outgoing | None:
        payload = latest.payload()
        return None if payload is None else outgoing(latest.kind, payload, latest.to, None, self.now)


class TurnContext(msgspec.Struct):
    """The `Context` of one call into a plugin: it writes to `staged` alone."""

    _turn: Turn
    _plugin: str
    sender: Sender
    now: int
    message_id: str | None = None
    audience: tuple[str, ...] | None = None
    private: bool = False
    claimed: str | None = None
    provided: Mapping[str, Any] | None = None
    heard: bool | None = None
    addressed: tuple[str, ...] = ()
    extra: tuple[str, Mapping[str, Any]] | None = None
    """The type of a backend's interaction and the fields of it that no plugin knows: they go on with it."""
    staged: Staged = msgspec.field(default_factory=Staged)

    def check_text(self, text: str, *, field: str, what: str = "text") -> str:
        try:
            return Judges(self._turn.session, self._turn.calls).text(
                Content(text, what, self._plugin, field), self.for_judging
            )
        except OnHold as hold:
            if self._turn.released:
                return hold.text
            raise

    def for_judging(self, plugin: str) -> JudgingContext:
        """Give a plugin's context for judging what this call is about."""
        context = JudgingContext(
            self._turn, plugin, self.sender, self.now, self.message_id, self.audience, self.private
        )
        context.heard, context.addressed = self.heard, self.addressed
        return context

    def record(self, event: Event) -> None:
        self._turn.session.record(self._plugin, event, self.now, self.staged)

    def record_core(self, event: core.CoreEvent) -> None:
        """Record an event of the hall's own as a part of this call."""
        self._turn.session.record(core.NAMESPACE, event, self.now, self.staged)

    def publish(
        self,
        kind: str,
        payload: Payload,
        *,
        to: Iterable[str] | Role | None = None,
        sender_id: str | None = None,
    ) -> None:
        extra: Mapping[str, Any] = self.extra[1] if self.extra is not None and self.extra[0] == kind else {}
        try:
            said = outgoing(kind, payload, _to(to), sender_id, self.now, extra)
        except Refuse as refusal:
            if not self.staged.applied:
                raise
            # Raised now it would undo what was recorded, at the cost of the whole session in memory.
            metrics.DROPPED.labels("too_large").inc()
            log.error("turn.envelope_too_large", plugin=self._plugin, kind=kind, reason=refusal.message)
            return
        if self.staged.outgoing is None:
            self.staged.outgoing = []
        self.staged.outgoing.append(said)

    def publish_latest(
        self,
        kind: str,
        payload: Callable[[], Payload | None],
        *,
        key: str = "",
        to: Receivers = None,
    ) -> None:
        resolved = _to(to)
        if callable(to):
            resolved = partial(self._turn.calls, self._plugin, lambda: tuple(to()))
        self._stage_latest(_latest_key(kind, key, resolved), Latest(self._plugin, kind, payload, resolved))

    def drop_latest(self, kind: str, *, key: str = "", to: Receivers = None) -> None:
        self._stage_latest(_latest_key(kind, key, _to(to)), None)

    def _stage_latest(self, key: tuple[str, ...], latest: Latest | None) -> None:
        if self.staged.latest is None:
            self.staged.latest = {}
        self.staged.latest[key] = latest

    def notice(self, text: str, *, to: str) -> None:
        self.publish("notice", {"text": text[:_MAX_LINE]}, to=(to,))

    def owe(self, effect: Effect, *, key: str) -> None:
        raw = encode_effect(effect, self._turn.services.plugins)
        self.record_core(core.EffectOwed(self._plugin, key, raw, self._turn.session.seq + 1, self.now))
        self.staged.owes = True

    def secret(self, name: str) -> bytes:
        full, staged = f"{self._plugin}.{name}", self.staged.secrets or {}
        found = staged[full] if full in staged else self._turn.session.secrets.get(full)
        if found is None:
            found = secrets.token_bytes(32)
            self.staged.secrets = {**staged, full: found}
        return found

    def destroy_secret(self, name: str) -> None:
        full, staged = f"{self._plugin}.{name}", dict(self.staged.secrets or {})
        staged.pop(full, None)
        if full in self._turn.session.secrets:
            staged[full] = None
        self.staged.secrets = staged

    def shelved(self, kind: type[H], name: str) -> H | None:
        for row in reversed(self._coming):
            if row[:2] == (kind.shelf, name):
                return read_row(kind, row)
        return self._shelf.get(kind, name)

    def names_shelved(self, kind: type[Shelved]) -> list[str]:
        rows = [*self._shelf.rows(kind.shelf), *self._coming]
        return sorted({name for shelf, name, _, _ in rows if shelf == kind.shelf})

    def shelve(self, thing: Shelved, name: str) -> None:
        settings = self._turn.session.plugins[self._plugin].settings
        row = self._shelf.row(thing, name, settings, self.now, self._coming)
        self.staged.shelved = [*(self.staged.shelved or ()), row]

    @property
    def _coming(self) -> list[ShelfRow]:
        return [*self._turn.shelved, *(self.staged.shelved or ())]

    @property
    def _shelf(self) -> Shelf:
        return self._turn.services.shelf

    def set_timer(self, method: Callable[[str, Context], None], key: str, at_ms: int) -> None:
        self._timer_touched(method.__name__, key)
        self.record_core(core.TimerSet(self._plugin, method.__name__, key, at_ms))

    def clear_timer(self, method: Callable[[str, Context], None], key: str) -> None:
        name = self._timer_touched(method.__name__, key)
        if name in self._turn.session.core.timers:
            self.record_core(core.TimerCleared(self._plugin, method.__name__, key))

    def _timer_touched(self, method: str, key: str) -> str:
        name = core.name_of(self._plugin, method, key)
        if self.staged.timers is None:
            self.staged.timers = set()
        self.staged.timers.add(name)
        return name


class JudgingContext(TurnContext):
    """The `Context` of a judge: it tells of the message, and decides nothing."""

    def _nothing(self, *args: Any, **more: Any) -> Any:
        raise TypeError("a judge gives a verdict and decides nothing else")

    record = publish = publish_latest = drop_latest = notice = owe = _nothing
    secret = destroy_secret = shelve = set_timer = clear_timer = check_text = _nothing


def _to(to: Receivers) -> To:
    return to if to is None or isinstance(to, Role) or callable(to) else tuple(to)


def _latest_key(kind: str, key: str, to: To) -> tuple[str, ...]:
    if callable(to):
        return (kind, key, "*function")
    if isinstance(to, tuple):
        return (kind, key, *to)
    return (kind, key, "*" if to is None else f"*{to.label}")


def outgoing(
    kind: str, payload: Payload, to: To, sender_id: str | None, now: int, extra: Mapping[str, Any] = _NOTHING
) -> Outgoing:
    """Encode an envelope; raises `Refuse("too_large")` where clients could not receive it.

    The payload's own fields go before those in `extra`.
    """
    if extra:
        payload = {**extra, **(payload if isinstance(payload, Mapping) else msgspec.to_builtins(payload))}
    data = encode_envelope(kind, payload, sender_id=sender_id, at_ms=now)
    if len(data) > MAX_ENVELOPE_BYTES:
        raise Refuse("too_large", f"the {kind} envelope would have {len(data)} bytes of {MAX_ENVELOPE_BYTES}")
    said: dict[str, Any] = payload if isinstance(payload, dict) else msgspec.to_builtins(payload)
    return Outgoing(data, to, kind, said, sender_id, extra)
