"""Interrupts a handler that never returns: handlers run in the loop, so one that hangs would stop every hall."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType
from typing import Final

import structlog

from relay_bot.hall.supervisor import Trouble, place_of
from relay_bot.observe import metrics

log = structlog.get_logger("watchdog")

_LOOK_SECONDS: Final = 0.1


class HandlerHung(BaseException):
    """Raised inside a handler that ran too long. Not an `Exception`: a handler's own `except` must not stop it."""


class Watchdog:
    """Watches the calls into plugins from a thread of its own, and breaks into one with a signal.

    A signal also ends a `time.sleep` or a blocking read. It works in the main thread only; elsewhere
    (`start` was not called) the watchdog does nothing.
    """

    def __init__(self, limit_seconds: float = 2.0) -> None:
        self._limit = limit_seconds
        self._since: float | None = None
        self._stop = threading.Event()
        self._failed = False
        self._thread: threading.Thread | None = None
        self._before: signal.Handlers | int | None = None

    def enter(self) -> None:
        """Begin to watch: a call into a plugin starts."""
        self._since = time.monotonic()

    def leave(self) -> float:
        """End it; gives the seconds that the call took."""
        since, self._since = self._since, None
        return 0.0 if since is None else time.monotonic() - since

    def start(self) -> None:
        """Start the thread; must be called in the main thread."""
        self._before = signal.signal(signal.SIGALRM, self._break)  # type: ignore[assignment]  (typeshed names more kinds)
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._thread.start()

    def troubles(self) -> list[Trouble]:
        """Tell where it was started and its thread does not live: a handler that hangs would stop every hall."""
        dead = self._thread is not None and not self._thread.is_alive()
        return [Trouble("watchdog", "its thread has ended: restart the bot")] if dead else []

    def stop(self) -> None:
        """End the thread and give the signal back."""
        if self._thread is not None:
            self._stop.set()
            self._thread.join()
            self._thread = None
            signal.signal(signal.SIGALRM, self._before or signal.SIG_DFL)

    def _overdue(self) -> bool:
        since = self._since
        return since is not None and time.monotonic() - since > self._limit

    def _watch(self) -> None:
        while not self._stop.wait(_LOOK_SECONDS):
            try:
                self._look()
            except Exception as error:
                metrics.HELPER_FAILURES.labels("watchdog").inc()
                if not self._failed:  # it looks ten times a second
                    log.exception("watchdog.failed", place=place_of(error))
                self._failed = True

    def _look(self) -> None:
        main = threading.main_thread().ident
        if self._overdue() and main is not None:
            signal.pthread_kill(main, signal.SIGALRM)

    def _break(self, number: int, frame: FrameType | None) -> None:
        if self._overdue():  # else it returned between the look and the signal
            self._since = None
            raise HandlerHung(f"a handler did not return within {self._limit:g} s")
