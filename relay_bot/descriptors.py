"""File descriptors: how many the system lets this process have, and what for they are."""

from __future__ import annotations

import resource
from typing import Final

import structlog

log = structlog.get_logger("app")

_WANTED: Final = 65_536
"""More are not asked for: some systems have no end of them, and some programs walk through all there may be."""
_BASE: Final = 40
"""The bot's own: the interpreter, the loop, logs, the database with its readers, the way to LiveKit."""
_SMALLEST_CONTROL: Final = 32
_LARGEST_CONTROL: Final = 1024
_A_HALL: Final = 14
"""What a hall takes: in this process on the SDK's link, in the child, which has the same limit, on the native one."""


def raise_limit() -> int:
    """Raise the soft limit as far as this process may; gives the limit that it has then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _WANTED if hard == resource.RLIM_INFINITY else min(hard, _WANTED)
    if soft != resource.RLIM_INFINITY and soft < most:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        except (OSError, ValueError) as error:
            log.warning("app.descriptors_not_raised", error=str(error), limit=soft)
            return soft
        return most
    return _WANTED if soft == resource.RLIM_INFINITY else soft


def for_control(limit: int) -> int:
    """Give how many connections the control endpoint may have at once: an eighth of all, kept for it alone."""
    return max(_SMALLEST_CONTROL, min(_LARGEST_CONTROL, limit // 8))


def halls_that_fit(limit: int, link: str) -> int:
    """Give how many halls fit on this kind of link beside what is kept for control and for the bot itself."""
    kept = _BASE if link == "native" else _BASE + for_control(limit)
    return max(1, (limit - kept) // _A_HALL)
