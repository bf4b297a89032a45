"""An operation: one HTTP route with its types, from which requests are checked and OpenAPI is made."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec
import orjson
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from relay_bot.control.errors import ApiError
from relay_bot.observe import metrics
from relay_bot.wire.body import Request
from relay_bot.wire.envelope import field_of, too_deep
from relay_bot.wire.whole import convert_whole

_PATH_PART: Final = re.compile(r"{(\w+)}")
_READ_SECONDS: Final = 10.0
"""How long a body may take."""
MAX_KEY_CHARS: Final = 200
"""The bound of an Idempotency-Key."""


class Call(msgspec.Struct, frozen=True):
    """A request that has been checked: its parameters, and what makes it safe to send again."""

    request: Any
    idempotency_key: str | None
    digest: str
    headers: Mapping[str, str] = {}
    """The headers that the operation names; others are left out."""


Run = Callable[[Call], Awaitable[Any]]


class Header(msgspec.Struct, frozen=True):
    """A header that an operation reads, beside those that all have."""

    name: str
    description: str


class ErrorForm(msgspec.Struct, frozen=True):
    """How errors look on all paths that begin with `prefix`, where their published text has a form of its own."""

    prefix: str
    tell: Callable[[ApiError], tuple[int, Any]]
    """Gives an error's status and body."""


class Operation(msgspec.Struct, frozen=True):
    """One route. `run` gives what is sent as JSON, a `Download`, a `Streaming`, or an aiohttp response of its own."""

    method: str
    path: str
    tag: str
    summary: str
    request_type: type[Request]
    answer_type: Any
    run: Run
    status: int = 200
    public: bool = False
    """Served without the bearer token."""
    headers: tuple[Header, ...] = ()
    description: str = ""
    example: Any = None
    """A body that the documentation shows, from the published text where there is one."""
    answer_example: Any = None
    errors: tuple[int, ...] = ()
    """Statuses of errors that only such operations have."""
    other_answers: Mapping[int, Any] = {}
    """Types of answers with other statuses that are no errors in the published form."""
    content_type: str = "application/json"
    files: tuple[str, ...] = ()
    """The content types of a `Download`; without them any is possible."""
    error_form: ErrorForm | None = None

    def path_names(self) -> list[str]:
        """List the parameters in the path."""
        return _PATH_PART.findall(self.path)


async def read_body(request: web.Request) -> bytes:
    """Read a body, for a limited time; raises `ApiError` (408, 400)."""
    try:
        async with asyncio.timeout(_READ_SECONDS):
            return await request.read()
    except TimeoutError:
        metrics.CONNECTIONS_CUT.labels("body").inc()
        raise ApiError(408, "invalid_request", "the body did not arrive in time") from None
    except (web.RequestPayloadError, HttpProcessingError):
        raise ApiError(400, "invalid_request", "the body is not as Content-Encoding or its length says") from None


async def read_parameters(operation: Operation, request: web.Request) -> tuple[Any, bytes]:
    """Read and check what a request brings; gives the parameters and the raw body. Raises `ApiError`."""
    raw = b""
    values: dict[str, Any] = {}
    if operation.method == "POST":
        raw = await read_body(request)
        values = _json_object(request, raw)
    else:
        values = dict(request.query)
    strict = operation.method == "POST"
    twice = values.keys() & request.match_info.keys()
    if twice and operation.request_type.__struct_config__.forbid_unknown_fields:
        name = min(twice)
        raise ApiError(422, "validation_error", f"{name}: it stands in the path already", field=name)
    values |= request.match_info
    try:
        return convert_whole(values, operation.request_type, strict=strict), raw
    except msgspec.ValidationError as error:
        text, path = field_of(error, "")
        field = path.removeprefix(".") or None
        place = f"{field}: " if field else ""
        kind = "invalid_request" if field in request.match_info else "validation_error"
        raise ApiError(422, kind, f"{place}{text}", field=field) from None


def _json_object(request: web.Request, raw: bytes) -> dict[str, Any]:
    if not raw:
        return {}
    if request.content_type != "application/json":
        raise ApiError(415, "invalid_request", "expected Content-Type: application/json")
    if too_deep(raw):
        raise ApiError(422, "invalid_request", "the JSON body is nested too deep")
    try:
        found = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise ApiError(422, "invalid_request", f"the body is not valid JSON: {error}") from None
    if not isinstance(found, dict):
        raise ApiError(422, "invalid_request", "expected a JSON object")
    return found  # type: ignore[reportUnknownVariableType]  (JSON)
