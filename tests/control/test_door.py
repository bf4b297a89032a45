"""How the endpoint is reached: connections and their limits, web pages, proxies, methods, bodies of odd form."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from relay_bot.control import connections, operation
from relay_bot.control.connections import Connections
from relay_bot.control.forwarded import Forwarded
from relay_bot.observe import metrics
from tests.control.support import TOKEN, Answer, Endpoint, open_endpoint
from tests.control.test_webhook import event, signature

DESK = "https://desk.example"


def cut(reason: str) -> float:
    counted: Any = metrics.CONNECTIONS_CUT.labels(reason)
    return counted._value.get()


async def dial(endpoint: Endpoint, text: str = "") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = endpoint.url.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    writer.write(text.encode())
    return reader, writer


async def ended(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(20):
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""


# -- connections by which nothing comes ---------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "GET /health HTT", "GET /health HTTP/1.1\r\nHost: localhost\r\nX-A: "])
async def test_a_request_that_does_not_come(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.2)
    before = cut("head")
    reader, writer = await dial(endpoint, text)
    assert await ended(reader) == b""
    assert cut("head") == before + 1
    writer.close()


async def test_half_a_second_request(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.2)
    reader, writer = await dial(endpoint, "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert b"200" in await reader.readuntil(b"\r\n")
    writer.write(b"GET /hea")
    assert b'"ok"' in await ended(reader)
    writer.close()


async def test_a_request_under_way_is_not_cut(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.1)
    monkeypatch.setattr(connections, "KEPT_SECONDS", 0.1)
    monkeypatch.setattr(connections, "_SWEEP_SECONDS", 0.02)
    asked = asyncio.Event()

    async def slowly() -> bool:
        asked.set()
        await asyncio.sleep(1.5)
        return True

    monkeypatch.setattr(endpoint.halls, "hears_livekit", slowly)
    assert (await endpoint.call("GET", "/ready")).status == 200
    assert asked.is_set()


@pytest.mark.parametrize("path", ["/livekit/webhook", "/v1/rooms"])
async def test_a_body_that_does_not_come(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setattr(operation, "_READ_SECONDS", 0.1)
    before = cut("body")
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 9\r\n"
    reader, writer = await dial(endpoint, head + "Content-Type: application/json\r\n\r\n{")
    async with asyncio.timeout(10):
        assert b" 408 " in await reader.readuntil(b"\r\n")
    assert cut("body") == before + 1
    await ended(reader)
    writer.close()


async def test_with_too_many_an_idle_one_goes(tmp_path: Path) -> None:
    """As many as there may be: who says nothing makes room for who asks."""
    async with open_endpoint(tmp_path) as endpoint:
        assert endpoint.server is not None
        assert endpoint.server._connections is not None
        endpoint.server._connections._most = 20
        idle = [await dial(endpoint) for _ in range(60)]
        async with asyncio.timeout(5):
            assert (await endpoint.call("GET", "/health")).status == 200
        assert len(endpoint.server._connections._open) <= 20
        for _, writer in idle:
            writer.close()


async def test_without_descriptors_it_pauses_and_says_it_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(connections, "_PAUSE_SECONDS", 0.05)
    refusals = 3

    class Refusing(socket.socket):
        def accept(self) -> tuple[socket.socket, Any]:
            nonlocal refusals
            if refusals > 0:
                refusals -= 1
                raise OSError(24, "Too many open files")
            return super().accept()

    listening = Refusing(socket.AF_INET, socket.SOCK_STREAM)
    listening.bind(("127.0.0.1", 0))
    made = asyncio.Event()

    def make() -> asyncio.Protocol:
        made.set()
        return asyncio.Protocol()

    door = Connections(make, 10)
    door.start([listening])
    _, writer = await asyncio.open_connection(*listening.getsockname())
    async with asyncio.timeout(10):
        await made.wait()
    assert capsys.readouterr().out.count("control.no_descriptor") == 1
    writer.close()
    await door.stop()


# -- web pages ----------------------------------------------------------------------------------------


async def test_a_page_may_ask_and_is_told_what_it_may(tmp_path: Path) -> None:
    async with open_endpoint(tmp_path, allowed_origins=(DESK,)) as endpoint:
        asking = {"Origin": DESK, "Access-Control-Request-Method": "POST"}
        path = f"{endpoint.hall}/interactions"
        answer = await endpoint.call("OPTIONS", path, token=None, headers=asking)
        assert answer.status == 204, "a browser sends no token with it"
        assert answer.headers["Access-Control-Allow-Origin"] == DESK
        assert answer.headers["Access-Control-Allow-Methods"] == "POST"
        assert {"Authorization", "Content-Type", "Idempotency-Key"} <= set(
            answer.headers["Access-Control-Allow-Headers"].split(", ")
        )
        assert int(answer.headers["Access-Control-Max-Age"]) > 0
        assert "Access-Control-Allow-Credentials" not in answer.headers
        for token in (TOKEN, None):
            told = await endpoint.call("GET", "/v1/halls", token=token, headers={"Origin": DESK})
            assert told.headers["Access-Control-Allow-Origin"] == DESK, "or the page can't read its 401"
            assert "Origin" in told.headers["Vary"]
        plain = await endpoint.call("GET", "/v1/halls")
        assert "Origin" in plain.headers["Vary"]
        assert "Access-Control-Allow-Origin" not in plain.headers


async def test_another_page_may_not(tmp_path: Path) -> None:
    async with open_endpoint(tmp_path, allowed_origins=(DESK,)) as endpoint:
        asking = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
        answer = await endpoint.call("OPTIONS", "/v1/halls", token=None, headers=asking)
        assert answer.status == 403
        assert "Access-Control-Allow-Origin" not in answer.headers


async def test_a_feed_can_be_read_by_a_page(tmp_path: Path) -> None:
    async with open_endpoint(tmp_path, allowed_origins=(DESK,)) as endpoint:
        headers = {"Authorization": f"Bearer {TOKEN}", "Origin": DESK}
        async with endpoint.client.get(endpoint.url + f"{endpoint.hall}/events", headers=headers) as answer:
            assert answer.headers["Access-Control-Allow-Origin"] == DESK


# -- methods, queries, numbers ------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics", "/openapi.json", "/v1/halls", "{hall}/events"])
async def test_head_is_get_without_its_body(endpoint: Endpoint, path: str) -> None:
    answer = await endpoint.call("HEAD", path.replace("{hall}", endpoint.hall))
    assert (answer.status, answer.body or None) == (200, None)
    if path.startswith("/v1"):
        assert (await endpoint.call("HEAD", "/v1/halls", token=None)).status == 401


async def test_allow_names_the_methods_of_the_route_alone(endpoint: Endpoint) -> None:
    answer = await endpoint.call("PUT", "/v1/rooms")
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD, POST")
    answer = await endpoint.call("PUT", f"{endpoint.hall}/interactions")
    assert answer.headers["Allow"] == "POST"


@pytest.mark.parametrize("path", ["/health?_=1", "/ready?x=", "/metrics?_=2", "/openapi.json?v=3"])
async def test_a_prober_may_add_what_it_likes(endpoint: Endpoint, path: str) -> None:
    assert (await endpoint.call("GET", path)).status == 200


async def test_whole_floats_are_whole_numbers(endpoint: Endpoint) -> None:
    answer = await endpoint.call("POST", "/v1/rooms", {"name": "a", "maxParticipants": 50.0, "emptyTimeout": 6e2})
    assert (answer.status, answer.body["maxParticipants"]) == (201, 50)
    answer = await endpoint.call("POST", "/v1/rooms", {"name": "b", "maxParticipants": 50.5})
    assert answer.body["error"]["field"] == "maxParticipants"


# -- bodies -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@pytest.mark.parametrize("path", ["/v1/rooms", "/livekit/webhook"])
async def test_a_body_that_is_not_packed_as_it_says(
    endpoint: Endpoint, path: str, coding: str, capsys: pytest.CaptureFixture[str]
) -> None:
    headers = {"Content-Encoding": coding, "Content-Type": "application/json"}
    answer = await endpoint.call("POST", path, data=b'{"name": "a"}', headers=headers)
    assert answer.error == (400, "invalid_request", "invalid_request")
    assert "Traceback" not in capsys.readouterr().out


async def test_what_is_not_http_costs_a_line(endpoint: Endpoint, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "aiohttp"):
        reader, writer = await dial(endpoint, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n")
        assert b" 400 " in await ended(reader)
        writer.close()
    said = [record for record in caplog.records if record.name.startswith("aiohttp")]
    assert len(said) == 1
    assert not said[0].exc_info


async def test_the_webhook_takes_what_is_signed(endpoint: Endpoint) -> None:
    body = event()
    answer: Answer = await endpoint.call(
        "POST", "/livekit/webhook", data=body.encode(), headers={"Authorization": signature(body)}, token=None
    )
    assert answer.status == 200


# -- addresses ----------------------------------------------------------------------------------------


async def test_all_addresses_are_those_of_ipv4_too(tmp_path: Path) -> None:
    async with open_endpoint(tmp_path, host="::", token="x" * 32) as endpoint:
        port = endpoint.url.rpartition(":")[2]
        for address in ("127.0.0.1", "[::1]"):
            async with endpoint.client.get(f"http://{address}:{port}/health") as answer:
                assert answer.status == 200


async def test_networks_of_hosts(tmp_path: Path) -> None:
    async with open_endpoint(tmp_path, allowed_hosts=("10.1.0.0/16",)) as endpoint:
        for host, status in (("10.1.2.3:8787", 200), ("10.2.2.3", 403), ("10.1.2.3.evil.example", 403)):
            assert (await endpoint.call("GET", "/v1/halls", headers={"Host": host})).status == status
        assert (await endpoint.call("GET", "/health", headers={"Host": "127.0.0.1:8787"})).status == 200


class _Asked:
    def __init__(self, peer: str, said: list[str]) -> None:
        self.transport = self
        self._peer = peer
        self.headers = self
        self._said = said

    def get_extra_info(self, name: str) -> Any:
        return (self._peer, 1) if self._peer else ""

    def getall(self, name: str, default: list[str]) -> list[str]:
        return self._said or default


@pytest.mark.parametrize(
    ("peer", "said", "client"),
    [
        ("127.0.0.1", [], ""),
        ("127.0.0.1", ["203.0.113.7"], "203.0.113.7"),
        ("127.0.0.1", ["1.1.1.1, 203.0.113.7"], "203.0.113.7"),
        ("127.0.0.1", ["1.1.1.1", "203.0.113.7, 10.0.0.2"], "203.0.113.7"),
        ("::ffff:127.0.0.1", ["203.0.113.7"], "203.0.113.7"),
        ("127.0.0.1", ["10.0.0.2"], "10.0.0.2"),
        ("192.0.2.1", ["203.0.113.7"], ""),
        ("", ["203.0.113.7"], "203.0.113.7"),
    ],
)
def test_the_header_is_read_from_the_right_through_those_trusted(peer: str, said: list[str], client: str) -> None:
    asked: Any = _Asked(peer, said)
    read: web.Request = asked
    assert Forwarded(("127.0.0.1", "10.0.0.0/8")).client(read) == client


async def test_a_stop_is_quick_with_idle_connections(tmp_path: Path) -> None:
    async with open_endpoint(tmp_path) as endpoint:
        _, writer = await dial(endpoint)
        began = time.monotonic()
        await endpoint.stop()
        assert time.monotonic() - began < 10
        writer.close()
