"""Opening the control endpoint's socket: a port, or a Unix socket that only this user can use."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import stat
from pathlib import Path

from relay_bot.settings import ControlSettings


class ControlError(Exception):
    """The endpoint can't be opened; the text says why and what to do."""


class Listener:
    """Where the endpoint is open: sockets that are bound; `close` takes a Unix socket's file away."""

    def __init__(self, address: str, sockets: list[socket.socket], file: Path | None = None) -> None:
        self.address = address
        self.sockets = sockets
        self._file = file
        self._inode = file.lstat().st_ino if file else 0

    def close(self) -> None:
        """Remove the socket's file, unless another bot has put its own there."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                if self._file.lstat().st_ino == self._inode:
                    self._file.unlink()


async def listen(settings: ControlSettings) -> Listener:
    """Open the endpoint; raises `ControlError`."""
    try:
        if settings.socket:
            return _on_unix(Path(settings.socket))
        return await _on_tcp(settings)
    except OSError as error:
        key, where = ("socket", settings.socket) if settings.socket else ("port", f"{settings.host}:{settings.port}")
        busy = error.errno == errno.EADDRINUSE
        why = "is in use, by another bot perhaps" if busy else f"can't be used: {error.strerror or error}"
        raise ControlError(f"control.{key}: {where} {why}; set another control.{key}") from error


async def _on_tcp(settings: ControlSettings) -> Listener:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    try:
        port = settings.port
        for family, kind, protocol, _, address in dict.fromkeys(found):
            sockets.append(_bound(family, kind, protocol, (address[0], port, *address[2:])))
            port = port or sockets[0].getsockname()[1]  # port 0 is one port, by all of the host's addresses
    except OSError:
        for each in sockets:
            each.close()
        raise
    host, port, *_ = sockets[0].getsockname()
    return Listener(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}", sockets)


def _bound(family: int, kind: int, protocol: int, address: tuple[str | int, ...]) -> socket.socket:
    made = socket.socket(family, kind, protocol)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:  # `::` means all addresses, IPv4's too
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if address[0] == "::" else 1)
        made.bind(address)
        made.listen()
    except OSError:
        made.close()
        raise
    return made


def _on_unix(path: Path) -> Listener:
    _make_way(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        before = os.umask(0o177)  # the socket is made with mode 0600, not narrowed to it afterwards
        try:
            listener.bind(str(path))
        finally:
            os.umask(before)
        listener.listen()
    except BaseException:
        listener.close()
        raise
    return Listener(f"unix:{path}", [listener], path)


def _make_way(path: Path) -> None:
    """Remove what a bot that is gone has left; raises `OSError` for anything else that is there."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OSError(errno.EEXIST, "there is a file, and it is not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise OSError(errno.EADDRINUSE, "in use")
