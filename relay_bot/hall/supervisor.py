"""Supervision: a task that works beside others is never lost unheard.

One that raises is logged with its place, counted, and started again after a pause that grows. Where it keeps failing,
whoever it works for is told, and does without it or begins anew.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from pathlib import PurePath
from traceback import extract_tb
from typing import Any, Final

import msgspec
import structlog

from relay_bot.hall.pauses import pause
from relay_bot.observe import metrics

log = structlog.get_logger("supervisor")

RESTARTS: Final = 4
"""So often in a row a hall's task is started again, within some ten seconds; then the hall begins anew."""
STEADY_SECONDS: Final = 30.0
"""A task that worked for so long failed of something new."""


class Trouble(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that does not work: which part, what is wrong with it, and in which hall (none: the process's own)."""

    part: str
    detail: str
    hall_id: str | None = None


class _Failing(msgspec.Struct):
    detail: str
    failures: int
    steady_at: float | None
    """When it counts as well again (monotonic seconds); `None` while it does not run."""


class Supervisor:
    """Runs the tasks of one hall, or of the process (`hall` is empty).

    `gave_up` hears the name of a task that failed more than `RESTARTS` times in a row; that one is not started
    again. Without it there is no bound: the task is tried for as long as the process lives.
    """

    def __init__(self, hall: str = "", gave_up: Callable[[str], None] | None = None) -> None:
        self._hall = hall
        self._gave_up = gave_up
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._failing: dict[str, _Failing] = {}

    def start(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run `work` as a task, and again each time it raises; where it returns, it is done."""
        title = f"{name} {self._hall}".rstrip()
        self._tasks[name] = asyncio.create_task(self._keep(name, work), name=title)

    def runs(self, name: str) -> bool:
        """Tell whether a task is under way, or waits to be started again."""
        task = self._tasks.get(name)
        return task is not None and not task.done()

    def troubles(self) -> list[Trouble]:
        """List the tasks that do not work, and those that have only just been started again."""
        now = time.monotonic()
        return [
            Trouble(name, failing.detail, self._hall or None)
            for name, failing in self._failing.items()
            if failing.steady_at is None or now < failing.steady_at
        ]

    async def stop(self) -> None:
        """Cancel all tasks and wait for their end."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _keep(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        task = asyncio.current_task()
        assert task is not None
        failures = 0
        while True:
            began = time.monotonic()
            try:
                await work()
            except asyncio.CancelledError as error:
                if task.cancelling():
                    raise
                cause: BaseException = error  # something inside was cancelled, not this task
            except Exception as error:
                cause = error
            else:
                self._failing.pop(name, None)
                return
            failures = 1 if time.monotonic() - began > STEADY_SECONDS else failures + 1
            self._note(name, cause, failures)
            if self._gave_up is not None and failures > RESTARTS:
                self._gave_up(name)
                return
            await asyncio.sleep(pause(failures))
            self._failing[name].steady_at = time.monotonic() + STEADY_SECONDS

    def _note(self, name: str, cause: BaseException, failures: int) -> None:
        metrics.HELPER_FAILURES.labels(name).inc()
        kind, place = type(cause).__name__, place_of(cause)
        times = "" if failures == 1 else f", {failures} times in a row"
        self._failing[name] = _Failing(f"{kind} at {place}{times}", failures, None)
        log.error(
            "helper.failed", hall=self._hall, helper=name, error=kind, place=place, failures=failures, exc_info=cause
        )


def place_of(error: BaseException) -> str:
    """Tell where an exception was raised, as `outbox.py:88`: no text of it, which may quote what somebody said."""
    frames = extract_tb(error.__traceback__)
    if not frames:
        return "an unknown place"
    last = frames[-1]
    return f"{PurePath(last.filename).name}:{last.lineno}"
