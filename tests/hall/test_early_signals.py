"""Signals while the program loads."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

LOADING = """
import os, signal, sys, builtins
sys.argv = ["relay-bot", "run", "--config", sys.argv[1]]
real = builtins.__import__
def load(name, *more, **named):
    if name == "click":  # before anything heavy is loaded
        builtins.__import__ = real
        os.kill(os.getpid(), signal.{number})
    return real(name, *more, **named)
builtins.__import__ = load
import runpy
runpy.run_module("relay_bot", run_name="__main__")
"""


@pytest.mark.parametrize(("number", "code"), [("SIGHUP", 1), ("SIGTERM", 0)])
def test_while_it_loads(tmp_path: Path, number: str, code: int) -> None:
    """SIGHUP does nothing: it goes on to say that there is no such configuration. SIGTERM ends it cleanly."""
    command = [sys.executable, "-c", LOADING.format(number=number), str(tmp_path / "none.yaml")]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=dict(os.environ))
    assert run.returncode == code, signal.Signals(-run.returncode) if run.returncode < 0 else run.stderr
    assert ("no such file" in run.stderr) == (code == 1)
