"""`/openapi.json`: valid, complete, and true of what the running endpoint does."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from jsonschema_rs import validator_for
from schemathesis import checks as general_checks
from schemathesis.specs.openapi import checks as openapi_checks

from relay_bot.control.events_api import EventsApi
from relay_bot.control.hall_api import HallApi
from relay_bot.control.openapi import describe
from relay_bot.control.operation import Operation
from relay_bot.control.privacy_api import PrivacyApi
from relay_bot.control.process_api import ProcessApi
from relay_bot.control.rooms_api import RoomsApi
from relay_bot.control.shelf_api import ShelfApi
from relay_bot.control.show_api import ShowApi
from relay_bot.hall.plugins import load_plugins
from relay_bot.settings import Settings
from relay_bot.wire.body import Request
from tests.control.support import TOKEN, Endpoint

EXAMPLES = 8
"""Requests tried on each operation, valid and invalid ones."""
_general: Any = general_checks
_openapi: Any = openapi_checks  # its types are not all known
CHECKS: Any = [
    _general.not_a_server_error,
    _openapi.status_code_conformance,
    _openapi.content_type_conformance,
    _openapi.response_schema_conformance,
    _openapi.response_headers_conformance,
    _openapi.ignored_auth,
    _openapi.unsupported_method,
]
STREAMS = ("/v1/halls/{hall_id}/events",)
"""Answers that do not end by themselves; `test_events.py` is about them."""


@pytest.fixture
async def document(endpoint: Endpoint) -> dict[str, Any]:
    answer = await endpoint.call("GET", "/openapi.json", token=None)
    assert answer.status == 200
    return answer.body


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(path, method, entry) for path, methods in document["paths"].items() for method, entry in methods.items()]


async def test_it_is_valid_openapi(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.1.0"
    schema: Any = schemathesis.openapi.from_dict(document)
    schema.validate()


async def test_every_route_is_in_it(endpoint: Endpoint, document: dict[str, Any]) -> None:
    described = {(method.upper(), path) for path, method, _ in operations(document)}
    assert described == {(each.method, each.path) for each in endpoint.operations}
    identifiers = [entry["operationId"] for _, _, entry in operations(document)]
    assert len(set(identifiers)) == len(identifiers)


async def test_all_references_lead_somewhere(document: dict[str, Any]) -> None:
    check_references(document)


def check_references(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    text = msgspec.json.encode(document).decode()
    named = {part.partition('"')[0] for part in text.split('"$ref":"#/components/schemas/')[1:]}
    assert named == set(schemas), "and nothing lies there unused"


async def test_the_token_is_asked_for_where_it_is_needed(endpoint: Endpoint, document: dict[str, Any]) -> None:
    assert document["components"]["securitySchemes"] == {"token": {"type": "http", "scheme": "bearer"}}
    public = {path for path, _, entry in operations(document) if entry["security"] == []}
    assert public == {"/health", "/ready", "/metrics", "/openapi.json"}


async def test_the_published_call_is_described(document: dict[str, Any]) -> None:
    entry = document["paths"]["/v1/halls/{hall_id}/interactions"]["post"]
    assert [(each["in"], each["name"]) for each in entry["parameters"]] == [
        ("path", "hall_id"),
        ("header", "Idempotency-Key"),
    ]
    body = entry["requestBody"]["content"]["application/json"]["schema"]
    assert set(body["properties"]) == {"type", "payload", "sender_id", "to"}
    assert body["required"] == ["type", "payload"]
    assert {"200", "401", "403", "409", "413", "415", "422", "503"} <= set(entry["responses"])
    created = document["paths"]["/v1/rooms"]["post"]["responses"]
    assert {"201", "401", "422", "502"} <= set(created)
    followed = document["paths"]["/v1/halls/{hall_id}/events"]["get"]
    assert {(each["in"], each["name"]) for each in followed["parameters"]} == {
        ("path", "hall_id"),
        ("header", "Last-Event-ID"),
        ("query", "since"),
        ("query", "session"),
    }
    assert list(followed["responses"]["200"]["content"]) == ["text/event-stream"]


async def test_examples_are_what_they_are_examples_of(document: dict[str, Any]) -> None:
    assert check_examples(document) >= 9, "those of the published texts"


def check_examples(document: dict[str, Any]) -> int:
    media = [
        media
        for _, _, entry in operations(document)
        for holder in (entry.get("requestBody", {}), *entry["responses"].values())
        for media in holder.get("content", {}).values()
        if "example" in media
    ]
    for each in media:
        schema = each["schema"] | {"components": document["components"]}
        assert [str(error) for error in validator_for(schema).iter_errors(each["example"])] == []
    return len(media)


def test_plugins_may_use_the_same_names() -> None:
    """Two plugins with a type of one name each, and one type on two routes, as it was when /openapi.json failed."""

    def made(module: str, field: str) -> Any:
        return msgspec.defstruct("View", [(field, str)], module=module)

    async def run(call: Any) -> Any:
        return None

    document = describe(
        [
            Operation("GET", "/a", "a", "A", Request, made("plugins.a", "a"), run),
            Operation("GET", "/b", "b", "B", Request, made("plugins.b", "b"), run),
            Operation("GET", "/c", "c", "C", Request, dict[str, Any], run),
            Operation("GET", "/d", "d", "D", Request, dict[str, Any], run),
        ],
        "1",
    )
    names = {
        path: document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        for path in ("/a", "/b", "/c", "/d")
    }
    assert names["/a"]["$ref"] != names["/b"]["$ref"]
    assert names["/c"] == names["/d"] == {"type": "object"}


def test_the_whole_of_it(tmp_path: Path) -> None:
    """With all built-in plugins and every API, as the app puts it together."""
    nothing: Any = None
    configured = Settings()
    plugins = load_plugins({}, tmp_path)
    found = HallApi(configured, nothing, plugins, nothing).operations()
    found += RoomsApi(configured, nothing, nothing, nothing).operations()
    found += EventsApi(nothing, nothing, nothing).operations()
    found += PrivacyApi(nothing).operations()
    found += ShelfApi(nothing, plugins, nothing).operations()
    found += ShowApi(configured, nothing, nothing, plugins, nothing).operations()
    found += ProcessApi(nothing, nothing, nothing).operations()

    document = describe(found, "1")

    schema: Any = schemathesis.openapi.from_dict(document)
    schema.validate()
    assert len(operations(document)) == len(found), "no two on one path"
    assert {"polls", "chat", "hands", "moderation", "announcements"} <= {tag["name"] for tag in document["tags"]}
    check_references(document)
    check_examples(document)


async def test_the_endpoint_does_what_it_says(endpoint: Endpoint, document: dict[str, Any]) -> None:
    """Schemathesis: no 5xx, and every answer has a described status, content type and shape."""
    await endpoint.interact("note", {"text": "a"})
    schema: Any = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=endpoint.url)
    found = [each.ok() for each in schema.get_all_operations()]
    assert len(found) == len(endpoint.operations)
    for operation in found:
        if operation.path not in STREAMS:
            for mode in schemathesis.GenerationMode:
                await asyncio.to_thread(try_out, operation, mode, endpoint.kit.hall.name)


def try_out(operation: Any, mode: schemathesis.GenerationMode, hall: str) -> None:
    """Send valid or invalid requests to one operation: half of them to the hall that there is."""
    seen: list[int] = []

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def send(case: Any) -> None:
        if "hall_id" in case.path_parameters and len(seen) % 2:
            case.path_parameters["hall_id"] = hall
        answer = case.call_and_validate(headers={"Authorization": f"Bearer {TOKEN}"}, checks=CHECKS, timeout=10)
        seen.append(answer.status_code)

    try:
        send()
    except Unsatisfiable:
        assert mode.is_negative, "nothing can be wrong where nothing is taken"
    else:
        assert seen
