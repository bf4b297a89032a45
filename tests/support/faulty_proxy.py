"""A proxy before LiveKit that passes everything on, and answers chosen calls of the server API with 503."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import WSMsgType, web

from tests.support.livekit_server import LiveKit

_HOP_BY_HOP = {"host", "connection", "upgrade", "content-length", "transfer-encoding"}


class FaultyProxy(LiveKit):
    """The server as it is seen through the proxy. `broken`: methods (such as `UpdateParticipant`) that fail now."""

    def __init__(self, behind: LiveKit) -> None:
        super().__init__(behind.server)
        self.broken: set[str] = set()
        self.refused: list[str] = []
        self._address = ""

    @property
    def url(self) -> str:
        return self._address

    @asynccontextmanager
    async def serving(self) -> AsyncGenerator["FaultyProxy"]:
        """Run the proxy on a free port."""
        app = web.Application(client_max_size=10_000_000)
        app.router.add_route("*", "/{path:.*}", self._pass_on)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port: int = runner.addresses[0][1]
        self._address = f"ws://127.0.0.1:{port}"
        async with aiohttp.ClientSession() as self._client:
            try:
                yield self
            finally:
                await runner.cleanup()

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        method = request.path.rpartition("/")[2]
        if method in self.broken:
            self.refused.append(method)
            return web.json_response({"code": "unavailable", "msg": "no response from servers"}, status=503)
        url = self.server.url.replace("ws://", "http://", 1) + request.path_qs
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP}
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._bridge(request, url, headers)
        async with self._client.request(request.method, url, data=await request.read(), headers=headers) as answer:
            body = await answer.read()
            return web.Response(body=body, status=answer.status, headers={"Content-Type": answer.content_type})

    async def _bridge(self, request: web.Request, url: str, headers: dict[str, str]) -> web.WebSocketResponse:
        kept = {name: value for name, value in headers.items() if not name.lower().startswith("sec-websocket")}
        near = web.WebSocketResponse(max_msg_size=0)
        async with self._client.ws_connect(url, headers=kept, max_msg_size=0) as far:
            await near.prepare(request)
            ways = [asyncio.create_task(_pump(near, far)), asyncio.create_task(_pump(far, near))]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        await near.close()
        return near


async def _pump(source: Any, target: Any) -> None:
    async for message in source:
        if message.type is WSMsgType.BINARY:
            await target.send_bytes(message.data)
        elif message.type is WSMsgType.TEXT:
            await target.send_str(message.data)
