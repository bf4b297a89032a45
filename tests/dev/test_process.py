"""Children that leave nothing behind."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path

import psutil
import pytest

from scripts.devstack.process import Child

ROOT = Path(__file__).parents[2]
SLEEP = "import time; time.sleep(60)"
Start = Callable[[str], Child]


@pytest.fixture
def start(tmp_path: Path) -> Generator[Start]:
    """Starts Python code as a child that ends with the test."""
    children: list[Child] = []

    def begin(code: str) -> Child:
        child = Child("child", [sys.executable, "-c", code], log=tmp_path / "child.log")
        children.append(child)
        child.start()
        return child

    yield begin
    for child in children:
        child.kill()


def _wait_for_line(child: Child, line: str) -> None:
    end = time.monotonic() + 10
    while child.tail() != line:
        assert time.monotonic() < end, child.tail(5)
        time.sleep(0.02)


def _gone(pid: int) -> bool:
    end = time.monotonic() + 5
    while time.monotonic() < end:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False


def test_one_that_obeys_is_only_asked(start: Start) -> None:
    child = start(SLEEP)
    assert child.stop(5)
    assert child.exit_code == -signal.SIGTERM


def test_one_that_does_not_obey_is_killed_with_all_it_started(start: Start) -> None:
    child = start(
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"print(subprocess.Popen([sys.executable, '-c', {SLEEP!r}]).pid, flush=True)\n"
        "time.sleep(60)"
    )
    end = time.monotonic() + 10
    while not child.tail() and time.monotonic() < end:
        time.sleep(0.02)
    grandchild = int(child.tail())

    assert not child.stop(0.2)
    assert child.exit_code == -signal.SIGKILL
    assert _gone(grandchild)


def test_its_words_are_kept(start: Start) -> None:
    child = start("import sys; print('one'); print('two', file=sys.stderr)")
    assert child.wait(10) == 0
    assert sorted(child.tail(2).splitlines()) == ["one", "two"]


def test_a_missing_program_is_named(tmp_path: Path) -> None:
    child = Child("child", ["/no/such/program"], log=tmp_path / "log")
    child.start()
    assert child.wait(10) == 127
    assert child.tail() == "/no/such/program: No such file or directory"
    child.kill()


def test_it_outlives_the_thread_that_started_it(start: Start) -> None:
    children: list[Child] = []
    thread = threading.Thread(target=lambda: children.append(start(f"print('up', flush=True); {SLEEP}")))
    thread.start()
    thread.join()

    _wait_for_line(children[0], "up")
    time.sleep(0.1)
    assert children[0].running


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties a child to its parent")
def test_it_dies_with_its_parent(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from scripts.devstack.process import Child\n"
        f"child = Child('c', [sys.executable, '-c', {SLEEP!r}], log=Path({str(tmp_path / 'log')!r}))\n"
        "child.start(); print(child.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert psutil.pid_exists(child)
        parent.kill()

    assert _gone(child)
