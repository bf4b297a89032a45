"""The links under test, and rooms for them."""

from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

import pytest

from relay_bot.link import Link, python_sdk
from tests.link.server import LiveKit
from tests.link.world import Hall, hall_on


@dataclass(frozen=True)
class Kind:
    """A kind of link, and where the suite has to know which one it has before it."""

    make: Callable[[], Link]
    module: object
    names_every_sender: bool
    """Whether a packet that is sent right after joining comes with its sender's identity."""
    tells_new_sid: bool
    """Whether `Resumed` has the sid of the room that a reconnect led to, where it is another one."""


KINDS = {
    "sdk": Kind(python_sdk.PythonSdkLink, python_sdk, names_every_sender=False, tells_new_sid=False),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


@pytest.fixture
async def link(kind: Kind) -> AsyncGenerator[Link]:
    link = kind.make()
    yield link
    await link.close()


@pytest.fixture(scope="session")
def livekit(tmp_path_factory: pytest.TempPathFactory) -> Generator[LiveKit]:
    server = LiveKit(tmp_path_factory.mktemp("livekit"))
    yield server
    server.kill()


@pytest.fixture
async def hall(livekit: LiveKit, link: Link) -> AsyncGenerator[Hall]:
    """A room of one's own, for the link under test."""
    async with hall_on(livekit, livekit.new_hall(), link) as hall:
        yield hall


Halls = Callable[[], AbstractAsyncContextManager[Hall]]


@pytest.fixture
def new_hall(livekit: LiveKit, link: Link) -> Halls:
    """Makes further rooms."""
    return lambda: hall_on(livekit, livekit.new_hall(), link)
