"""The HTTP server: guards, checks and answers; what it does is in the operations."""

from __future__ import annotations

import functools
import hashlib
import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import msgspec
import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from relay_bot.control.connections import Connections
from relay_bot.control.cors import Cors
from relay_bot.control.errors import ApiError, from_refuse
from relay_bot.control.forwarded import FORWARDED, Forwarded
from relay_bot.control.guard import Guard
from relay_bot.control.listen import ControlError, Listener, listen
from relay_bot.control.operation import MAX_KEY_CHARS, Call, ErrorForm, Operation, read_parameters
from relay_bot.control.stream import Streaming, Streams
from relay_bot.observe import metrics
from relay_bot.plugin import Download
from relay_bot.settings import ControlSettings
from relay_bot.wire.refusal import Refuse

log = structlog.get_logger("control")


class _OneLine(logging.LoggerAdapter[logging.Logger]):
    """What aiohttp says of requests that are not HTTP: anybody can cause it, so it gets no traceback."""

    def process(self, msg: Any, kwargs: Any) -> tuple[Any, Any]:
        """See `logging.LoggerAdapter`."""
        error = kwargs.get("exc_info")
        if isinstance(error, HttpProcessingError):
            kwargs["exc_info"] = None
            return f"{msg}: {error.code} {type(error).__name__}", kwargs
        return msg, kwargs

    def exception(self, msg: object, *args: object, exc_info: Any = True, **kwargs: Any) -> None:
        """Log a malformed request as a warning, and all else as the error that it is."""
        level = logging.WARNING if isinstance(exc_info, HttpProcessingError) else logging.ERROR
        self.log(level, msg, *args, exc_info=exc_info, **kwargs)


_one_line: Final = _OneLine(logging.getLogger("aiohttp.server"))

WEBHOOK_PATH: Final = "/livekit/webhook"


