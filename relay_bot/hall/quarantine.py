"""Quarantine: a plugin that fails again and again in a hall is left out there, so that the others go on.

Its events stay in the journal and are not applied, its snapshots are not overwritten, and nothing calls it. It comes
back with a reload of the configuration or a restart of the bot.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec
import structlog

from relay_bot.observe import metrics
from relay_bot.wire.clock import iso, now_ms

log = structlog.get_logger("quarantine")

FAILURES: Final = 5
WITHIN_SECONDS: Final = 60.0
"""So many failures of what the hall itself asks, or of messages that cost a replay: by then a hall has waited once
already (four of them within 30 s), and each further one would cost everybody in it another wait."""
MESSAGES_IN_ROW: Final = 20
"""Messages that failed by themselves cost nobody else anything: a plugin is only given up on where none went well."""


class Quarantined(msgspec.Struct, frozen=True):
    """A plugin that is left out: why (no text of anybody's is in it), and since when."""

    plugin: str
    reason: str
    since: str


class Quarantine:
    """Counts the failures of one hall's plugins; `added` hears of each that is left out from now on."""

    def __init__(self, hall: str, added: Callable[[Quarantined], None]) -> None:
        self._hall = hall
        self._added = added
        self._failures: dict[str, deque[float]] = {}
        self._in_row: dict[str, int] = {}
        self.found: dict[str, Quarantined] = {}

    def failed(self, plugin: str, reason: str) -> None:
        """Hear that a plugin failed at what the hall asked of it, or after it had recorded."""
        now = time.monotonic()
        times = self._failures.setdefault(plugin, deque(maxlen=FAILURES))
        times.append(now)
        if len(times) == FAILURES and now - times[0] < WITHIN_SECONDS:
            self.add(plugin, f"{FAILURES} failures within {WITHIN_SECONDS:g} s, the last: {reason}")

    def failed_message(self, plugin: str, reason: str) -> None:
        """Hear that a plugin failed at a message, which cost that message alone."""
        in_row = self._in_row[plugin] = self._in_row.get(plugin, 0) + 1
        if in_row >= MESSAGES_IN_ROW:
            self.add(plugin, f"{in_row} messages failed in a row, the last: {reason}")

    def message_went_well(self, plugin: str) -> None:
        """Hear that a plugin took a message."""
        if self._in_row:
            self._in_row.pop(plugin, None)

    def add(self, plugin: str, reason: str) -> None:
        """Leave a plugin out."""
        if plugin in self.found or not plugin:
            return
        found = self.found[plugin] = Quarantined(plugin, reason, iso(now_ms()))
        metrics.QUARANTINED.labels(plugin).inc()
        log.error(
            "plugin.quarantined",
            hall=self._hall,
            plugin=plugin,
            reason=reason,
            advice="the hall goes on without it; when it is mended, reload (SIGHUP) or restart the bot",
        )
        self._added(found)

    def clear(self) -> list[str]:
        """Let all of them back; gives their names."""
        back = list(self.found)
        for plugin in back:
            metrics.QUARANTINED.labels(plugin).dec()
        self.found.clear()
        self._failures.clear()
        self._in_row.clear()
        return back
