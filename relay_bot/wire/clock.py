"""Times on the wire: ISO 8601 UTC with milliseconds; inside, integers of milliseconds since 1970."""

import re
import time
from datetime import UTC, datetime, timedelta

_ISO = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d")
_EPOCH = datetime.fromtimestamp(0, UTC)
_MILLISECOND = timedelta(milliseconds=1)


def now_ms() -> int:
    """Give the bot's clock: milliseconds since 1970. Queues and deadlines go by it alone."""
    return time.time_ns() // 1_000_000


def iso(ms: int) -> str:
    """Format milliseconds since 1970 as `2026-01-31T10:00:00.000Z`."""
    seconds, rest = divmod(ms, 1000)
    moment = datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest * 1000)
    return moment.isoformat(timespec="milliseconds")[:-6] + "Z"


def iso_or_none(ms: int | None) -> str | None:
    """Format a time that may not be set."""
    return None if ms is None else iso(ms)


def parse_iso(text: str) -> int:
    """Read an ISO 8601 time with its offset from UTC; raises `ValueError`."""
    if not _ISO.match(text):
        raise ValueError("expected an ISO 8601 time such as 2026-01-31T10:00:00Z")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("expected an ISO 8601 time such as 2026-01-31T10:00:00Z") from None
    if moment.tzinfo is None:
        raise ValueError("expected a time with its offset, such as 2026-01-31T10:00:00Z or …T11:00:00+01:00")
    try:
        return (moment.astimezone(UTC) - _EPOCH) // _MILLISECOND
    except OverflowError:
        raise ValueError("expected a time in the years 1 to 9999 of UTC") from None
