"""Who may talk to the control endpoint: programs on this machine that have the token, and no web page."""

from __future__ import annotations

import hmac
import ipaddress
import os
import secrets
from pathlib import Path
from typing import Final

import structlog
from aiohttp import web

from relay_bot.control.errors import ApiError
from relay_bot.settings import ControlSettings, SettingsError

log = structlog.get_logger("control")

_MIN_TOKEN_CHARS: Final = 16
"""A shorter file was cut off while it was written: an empty token would let everybody in."""


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
    try:
        return _kept_token(path) if path.exists() else _new_token(path)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"control.token_file: {path} can't be used: {error}; or set RELAY_CONTROL_TOKEN") from error


def _new_token(path: Path) -> str:
    token = secrets.token_urlsafe(32)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:  # another bot was faster
        return _kept_token(path)
    with os.fdopen(descriptor, "w") as file:
        file.write(token + "\n")
    log.info("control.token_generated", file=str(path))
    return token


def _kept_token(path: Path) -> str:
    if path.stat().st_mode & 0o077:
        path.chmod(0o600)
        log.warning("control.token_was_readable", file=str(path))
    token = path.read_text(encoding="ascii").strip()
    if len(token) < _MIN_TOKEN_CHARS:
        raise SettingsError(f"control.token_file: {path} holds no token; remove it, and a new one is made")
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
        self._hosts = {host.lower() for host in (settings.host, *settings.allowed_hosts)}

    def check(self, request: web.Request, *, public: bool, any_host: bool = False) -> None:
        """Let a request through, or raise `ApiError` (401, 403).

        The Host header must be one of ours and a page's Origin is refused: else any web page that the
        operator opens could reach an endpoint on their machine (DNS rebinding). `any_host` is for what
        carries a signature: LiveKit calls us by the name in its own configuration.
        """
        if not (self._settings.socket or any_host) and _host_of(request) not in self._hosts:
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
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()
