"""Signals while `relay-bot run` loads: imported before anything heavy.

SIGTERM ends the program cleanly, for nothing is open yet; SIGHUP, which would kill it, does nothing, for the
configuration is not read yet. The running bot has its own handlers.
"""

import signal
import sys
import threading


def _leave(number: int, frame: object) -> None:
    sys.exit(0)


if sys.argv[1:2] == ["run"] and threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
