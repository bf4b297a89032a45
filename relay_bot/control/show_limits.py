"""The rate limits that the Interactive Show's text recommends: so many calls in a window, for each client."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from typing import Final

from relay_bot.control.errors import ApiError
from relay_bot.observe import metrics

_WINDOW_SECONDS: Final = 60.0
_MAX_WINDOWS: Final = 10_000


class RateLimits:
    """Counts calls by endpoint and client in a sliding minute; the least used windows go first."""

    def __init__(self) -> None:
        self._windows: OrderedDict[tuple[str, str], deque[float]] = OrderedDict()

    def check(self, endpoint: str, client: str, most: int, now: float | None = None) -> None:
        """Count a call; raises `ApiError` (429) that says when to come again."""
        now = time.monotonic() if now is None else now
        window = self._windows.setdefault((endpoint, client), deque())
        self._windows.move_to_end((endpoint, client))
        if len(self._windows) > _MAX_WINDOWS:
            self._windows.popitem(last=False)
        while window and window[0] <= now - _WINDOW_SECONDS:
            window.popleft()
        if len(window) >= most:
            metrics.REFUSED.labels("rate_limited").inc()
            wait_ms = int((window[0] + _WINDOW_SECONDS - now) * 1000) + 1
            text = f"Too many requests: at most {most} a minute here"
            raise ApiError(429, "rate_limited", text, retry_after_ms=wait_ms)
        window.append(now)
