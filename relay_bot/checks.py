"""What a configuration says that can't work, beyond the types of its values: all of it at once."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from relay_bot.control.guard import exposed
from relay_bot.paths import settled, sqlite_file
from relay_bot.settings import ControlSettings, Settings

_HOST = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?\.?\Z", re.IGNORECASE)
_SCHEMES = ("ws", "wss", "http", "https")


def faults(settings: Settings, base: Path) -> list[str]:
    """List what is wrong, each with its path and what to write; `base` is where relative paths start."""
    settings = settled(settings, base)
    return [
        *_livekit(settings),
        *_database(settings.storage.url),
        *_control(settings.control),
    ]


def _livekit(settings: Settings) -> Iterator[str]:
    yield from _url("livekit.url", settings.livekit.url)
    if settings.control.public_livekit_url:
        yield from _url("control.public_livekit_url", settings.control.public_livekit_url)


def _url(place: str, url: str) -> Iterator[str]:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in _SCHEMES and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable:
        yield f"{place}: expected an address such as ws://127.0.0.1:7880 or wss://livekit.example, got {url!r}"


def _database(url: str) -> Iterator[str]:
    file = sqlite_file(url)
    if file is None:
        yield "storage.url: expected sqlite:///<a file>; no other database is supported yet"
    elif not file.parent.is_dir():
        yield f"storage.url: the folder {file.parent} does not exist; make it, or name another"


def _control(control: ControlSettings) -> Iterator[str]:
    if problem := exposed(control):
        yield problem
    if control.socket and not Path(control.socket).parent.is_dir():
        yield f"control.socket: the folder {Path(control.socket).parent} does not exist"
    for entry in control.allowed_hosts:
        if problem := _host_problem(entry):
            yield f"control.allowed_hosts: {problem}, got {entry!r}"
    for entry in control.allowed_origins:
        if problem := _origin_problem(entry):
            yield f"control.allowed_origins: {problem}, got {entry!r}"
    for entry in control.trusted_proxies:
        if not _is_network(entry):
            yield f"control.trusted_proxies: expected an address or a network such as 10.0.0.0/8, got {entry!r}"


def _host_problem(entry: str) -> str:
    """Tell why no Host header can be this; empty = one can."""
    if _is_network(entry):
        return ""
    if "*" in entry:
        return "there are no patterns; list the names, or a network such as 10.0.0.0/8"
    if entry.startswith("["):
        return "an IPv6 address is written without brackets and port, such as ::1"
    if "://" in entry:
        return "expected a name without a scheme"
    if ":" in entry:
        return "expected a name or an address without a port"
    return "" if _HOST.match(entry) else "expected a name, an address or a network"


def _origin_problem(entry: str) -> str:
    """Tell why no Origin header can be this; empty = one can."""
    if "*" in entry:
        return "there are no patterns; list the origins, such as https://desk.example"
    try:
        parts = urlsplit(entry)
        origin = f"{parts.scheme}://{parts.netloc}"
        usable = bool(parts.scheme and parts.hostname) and entry == origin == origin.lower() and "@" not in entry
    except ValueError:
        usable = False
    return (
        "" if usable else "expected scheme and host in small letters with nothing behind, such as https://desk.example"
    )


def _is_network(entry: str) -> bool:
    try:
        ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return False
    return True
