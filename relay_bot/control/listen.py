"""Opening the control endpoint's socket: a port, or a Unix socket that only this user can use."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from pathlib import Path
from typing import Any

from aiohttp import web

from relay_bot.settings import ControlSettings


class ControlError(Exception):
    """The endpoint can't be opened; the text says why and what to do."""


class Listener:
    """Where the endpoint is open; `close` takes a Unix socket's file away."""

    def __init__(self, address: str, file: Path | None = None) -> None:
        self.address = address
        self._file = file
        self._inode = file.lstat().st_ino if file else 0

    def close(self) -> None:
        """Remove the socket's file, unless another bot has put its own there."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                if self._file.lstat().st_ino == self._inode:
                    self._file.unlink()


async def listen(runner: web.AppRunner, settings: ControlSettings) -> Listener:
    """Open the endpoint; raises `ControlError`."""
    try:
        if settings.socket:
            return await _on_unix(runner, Path(settings.socket))
        return await _on_tcp(runner, settings)
    except OSError as error:
        key, where = ("socket", settings.socket) if settings.socket else ("port", f"{settings.host}:{settings.port}")
        busy = error.errno == errno.EADDRINUSE
        why = "is in use, by another bot perhaps" if busy else f"can't be used: {error.strerror or error}"
        raise ControlError(f"control.{key}: {where} {why}; set another control.{key}") from error


async def _on_tcp(runner: web.AppRunner, settings: ControlSettings) -> Listener:
    await web.TCPSite(runner, settings.host, settings.port, reuse_address=True).start()
    address: Any = runner.addresses[0]
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    return Listener(f"http://{host}:{address[1]}")


async def _on_unix(runner: web.AppRunner, path: Path) -> Listener:
    _make_way(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        before = os.umask(0o177)  # the socket is made with mode 0600, not narrowed to it afterwards
        try:
            listener.bind(str(path))
        finally:
            os.umask(before)
        await web.SockSite(runner, listener).start()
    except BaseException:
        listener.close()
        raise
    return Listener(f"unix:{path}", path)


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
