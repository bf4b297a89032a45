"""The control endpoint's connections: taken while there are descriptors, and cut when nothing comes by them.

aiohttp waits for a request for as long as somebody keeps a connection open, and asyncio's own way of taking
connections writes a hundred lines for each one that the system refuses. Both would let idle connections
silence the endpoint.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import structlog

from relay_bot.observe import metrics

log = structlog.get_logger("control")

HEAD_SECONDS: Final = 10.0
"""How long a request's head may take, from the connection or the first byte on."""
KEPT_SECONDS: Final = 75.0
"""How long a connection stays open after an answer, for the next request."""
_SWEEP_SECONDS: Final = 1.0
_PAUSE_SECONDS: Final = 1.0
_SAY_AGAIN_SECONDS: Final = 60.0
_AT_ONCE: Final = 100
_NO_MORE: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Connection(asyncio.Protocol):
    """One connection: hands everything on to aiohttp's protocol, and notes whether something is under way."""

    def __init__(self, inner: asyncio.Protocol, connections: Connections) -> None:
        self._inner = inner
        self._connections = connections
        self.transport: asyncio.Transport | None = None
        self.requests = 0
        """Requests under way."""
        self.since = time.monotonic()
        """When the request that is waited for began to be waited for."""
        self.limit = HEAD_SECONDS

    @property
    def expires(self) -> float:
        """When to cut the connection, unless a request comes."""
        return self.since + self.limit

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._connections.add(transport, self)
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        if not self.requests and self.limit != HEAD_SECONDS:
            self.since, self.limit = time.monotonic(), HEAD_SECONDS
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        """See `asyncio.Protocol`."""
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        if self.transport is not None:
            self._connections.discard(self.transport)
        self._inner.connection_lost(exc)

    def began(self) -> None:
        """A request has come."""
        self.requests += 1

    def answered(self) -> None:
        """A request is answered."""
        self.requests -= 1
        self.since, self.limit = time.monotonic(), KEPT_SECONDS


class Connections:
    """All open connections, at most `most`: for one more, the idle one that would be cut first goes."""

    def __init__(self, make: Callable[[], asyncio.Protocol], most: int) -> None:
        self._make = make
        self._most = most
        self._open: dict[asyncio.BaseTransport, Connection] = {}
        self._sockets: list[socket.socket] = []
        self._sweeping: asyncio.Task[None] | None = None
        self._waiting: dict[socket.socket, asyncio.TimerHandle] = {}
        self._said_at = -_SAY_AGAIN_SECONDS

    def start(self, sockets: Sequence[socket.socket]) -> None:
        """Take connections of these sockets, which are closed with this."""
        loop = asyncio.get_running_loop()
        for listening in sockets:
            listening.setblocking(False)
            listening.listen(128)
            self._sockets.append(listening)
            loop.add_reader(listening.fileno(), self._take, listening)
        self._sweeping = asyncio.create_task(self._sweep(), name="connections")

    async def stop(self) -> None:
        """Take no more; those that are open are aiohttp's to end."""
        loop = asyncio.get_running_loop()
        for listening in self._sockets:
            loop.remove_reader(listening.fileno())
            if listening in self._waiting:
                self._waiting.pop(listening).cancel()
            listening.close()
        self._sockets.clear()
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.gather(self._sweeping, return_exceptions=True)

    def of(self, transport: asyncio.BaseTransport | None) -> Connection | None:
        """Find the connection that a request came by."""
        return None if transport is None else self._open.get(transport)

    def add(self, transport: asyncio.BaseTransport, connection: Connection) -> None:
        """Count a connection in; where there are too many, an idle one goes."""
        self._open[transport] = connection
        metrics.CONNECTIONS.set(len(self._open))
        if len(self._open) > self._most:
            self._make_room(connection)

    def discard(self, transport: asyncio.BaseTransport) -> None:
        """Count a connection out."""
        self._open.pop(transport, None)
        metrics.CONNECTIONS.set(len(self._open))

    def _make_room(self, newest: Connection) -> None:
        idle = [each for each in self._open.values() if not each.requests and each is not newest]
        self._cut(min(idle, key=lambda each: each.expires, default=newest), "too_many")

    def _cut(self, connection: Connection, reason: str) -> None:
        transport = connection.transport
        if transport is not None:
            metrics.CONNECTIONS_CUT.labels(reason).inc()
            self.discard(transport)
            transport.abort()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            now = time.monotonic()
            for connection in list(self._open.values()):
                if not connection.requests and connection.expires <= now:
                    self._cut(connection, "head" if connection.limit == HEAD_SECONDS else "idle")

    # -- taking them ----------------------------------------------------------------------------------

    def _take(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(_AT_ONCE):
            try:
                taken, _ = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _NO_MORE:
                    raise
                self._pause(listening, error)
                return
            taken.setblocking(False)
            task = loop.create_task(self._connect(taken))
            task.add_done_callback(_heard)

    async def _connect(self, taken: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: Connection(self._make(), self), taken)
        except OSError:  # whoever it was is gone already
            taken.close()

    def _pause(self, listening: socket.socket, error: OSError) -> None:
        """Take none for a moment: whoever comes waits in the system's own queue."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(listening.fileno())
        metrics.CONNECTIONS_CUT.labels("no_descriptor").inc()
        if loop.time() - self._said_at >= _SAY_AGAIN_SECONDS:
            self._said_at = loop.time()
            log.error("control.no_descriptor", error=error.strerror, open=len(self._open), pause=_PAUSE_SECONDS)
        idle = [each for each in self._open.values() if not each.requests]
        if idle:
            self._cut(min(idle, key=lambda each: each.expires), "too_many")

        def again() -> None:
            self._waiting.pop(listening, None)
            loop.add_reader(listening.fileno(), self._take, listening)

        self._waiting[listening] = loop.call_later(_PAUSE_SECONDS, again)


def _heard(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("control.not_connected", error=type(error).__name__)
