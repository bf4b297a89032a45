"""Plugins hear each other's events: after the call that recorded them has merged, in the same turn."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import structlog

from relay_bot.hall.session import Loaded
from relay_bot.hall.turn import TurnContext
from relay_bot.journal.batch import EventRow
from relay_bot.journal.events import Event, EventTable
from relay_bot.observe import metrics
from relay_bot.plugin import Plugin

log = structlog.get_logger("listening")

MOST_DEEP: Final = 8
"""An event that a listener recorded is heard by others, and so on: so often at most after one call."""
MOST_ANSWERS: Final = 1_000
"""Of the events that listeners record after one call so many are heard."""

Tell = Callable[[str, Callable[[Plugin[Any, Any], TurnContext], None], int], None]
"""Calls a plugin (by name) as one transaction of its own; the number is the earliest time that it may be told."""


class Listening:
    """Which plugins listen to which events, and what they are still to hear."""

    def __init__(self, loaded: Mapping[str, Loaded]) -> None:
        tables = [each.spec.events for each in loaded.values()]
        names: dict[type[Event], tuple[str, EventTable[Any]]] = {
            kind: (name, table) for table in tables for kind, name in table.types().items()
        }
        self._by_name: dict[str, tuple[EventTable[Any], list[tuple[str, str]]]] = {}
        """By the event's journal name: its table, and the listeners as (plugin, method)."""
        for plugin, each in loaded.items():
            for listener in each.spec.listeners:
                if listener.event_type in names:  # else its plugin is not enabled
                    name, table = names[listener.event_type]
                    self._by_name.setdefault(name, (table, []))[1].append((plugin, listener.method))
        self._coming: deque[tuple[EventRow, int]] = deque()
        self._depth = 0
        self._answers = 0
        self._telling = False

    def recorded(self, rows: Sequence[EventRow], tell: Tell) -> None:
        """Hear what a call has recorded, and tell it to those who listen; a listener's own events come after that."""
        if self._by_name:
            self._coming += [(row, self._depth) for row in rows if row[3] in self._by_name]
        if not self._coming or self._telling:
            return
        self._telling = True
        try:
            self._tell_all(tell)
        finally:
            self._coming.clear()
            self._depth = self._answers = 0
            self._telling = False

    def _tell_all(self, tell: Tell) -> None:
        dropped: dict[str, int] = {}
        while self._coming:
            (_, _, at, name, body), depth = self._coming.popleft()
            self._answers += depth > 0
            if depth > MOST_DEEP or self._answers > MOST_ANSWERS:
                dropped[name] = dropped.get(name, 0) + 1
                continue
            self._depth = depth + 1
            table, listeners = self._by_name[name]
            for plugin, method in listeners:
                event = table.decode(name, body)  # each its own: what is in it may be changed
                tell(plugin, lambda listener, ctx, call=method, event=event: getattr(listener, call)(event, ctx), at)
        if dropped:
            metrics.DROPPED.labels("listeners").inc(sum(dropped.values()))
            log.error("listening.loop", not_heard=dropped, advice="plugins answer each other's events without an end")
