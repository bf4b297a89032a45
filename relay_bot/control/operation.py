"""An operation: one HTTP route with its types, from which requests are checked and OpenAPI is made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import orjson
from aiohttp import web

from relay_bot.control.errors import ApiError
from relay_bot.wire.body import Request
from relay_bot.wire.envelope import field_of, too_deep


class Call(msgspec.Struct, frozen=True):
    """A request that has been checked: its parameters, and what makes it safe to send again."""

    request: Any
    idempotency_key: str | None
    digest: str


Run = Callable[[Call], Awaitable[Any]]


class Operation(msgspec.Struct, frozen=True):
    """One route. `run` gives what is sent as JSON, a `Download`, or an aiohttp response of its own."""

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


async def read_parameters(operation: Operation, request: web.Request) -> tuple[Any, bytes]:
    """Read and check what a request brings; gives the parameters and the raw body. Raises `ApiError`."""
    raw = b""
    values: dict[str, Any] = {}
    if operation.method == "POST":
        raw = await request.read()
        values = _json_object(request, raw)
    else:
        values = dict(request.query)
    lax = operation.method != "POST"
    for name, value in request.match_info.items():
        values[name] = value
    try:
        return msgspec.convert(values, operation.request_type, strict=not lax), raw
    except msgspec.ValidationError as error:
        text, path = field_of(error, "")
        field = path.removeprefix(".") or None
        place = f"{field}: " if field else ""
        raise ApiError(422, "validation_error", f"{place}{text}", field=field) from None


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
    return found  # type: ignore[reportUnknownVariableType]
