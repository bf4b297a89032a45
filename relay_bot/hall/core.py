"""The hall's own state beside its plugins': timers that survive a restart, and effects that are owed."""

from __future__ import annotations

import msgspec

from relay_bot.journal.erasing import CORE
from relay_bot.journal.events import Event, EventTable, State
from relay_bot.plugin import RemoveParticipant, SetPermissions

NAMESPACE = CORE


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
    """An effect must happen; it replaces one that the same plugin owes under the same key."""

    plugin: str
    key: str
    effect: SetPermissions | RemoveParticipant
    seq: int


class EffectSettled(Event, frozen=True):
    """The effect was done, or given up for the reason `error`."""

    plugin: str
    key: str
    seq: int
    error: str | None


CoreEvent = TimerSet | TimerCleared | EffectOwed | EffectSettled


class Owed(msgspec.Struct, frozen=True):
    """An effect that is not settled yet; `seq` tells it from a later one under the same key."""

    effect: SetPermissions | RemoveParticipant
    seq: int


def _name(*parts: str) -> str:
    return "\n".join(parts)


class CoreState(State):
    """Timers by plugin, method and key (joined by newlines), and what is owed by plugin and key."""

    timers: dict[str, int] = {}
    owed: dict[str, Owed] = {}

    def on_timer_set(self, event: TimerSet) -> None:
        """Remember a timer."""
        self.timers[_name(event.plugin, event.method, event.key)] = event.at

    def on_timer_cleared(self, event: TimerCleared) -> None:
        """Forget a timer."""
        self.timers.pop(_name(event.plugin, event.method, event.key), None)

    def on_effect_owed(self, event: EffectOwed) -> None:
        """Remember what is owed."""
        self.owed[_name(event.plugin, event.key)] = Owed(event.effect, event.seq)

    def on_effect_settled(self, event: EffectSettled) -> None:
        """Forget what was settled, unless a newer effect has taken its place."""
        name = _name(event.plugin, event.key)
        if name in self.owed and self.owed[name].seq == event.seq:
            del self.owed[name]

    def next_timer(self) -> int | None:
        """Give the time (ms) at which the first timer falls due."""
        return min(self.timers.values(), default=None)

    def due(self, now: int) -> list[tuple[str, str, str]]:
        """List the timers that have fallen due, oldest first: (plugin, method, key)."""
        late = sorted((at, name) for name, at in self.timers.items() if at <= now)
        return [_three(name) for _, name in late]

    def owes(self, plugin: str, key: str, seq: int) -> bool:
        """Tell whether this very effect is owed: not settled, and not replaced by a newer one."""
        owed = self.owed.get(_name(plugin, key))
        return owed is not None and owed.seq == seq

    def debts(self) -> list[tuple[str, str, Owed]]:
        """List what is owed: (plugin, key, effect)."""
        return [(plugin, key, owed) for name, owed in self.owed.items() for plugin, _, key in [name.partition("\n")]]


def _three(name: str) -> tuple[str, str, str]:
    plugin, method, key = name.split("\n", 2)
    return plugin, method, key


TABLE = EventTable(NAMESPACE, CoreState)
