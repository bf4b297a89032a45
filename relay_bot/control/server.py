"""The HTTP server: guards, checks and answers; what it does is in the operations."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog
from aiohttp import web

from relay_bot.control.errors import ApiError, from_refuse
from relay_bot.control.guard import Guard
from relay_bot.control.operation import Call, Operation, read_parameters
from relay_bot.observe import metrics
from relay_bot.plugin import Download
from relay_bot.settings import ControlSettings
from relay_bot.wire.refusal import Refuse

log = structlog.get_logger("control")

WEBHOOK_PATH: Final = "/livekit/webhook"
_MAX_KEY_CHARS: Final = 200


class ControlError(Exception):
    """The endpoint can't be opened; the text says why and what to do."""


class ControlServer:
    """Serves operations until it is stopped."""

    def __init__(
        self,
        settings: ControlSettings,
        guard: Guard,
        operations: Sequence[Operation],
        webhook: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> None:
        self._settings = settings
        self._guard = guard
        self._app = web.Application(client_max_size=settings.max_body_bytes, middlewares=[self._answer])
        self._app.router.add_post(WEBHOOK_PATH, webhook)
        self._public: set[tuple[str, str]] = {("POST", WEBHOOK_PATH)}  # it has LiveKit's signature
        for operation in operations:
            self._app.router.add_route(operation.method, operation.path, _handler(operation))
            if operation.public:
                self._public.add((operation.method, operation.path))
        self._runner = web.AppRunner(self._app, access_log=None, handle_signals=False, shutdown_timeout=2.0)
        self.address = ""

    async def start(self) -> None:
        """Open the endpoint; raises `ControlError`."""
        await self._runner.setup()
        try:
            if self._settings.socket:
                await self._start_unix(self._settings.socket)
            else:
                await self._start_tcp()
        except OSError as error:
            where = self._settings.socket or f"{self._settings.host}:{self._settings.port}"
            raise ControlError(
                f"control: {where} can't be used: {error.strerror or error}; "
                "is another bot running? set control.port or control.socket"
            ) from error
        log.info("control.open", address=self.address)

    async def _start_tcp(self) -> None:
        site = web.TCPSite(self._runner, self._settings.host, self._settings.port, reuse_address=True)
        await site.start()
        address: Any = self._runner.addresses[0]
        host = f"[{address[0]}]" if ":" in address[0] else address[0]
        self.address = f"http://{host}:{address[1]}"

    async def _start_unix(self, path: str) -> None:
        await web.SockSite(self._runner, _listener(path)).start()
        self.address = f"unix:{path}"

    async def stop(self) -> None:
        """Close the endpoint; requests under way get a moment."""
        await self._runner.cleanup()

    @web.middleware
    async def _answer(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Guard a request and turn every failure into the published form."""
        resource = request.match_info.route.resource
        path = resource.canonical if resource else "unknown"
        try:
            self._guard.check(request, public=(request.method, path) in self._public)
            response = await handler(request)
        except ApiError as error:
            response = _error(error)
        except Refuse as refusal:
            response = _error(from_refuse(refusal))
        except web.HTTPRequestEntityTooLarge:
            limit = self._settings.max_body_bytes
            response = _error(ApiError(413, "invalid_request", f"a body has at most {limit} bytes", code="too_large"))
        except web.HTTPNotFound:
            response = _error(ApiError(404, "not_found", "there is no such route; see /openapi.json"))
        except web.HTTPMethodNotAllowed as error:
            allowed = ", ".join(sorted(error.allowed_methods))
            response = _error(ApiError(405, "invalid_request", f"allowed here: {allowed}"))
        except web.HTTPException:
            raise
        except Exception:
            log.exception("control.failed", route=path)
            response = _error(ApiError(500, "internal", "something went wrong here; it has been logged"))
        metrics.REQUESTS.labels(path, str(response.status)).inc()
        return response


def _listener(path: str) -> socket.socket:
    """Make a Unix socket of mode 0600 (made with it, not narrowed to it afterwards)."""
    Path(path).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(path)
    finally:
        os.umask(before)
    return listener


def _error(error: ApiError) -> web.Response:
    headers: dict[str, str] = {}
    if error.retry_after_ms is not None:
        headers["Retry-After"] = str(-(-error.retry_after_ms // 1000))
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return json_answer(error.body(), error.status, headers)


def json_answer(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """Make a JSON response of a struct or a mapping."""
    return web.Response(
        body=msgspec.json.encode(value), status=status, content_type="application/json", headers=headers
    )


def _handler(operation: Operation) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        parameters, raw = await read_parameters(operation, request)
        key = request.headers.get("Idempotency-Key") if operation.method == "POST" else None
        if key is not None and not 1 <= len(key) <= _MAX_KEY_CHARS:
            raise ApiError(422, "invalid_request", f"an Idempotency-Key has 1 to {_MAX_KEY_CHARS} characters")
        digest = hashlib.blake2b(raw, digest_size=16).hexdigest() if key is not None else ""
        if key is not None:
            key = f"{request.method} {request.path} {key}"
        answer = await operation.run(Call(parameters, key, digest))
        if isinstance(answer, web.StreamResponse):
            return answer
        if isinstance(answer, Download):
            return _download(answer)
        return json_answer(answer, operation.status)

    return handle


def _download(download: Download) -> web.Response:
    headers = {
        "Content-Disposition": f'attachment; filename="{download.filename}"',
        "X-Content-Type-Options": "nosniff",
    }
    return web.Response(body=download.content, content_type=download.content_type, charset="utf-8", headers=headers)
