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
from relay_bot.plugin import XLSX
from relay_bot.settings import Settings
from relay_bot.wire.body import Request
from tests.control.support import PLUGINS, TOKEN, Endpoint, open_endpoint
from tests.control.test_show_api import KitRooms

EXAMPLES = 3
"""Requests tried on each operation, valid ones and as many invalid ones."""
BUILTIN = ("announcements", "chat", "hands", "moderation", "polls")
SOME_PATHS = {
    "/api/rooms/{roomName}/invite",
    "/v1/participants/{participant_id}",
    "/v1/halls/{hall_id}/polls/{poll_id}/export",
    "/v1/halls/{hall_id}/stage/promote",
}
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
    assert set(BUILTIN) <= {tag["name"] for tag in document["tags"]}
    posted = {
        path: methods["post"]["requestBody"]["content"]["application/json"]["schema"]
        for path, methods in document["paths"].items()
        if "post" in methods
    }
    assert posted["/api/rooms/join"]["required"] == ["roomName", "participantName", "role"]
    assert posted["/api/rooms/{roomName}/hand-raise"]["required"] == ["participantIdentity", "raised"]
    assert "default" not in posted["/api/rooms/join"]["properties"]["role"]
    assert posted["/v1/halls/{hall_id}/announcements"]["properties"]["text"]["minLength"] == 1
    files = document["paths"]["/v1/halls/{hall_id}/export/polls"]["get"]["responses"]["200"]["content"]
    assert {kind: media["schema"]["type"] for kind, media in files.items()} == {
        "application/json": "object",
        "text/csv": "string",
        "text/html": "string",
        XLSX: "string",
    }
    check_references(document)
    check_examples(document)


async def test_the_endpoint_does_what_it_says(tmp_path: Path) -> None:
    """Schemathesis on every route there is, those of the built-in plugins and the Show too.

    No 5xx, and every answer has a described status, content type and shape.
    """
    builtin: dict[str, Any] = {name: {} for name in BUILTIN}
    async with open_endpoint(tmp_path, plugins=builtin | PLUGINS, show=KitRooms) as endpoint:
        known = await furnish(endpoint)
        answer = await endpoint.call("GET", "/openapi.json", token=None)
        schema: Any = schemathesis.openapi.from_dict(answer.body)
        schema.config.update(base_url=endpoint.url)
        found = [each.ok() for each in schema.get_all_operations()]
        assert len(found) == len(endpoint.operations)
        assert {path for path, _, _ in operations(answer.body)} >= SOME_PATHS
        # What ends the room comes last, or the others would find none.
        found.sort(key=lambda each: (each.method.upper() == "DELETE", each.path.count("{")))
        wrong: list[str] = []
        for operation in found:
            if operation.path not in STREAMS:
                for mode in schemathesis.GenerationMode:
                    try:
                        await asyncio.to_thread(try_out, operation, mode, known)
                    except (Exception, BaseExceptionGroup) as error:
                        wrong.append(f"{operation.method} {operation.path}: {_said(error)}")
        assert wrong == []


def _said(error: BaseException) -> str:
    """Give all that an error says, its parts included."""
    return "\n".join([str(error)[:2000], *(_said(part) for part in getattr(error, "exceptions", ()))])


async def furnish(endpoint: Endpoint) -> dict[str, Any]:
    """Put into the hall what the routes speak of; gives the values of parameters that name it."""
    await endpoint.kit.join("hanna", role="host")
    await endpoint.kit.join("vera")
    await endpoint.interact("note", {"text": "a"})
    await endpoint.interact("chat", {"text": "Hello"}, sender_id="vera")
    said = await endpoint.call("GET", f"{endpoint.hall}/messages")
    opened = await endpoint.call("POST", f"{endpoint.hall}/polls", {"question": "Tea?", "options": ["yes", "no"]})
    assert opened.status in (200, 201), opened
    message = said.body["messages"][0]
    hall = endpoint.kit.hall.name
    people = {"participant_id": "vera", "participantIdentity": "vera", "viewerIdentity": "vera"}
    return people | {
        "hall_id": hall,
        "roomName": hall,
        "message_id": message.get("id") or message.get("message_id"),
        "poll_id": opened.body["poll_id"],
        "hostIdentity": "hanna",
        "guestIdentity": "vera",
        "identity": "vera",
    }


def try_out(operation: Any, mode: schemathesis.GenerationMode, known: dict[str, Any]) -> None:
    """Send valid or invalid requests to one operation: half of them about what there is."""
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
        parameters: dict[str, Any] = case.path_parameters or {}
        body: Any = case.body
        if len(seen) % 2 == 0:
            parameters.update({name: known[name] for name in parameters.keys() & known.keys()})
            if mode.is_positive and hasattr(body, "update"):
                body.update({name: value for name, value in known.items() if name in body})
        # The Show's limits count for each user.
        headers = {"Authorization": f"Bearer {TOKEN}", "X-Forwarded-For": f"10.0.0.{len(seen)}"}
        answer = case.call_and_validate(headers=headers, checks=CHECKS, timeout=10)
        seen.append(answer.status_code)

    try:
        send()
    except Unsatisfiable:
        assert mode.is_negative, "nothing can be wrong where nothing is taken"
    else:
        assert seen
