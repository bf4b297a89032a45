"""The real livekit-server that the tests run against."""

import uuid
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from livekit.api import LiveKitAPI

from scripts.devstack.livekit_server import Keys, LiveKitServer
from scripts.devstack.participant import Access
from scripts.devstack.ports import LiveKitPorts
from scripts.devstack.provision import find_server

__all__ = ["Keys", "LiveKit", "LiveKitPorts", "LiveKitServer", "server_binary", "start_server"]


class LiveKit:
    """A running server, and how to reach it."""

    def __init__(self, server: LiveKitServer) -> None:
        self.server = server

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def key(self) -> str:
        return self.server.keys.key

    @property
    def secret(self) -> str:
        return self.server.keys.secret

    @property
    def access(self) -> Access:
        return Access(self.url, self.key, self.secret)

    @property
    def env(self) -> dict[str, str]:
        """The bot's environment for this server."""
        return {"LIVEKIT_URL": self.url, "LIVEKIT_API_KEY": self.key, "LIVEKIT_API_SECRET": self.secret}

    def new_hall(self, prefix: str = "hall") -> str:
        """A name that no other test uses: the server outlives each test, and so do its rooms."""
        return f"{prefix}-{uuid.uuid4().hex[:8]}"

    @asynccontextmanager
    async def api(self) -> AsyncGenerator[LiveKitAPI]:
        """A `livekit-api` client for this server, closed at the end."""
        client = LiveKitAPI(self.url, self.key, self.secret)
        try:
            yield client
        finally:
            await client.aclose()  # pyright: ignore[reportUnknownMemberType] - untyped in livekit-api


def server_binary() -> Path:
    """The program. Not built here: a build takes longer than a test may."""
    if (found := find_server()) is None:
        pytest.fail("there is no livekit-server yet: run scripts/test, which builds one", pytrace=False)
    return found


def start_server(
    directory: Path,
    *,
    ports: LiveKitPorts | None = None,
    keys: Keys | None = None,
    webhook_url: str | None = None,
    overrides: Mapping[str, object] | None = None,
) -> LiveKitServer:
    """Start a server of one's own; the options are those of `LiveKitServer`. Stop it in the end."""
    directory.mkdir(parents=True, exist_ok=True)
    server = LiveKitServer(
        server_binary(),
        directory,
        ports=ports,
        keys=keys,
        webhook_url=webhook_url,
        overrides=overrides,
    )
    server.start()
    return server
