"""A child process that is told what to do in JSON lines."""

import os
import queue
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self, TypeVar

import msgspec

from bench.errors import BenchError

_Answer = TypeVar("_Answer")

_END_SECONDS = 10.0
_SHOWN_STDERR_BYTES = 2_000


class _Head(msgspec.Struct):
    event: str
    error: str = ""


class LinesChild:
    """A child that answers one JSON line to each JSON line, and ends when its stdin is closed.

    So it ends with the bench, however the bench ends.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | os.PathLike[str]],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.name = name
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed by close)
        self._process = subprocess.Popen(
            [os.fspath(part) for part in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=None if env is None else dict(env),
            cwd=cwd,
            start_new_session=True,  # a Ctrl-C is the bench's to handle
        )
        self._answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, name=f"{name} answers", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._answers.put(line)
        self._answers.put(b"")  # it has ended

    def ask(self, command: Mapping[str, object], answer: type[_Answer], *, seconds: float) -> _Answer:
        """Send a command and wait for its answer.

        Raises:
            BenchError: The child refused, ended, or had no answer in time.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(msgspec.json.encode(command) + b"\n")
            self._process.stdin.flush()
            line = self._answers.get(timeout=seconds)
        except queue.Empty:
            raise BenchError(f"{self.name}: no answer to {command['cmd']} in {seconds:g} s") from None
        except BrokenPipeError:
            line = b""
        if not line:
            raise BenchError(f"{self.name} ended (exit code {self._process.wait(1)}): {self._stderr()}")
        head = msgspec.json.decode(line, type=_Head)
        if head.event == "failed":
            raise BenchError(f"{self.name}: {command['cmd']}: {head.error}")
        return msgspec.json.decode(line, type=answer)

    def _stderr(self) -> str:
        written = self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, written - _SHOWN_STDERR_BYTES))
        return self._errors.read().decode("utf-8", "replace").strip() or "it said nothing"

    def close(self) -> None:
        """Let it end, kill it if it doesn't."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(1)
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._errors.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
