"""`scripts/dev`, where it can't do what it is asked: one line that says what to do."""

import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.devstack.ports import free_port

ROOT = Path(__file__).parents[2]


def dev(tmp_path: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "scripts.devstack.dev", "--state", tmp_path / "state", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=os.environ | env, capture_output=True, text=True, timeout=60, check=False
    )


def _complaint(run: subprocess.CompletedProcess[str]) -> str:
    assert run.returncode == 1
    assert run.stdout == ""
    [line] = run.stderr.splitlines()
    return line


def _free_with_the_next() -> int:
    """A port that is free, as is the one after it: livekit-server takes both."""
    while True:
        port = free_port()
        with socket.socket() as following, contextlib.suppress(OSError):
            following.bind(("127.0.0.1", port + 1))
            return port


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "config.yaml"
    path.write_text("control: {port: 8787}\n")
    return str(path)


def test_a_broken_configuration(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("control:\n  port: [8787\n")
    assert _complaint(dev(tmp_path, "--config", str(path))).startswith(f"scripts/dev: {path}:3:1: this is no YAML: ")


@pytest.mark.parametrize(
    ("flag", "offset", "variable"),
    [
        ("--livekit-port", 0, "RELAY_DEV_LIVEKIT_PORT"),
        ("--livekit-port", 1, "RELAY_DEV_LIVEKIT_PORT"),
        ("--control-port", 0, "RELAY_DEV_CONTROL_PORT"),
    ],
)
def test_a_busy_port(tmp_path: Path, config: str, flag: str, offset: int, variable: str) -> None:
    ports = {"--livekit-port": free_port(), "--control-port": free_port()}
    ports[flag] = _free_with_the_next()
    busy = ports[flag] + offset
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", busy))
        taken.listen()
        line = _complaint(dev(tmp_path, "--config", config, *(str(a) for p in ports.items() for a in p)))
    assert line.startswith(f"scripts/dev: tcp port {busy} (")
    assert f"(pid {os.getpid()})" in line
    assert line.endswith(f"choose another with {flag} or {variable}")


def test_a_port_from_the_environment_that_is_none(tmp_path: Path, config: str) -> None:
    run = dev(tmp_path, "--config", config, RELAY_DEV_CONTROL_PORT="many")
    assert _complaint(run) == ("scripts/dev: RELAY_DEV_CONTROL_PORT: expected a port from 1 to 65533, got 'many'")


def test_a_livekit_server_that_is_not_there(tmp_path: Path, config: str) -> None:
    ports = ("--livekit-port", str(free_port()), "--control-port", str(free_port()))
    run = dev(tmp_path, "--config", config, *ports, LIVEKIT_SERVER_BIN="/no/such")
    assert _complaint(run) == ("scripts/dev: LIVEKIT_SERVER_BIN=/no/such: no such program; correct it, or unset it")


@pytest.mark.parametrize("arguments", [("--crowd", "0"), ("--crowd", "many"), ("--control-port", "0")])
def test_a_wrong_argument(tmp_path: Path, arguments: tuple[str, str]) -> None:
    run = dev(tmp_path, *arguments)
    assert run.returncode == 2
    assert run.stderr.splitlines()[-1].startswith(f"scripts/dev: error: argument {arguments[0]}: expected ")


def test_help_reads_well(tmp_path: Path) -> None:
    run = dev(tmp_path, "--help")
    assert run.returncode == 0
    assert run.stdout.startswith("usage: scripts/dev ")
    assert "Ctrl-C" in run.stdout
