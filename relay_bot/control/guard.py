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
MIN_PUBLIC_TOKEN_CHARS: Final = 32
"""Of a token that other machines can try to guess."""
PROBES: Final = frozenset({"/health", "/ready", "/metrics"})
"""What orchestrators and Prometheus ask for, by whatever address the machine or pod has just then."""


def control_token(settings: ControlSettings, base: Path) -> str:
    """Give the token: the configured one, or one that is generated once and kept in a file of mode 0600.

    Raises `SettingsError` where the endpoint would be reachable from outside with a generated one.
    """
    if problem := exposed(settings):
        raise SettingsError(problem)
    if settings.token:
        return settings.token
    path = base / settings.token_file
    try:
        return _kept_token(path) if path.exists() else _new_token(path)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"control.token_file: {path} can't be used: {error}; or set RELAY_CONTROL_TOKEN") from error


def exposed(settings: ControlSettings) -> str:
    """Tell why the endpoint may not be opened beyond this machine as it is configured; empty = it may."""
    if settings.socket or _is_loopback(settings.host):
        return ""
    where = f"control.host: {settings.host} is reachable from other machines"
    if not settings.token:
        return f"{where}: set RELAY_CONTROL_TOKEN, or use 127.0.0.1"
    if len(settings.token) < MIN_PUBLIC_TOKEN_CHARS:
        return (
            f"{where}, and control.token has {len(settings.token)} characters: set RELAY_CONTROL_TOKEN to one of at "
            f"least {MIN_PUBLIC_TOKEN_CHARS}, such as `openssl rand -hex 32` makes"
        )
    return ""


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
        try:
            path.chmod(0o600)
            log.warning("control.token_was_readable", file=str(path))
        except OSError as error:  # mounted for reading, or another user's: whoever put it there chose its mode
            log.warning("control.token_is_readable", file=str(path), error=error.strerror)
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
        entries = [entry.lower().strip("[]") for entry in (settings.host, *settings.allowed_hosts)]
        self._networks = [network for entry in entries if "/" in entry and (network := _network(entry)) is not None]
        self._hosts = {entry for entry in entries if "/" not in entry}

    def check(self, request: web.Request, *, public: bool, any_host: bool = False) -> None:
        """Let a request through, or raise `ApiError` (401, 403).

        The Host header must be one of ours and a page's Origin is refused: else any web page that the
        operator opens could reach an endpoint on their machine (DNS rebinding). `any_host` is for what
        carries a signature: LiveKit calls us by the name in its own configuration.
        """
        if not (self._settings.socket or any_host or self._serves(request)):
            raise ApiError(403, "forbidden", "this Host is not served; see control.allowed_hosts")
        self.check_origin(request)
        if public:
            return
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        # On bytes: comparing str would raise for what is not ASCII.
        same = hmac.compare_digest(given.strip().encode("utf-8", "surrogateescape"), self._token)
        if scheme.lower() != "bearer" or not same:
            raise ApiError(401, "unauthorized", "expected Authorization: Bearer and the control token")

    def check_origin(self, request: web.Request) -> None:
        """Refuse web pages but those that may call; raises `ApiError` (403)."""
        origin = request.headers.get("Origin")
        if origin is not None and origin not in self._settings.allowed_origins:
            raise ApiError(403, "forbidden", "web pages are not served; see control.allowed_origins")

    def _serves(self, request: web.Request) -> bool:
        """Tell whether a request's Host is one of ours.

        The probes answer to any IP address: a pod's is not known beforehand, and a page that was brought here
        by DNS rebinding names itself in Host, never an address.
        """
        host = _host_of(request)
        if host in self._hosts:
            return True
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        return request.path in PROBES or any(address in network for network in self._networks)


def _network(entry: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return None


def _host_of(request: web.Request) -> str:
    host = request.headers.get("Host", "")
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()