class ControlServer:
    """Serves operations until it is stopped."""

    def __init__(
        self,
        settings: ControlSettings,
        guard: Guard,
        operations: Sequence[Operation],
        webhook: Callable[[web.Request], Awaitable[web.StreamResponse]],
        *,
        most_connections: int = 1000,
    ) -> None:
        self._settings = settings
        self._guard = guard
        self._cors = Cors(settings.allowed_origins)
        self._forwarded = Forwarded(settings.trusted_proxies)
        self._streams = Streams()
        self._app = web.Application(client_max_size=settings.max_body_bytes, middlewares=[self._answer])
        self._app.on_response_prepare.append(self._sign)
        self._app.router.add_post(WEBHOOK_PATH, webhook)
        self._methods: dict[str, set[str]] = {WEBHOOK_PATH: {"POST"}}
        self._public: set[tuple[str, str]] = {("POST", WEBHOOK_PATH)}  # it has LiveKit's signature
        for operation in operations:
            handler = self._handler(operation)
            for method in ("GET", "HEAD") if operation.method == "GET" else (operation.method,):
                self._app.router.add_route(method, operation.path, handler)
                self._methods.setdefault(operation.path, set()).add(method)
                if operation.public:
                    self._public.add((method, operation.path))
        self._forms = list({each.error_form.prefix: each.error_form for each in operations if each.error_form}.values())
        self._runner = web.AppRunner(
            self._app,
            access_log=None,
            handle_signals=False,
            shutdown_timeout=2.0,
            logger=_one_line,
            keepalive_timeout=3600,  # `Connections` cuts them before
            lingering_time=2.0,
        )
        self._connections: Connections | None = None
        self._most = most_connections
        self._listener: Listener | None = None
        self.address = ""

    async def start(self) -> None:
        """Open the endpoint; raises `ControlError`."""
        await self._runner.setup()
        try:
            self._listener = await listen(self._settings)
        except ControlError:
            await self._runner.cleanup()
            raise
        assert self._runner.server is not None
        self._connections = Connections(self._runner.server, self._most)
        self._connections.start(self._listener.sockets)
        self.address = self._listener.address
        log.info("control.open", address=self.address)

    async def stop(self) -> None:
        """Close the endpoint; requests under way get a moment, streams are told."""
        self._streams.stop()
        if self._connections is not None:
            await self._connections.stop()
        await self._runner.cleanup()
        if self._listener is not None:
            self._listener.close()

    async def _sign(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        self._cors.sign(request, response.headers)

    @web.middleware
    async def _answer(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        connection = None if self._connections is None else self._connections.of(request.transport)
        if connection is None:
            return await self._told(request, handler)
        connection.began()
        try:
            return await self._told(request, handler)
        finally:
            connection.answered()

    async def _told(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Guard a request and turn every failure into the published form."""
        resource = request.match_info.route.resource
        path = resource.canonical if resource else "unknown"
        form = next((each for each in self._forms if request.path.startswith(each.prefix)), None)
        told = functools.partial(_error, form=form)
        try:
            asked = self._cors.preflight(request, self._allowed(request))
            if asked is not None:
                self._guard.check(request, public=True)
                return asked
            public = (request.method, path) in self._public
            self._guard.check(request, public=public, any_host=path == WEBHOOK_PATH)
            response = await handler(request)
        except ApiError as error:
            response = told(error)
        except Refuse as refusal:
            response = told(from_refuse(refusal))
        except web.HTTPRequestEntityTooLarge:
            limit = self._settings.max_body_bytes
            response = told(ApiError(413, "invalid_request", f"a body has at most {limit} bytes", code="too_large"))
        except web.HTTPNotFound:
            response = told(ApiError(404, "not_found", "there is no such route; see /openapi.json"))
        except web.HTTPMethodNotAllowed:
            allowed = ", ".join(sorted(self._allowed(request)))
            response = told(ApiError(405, "invalid_request", f"allowed here: {allowed}"))
            response.headers["Allow"] = allowed
        except web.HTTPException as error:
            response = told(ApiError(error.status, "invalid_request", error.reason))
        except ConnectionError:
            raise  # whoever asked is gone
        except Exception:
            log.exception("control.failed", route=path)
            response = told(ApiError(500, "internal", "something went wrong here; it has been logged"))
        metrics.REQUESTS.labels(path, str(response.status)).inc()
        return response

    def _allowed(self, request: web.Request) -> set[str]:
        """Tell the methods of the route that a path means: the one with the fewest parameters, as written."""
        fits = [path for path in self._methods if _pattern(path).fullmatch(request.path)]
        return self._methods[min(fits, key=lambda path: path.count("{"))] if fits else set()

    def _handler(self, operation: Operation) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            parameters, raw = await read_parameters(operation, request)
            key = _idempotency_key(request)
            digest = "" if key is None else hashlib.blake2b(raw, digest_size=16).hexdigest()
            named = {each.name: request.headers.get(each.name, "") for each in operation.headers}
            if FORWARDED in named:
                named[FORWARDED] = self._forwarded.client(request)
            answer = await operation.run(Call(parameters, key, digest, named))
            match answer:
                case Streaming() if request.method == "HEAD":
                    answer.close()
                    return web.Response(content_type=answer.content_type, charset="utf-8")
                case web.StreamResponse():
                    return answer
                case Download():
                    return _download(answer)
                case Streaming():
                    return await self._streams.send(request, answer)
                case _:
                    return json_answer(answer, operation.status)

        return handle


@functools.cache
def _pattern(path: str) -> re.Pattern[str]:
    return re.compile("[^/]+".join(re.escape(part) for part in re.split(r"{\w+}", path)))


def _error(error: ApiError, form: ErrorForm | None = None) -> web.Response:
    headers: dict[str, str] = {}
    if error.retry_after_ms is not None or error.status == 503:
        headers["Retry-After"] = str(max(1, -(-(error.retry_after_ms or 0) // 1000)))
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    status, body = (error.status, error.body()) if form is None else form.tell(error)
    return json_answer(body, status, headers)


def json_answer(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """Make a JSON response of a struct or a mapping."""
    return web.Response(
        body=msgspec.json.encode(value),
        status=status,
        content_type="application/json",
        headers={"Cache-Control": "no-store", **(headers or {})},
    )


def _idempotency_key(request: web.Request) -> str | None:
    """Read the key that makes a POST safe to send again; it counts for one path. Raises `ApiError`."""
    key = request.headers.get("Idempotency-Key")
    if key is None or request.method != "POST":
        return None
    if not 1 <= len(key) <= MAX_KEY_CHARS or not (key.isascii() and key.isprintable()):
        raise ApiError(422, "invalid_request", f"an Idempotency-Key has 1 to {MAX_KEY_CHARS} ASCII characters")
    return f"{request.method} {request.path} {key}"


def _download(download: Download) -> web.Response:
    headers = {
        "Content-Disposition": f'attachment; filename="{download.filename}"',
        "X-Content-Type-Options": "nosniff",
    }
    return web.Response(body=download.content, content_type=download.content_type, charset="utf-8", headers=headers)
