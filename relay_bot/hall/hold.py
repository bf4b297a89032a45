"""Messages that wait until it is known who sent them.

For up to 3 s after a join the link may not know the participant: a data packet then comes without any
identity, and a certain identity comes without a role. The first kind waits for the identity that it
claims to appear in the roster (then it is taken as theirs, marked inferred); the second for what the
server API says of it. Both for a bounded time and in bounded number.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final, Generic, TypeVar

from relay_bot.observe import metrics

T = TypeVar("T")

FRESH_SECONDS: Final = 0.5
"""A nameless packet of somebody known for less than this is still taken as theirs: the SDK may hand it
over a moment after their join."""
_MAX_HELD: Final = 5_000
_MAX_HELD_OF_ONE: Final = 32


class Hold(Generic[T]):
    """Messages by the identity that they wait for, in order of arrival; one instance for each of the two kinds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._held: dict[str, deque[tuple[float, T]]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, identity: str, message: T, now: float) -> bool:
        """Hold a message until `now` plus the limit; `False` where there is no room."""
        waiting = self._held.get(identity)
        if self._count >= _MAX_HELD or (waiting is not None and len(waiting) >= _MAX_HELD_OF_ONE):
            metrics.DROPPED.labels("hold").inc()
            return False
        self._held.setdefault(identity, deque()).append((now + self._seconds, message))
        self._count += 1
        metrics.HELD.inc()
        return True

    def identities(self) -> list[str]:
        """List whom messages wait for."""
        return list(self._held)

    def take(self, identity: str) -> list[T]:
        """Take all that waited for this identity."""
        return [message for _, message in self._pop(identity)]

    def expired(self, now: float) -> list[tuple[str, T]]:
        """Take what has waited too long, each with the identity that never came."""
        late: list[tuple[str, T]] = []
        for identity in [key for key, waiting in self._held.items() if waiting[0][0] <= now]:
            kept = deque((until, message) for until, message in self._held[identity] if until > now)
            late += [(identity, message) for until, message in self._held[identity] if until <= now]
            self._resize(identity, kept)
        return late

    def next_expiry(self) -> float | None:
        """Give the time at which `expired` will have something to give."""
        return min((waiting[0][0] for waiting in self._held.values()), default=None)

    def clear(self) -> Iterator[T]:
        """Take everything."""
        for identity in list(self._held):
            yield from self.take(identity)

    def _pop(self, identity: str) -> deque[tuple[float, T]]:
        found = self._held.get(identity, deque())
        self._resize(identity, deque())
        return found

    def _resize(self, identity: str, kept: deque[tuple[float, T]]) -> None:
        before = len(self._held.pop(identity, ()))
        if kept:
            self._held[identity] = kept
        self._count -= before - len(kept)
        metrics.HELD.dec(before - len(kept))
