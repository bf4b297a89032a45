"""Ctrl-C, a plain kill, and a closed terminal all end the stack in the same orderly way."""

import signal
from types import FrameType
from typing import NoReturn

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(KeyboardInterrupt):
    """A person or the system asked us to end."""


def raise_on_signals() -> None:
    """Raise `Interrupted` in the main thread at the first of these signals. Later ones are ignored,
    so that an impatient second Ctrl-C can't cut off the clean-up, which has its own time limits.
    """
    for number in _ENDING:
        signal.signal(number, _interrupt)


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    for number in _ENDING:
        signal.signal(number, _ignore)
    raise Interrupted


def _ignore(_number: int, _frame: FrameType | None) -> None:
    # Not SIG_IGN, which a child that is just being started would inherit.
    pass
