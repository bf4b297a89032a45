"""`/v1/rooms` on LiveKit's rooms in memory; `test_rooms_server.py` runs the same contract on the real ones."""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from livekit.protocol.models import ParticipantInfo, ParticipantPermission, TrackInfo
from livekit.protocol.room import CreateRoomRequest

from tests.control.rooms_contract import CHECKS, Rooms
from tests.control.support import Answer, Endpoint, open_endpoint


@pytest.fixture
async def endpoint(tmp_path: Path) -> AsyncGenerator[Endpoint]:
    async with open_endpoint(tmp_path, project="demo") as opened:
        yield opened


@pytest.mark.parametrize("check", CHECKS)
async def test_the_contract(endpoint: Endpoint, check: Callable[[Rooms], Awaitable[None]]) -> None:
    def enter(room: str, identity: str, *, hidden: bool) -> None:
        info = ParticipantInfo(
            identity=identity,
            name=f"{identity}'s name",
            state=ParticipantInfo.State.ACTIVE,
            joined_at=int(time.time()),
            permission=ParticipantPermission(hidden=hidden),
        )
        endpoint.rooms.enter(room, info)

    async def join(room: str, identity: str) -> None:
        enter(room, identity, hidden=False)

    async def join_hidden(room: str, identity: str) -> None:
        enter(room, identity, hidden=True)

    async def ask(method: str, path: str, body: Any = None, *, key: str | None = None) -> Answer:
        return await endpoint.call(method, path, body, key=key)

    await check(Rooms(ask, join, join_hidden, "my-room"))


async def test_livekit_hears_the_full_name_and_both_timeouts(endpoint: Endpoint) -> None:
    await endpoint.call("POST", "/v1/rooms", {"name": "my-room", "emptyTimeout": 600})
    room = endpoint.rooms.open["p_demo__my-room"]
    # LiveKit's empty_timeout is for a room that nobody has come to; the text means the time after the last has left.
    assert (room.empty_timeout, room.departure_timeout) == (600, 600)
    assert endpoint.halls.told == [("p_demo__my-room", room.sid)], "the bot goes there at once"


async def test_tracks_are_counted(endpoint: Endpoint) -> None:
    await endpoint.call("POST", "/v1/rooms", {"name": "r"})
    endpoint.rooms.enter("p_demo__r", ParticipantInfo(identity="ann", tracks=[TrackInfo(), TrackInfo()]))
    room = (await endpoint.call("GET", "/v1/rooms/r")).body
    assert room["participants"][0]["tracks"] == 2


async def test_other_projects_are_out_of_reach(endpoint: Endpoint) -> None:
    for name in ("p_other__r", "r", "p_demo_r", "p_demo"):
        await endpoint.rooms.create(CreateRoomRequest(name=name))
    assert (await endpoint.call("GET", "/v1/rooms")).body == {"rooms": []}
    for name in ("r", "p_other__r", "p_demo__r"):
        assert (await endpoint.call("GET", f"/v1/rooms/{name}")).error == (404, "not_found", "not_found")
        assert (await endpoint.call("DELETE", f"/v1/rooms/{name}")).status == 200
    assert set(endpoint.rooms.open) == {"p_other__r", "r", "p_demo_r", "p_demo"}


async def test_without_a_project_names_are_livekits(tmp_path: Path) -> None:
    async with open_endpoint(tmp_path) as endpoint:
        assert (await endpoint.call("POST", "/v1/rooms", {"name": "r"})).body["room"] == "r"
        await endpoint.rooms.create(CreateRoomRequest(name="p_other__r"))
        rooms = (await endpoint.call("GET", "/v1/rooms")).body["rooms"]
        assert [room["room"] for room in rooms] == ["r", "p_other__r"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, None),
        ({"name": ""}, "name"),
        ({"name": "x" * 129}, "name"),
        ({"name": "a b"}, "name"),
        ({"name": "a/b"}, "name"),
        ({"name": "ä"}, "name"),
        ({"name": "a\n"}, "name"),
        ({"name": 7}, "name"),
        ({"name": "r", "maxParticipants": 0}, "maxParticipants"),
        ({"name": "r", "maxParticipants": -1}, "maxParticipants"),
        ({"name": "r", "maxParticipants": 10_001}, "maxParticipants"),
        ({"name": "r", "maxParticipants": 1.5}, "maxParticipants"),
        ({"name": "r", "maxParticipants": "5"}, "maxParticipants"),
        ({"name": "r", "emptyTimeout": 0}, "emptyTimeout"),
        ({"name": "r", "emptyTimeout": 86_401}, "emptyTimeout"),
        ({"name": "r", "metadata": "x" * 4097}, "metadata"),
        ({"name": "r", "metadata": {}}, "metadata"),
    ],
)
async def test_a_bad_body(endpoint: Endpoint, body: Any, field: str | None) -> None:
    answer = await endpoint.call("POST", "/v1/rooms", body)
    assert answer.error == (422, "validation_error", "validation_error")
    assert answer.body["error"].get("field") == field
    assert endpoint.rooms.open == {}


async def test_the_limits_themselves(endpoint: Endpoint) -> None:
    name = "aZ09._-:" + "x" * 120
    body = {"name": name, "maxParticipants": 10_000, "emptyTimeout": 86_400, "metadata": "x" * 4096}
    assert (await endpoint.call("POST", "/v1/rooms", body)).status == 201
    assert (await endpoint.call("GET", f"/v1/rooms/{name}")).status == 200


@pytest.mark.parametrize("name", ["a%20b", "a%2Fb", "%C3%A4", "a%0A", "x" * 129, "%00"])
async def test_a_bad_name_in_the_path(endpoint: Endpoint, name: str) -> None:
    for method, path in (
        ("GET", f"/v1/rooms/{name}"),
        ("DELETE", f"/v1/rooms/{name}"),
        ("DELETE", f"/v1/rooms/{name}/participants/ann"),
    ):
        answer = await endpoint.call(method, path)
        assert answer.error == (422, "invalid_request", "invalid_request")
        assert answer.body["error"]["field"] == "name"


async def test_livekit_does_not_answer(endpoint: Endpoint) -> None:
    endpoint.rooms.failing = True
    for method, path, body in (
        ("POST", "/v1/rooms", {"name": "r"}),
        ("GET", "/v1/rooms", None),
        ("GET", "/v1/rooms/r", None),
        ("DELETE", "/v1/rooms/r", None),
        ("DELETE", "/v1/rooms/r/participants/ann", None),
    ):
        for key in (None, "k") if method == "POST" else (None,):
            answer = await endpoint.call(method, path, body, key=key)
            assert answer.error == (502, "livekit_error", "livekit_error")
    endpoint.rooms.failing = False
    assert (await endpoint.call("POST", "/v1/rooms", {"name": "r"}, key="k")).status == 201, "a failure is not kept"


async def test_without_the_token(endpoint: Endpoint) -> None:
    answer = await endpoint.call("GET", "/v1/rooms", token=None)
    assert answer.error == (401, "unauthorized", "unauthorized")
