"""Calls by web pages: those of `control.allowed_origins`, as the Fetch standard has them ask (CORS).

No cookies are allowed: a page shows the token as any other caller does. So nothing that a browser keeps by
itself can be used by a page, and no answer says `Access-Control-Allow-Credentials`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from aiohttp import web
from multidict import CIMultiDict

_HEADERS: Final = "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, X-Forwarded-For"
_EXPOSED: Final = "Retry-After, Allow, WWW-Authenticate, Content-Disposition"
_KEPT_SECONDS: Final = 600


class Cors:
    """Says to browsers which pages may call."""

    def __init__(self, origins: Collection[str]) -> None:
        self._origins = frozenset(origins)

    def sign(self, request: web.BaseRequest, headers: CIMultiDict[str]) -> None:
        """Add to any answer what lets the page read it."""
        if not self._origins:
            return
        headers.add("Vary", "Origin")
        origin = request.headers.get("Origin", "")
        if origin in self._origins:
            headers["Access-Control-Allow-Origin"] = origin
            headers["Access-Control-Expose-Headers"] = _EXPOSED

    def preflight(self, request: web.Request, methods: Collection[str]) -> web.Response | None:
        """Answer a browser that asks whether it may call; `None` where it is something else."""
        allowed = request.headers.get("Origin", "") in self._origins
        if request.method != "OPTIONS" or not allowed or "Access-Control-Request-Method" not in request.headers:
            return None
        headers = {
            "Access-Control-Allow-Methods": ", ".join(sorted(methods)),
            "Access-Control-Allow-Headers": _HEADERS,
            "Access-Control-Max-Age": str(_KEPT_SECONDS),
        }
        if request.headers.get("Access-Control-Request-Private-Network") == "true":
            headers["Access-Control-Allow-Private-Network"] = "true"
        response = web.Response(status=204, headers=headers)
        response.headers.add("Vary", "Access-Control-Request-Method, Access-Control-Request-Headers")
        return response
