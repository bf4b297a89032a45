"""The links under test, and rooms for them."""

from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest

from relay_bot.link import Link, native, python_sdk
from tests.link.world import Hall, hall_on
from tests.support import leaks
from tests.support.links import KINDS, link_binary
from tests.support.livekit_server import LiveKit, LiveKitServer, start_server


@dataclass(frozen=True)
class Kind:
    """A kind of link, and where the suite has to know which one it has before it."""

    make: Callable[[], Link]
    module: object
    names_every_sender: bool
    """Whether a packet that is sent right after joining comes with its sender's identity."""
    tells_new_sid: bool
    """Whether `Resumed` has the sid of the room that a reconnect led to, where it is another one."""
    tells_addressees: bool
    """Whether a frame says to whom it was addressed."""


KINDS_OF_LINKS = {
    "sdk": Kind(
        python_sdk.PythonSdkLink, python_sdk, names_every_sender=False, tells_new_sid=False, tells_addressees=False
    ),
    "native": Kind(
        lambda: native.NativeLink(link_binary()),
        native,
        names_every_sender=True,
        tells_new_sid=True,
        tells_addressees=True,
    ),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    """Each of the links: the suite is one contract for all of them."""
    return KINDS_OF_LINKS[request.param]


@pytest.fixture
async def link(kind: Kind) -> AsyncGenerator[Link]:
    link = kind.make()
    yield link
    await link.close()


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


@pytest.fixture
def own_server(tmp_path: Path) -> Generator[LiveKitServer]:
    """A server that a test may do anything to."""
    server = start_server(tmp_path / "own")
    leaks.not_a_leak(lambda: {server.pid})
    yield server
    server.stop()


@pytest.fixture
async def own_hall(own_server: LiveKitServer, link: Link) -> AsyncGenerator[Hall]:
    async with hall_on(LiveKit(own_server), "hall", link) as hall:
        yield hall
