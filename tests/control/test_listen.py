"""Opening the endpoint: what stands in the way is told in one line."""

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from relay_bot.control.listen import ControlError
from tests.control.support import open_endpoint


async def refused(folder: Path, **control: Any) -> str:
    with pytest.raises(ControlError) as caught:
        async with open_endpoint(folder, **control):
            pass
    text = str(caught.value)
    assert "\n" not in text
    return text


async def test_a_busy_port(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        text = await refused(tmp_path, port=port)
    assert text == f"control.port: 127.0.0.1:{port} is in use, by another bot perhaps; set another control.port"


async def test_an_address_that_is_not_here(tmp_path: Path) -> None:
    assert "192.0.2.1:0 can't be used" in await refused(tmp_path, host="192.0.2.1")


async def test_a_socket_that_another_bot_serves(tmp_path: Path) -> None:
    path = tmp_path / "relay.sock"
    (tmp_path / "other").mkdir()
    async with open_endpoint(tmp_path, socket=str(path)):
        text = await refused(tmp_path / "other", socket=str(path))
        assert path.exists()
    assert text == f"control.socket: {path} is in use, by another bot perhaps; set another control.socket"


async def test_a_socket_that_a_killed_bot_left(tmp_path: Path) -> None:
    path = tmp_path / "relay.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    async with open_endpoint(tmp_path, socket=str(path)) as endpoint:
        assert endpoint.url == f"unix:{path}"


async def test_a_file_in_the_sockets_place_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "relay.sock"
    path.write_text("precious")
    assert "not a socket" in await refused(tmp_path, socket=str(path))
    assert path.read_text() == "precious"


async def test_another_bots_socket_is_not_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "relay.sock"
    async with open_endpoint(tmp_path, socket=str(path)):
        path.unlink()
        other = await asyncio.start_unix_server(lambda reader, writer: None, str(path))
    assert path.exists()
    other.close()
    await other.wait_closed()


async def test_a_failed_start_leaves_nothing_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cleaned: list[web.AppRunner] = []
    cleanup = web.AppRunner.cleanup

    async def counted(self: web.AppRunner) -> None:
        cleaned.append(self)
        await cleanup(self)

    monkeypatch.setattr(web.AppRunner, "cleanup", counted)
    (tmp_path / "relay.sock").write_text("")
    await refused(tmp_path, socket=str(tmp_path / "relay.sock"))
    assert cleaned
