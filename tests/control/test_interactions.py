"""`POST /v1/halls/{hall_id}/interactions`, against the published text "Interactions"."""

import re
from typing import Any

import pytest

from tests.control.support import Endpoint

STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


async def test_the_published_example(endpoint: Endpoint) -> None:
    ann = await endpoint.kit.join("ann")
    body = {"type": "reaction", "payload": {"emoji": "👍", "x": 0.42, "y": 0.75}, "sender_id": "user_abc123"}

    answer = await endpoint.call("POST", f"{endpoint.hall}/interactions", body)

    assert answer.status == 200
    assert STAMP.fullmatch(answer.body.pop("timestamp"))
    assert answer.body == {"sent": True, "type": "reaction", "broadcast": True, "recipient_count": None}
    await ann.wait("reaction")
    envelope = next(packet for packet in ann.received if packet["type"] == "reaction")
    assert STAMP.fullmatch(envelope.pop("timestamp"))
    assert envelope == {"relay_version": "1", **body}


async def test_the_answers_timestamp_is_the_envelopes(endpoint: Endpoint) -> None:
    ann = await endpoint.kit.join("ann")
    answer = await endpoint.interact("scene_change", {"scene": "breakout"})
    await ann.wait("scene_change")
    assert next(p for p in ann.received if p["type"] == "scene_change")["timestamp"] == answer.body["timestamp"]


async def test_without_a_sender_it_is_null(endpoint: Endpoint) -> None:
    ann = await endpoint.kit.join("ann")
    assert (await endpoint.interact("scene_change", {"scene": "x"}, sender_id=None)).status == 200
    await ann.wait("scene_change")
    assert next(p for p in ann.received if p["type"] == "scene_change")["sender_id"] is None


async def test_to_null_is_a_broadcast(endpoint: Endpoint) -> None:
    answer = await endpoint.interact("scene_change", {}, to=None)
    assert (answer.body["broadcast"], answer.body["recipient_count"]) == (True, None)


async def test_to_some(endpoint: Endpoint) -> None:
    ann, ben = await endpoint.kit.join("ann"), await endpoint.kit.join("ben")

    answer = await endpoint.interact("scene_change", {"scene": "x"}, to=["ann", "ann"])

    assert (answer.body["broadcast"], answer.body["recipient_count"]) == (False, 1)
    await ann.wait("scene_change")
    await endpoint.interact("last", {})
    await ben.wait("last")
    assert ben.all("scene_change") == []
    assert len(ann.all("scene_change")) == 1


async def test_to_nobody_sends_nothing(endpoint: Endpoint) -> None:
    ann = await endpoint.kit.join("ann")

    answer = await endpoint.interact("scene_change", {"scene": "x"}, to=[])

    assert answer.status == 200
    assert (answer.body["broadcast"], answer.body["recipient_count"]) == (False, 0)
    await endpoint.interact("last", {})
    await ann.wait("last")
    assert ann.all("scene_change") == []


async def test_what_a_plugin_makes_is_the_result(endpoint: Endpoint) -> None:
    plain = await endpoint.interact("note", {"text": "a"})
    assert set(plain.body) == {"sent", "type", "broadcast", "recipient_count", "timestamp"}
    numbered = await endpoint.interact("note", {"text": "b", "slip": True})
    assert numbered.body["result"] == {"number": 1}


async def test_the_payload_goes_on_as_it_is(endpoint: Endpoint) -> None:
    ann = await endpoint.kit.join("ann")
    payload: dict[str, Any] = {
        "a": [1, 2.5, None, True, {"b": "ü\u2028😀\u0000"}],
        "": {},
        "big": 2**53,
        "__proto__": {},
    }
    assert (await endpoint.interact("custom", payload)).status == 200
    assert await ann.wait("custom") == payload


async def test_unknown_fields_are_ignored(endpoint: Endpoint) -> None:
    assert (await endpoint.interact("custom", {}, room="x", timestamp="y")).status == 200


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"payload": {}}, None),
        ({"type": "x"}, None),
        ({"type": 1, "payload": {}}, "type"),
        ({"type": "", "payload": {}}, "type"),
        ({"type": "x" * 65, "payload": {}}, "type"),
        ({"type": "x", "payload": []}, "payload"),
        ({"type": "x", "payload": None}, "payload"),
        ({"type": "x", "payload": "{}"}, "payload"),
        ({"type": "x", "payload": {}, "to": "ann"}, "to"),
        ({"type": "x", "payload": {}, "to": [1]}, "to[0]"),
        ({"type": "x", "payload": {}, "to": [""]}, "to[0]"),
        ({"type": "x", "payload": {}, "to": ["a"] * 1001}, "to"),
        ({"type": "x", "payload": {}, "sender_id": 7}, "sender_id"),
        ({"type": "x", "payload": {}, "sender_id": "s" * 257}, "sender_id"),
    ],
)
async def test_a_body_that_is_not_as_described(endpoint: Endpoint, body: object, field: str | None) -> None:
    answer = await endpoint.call("POST", f"{endpoint.hall}/interactions", body)
    assert answer.error == (422, "validation_error", "validation_error")
    assert answer.body["error"].get("field") == field
    assert answer.body["error"]["message"]


async def test_an_envelope_over_the_limit(endpoint: Endpoint) -> None:
    ann = await endpoint.kit.join("ann")
    envelope = len('{"relay_version":"1","type":"custom","sender_id":null,"timestamp":"","payload":{"t":""}}') + 24

    fits = await endpoint.interact("custom", {"t": "x" * (15_000 - envelope)})
    over = await endpoint.interact("custom", {"t": "x" * (15_001 - envelope)})

    assert fits.status == 200
    assert over.error == (422, "validation_error", "validation_error")
    assert over.body["error"]["field"] == "payload"
    await endpoint.interact("last", {})
    await ann.wait("last")
    assert len(ann.all("custom")) == 1


async def test_what_is_too_large_leaves_no_trace(endpoint: Endpoint) -> None:
    """The plugin keeps notes and does not say them: only the forwarding of it would be too large."""
    assert (await endpoint.interact("note", {"text": "x" * 15_000})).status == 422
    assert (await endpoint.call("GET", f"{endpoint.hall}/notes")).body == {"notes": []}


async def test_a_plugins_refusal(endpoint: Endpoint) -> None:
    answer = await endpoint.interact("note", {"text": 7})
    assert answer.error == (422, "validation_error", "validation_error")
    assert answer.body["error"]["field"] == "payload.text"


async def test_an_unknown_hall_is_not_active(endpoint: Endpoint) -> None:
    answer = await endpoint.call("POST", "/v1/halls/nowhere/interactions", {"type": "x", "payload": {}})
    assert answer.error == (409, "hall_not_active", "hall_not_active")


async def test_a_hall_that_is_over_is_not_active(endpoint: Endpoint) -> None:
    endpoint.kit.close_room()
    await endpoint.kit.until(lambda: endpoint.kit.hall.status == "ended")
    answer = await endpoint.interact("x", {})
    assert answer.error == (409, "hall_not_active", "hall_not_active")
