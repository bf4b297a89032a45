"""Which timers are called: those that have fallen due, but for those that failed a moment ago."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping

from relay_bot.hall.core import three
from relay_bot.hall.deadlines import LOOK_SECONDS, Deadlines
from relay_bot.hall.pauses import pause


class TimerRetries:
    """The failures of one hall's timers, as long as it is served: after a restart each is tried at once.

    A timer whose handler failed stays in the journal. It is called again with backoff, for as long as it takes. The
    timers of plugins in quarantine (`without`) stay as they are. `timers` are the times (ms) by name, `now` the clock.
    """

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self._failed: dict[str, tuple[int, float]] = {}
        """By the timer's name: how often it failed, and when it may be called again (monotonic seconds)."""

    def due(self, timers: Mapping[str, int], now: int, without: Collection[str]) -> list[str]:
        """List the names of the timers that are to be called, the oldest first."""
        if not timers:
            return []
        due = [name for name in self._deadlines.due(timers, now) if three(name)[0] not in without]
        if due and self._failed:
            self._failed = {name: known for name, known in self._failed.items() if name in timers}
            monotonic = time.monotonic()
            due = [name for name in due if self._not_before(name) <= monotonic]
        return due

    def wait(self, timers: Mapping[str, int], now: int, without: Collection[str]) -> float | None:
        """Give the seconds until one is to be looked for; `None` where none is to be called."""
        mine = {name for name in timers if three(name)[0] not in without}
        if len(mine) == len(timers) and not self._failed:
            return self._deadlines.wait(timers, now)
        clock, monotonic = self._deadlines.by_clock(timers, now), time.monotonic()
        waits = [max((clock[name] - now) / 1000, self._not_before(name) - monotonic) for name in mine]
        return min(LOOK_SECONDS, *waits) if waits else None

    def failed(self, name: str) -> None:
        """Hear that a handler failed."""
        failures = self._failed.get(name, (0, 0.0))[0] + 1
        self._failed[name] = failures, time.monotonic() + pause(failures)

    def done(self, name: str) -> None:
        """Hear that a handler ended well."""
        self._failed.pop(name, None)

    def _not_before(self, name: str) -> float:
        return self._failed.get(name, (0, 0.0))[1]
