"""Fixtures for all tests: a real livekit-server, real participants, and a guard against leaks."""

import inspect
from collections.abc import AsyncGenerator, Generator

import pytest

from tests.support import leaks
from tests.support.clients import Join, Participants
from tests.support.livekit_server import LiveKit, start_server


@pytest.fixture(autouse=True)
def leak_guard() -> Generator[None]:
    """Fail a test that leaves a thread or a process behind.

    It is set up before every other fixture of the test, and so looks after all of them are gone.
    """
    threads, processes = leaks.threads(), leaks.processes()
    yield
    left = [f"thread {name}" for name in leaks.new_threads(threads)]
    left += [f"process {name}" for name in leaks.new_processes(processes)]
    if left:
        pytest.fail("left behind: " + "; ".join(left), pytrace=False)


@pytest.fixture(autouse=True)
def task_guard(request: pytest.FixtureRequest, leak_guard: None) -> None:
    """Fail an async test that leaves a task behind. Other tests have no loop, and get none for this."""
    function: object = getattr(request.node, "function", None)
    if inspect.iscoroutinefunction(function):
        request.getfixturevalue("_tasks_end")


@pytest.fixture
async def _tasks_end() -> AsyncGenerator[None]:
    yield
    if left := await leaks.new_tasks():
        pytest.fail("tasks left behind: " + "; ".join(left), pytrace=False)


@pytest.fixture(scope="session")
def livekit(tmp_path_factory: pytest.TempPathFactory) -> Generator[LiveKit]:
    """A real livekit-server on free ports, for the whole run. Mark the test `server`."""
    server = start_server(tmp_path_factory.mktemp("livekit"))
    leaks.not_a_leak(lambda: {server.pid})
    yield LiveKit(server)
    ended, exit_code = not server.running, server.exit_code
    server.stop()
    if ended:  # a test that stops it must start it again; tests after that failed for no fault of theirs
        pytest.fail(f"livekit-server ended during the run, with exit code {exit_code}", pytrace=False)


@pytest.fixture
async def join(livekit: LiveKit) -> AsyncGenerator[Join]:
    """Joins a hall as a participant who leaves after the test: `await join(hall, "ann", role="host")`."""
    present = Participants(livekit.access)
    yield present.join
    await present.leave()
