"""Token buckets: how fast a participant may send each type."""

from __future__ import annotations

from typing import Final

from relay_bot.settings import GateSettings, Rate

_MAX_BUCKETS: Final = 100_000
REFUSALS: Final = Rate(per_second=20, burst=200)
"""Refusals at the gate that one participant is told; further ones are only counted.

Twice a burst of the default rate: a client that is too fast hears of each message which one was refused.
"""


class Limiter:
    """The buckets of one hall. Times are monotonic seconds."""

    def __init__(self, settings: GateSettings) -> None:
        self._settings = settings
        self._rates: dict[str, Rate] = {}
        self._buckets: dict[tuple[str, str], list[float]] = {}

    def wait(self, identity: str, kind: str, now: float) -> float:
        """Take a token for a type; gives 0, or the seconds until there is one."""
        named = kind if kind in self._settings.rates or kind in ("chat", "reaction") else "default"
        rate = self._rates.get(named)
        if rate is None:
            rate = self._rates[named] = self._settings.rate(named)
        return self._take((identity, named), rate, now)

    def may_hear(self, identity: str, now: float) -> bool:
        """Tell whether a refusal at the gate is still answered to this participant."""
        return self._take((identity, "\0refusals"), REFUSALS, now) == 0

    def _take(self, key: tuple[str, str], rate: Rate, now: float) -> float:
        bucket = self._buckets.get(key)
        if bucket is None:
            if len(self._buckets) >= _MAX_BUCKETS:
                self._drop_full(now)
            self._buckets[key] = [rate.burst - 1.0, now]
            return 0.0
        tokens = min(float(rate.burst), bucket[0] + (now - bucket[1]) * rate.per_second)
        bucket[1] = now
        if tokens >= 1.0:
            bucket[0] = tokens - 1.0
            return 0.0
        bucket[0] = tokens
        return (1.0 - tokens) / rate.per_second

    def _drop_full(self, now: float) -> None:
        """Forget buckets untouched for a minute (they are full again), or all if none is."""
        kept = {key: bucket for key, bucket in self._buckets.items() if now - bucket[1] < 60}
        self._buckets = kept if len(kept) < _MAX_BUCKETS else {}
