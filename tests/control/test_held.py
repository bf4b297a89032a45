"""Held messages on the control endpoint."""

from __future__ import annotations

from typing import Any

from tests.control.support import Endpoint


async def held(endpoint: Endpoint) -> list[dict[str, Any]]:
    answer = await endpoint.call("GET", f"{endpoint.hall}/moderation/held")
    assert answer.status == 200
    return answer.body["held"]


async def test_a_backend_lists_and_decides_what_is_held(endpoint: Endpoint) -> None:
    ann = await endpoint.kit.join("ann")
    assert await ann.ask("slip", {"text": "look at it"}) == {"held": True}
    assert await ann.ask("slip", {"text": "look again"}) == {"held": True}
    one, two = await held(endpoint)
    assert one | {"held_id": "", "held_at": ""} == {
        "held_id": "", "participant_id": "ann", "type": "slip", "payload": {"text": "look at it"},
        "reason": "to be seen first", "held_at": "",
    }  # fmt: skip
    path = f"{endpoint.hall}/moderation/held"
    answer = await endpoint.call("POST", f"{path}/{one['held_id']}", {"approved": True}, key="k")
    assert (answer.status, answer.body) == (200, {"held_id": one["held_id"], "approved": True})
    again = await endpoint.call("POST", f"{path}/{one['held_id']}", {"approved": True}, key="k")
    assert (again.status, again.body) == (answer.status, answer.body)
    assert (await ann.wait("slip"))["text"] == "look at it"
    assert (await endpoint.call("POST", f"{path}/{two['held_id']}", {"approved": False})).status == 200
    assert await held(endpoint) == []
    assert len(ann.all("slip")) == 1
    gone = await endpoint.call("POST", f"{path}/{one['held_id']}", {"approved": True})
    assert gone.error == (404, "not_found", "not_found")
    assert (await endpoint.call("POST", f"{path}/x", {"approved": "yes"})).status == 422
    assert (await endpoint.call("GET", "/v1/halls/no-such/moderation/held")).status == 404
