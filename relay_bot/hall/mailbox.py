"""What waits for a hall: bounded, with a named policy for each kind of thing when it is full."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from relay_bot.link import Frame
from relay_bot.observe import metrics

_ROSTER_RESERVE: Final = 20_000
"""Beyond the bound for messages there is room for joins, leaves and the like, which can't be lost."""


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
        self._wake = asyncio.Event()
        self._lossy = 0

    def __len__(self) -> int:
        return len(self._items)

    def arrive(self, arrivals: Sequence[Any]) -> None:
        """Take what the link brought (this is the link's `Sink`)."""
        room = self._bound - len(self._items)
        for item in arrivals:
            if type(item) is Frame:
                if room <= 0 and not self._make_room(item):
                    continue
                room -= 1
                self._lossy += not item.reliable
            elif len(self._items) >= self._bound + _ROSTER_RESERVE:
                metrics.DROPPED.labels("mailbox_roster").inc()
                continue
            self._items.append(item)
        self._wake.set()

    def _make_room(self, frame: Frame) -> bool:
        metrics.DROPPED.labels("mailbox").inc()
        if not frame.reliable:
            return False
        if self._lossy == 0:
            self._refuse(frame)
            return False
        for index, waiting in enumerate(self._items):
            if type(waiting) is Frame and not waiting.reliable:
                del self._items[index]
                self._lossy -= 1
                return True
        return False

    def put(self, item: Any) -> bool:
        """Take a request or a note of the hall's own; `False` where there is no room."""
        if len(self._items) >= self._bound + _ROSTER_RESERVE:
            return False
        self._items.append(item)
        self._wake.set()
        return True

    def note(self, item: Any) -> None:
        """Take a note of the hall's own helpers, of which there are few."""
        self._items.append(item)
        self._wake.set()

    def take(self, most: int) -> list[Any]:
        """Take up to `most` items, oldest first."""
        items = self._items
        taken = [items.popleft() for _ in range(min(most, len(items)))]
        self._lossy -= sum(type(item) is Frame and not item.reliable for item in taken)
        return taken

    def give_back(self, items: Sequence[Any]) -> None:
        """Put items that were taken back to where they were."""
        self._items.extendleft(reversed(items))
        self._lossy += sum(type(item) is Frame and not item.reliable for item in items)

    def wake(self) -> None:
        """Wake whoever waits: something other than an arrival has happened."""
        self._wake.set()

    async def wait(self, seconds: float | None) -> None:
        """Wait for an arrival or a wake, at most so long."""
        if not self._items:
            if seconds is None:  # the common case of a quiet hall, and the cheaper one
                await self._wake.wait()
            else:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await self._wake.wait()
        self._wake.clear()
