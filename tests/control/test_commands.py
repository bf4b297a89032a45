"""`POST /v1/halls/{hall_id}/commands`: the door for a backend's commands."""

from typing import Any

import pytest

from tests.control.support import Endpoint


async def run(endpoint: Endpoint, text: str, key: str | None = None) -> tuple[int, Any]:
    answer = await endpoint.call("POST", f"{endpoint.hall}/commands", {"text": text}, key=key)
    return answer.status, answer.body


async def test_help_lists_what_a_backend_may_use(endpoint: Endpoint) -> None:
    status, body = await run(endpoint, "/help")
    assert status == 200
    assert set(body) == {"notice"}
    assert "/help: this list" in body["notice"]


@pytest.mark.parametrize(("text", "status", "code"), [("/nothing", 404, "not_found"), (" / ", 422, "validation_error")])
async def test_a_refusal_has_the_published_form(endpoint: Endpoint, text: str, status: int, code: str) -> None:
    answer = await endpoint.call("POST", f"{endpoint.hall}/commands", {"text": text})
    assert (answer.error[0], answer.error[2]) == (status, code)


async def test_it_is_safe_to_send_again(endpoint: Endpoint) -> None:
    first = await run(endpoint, "/help", "k")
    assert await run(endpoint, "/help", "k") == first


async def test_an_interaction_with_a_command_is_chat(endpoint: Endpoint) -> None:
    ann = await endpoint.kit.join("ann")
    answer = await endpoint.interact("chat", {"text": "/help", "color": "red"}, sender_id="mallory")
    assert answer.status == 200
    assert (await ann.wait("chat")) == {"text": "/help", "color": "red"}
