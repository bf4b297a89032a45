"""What a process costs: CPU seconds and memory, read from the system and not from the process itself."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
import psutil

from bench.errors import BenchError

_WINDOW = 0.2  # seconds; the system counts CPU in steps of 10 ms
_QUIET_WINDOWS = 2
_QUIET_SHARE = 0.06  # of a core, above what the process uses when idle


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its children so far."""
    total = 0.0
    process = psutil.Process(pid)
    for one in (process, *process.children(recursive=True)):
        times = one.cpu_times()
        total += times.user + times.system
    return total


def memory_bytes(pid: int) -> int:
    """Unique set size of a process and its children: what would be free if they ended.

    Pages shared with other processes (the SDK's library, mapped by every bot of the bench) don't count.
    """
    process = psutil.Process(pid)
    return sum(one.memory_full_info().uss for one in (process, *process.children(recursive=True)))


def idle_share(pid: int, seconds: float = 1.5) -> float:
    """CPU seconds a second that a process uses while nothing is asked of it."""
    before, started = cpu_seconds(pid), time.monotonic()
    time.sleep(seconds)
    return (cpu_seconds(pid) - before) / (time.monotonic() - started)


def wait_until_quiet(pid: int, idle: float = 0.0, *, limit: float = 60.0) -> None:
    """Wait until a process has nothing left to do, without asking it (asking would cost it CPU).

    Raises:
        TimeoutError: It was still at work after `limit` seconds.
    """
    allowed = (idle + _QUIET_SHARE) * _WINDOW
    quiet, end = 0, time.monotonic() + limit
    before = cpu_seconds(pid)
    while quiet < _QUIET_WINDOWS:
        if time.monotonic() > end:
            raise TimeoutError(f"process {pid} is still at work after {limit:g} s")
        time.sleep(_WINDOW)
        now = cpu_seconds(pid)
        quiet = quiet + 1 if now - before <= allowed + 1e-9 else 0
        before = now


@dataclass(frozen=True, slots=True)
class Cost:
    """What one burst cost a bot's process."""

    cpu: float  # seconds, all of them
    idle: float  # seconds of them that it would have used anyway
    wall: float  # seconds until it was quiet

    @property
    def own(self) -> float:
        """What the burst itself cost.

        Raises:
            BenchError: The process used no more than when it is idle: the machine is too busy to tell.
        """
        if self.cpu <= self.idle:
            raise BenchError("the machine is too busy: a burst cost no more CPU than none")
        return self.cpu - self.idle


def cost_of(pid: int, action: Callable[[], None], *, idle: float = 0.0) -> Cost:
    """Run an action that keeps a process busy; measure it from before to quiet.

    Args:
        pid: The process.
        action: Sends the load; may return before the process has worked it off.
        idle: Its `idle_share`, taken off in `Cost.own`.
    """
    before, started = cpu_seconds(pid), time.monotonic()
    action()
    wait_until_quiet(pid, idle)
    wall = time.monotonic() - started
    return Cost(cpu=cpu_seconds(pid) - before, idle=idle * wall, wall=wall)


def quantile(values: Sequence[float], share: float) -> float:
    """The value that so many of the others don't exceed, by nearest rank."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


class Spread(msgspec.Struct, frozen=True):
    """Median, least and greatest of some rounds."""

    median: float
    least: float
    greatest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        return cls(statistics.median(values), min(values), max(values))

    @classmethod
    def of_ratios(cls, ours: Sequence[float], bare: Sequence[float]) -> "Spread":
        """Each round's ratio: the two of one round ran under the same conditions, two rounds didn't."""
        return cls.of([one / other for one, other in zip(ours, bare, strict=True)])
