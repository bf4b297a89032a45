"""The guard that fails a test on what it leaves behind."""

import asyncio
import re
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from tests.support import leaks

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaks, "GRACE_SECONDS", 0.1)


def test_a_thread_that_stays_is_named() -> None:
    before, over = leaks.threads(), threading.Event()
    thread = threading.Thread(target=over.wait, name="stays")
    thread.start()
    daemon = threading.Thread(target=over.wait, daemon=True)
    daemon.start()

    assert leaks.new_threads(before) == ["stays"]

    over.set()
    thread.join()
    daemon.join()
    assert leaks.new_threads(before) == []


async def test_a_task_that_stays_is_named_and_one_that_ends_is_not() -> None:
    stays = asyncio.create_task(asyncio.sleep(60), name="stays")
    brief = asyncio.create_task(asyncio.sleep(0.01), name="brief")

    [left] = await leaks.new_tasks()

    assert "stays" in left
    assert brief.done()
    stays.cancel()


def test_a_process_that_stays_is_named_and_ended() -> None:
    before = leaks.processes()
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as child:
        [left] = leaks.new_processes(before)
        assert left.startswith(str(child.pid))
        assert "time.sleep(60)" in left
    assert not psutil.pid_exists(child.pid)


def test_the_guard_fails_the_test_that_leaks_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "test_leaky.py").write_text(
        "import asyncio, threading\n"
        "async def test_task(): globals()['kept'] = asyncio.create_task(asyncio.sleep(5))\n"
        "async def test_tidy(): await asyncio.sleep(0)\n"
        "def test_thread(): threading.Timer(2, print).start()\n"
        "def test_tidy_too(): pass\n"
    )
    plugins = ("-p", "no:cacheprovider", "-p", "tests.conftest")
    place = ("-c", str(ROOT / "pyproject.toml"), "--rootdir", str(tmp_path), str(tmp_path))
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *plugins, *place],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert "4 passed, 2 errors" in run.stdout, run.stdout + run.stderr
    assert "tasks left behind: <Task pending" in run.stdout
    assert "left behind: thread Thread-" in run.stdout
    assert re.findall(r"(?m)^ERROR .*::(\w+)", run.stdout) == ["test_task", "test_thread"]
