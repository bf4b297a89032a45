"""How long to wait before another attempt."""

import random
from typing import Final

_FIRST: Final = 0.5
_LONGEST: Final = 30.0


def pause(failures: int) -> float:
    """Give seconds: doubled with each failure up to 30, of that between half and all by chance.

    The chance keeps a thousand halls that lost the same server from coming back in the same instant.
    """
    longest = min(_LONGEST, _FIRST * 2.0 ** min(failures, 10))
    return longest * (0.5 + random.random() / 2)  # noqa: S311  (no secret)
