"""How the interpreter is set for what this process does."""

import gc
import sys
from typing import Final

_SWITCH_INTERVAL: Final = 0.001
"""How long the loop may keep Python's lock when the journal's thread waits for it (seconds)."""


def tune_interpreter() -> None:
    """Set Python's lock and its garbage collector; call it when all that stays has been made.

    The collector need not look at that again, nor so often at the rest: a full collection stops every hall (50 to
    150 ms with 100,000 voters in memory), and there are hardly any cycles to find.
    """
    sys.setswitchinterval(_SWITCH_INTERVAL)
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
