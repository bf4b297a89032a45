"""When a timer falls due, though the clock may jump.

A timer is set for a time of the bot's clock. While this process runs, it also has a deadline on the monotonic clock:
as far from the moment when it was first seen as its time was then. It falls due by whichever comes first.

- The clock is set back an hour: the 15 s that a poll runs are over after 15 s, not after an hour and 15 s.
- The clock is set forward an hour: what was to happen at 10:00 happens as soon as the clock shows 10:00 or more. A
  poll that had 15 s to run is over, too: its end was announced as a time of this clock.

A handler is never told an earlier time than its timer's. After a restart the bot's clock alone counts again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

LOOK_SECONDS: Final = 0.9
"""A hall with timers looks at the clock so often: one that is set forward announces itself to nobody."""


class Deadlines:
    """The monotonic deadlines of one hall's timers. `timers` are the bot's times (ms) by name, `now` is its clock."""

    def __init__(self) -> None:
        self._due: dict[str, tuple[int, float]] = {}
        """By name: the time that a timer was seen to be set for, and its deadline (monotonic seconds)."""

    def by_clock(self, timers: Mapping[str, int], now: int) -> dict[str, int]:
        """Give each timer's time on the bot's clock as it is now: its own, or earlier where that clock was set back."""
        monotonic = time.monotonic()
        due: dict[str, tuple[int, float]] = {}
        for name, at in timers.items():
            known = self._due.get(name)
            due[name] = known if known is not None and known[0] == at else (at, monotonic + (at - now) / 1000)
        self._due = due
        return {name: min(at, now + round((until - monotonic) * 1000)) for name, (at, until) in due.items()}

    def due(self, timers: Mapping[str, int], now: int) -> list[str]:
        """List the timers that have fallen due, the oldest first."""
        if not timers:
            return []
        clock = self.by_clock(timers, now)
        return sorted((name for name, at in clock.items() if at <= now), key=lambda name: (timers[name], name))

    def wait(self, timers: Mapping[str, int], now: int) -> float | None:
        """Give the seconds until one is to be looked for; `None` without any."""
        if not timers:
            return None
        return min(LOOK_SECONDS, (min(self.by_clock(timers, now).values()) - now) / 1000)
