"""What a test leaves behind: tasks, threads, processes."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import psutil

GRACE_SECONDS = 1.0  # what ends by itself within this time after the test is no leak

ProcessKey = tuple[int, float]  # the number and the start: numbers are used again

_ours: list[Callable[[], set[int]]] = []


def not_a_leak(pids: Callable[[], set[int]]) -> None:
    """Name processes that outlive a test on purpose (asked anew each time: a restart changes the pid)."""
    _ours.append(pids)


def threads() -> set[threading.Thread]:
    """The threads that would keep this process from ending."""
    return {thread for thread in threading.enumerate() if not thread.daemon}


def processes() -> dict[ProcessKey, psutil.Process]:
    """All children and their children, but for those named by `not_a_leak`."""
    kept = {pid for pids in _ours for pid in pids()}
    found: dict[ProcessKey, psutil.Process] = {}
    for process in psutil.Process().children(recursive=True):
        if process.pid not in kept:
            found[(process.pid, process.create_time())] = process
    return found


def new_threads(before: set[threading.Thread]) -> list[str]:
    """The names of the threads that came and stayed."""
    end = time.monotonic() + GRACE_SECONDS
    while (left := threads() - before) and time.monotonic() < end:
        time.sleep(0.02)
    return sorted(thread.name for thread in left)


def new_processes(before: dict[ProcessKey, psutil.Process]) -> list[str]:
    """What the processes are that came and stayed. They are killed, so that the next test isn't disturbed."""
    end = time.monotonic() + GRACE_SECONDS
    while (left := _without(processes(), before)) and time.monotonic() < end:
        time.sleep(0.02)
    told = [_describe(process) for process in left.values()]
    for process in left.values():
        _kill(process)
    return sorted(told)


async def new_tasks() -> list[str]:
    """The tasks of this loop, besides the one that asks, that stay."""
    if others := _other_tasks():
        await asyncio.wait(others, timeout=GRACE_SECONDS)
    return sorted(repr(task) for task in _other_tasks())


def _other_tasks() -> set[asyncio.Task[Any]]:
    return {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}


def _without(
    now: dict[ProcessKey, psutil.Process], before: dict[ProcessKey, psutil.Process]
) -> dict[ProcessKey, psutil.Process]:
    return {key: process for key, process in now.items() if key not in before}


def _describe(process: psutil.Process) -> str:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return f"{process.pid} (ended, but nobody waited for it)"
        return f"{process.pid} {' '.join(process.cmdline())[:200]}"
    except psutil.Error:
        return f"{process.pid} (just ended)"


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
        process.wait(2)
    except psutil.Error:
        pass  # it has ended
