"""Who may talk to the endpoint."""

import asyncio
import errno
import os
import stat
from pathlib import Path

import aiohttp
import pytest

from relay_bot.control.guard import control_token
from relay_bot.settings import ControlSettings, SettingsError
from tests.control.support import TOKEN, Endpoint, open_endpoint

PROBES = ["/health", "/ready", "/metrics"]
PUBLIC = ["/health", "/ready", "/metrics", "/openapi.json"]


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Basic {TOKEN}",
        TOKEN,
        "Bearer tökén",
        "Bearer \udcff\udcfe",
    ],
)
async def test_without_the_token_nothing_is_served(endpoint: Endpoint, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    for path in ("/v1/halls", "/v1/nowhere", f"{endpoint.hall}/events"):
        answer = await endpoint.call("GET", path, token=None, headers=headers)
        assert answer.error == (401, "unauthorized", "unauthorized")
        assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_with_it_all_is(endpoint: Endpoint) -> None:
    assert (await endpoint.call("GET", "/v1/halls")).status == 200
    answer = await endpoint.call("GET", "/v1/halls", token=None, headers={"authorization": f"bearer  {TOKEN} "})
    assert answer.status == 200, "the scheme's case and spaces don't matter"


async def test_a_token_that_is_not_ascii(tmp_path: Path) -> None:
    """Compared as bytes: comparing text would raise."""
    assert control_token(ControlSettings(token="schlüssel"), tmp_path) == "schlüssel"


@pytest.mark.parametrize("path", PUBLIC)
async def test_what_is_public(endpoint: Endpoint, path: str) -> None:
    assert (await endpoint.call("GET", path, token=None)).status == 200
    assert (await endpoint.call("POST", path, {}, token=None)).status == 401, "only to read"


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8787", "127.0.0.1.evil.example", "[::2]:80", "localhost."]
)
async def test_a_foreign_host_is_refused(endpoint: Endpoint, host: str) -> None:
    by_address = host.startswith("[")
    for path in ("/v1/halls", *PUBLIC):
        answer = await endpoint.call("GET", path, headers={"Host": host})
        if by_address and path in PROBES:
            assert answer.status == 200, "a probe may use whatever address the pod has"
        else:
            assert answer.error == (403, "forbidden", "forbidden")


@pytest.mark.parametrize("host", ["127.0.0.1", "LOCALHOST:1", "[::1]:99", "127.0.0.1:8787"])
async def test_our_own_hosts(endpoint: Endpoint, host: str) -> None:
    assert (await endpoint.call("GET", "/v1/halls", headers={"Host": host})).status == 200


async def test_configured_hosts(tmp_path: Path) -> None:
    async with open_endpoint(tmp_path, allowed_hosts=("Bot.Internal",)) as endpoint:
        assert (await endpoint.call("GET", "/v1/halls", headers={"Host": "bot.internal:80"})).status == 200
        assert (await endpoint.call("GET", "/v1/halls")).status == 200, "the configured address itself"


async def test_no_host_at_all(endpoint: Endpoint) -> None:
    host, _, port = endpoint.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET /v1/halls HTTP/1.0\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode())
    assert (await reader.read()).startswith(b"HTTP/1.0 403")
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "", "http://127.0.0.1:8787"])
async def test_web_pages_are_refused(endpoint: Endpoint, origin: str) -> None:
    for method, path in (
        ("GET", "/v1/halls"),
        ("GET", "/health"),
        ("POST", "/livekit/webhook"),
        ("OPTIONS", "/v1/halls"),
    ):
        answer = await endpoint.call(method, path, headers={"Origin": origin})
        assert answer.error == (403, "forbidden", "forbidden")


async def test_a_configured_origin(tmp_path: Path) -> None:
    async with open_endpoint(tmp_path, allowed_origins=("https://desk.example",)) as endpoint:
        assert (await endpoint.call("GET", "/v1/halls", headers={"Origin": "https://desk.example"})).status == 200
        assert (await endpoint.call("GET", "/v1/halls", headers={"Origin": "https://other.example"})).status == 403


# -- the token's file ---------------------------------------------------------------------------------


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_token_is_made_once_and_kept_for_us_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        token = control_token(ControlSettings(), tmp_path)
    finally:
        os.umask(before)
    file = tmp_path / ".relay/control-token"
    assert mode(file) == 0o600
    assert len(token) >= 40
    assert control_token(ControlSettings(), tmp_path) == token == file.read_text().strip()


def test_a_configured_token_makes_no_file(tmp_path: Path) -> None:
    assert control_token(ControlSettings(token="configured"), tmp_path) == "configured"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "\n", "short"])
def test_an_empty_file_is_no_token(tmp_path: Path, text: str) -> None:
    (tmp_path / "token").write_text(text)
    with pytest.raises(SettingsError, match="holds no token"):
        control_token(ControlSettings(token_file="token"), tmp_path)


def test_a_file_that_others_can_read_is_closed_to_them(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("a-token-that-is-long-enough")
    file.chmod(0o644)
    assert control_token(ControlSettings(token_file="token"), tmp_path) == "a-token-that-is-long-enough"
    assert mode(file) == 0o600


def test_a_file_that_is_mounted_for_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, mode: int) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    file = tmp_path / "token"
    file.write_text("a-token-that-is-long-enough")
    file.chmod(0o644)
    monkeypatch.setattr(Path, "chmod", refuse)
    assert control_token(ControlSettings(token_file="token"), tmp_path) == "a-token-that-is-long-enough"


def test_a_place_that_can_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=r"control\.token_file: .*/file/token can't be used"):
        control_token(ControlSettings(token_file="file/token"), tmp_path)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "bot.example"])
def test_beyond_this_machine_only_with_a_token_of_ones_own(tmp_path: Path, host: str) -> None:
    with pytest.raises(SettingsError, match="RELAY_CONTROL_TOKEN"):
        control_token(ControlSettings(host=host), tmp_path)
    with pytest.raises(SettingsError, match="at least 32"):
        control_token(ControlSettings(host=host, token="x" * 31), tmp_path)
    assert control_token(ControlSettings(host=host, token="x" * 32), tmp_path) == "x" * 32
    assert control_token(ControlSettings(host=host, socket="relay.sock"), tmp_path), "the host is not used then"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_needs_none(tmp_path: Path, host: str) -> None:
    assert control_token(ControlSettings(host=host), tmp_path)


# -- the Unix socket ------------------------------------------------------------------------------------


async def test_a_unix_socket_is_ours_alone(tmp_path: Path) -> None:
    path = tmp_path / "relay.sock"
    before = os.umask(0)
    try:
        async with open_endpoint(tmp_path, socket=str(path)):
            assert mode(path) == 0o600
            async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as client:
                headers = {"Authorization": f"Bearer {TOKEN}"}
                async with client.get("http://any.host/v1/halls", headers=headers) as answer:
                    assert answer.status == 200, "the Host is not checked"
                async with client.get("http://any.host/v1/halls") as answer:
                    assert answer.status == 401, "the token is"
                async with client.get("http://any.host/v1/halls", headers=headers | {"Origin": "x"}) as answer:
                    assert answer.status == 403, "and the Origin"
    finally:
        os.umask(before)
    assert not path.exists()
