"""Runs the hall without LiveKit, `bench.journal_votes`, as a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec

from bench.errors import BenchError
from bench.journal_votes import Result

_CHECKOUT = Path(__file__).resolve().parents[2]
_SECONDS = 60


def cast_votes(*arguments: str | os.PathLike[str]) -> Result:
    """Run it with these arguments, and return what it measured."""
    command = [sys.executable, "-m", "bench.journal_votes", *arguments]
    try:
        run = subprocess.run(command, cwd=_CHECKOUT, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise BenchError(f"the hall without LiveKit was not done after {_SECONDS} s") from None
    if run.returncode != 0:
        raise BenchError((run.stderr.strip().splitlines() or ["it said nothing"])[-1])
    return msgspec.json.decode(run.stdout, type=Result)
