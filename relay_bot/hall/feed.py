"""The feed: a hall's events for those who follow them, each after the commit that kept it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final, Literal

import structlog

from relay_bot.journal.batch import EventRow
from relay_bot.observe import metrics

log = structlog.get_logger("feed")

MAX_WAITING: Final = 20_000
"""Events that may wait for one follower: several times what the largest turn of a hall decides."""

Ending = Literal["too_slow", "hall_over", "stopping"]


class Subscription:
    """One follower's queue. Overflow policy: `too_slow`, it ends where it is full, and nothing in it is skipped.

    The follower takes what had its place, hears that the rest is missing, and comes again with the last `seq`.
    """

    __slots__ = ("_bound", "_rows", "_wake", "ending")

    def __init__(self, bound: int = MAX_WAITING) -> None:
        self._bound = bound
        self._rows: deque[EventRow] = deque()
        self._wake = asyncio.Event()
        self.ending: Ending | None = None
        """Why no more is put in; what waits can still be taken."""

    def put(self, rows: Sequence[EventRow]) -> None:
        """Queue rows, as many as there is room for."""
        if self.ending is not None:
            return
        room = self._bound - len(self._rows)
        self._rows.extend(rows[:room])
        self._wake.set()
        if len(rows) > room:
            metrics.DROPPED.labels("feed").inc(len(rows) - room)
            self.end("too_slow")

    def end(self, ending: Ending) -> None:
        """Take no more; the first reason stands."""
        self.ending = self.ending or ending
        self._wake.set()

    async def take(self, most: int, seconds: float) -> list[EventRow]:
        """Take up to `most` rows, oldest first; empty after `seconds` without any, or at the end."""
        if not self._rows and self.ending is None:
            self._wake.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._wake.wait()
            except TimeoutError:
                pass
        return [self._rows.popleft() for _ in range(min(most, len(self._rows)))]


class Feed:
    """The followers of one hall. How many there may be is the concern of who lets them in."""

    __slots__ = ("_followers", "_over")

    def __init__(self) -> None:
        self._followers: set[Subscription] = set()
        self._over = False

    def subscribe(self) -> Subscription:
        """Follow from the next commit on."""
        made = Subscription()
        if self._over:
            made.end("hall_over")
        else:
            self._followers.add(made)
        return made

    def unsubscribe(self, subscription: Subscription) -> None:
        """Follow no longer."""
        self._followers.discard(subscription)

    def publish(self, rows: Sequence[EventRow]) -> None:
        """Pass on what the journal has kept."""
        if not rows:
            return
        for follower in self._followers:
            try:
                follower.put(rows)
            except Exception:  # it may lack rows now: it comes again with the last `seq` that it has
                metrics.HELPER_FAILURES.labels("feed").inc()
                log.exception("feed.follower_failed")
                follower.end("too_slow")

    def close(self) -> None:
        """Tell all followers that the hall is over."""
        self._over = True
        for follower in self._followers:
            follower.end("hall_over")
        self._followers.clear()
