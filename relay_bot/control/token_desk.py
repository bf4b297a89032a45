"""What every door that hands out join tokens asks first."""

from __future__ import annotations

import asyncio
from typing import Final

from relay_bot.control.errors import ApiError, from_refuse
from relay_bot.control.hall_set import HallSet, check_journal
from relay_bot.journal.batch import Unavailable

_SECONDS: Final = 10.0


async def check_may_join(halls: HallSet, hall: str, identity: str) -> None:
    """Raise `ApiError` for someone who is to get no token: 403 where they are banned.

    503 where that can't be told, because the hall's journal can't be read: nobody is let in by a fault.
    """
    served = halls.get(hall)
    if served is not None:
        check_journal(served)
    try:
        async with asyncio.timeout(_SECONDS):
            refusal = await halls.refuses_join(hall, identity)
    except (TimeoutError, Unavailable):
        text = "it can't be told now who is banned from this hall; ask again"
        raise ApiError(503, "busy", text, retry_after_ms=2000) from None
    if refusal is not None:
        raise from_refuse(refusal)
