"""What waits for a hall: bounded, with a named policy for each kind of thing when it is full."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from relay_bot.link import Encrypted, Frame, Interrupted, Lost, Resumed
from relay_bot.observe import metrics

_ROSTER_RESERVE: Final = 20_000
"""Beyond the bound for messages there is room for joins, leaves and the like, which can't be lost."""
_OF_THE_ROOM: Final = (Interrupted, Resumed, Lost, Encrypted)
"""Without these a hall would believe in a seat that it has not."""
_GONE: Final = object()
"""Stands where a dropped frame stood, until it is the first."""


class Mailbox:
    """The arrivals of one hall in order.

    Full means, for frames: a lossy one is dropped; a reliable one takes the place of a waiting lossy one, or is
    handed to `refuse`, which answers `busy`. Backends' requests are refused the same way by their caller (`put`
    says no). What the link says of the room itself is always taken.
    """

    def __init__(self, bound: int, refuse: Callable[[Frame], None]) -> None:
        self._bound = bound
        self._refuse = refuse
        self._items: deque[Any] = deque()
        self._first = 0
        """The number of the first item; each has the next one."""
        self._lossy: deque[int] = deque()
        """The numbers of the lossy frames that wait, oldest first."""
        self._gone = 0
        """Of the items, how many were dropped where they stood: a deque has no cheap way to close the gap."""
        self._wake = asyncio.Event()

    def __len__(self) -> int:
        return len(self._items) - self._gone

    def arrive(self, arrivals: Sequence[Any]) -> None:
        """Take what the link brought (this is the link's `Sink`)."""
        room = self._bound - len(self)
        for item in arrivals:
            if type(item) is Frame:
                if room <= 0 and not self._make_room(item):
                    continue
                room -= 1
                if not item.reliable:
                    self._lossy.append(self._first + len(self._items))
            elif not isinstance(item, _OF_THE_ROOM) and len(self) >= self._bound + _ROSTER_RESERVE:
                metrics.DROPPED.labels("mailbox_roster").inc()
                continue
            self._items.append(item)
        self._wake.set()

    def _make_room(self, frame: Frame) -> bool:
        metrics.DROPPED.labels("mailbox").inc()
        if not frame.reliable:
            return False
        if not self._lossy:
            self._refuse(frame)
            return False
        self._items[self._lossy.popleft() - self._first] = _GONE
        self._gone += 1
        return True

    def put(self, item: Any) -> bool:
        """Take a request; `False` where there is no room."""
        if len(self) >= self._bound + _ROSTER_RESERVE:
            return False
        self._items.append(item)
        self._wake.set()
        return True

    def note(self, item: Any) -> None:
        """Take a note of the hall's own (seated, stop, what is done …): there are few, and none may be lost."""
        self._items.append(item)
        self._wake.set()

    def take(self, most: int) -> list[Any]:
        """Take up to `most` items, oldest first."""
        items = self._items
        before = len(items)
        taken: list[Any] = []
        while items and len(taken) < most:
            item = items.popleft()
            if item is not _GONE:
                taken.append(item)
        self._first += before - len(items)
        self._gone -= before - len(items) - len(taken)
        while self._lossy and self._lossy[0] < self._first:
            self._lossy.popleft()
        return taken

    def give_back(self, items: Sequence[Any]) -> None:
        """Put items that were taken back to where they were."""
        self._items.extendleft(reversed(items))
        self._first -= len(items)
        lossy = [number for number, item in enumerate(items, self._first) if type(item) is Frame and not item.reliable]
        self._lossy.extendleft(reversed(lossy))

    def wake(self) -> None:
        """Wake whoever waits: something other than an arrival has happened."""
        self._wake.set()

    async def wait(self, seconds: float | None) -> None:
        """Wait for an arrival or a wake, at most so long."""
        if not len(self):
            if seconds is None:  # the common case of a quiet hall, and the cheaper one
                await self._wake.wait()
            else:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await self._wake.wait()
        self._wake.clear()
