"""What a body may be: JSON, within the limit, in time."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from relay_bot.control import operation
from tests.control.support import TOKEN, Endpoint, open_endpoint

JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    "data",
    [b"{", b"\xff\xfe", b"nonsense", b'{"type":"x","payload":{}}x', b'{"type":"\\ud800","payload":{}}', b"NaN"],
)
async def test_what_is_no_json(endpoint: Endpoint, data: bytes) -> None:
    answer = await endpoint.call("POST", f"{endpoint.hall}/interactions", data=data, headers=JSON)
    assert answer.error == (422, "invalid_request", "invalid_request")


@pytest.mark.parametrize("data", [b"[]", b"null", b'"x"', b"7"])
async def test_what_is_no_object(endpoint: Endpoint, data: bytes) -> None:
    answer = await endpoint.call("POST", f"{endpoint.hall}/interactions", data=data, headers=JSON)
    assert answer.error == (422, "invalid_request", "invalid_request")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "", "application/jsonx"])
async def test_another_content_type(endpoint: Endpoint, kind: str) -> None:
    data = b'{"type":"x","payload":{}}'
    answer = await endpoint.call("POST", f"{endpoint.hall}/interactions", data=data, headers={"Content-Type": kind})
    assert answer.error == (415, "invalid_request", "invalid_request")


async def test_a_charset_is_fine(endpoint: Endpoint) -> None:
    headers = {"Content-Type": "application/json; charset=utf-8"}
    data = '{"type":"x","payload":{"t":"ü"}}'.encode()
    assert (await endpoint.call("POST", f"{endpoint.hall}/interactions", data=data, headers=headers)).status == 200


async def test_no_body_where_nothing_is_needed(endpoint: Endpoint) -> None:
    await endpoint.interact("note", {"text": "a"})
    assert (await endpoint.call("POST", f"{endpoint.hall}/notes/0/copy")).body["number"] == 1


@pytest.mark.parametrize(("depth", "status"), [(30, 200), (33, 422), (2000, 422)])
async def test_nested_too_deep(endpoint: Endpoint, depth: int, status: int) -> None:
    data = b'{"type":"x","payload":' + b'{"a":' * depth + b"1" + b"}" * (depth + 1)
    answer = await endpoint.call("POST", f"{endpoint.hall}/interactions", data=data, headers=JSON)
    assert answer.status == status
    if status == 422:
        assert answer.error == (422, "invalid_request", "invalid_request")
        assert "too deep" in answer.body["error"]["message"]


async def test_over_the_limit(tmp_path: Path) -> None:
    async with open_endpoint(tmp_path, max_body_bytes=1000) as endpoint:
        for path in (f"{endpoint.hall}/interactions", "/livekit/webhook"):
            for data in (b" " * 1001, pieces()):
                answer = await endpoint.call("POST", path, data=data, headers=JSON)
                assert answer.error == (413, "invalid_request", "too_large")
            assert (await endpoint.call("POST", path, data=b" " * 1000, headers=JSON)).status in (401, 422)


async def pieces() -> AsyncGenerator[bytes]:
    """Sent in chunks, without a length that would tell it in advance."""
    for _ in range(50):
        yield b" " * 100


async def test_a_body_that_does_not_end(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operation, "_READ_SECONDS", 0.1)
    host, _, port = endpoint.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        f"POST {endpoint.hall}/interactions HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {TOKEN}\r\n"
        "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{".encode()
    )
    assert (await asyncio.wait_for(reader.readline(), 5)).startswith(b"HTTP/1.1 408")
    writer.write(b" " * 99)  # else aiohttp waits for it for 10 s
    await writer.drain()
    writer.close()
    await writer.wait_closed()


async def test_other_methods_and_paths(endpoint: Endpoint) -> None:
    answer = await endpoint.call("DELETE", f"{endpoint.hall}/interactions")
    assert answer.error == (405, "invalid_request", "invalid_request")
    assert answer.headers["Allow"] == "POST"
    for path in ("/", "/v1", "/v1/halls/", "/v1/halls/x/nothing", "//v1/halls"):
        assert (await endpoint.call("GET", path)).error == (404, "not_found", "not_found")


async def test_query_and_path_of_a_plugins_route(endpoint: Endpoint) -> None:
    for text in "abc":
        await endpoint.interact("note", {"text": text})
    notes = f"{endpoint.hall}/notes"
    assert [note["text"] for note in (await endpoint.call("GET", f"{notes}?limit=2")).body["notes"]] == ["b", "c"]
    assert (await endpoint.call("GET", f"{notes}/1")).body["text"] == "b"
    for query in ("limit=0", "limit=x", "limit=", "other=1", "hall_id=x"):
        assert (await endpoint.call("GET", f"{notes}?{query}")).error[:2] == (422, "validation_error"), query
    body = {"text": "d", "hall_id": "x"}
    assert (await endpoint.call("POST", notes, body)).body["error"]["field"] == "hall_id"
    assert (await endpoint.call("GET", f"{notes}/9")).error == (404, "not_found", "not_found")
    assert (await endpoint.call("GET", "/v1/halls/nowhere/notes")).error == (404, "not_found", "not_found")


async def test_a_file(endpoint: Endpoint) -> None:
    await endpoint.interact("note", {"text": "ü"})
    answer = await endpoint.call("GET", f"{endpoint.hall}/notes/file")
    assert (answer.status, answer.body) == (200, "ü")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="notes.txt"'
