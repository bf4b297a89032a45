"""Child processes that leave nothing behind."""

import atexit
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import IO

_LEASH = Path(__file__).with_name("leash.py")

_Popen = subprocess.Popen[bytes]


class _Spawner:
    """Starts every child from one thread that lives as long as this process.

    Linux ties a child to the *thread* that made it, so a child started from a short-lived worker thread
    (`asyncio.to_thread`, say) would die with that worker.
    """

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[tuple[Callable[[], _Popen], Future[_Popen]]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self.running: set[_Popen] = set()

    def spawn(self, make: Callable[[], _Popen]) -> _Popen:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="spawner", daemon=True)
                self._thread.start()
                atexit.register(self.end_all)
        future: Future[_Popen] = Future()
        self._jobs.put((make, future))
        return future.result()

    def _work(self) -> None:
        while True:
            make, future = self._jobs.get()
            try:
                child = make()
            except BaseException as error:
                future.set_exception(error)
            else:
                # Noted here, so that a signal in the waiting thread can't make us forget the child.
                self.running.add(child)
                future.set_result(child)

    def end_all(self) -> None:
        """Kill what is still running: the last resort of a process on its way out."""
        for child in list(self.running):
            kill_group(child.pid)
            with suppress(subprocess.TimeoutExpired):
                child.wait(1)
            self.running.discard(child)


_spawner = _Spawner()


def leashed(command: Sequence[str | os.PathLike[str]]) -> list[str]:
    """The command that runs `command` so that it dies with this process (see `leash.py`)."""
    leash = [sys.executable, "-I", "-S", os.fspath(_LEASH), str(os.getpid())]
    return leash + [os.fspath(part) for part in command]


def kill_group(leader: int) -> None:
    """SIGKILL to a process that leads a group, and to all in that group."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


class Child:
    """One child process with its own process group, its output in a log file.

    The group keeps a terminal's Ctrl-C away from it (its owner stops it, in order) and lets whatever it
    started itself be ended with it.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | os.PathLike[str]],
        *,
        log: Path | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self._command = list(command)
        self._env = dict(env) if env is not None else None
        self._cwd = cwd
        self._popen: _Popen | None = None
        self._ended = False

    def start(self) -> None:
        """Start the process. Without a log file it writes where this process writes."""
        if self._popen is not None and self._popen.poll() is None:
            raise RuntimeError(f"{self.name} runs already")
        output = self.log.open("ab") if self.log is not None else None
        try:
            self._popen = _spawner.spawn(lambda: self._make(output))
            self._ended = False
        finally:
            if output is not None:
                output.close()

    def _make(self, output: IO[bytes] | None) -> _Popen:
        return subprocess.Popen(
            leashed(self._command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT if output is not None else None,
            env=self._env,
            cwd=self._cwd,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """The process id; it stays after the end."""
        if self._popen is None:
            raise RuntimeError(f"{self.name} was never started")
        return self._popen.pid

    @property
    def running(self) -> bool:
        return self._popen is not None and self._popen.poll() is None

    @property
    def exit_code(self) -> int | None:
        """How it ended (minus the signal's number if by a signal), `None` while it runs."""
        return self._popen.poll() if self._popen is not None else None

    def signal(self, number: signal.Signals) -> None:
        if self._popen is not None:
            self._popen.send_signal(number)

    def wait(self, seconds: float | None = None) -> int | None:
        """Wait for the end; `None` if it goes on after that time."""
        assert self._popen is not None
        with suppress(subprocess.TimeoutExpired):
            return self._popen.wait(seconds)
        return None

    def stop(self, limit: float) -> bool:
        """Ask it to end (SIGTERM), kill it and all it started after `limit` seconds.

        Returns whether it ended by itself.
        """
        if self._popen is None:
            return True
        obeyed = self.end_asked(limit)
        self.kill()
        return obeyed

    def end_asked(self, limit: float) -> bool:
        """Ask it to end (SIGTERM). Returns whether it did within `limit` seconds."""
        self.signal(signal.SIGTERM)
        return self.wait(limit) is not None

    def kill(self) -> None:
        """End it and all it started at once (SIGKILL)."""
        if self._popen is None or self._ended:
            return  # its number may be somebody else's by now
        kill_group(self._popen.pid)
        self._popen.wait()
        self._ended = True
        _spawner.running.discard(self._popen)

    def tail(self, lines: int = 1) -> str:
        """The last lines that it logged, for an error message."""
        if self.log is None or not self.log.exists():
            return ""
        written = self.log.read_text("utf-8", "replace").splitlines()
        return "\n".join([line for line in written if line.strip()][-lines:])
