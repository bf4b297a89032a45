"""Answers that are sent piece by piece: files of any length, and feeds that last as long as their reader."""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from typing import Final

import structlog
from aiohttp import web

log = structlog.get_logger("control")

_WRITE_SECONDS: Final = 30.0
"""How long a reader may take nothing at all before the connection is cut."""


class Streaming(ABC):
    """An answer in pieces. `close` is called once, whatever happened."""

    content_type: str
    filename: str | None = None
    """The name to save it under, if it is a file."""

    @abstractmethod
    def chunks(self) -> AsyncGenerator[bytes]:
        """Give the pieces. An empty one sends nothing and asks whether the reader is still there."""

    @abstractmethod
    def stop(self) -> None:
        """Come to an end soon: the endpoint closes."""

    @abstractmethod
    def close(self) -> None:
        """Let go of what the stream holds."""


class Streams:
    """The streams under way, so that they can be ended before the endpoint closes."""

    def __init__(self) -> None:
        self._streams: set[Streaming] = set()

    def stop(self) -> None:
        """Ask all of them to end."""
        for stream in self._streams:
            stream.stop()

    async def send(self, request: web.Request, stream: Streaming) -> web.StreamResponse:
        """Send a stream to its end, or until its reader is gone or takes nothing any more."""
        headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "X-Accel-Buffering": "no"}
        if stream.filename is not None:
            headers["Content-Disposition"] = f'attachment; filename="{stream.filename}"'
        response = web.StreamResponse(headers=headers)
        response.content_type = stream.content_type
        response.charset = "utf-8"
        self._streams.add(stream)
        try:
            await response.prepare(request)
            async with contextlib.aclosing(stream.chunks()) as chunks:
                async for chunk in chunks:
                    if request.transport is None or request.transport.is_closing():
                        return response
                    if chunk:
                        async with asyncio.timeout(_WRITE_SECONDS):
                            await response.write(chunk)
            async with asyncio.timeout(_WRITE_SECONDS):
                await response.write_eof()
        except TimeoutError:
            log.warning("control.reader_stuck", path=request.path)
            _cut(request)
        except ConnectionError:
            pass  # the reader is gone
        except Exception:
            log.exception("control.stream_failed", path=request.path)
            _cut(request)  # no end mark is sent, so the reader knows that something is missing
        finally:
            self._streams.discard(stream)
            stream.close()
        return response


def _cut(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()  # type: ignore[attr-defined]  (aiohttp types the base class)
