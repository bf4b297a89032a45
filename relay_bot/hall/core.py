"""The hall's own state beside its plugins': timers that survive a restart, and effects that are owed."""

from __future__ import annotations

from typing import ClassVar, Final

import msgspec

from relay_bot.effect import CORE_EFFECTS, tag_of
from relay_bot.journal.erasing import CORE, Rule, of_effect
from relay_bot.journal.events import Event, EventTable, State
from relay_bot.journal.identities import Identity, where
from relay_bot.plugin import Role

NAMESPACE = CORE

MAX_DEAD: Final = 500
"""Effects that were given up and can be tried again by hand; the oldest go first."""


class TimerSet(Event, frozen=True):
    """A plugin's method is to be called with `key` at a time of the bot's clock (ms)."""

    plugin: str
    method: str
    key: str
    at: int


class TimerCleared(Event, frozen=True):
    """A timer was called off, or has been called."""

    plugin: str
    method: str
    key: str


class EffectOwed(Event, frozen=True):
    """An effect must happen; it replaces one that the same plugin owes under the same key.

    It is kept as it was encoded: what its plugin can read again may be unknown to the process that has it now.
    """

    plugin: str
    key: str
    effect: msgspec.Raw
    seq: int
    at: int = 0


class EffectSettled(Event, frozen=True):
    """The effect was done, or given up for the reason `error`."""

    plugin: str
    key: str
    seq: int
    error: str | None


class EffectDied(Event, frozen=True):
    """The effect failed too often, the last time with `error`: it is kept, and tried again by hand alone."""

    plugin: str
    key: str
    seq: int
    error: str
    attempts: int
    at: int


class EffectRetried(Event, frozen=True):
    """An effect that was given up (`seq`) is owed again, as `again`."""

    plugin: str
    key: str
    seq: int
    again: int
    at: int


class Told(Event, frozen=True):
    """Plugins were told of a participant: how they look, or (`here` is false) that they have left.

    It is recorded after the telling: who left, came or changed while the bot was away is found by it.
    """

    personal: ClassVar[tuple[str, ...]] = ("name",)

    identity: Identity
    name: str
    role: Role
    can_publish: bool
    can_publish_data: bool
    can_subscribe: bool
    here: bool
    plugin: tuple[str, ...]
    """Each plugin that was told."""


class MessageHeld(Event, frozen=True):
    """A message waits for a moderator. `payload` is its JSON text, and empty once its sender has been erased."""

    personal: ClassVar[tuple[str, ...]] = ("name", "payload", "reason")

    held_id: str
    identity: Identity
    name: str
    role: int
    inferred: bool
    type: str
    payload: str
    message_id: str | None
    to: tuple[Identity, ...] | None
    private: bool
    reason: str
    at: int
    relayed: bool = False
    heard: bool | None = None
    addressed: tuple[Identity, ...] = ()


class HeldDecided(Event, frozen=True):
    """A held message was released, rejected by somebody, or waited too long (`by` is empty)."""

    held_id: str
    approved: bool
    by: Identity


class WordsDistrusted(Event, frozen=True):
    """A participant may write their own metadata, attributes and name; `name` is the last one that they had not."""

    personal: ClassVar[tuple[str, ...]] = ("name",)

    identity: Identity
    name: str


CoreEvent = (
    Told
    | MessageHeld
    | HeldDecided
    | TimerSet
    | TimerCleared
    | EffectOwed
    | EffectSettled
    | EffectDied
    | EffectRetried
    | WordsDistrusted
)


class Owed(msgspec.Struct, frozen=True):
    """An effect that is not settled yet; `seq` tells it from a later one under the same key. `at`: 0 = unknown."""

    effect: msgspec.Raw
    seq: int
    at: int = 0


class Dead(msgspec.Struct, frozen=True):
    """An effect that was given up, and when (ms)."""

    effect: msgspec.Raw
    seq: int
    error: str
    attempts: int
    at: int


class Held(msgspec.Struct, frozen=True):
    """A message that waits for a moderator."""

    held_id: str
    identity: str
    name: str
    role: int
    inferred: bool
    kind: str
    payload: str
    message_id: str | None
    to: tuple[str, ...] | None
    private: bool
    reason: str
    at: int
    relayed: bool = False
    heard: bool | None = None
    addressed: tuple[str, ...] = ()


class Known(msgspec.Struct, frozen=True):
    """How a participant looks, as far as these plugins were told."""

    name: str
    role: Role
    can_publish: bool
    can_publish_data: bool
    can_subscribe: bool
    plugins: tuple[str, ...]


def name_of(*parts: str) -> str:
    """Give the name under which the core's state has a timer or what is owed."""
    return "\n".join(parts)


