"""For whom a request was made: `X-Forwarded-For`, read only as far as those are trusted who wrote it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Final

from aiohttp import web

from relay_bot.settings import SettingsError

FORWARDED: Final = "X-Forwarded-For"
_MAX_CHARS: Final = 64


class Forwarded:
    """Reads the header from the right: each trusted proxy added there whom it was asked by."""

    def __init__(self, trusted: Iterable[str]) -> None:
        try:
            self._trusted = [ipaddress.ip_network(entry, strict=False) for entry in trusted]
        except ValueError as error:
            raise SettingsError(f"control.trusted_proxies: {error}") from None

    def client(self, request: web.Request) -> str:
        """Give the client that the nearest untrusted entry names; empty where nobody trusted named one."""
        transport = request.transport
        peer = "" if transport is None else transport.get_extra_info("peername")
        if not isinstance(peer, str) and not self._trusts(str(peer[0])):  # a Unix socket is this user's alone
            return ""
        said = ",".join(request.headers.getall(FORWARDED, []))
        entries = [entry for part in said.split(",") if (entry := part.strip())]
        nearest = next((entry for entry in reversed(entries) if not self._trusts(entry)), "")
        return (nearest or (entries[0] if entries else ""))[:_MAX_CHARS]

    def _trusts(self, entry: str) -> bool:
        try:
            address = ipaddress.ip_address(entry.strip("[]").partition("%")[0])
        except ValueError:
            return False
        plain = getattr(address, "ipv4_mapped", None) or address
        return any(plain in network for network in self._trusted)
