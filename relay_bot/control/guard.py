"""Who may talk to the control endpoint: programs on this machine that have the token, and no web page."""

from __future__ import annotations

import hmac
import ipaddress
import os
import secrets
from pathlib import Path

import structlog
from aiohttp import web

from relay_bot.control.errors import ApiError
from relay_bot.settings import ControlSettings, SettingsError

log = structlog.get_logger("control")


def control_token(settings: ControlSettings, base: Path) -> str:
    """Give the token: the configured one, or one that is generated once and kept in a file of mode 0600.

    Raises `SettingsError` where the endpoint would be reachable from outside with a generated one.
    """
    if settings.token:
        return settings.token
    if not settings.socket and not _is_loopback(settings.host):
        raise SettingsError(
            f"control.host: {settings.host} is reachable from other machines: set RELAY_CONTROL_TOKEN, or use 127.0.0.1"
        )
    path = base / settings.token_file
    if path.is_file():
        return path.read_text(encoding="ascii").strip()
    token = secrets.token_urlsafe(32)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(token + "\n")
    log.info("control.token_generated", file=str(path))
    return token


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Guard:
    """Checks every request before anything else sees it."""

    def __init__(self, settings: ControlSettings, token: str) -> None:
        self._settings = settings
        self._token = token.encode()

    def check(self, request: web.Request, *, public: bool) -> None:
        """Let a request through, or raise `ApiError` (401, 403).

        The Host header must be one of ours and a page's Origin is refused: else any web page that the
        operator opens could reach an endpoint on their machine (DNS rebinding).
        """
        if not self._settings.socket and _host_of(request) not in self._settings.allowed_hosts:
            raise ApiError(403, "forbidden", "this Host is not served; see control.allowed_hosts")
        origin = request.headers.get("Origin")
        if origin is not None and origin not in self._settings.allowed_origins:
            raise ApiError(403, "forbidden", "web pages are not served; see control.allowed_origins")
        if public:
            return
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        # On bytes: comparing str would raise for what is not ASCII.
        same = hmac.compare_digest(given.strip().encode("utf-8", "surrogateescape"), self._token)
        if scheme.lower() != "bearer" or not same:
            raise ApiError(401, "unauthorized", "expected Authorization: Bearer and the control token")


def _host_of(request: web.Request) -> str:
    host = request.headers.get("Host", "")
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()