class CoreState(State):
    """Timers by plugin, method and key (joined by newlines); what is owed, and was given up, by plugin and key."""

    timers: dict[str, int] = {}
    told: dict[str, tuple[Known, ...]] = {}
    """By identity: whom plugins were told of. Nearly always it is the same for all of them."""
    owed: dict[str, Owed] = {}
    dead: dict[str, Dead] = {}
    held: dict[str, Held] = {}
    distrusted: dict[Identity, str] = {}
    """Whose words about themselves are their own, with the name that is kept for them."""

    def on_told(self, event: Told) -> None:
        """Remember what plugins were told."""
        known: list[Known] = []
        for each in self.told.pop(event.identity, ()):
            others = tuple(name for name in each.plugins if name not in event.plugin)
            if others:
                known.append(msgspec.structs.replace(each, plugins=others))
        if event.here:
            look = event.name, event.role, event.can_publish, event.can_publish_data, event.can_subscribe
            known.append(Known(*look, event.plugin))
        if known:
            self.told[event.identity] = tuple(known)

    def on_timer_set(self, event: TimerSet) -> None:
        """Remember a timer."""
        self.timers[name_of(event.plugin, event.method, event.key)] = event.at

    def on_timer_cleared(self, event: TimerCleared) -> None:
        """Forget a timer."""
        self.timers.pop(name_of(event.plugin, event.method, event.key), None)

    def on_effect_owed(self, event: EffectOwed) -> None:
        """Remember what is owed; what was given up under the same key is overtaken."""
        name = name_of(event.plugin, event.key)
        self.owed[name] = Owed(event.effect, event.seq, event.at)
        self.dead.pop(name, None)

    def on_effect_settled(self, event: EffectSettled) -> None:
        """Forget what was settled, unless a newer effect has taken its place."""
        name = name_of(event.plugin, event.key)
        if name in self.owed and self.owed[name].seq == event.seq:
            del self.owed[name]

    def on_effect_died(self, event: EffectDied) -> None:
        """Keep what was given up, unless a newer effect has taken its place."""
        name = name_of(event.plugin, event.key)
        if self.owes(event.plugin, event.key, event.seq):
            owed = self.owed.pop(name)
            self.dead.pop(name, None)
            self.dead[name] = Dead(owed.effect, owed.seq, event.error, event.attempts, event.at)
            while len(self.dead) > MAX_DEAD:
                del self.dead[next(iter(self.dead))]

    def on_effect_retried(self, event: EffectRetried) -> None:
        """Owe what was given up again."""
        name = name_of(event.plugin, event.key)
        if name in self.dead and self.dead[name].seq == event.seq:
            self.owed[name] = Owed(self.dead.pop(name).effect, event.again, event.at)

    def on_message_held(self, event: MessageHeld) -> None:
        """Keep a message, unless its sender has been erased."""
        if event.payload:
            self.held[event.held_id] = Held(*(getattr(event, name) for name in event.__struct_fields__))

    def on_held_decided(self, event: HeldDecided) -> None:
        """Forget what was decided."""
        self.held.pop(event.held_id, None)

    def on_words_distrusted(self, event: WordsDistrusted) -> None:
        """Remember whose words are their own; the first name stays."""
        self.distrusted.setdefault(event.identity, event.name)

    def due(self, now: int) -> list[tuple[str, str, str]]:
        """List the timers that have fallen due, oldest first: (plugin, method, key)."""
        late = sorted((at, name) for name, at in self.timers.items() if at <= now)
        return [three(name) for _, name in late]

    def owes(self, plugin: str, key: str, seq: int) -> bool:
        """Tell whether this very effect is owed: not settled, and not replaced by a newer one."""
        owed = self.owed.get(name_of(plugin, key))
        return owed is not None and owed.seq == seq

    def debts(self) -> list[tuple[str, str, Owed]]:
        """List what is owed: (plugin, key, effect)."""
        return [(*_two(name), owed) for name, owed in self.owed.items()]

    def given_up(self) -> list[tuple[str, str, Dead]]:
        """List what was given up, oldest first: (plugin, key, effect)."""
        return [(*_two(name), dead) for name, dead in self.dead.items()]


def _two(name: str) -> tuple[str, str]:
    plugin, _, key = name.partition("\n")
    return plugin, key


def three(name: str) -> tuple[str, str, str]:
    """Take a timer's name apart: plugin, method, key."""
    plugin, method, key = name.split("\n", 2)
    return plugin, method, key


class _CoreTable(EventTable[CoreState]):
    """Knows of the effects, too, which its events keep as they were encoded."""

    def rules(self) -> dict[str, Rule]:
        return super().rules() | {of_effect(tag_of(kind)): Rule(where(kind)) for kind in CORE_EFFECTS}


TABLE: Final = _CoreTable(NAMESPACE, CoreState)
