"""Runs what the bench measures without LiveKit, each as a process of its own."""

import os
import subprocess
import sys
from pathlib import Path
from typing import TypeVar

import msgspec

from bench import journal_votes, socket_frames
from bench.errors import BenchError

_CHECKOUT = Path(__file__).resolve().parents[2]
_SECONDS = 60


_Result = TypeVar("_Result")


def cast_votes(*arguments: str | os.PathLike[str]) -> journal_votes.Result:
    """Run `bench.journal_votes` with these arguments, and return what it measured."""
    return _run("bench.journal_votes", journal_votes.Result, *arguments)


def carry_frames(frames: int, together: int) -> socket_frames.Result:
    """Run `bench.socket_frames` with so many frames, so many of them in a message."""
    return _run("bench.socket_frames", socket_frames.Result, "--frames", str(frames), "--together", str(together))


def _run(module: str, result: type[_Result], *arguments: str | os.PathLike[str]) -> _Result:
    command = [sys.executable, "-m", module, *arguments]
    try:
        run = subprocess.run(command, cwd=_CHECKOUT, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise BenchError(f"{module} was not done after {_SECONDS} s") from None
    if run.returncode != 0:
        raise BenchError((run.stderr.strip().splitlines() or ["it said nothing"])[-1])
    return msgspec.json.decode(run.stdout, type=result)
