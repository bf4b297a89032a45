"""What `/v1/rooms` must do, by the published text "Rooms": run on the fake of these tests and on a real LiveKit."""

import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, Protocol

from tests.control.support import Answer

ROOM = {"room", "sid", "numParticipants", "maxParticipants", "creationTime", "metadata"}


class Ask(Protocol):
    """Sends a request to the endpoint."""

    async def __call__(self, method: str, path: str, body: Any = None, *, key: str | None = None) -> Answer: ...


class Rooms(NamedTuple):
    """An endpoint whose project is `demo`, and a way to have someone in a room."""

    ask: Ask
    join: Callable[[str, str], Awaitable[None]]
    """Has a participant join: LiveKit's name of the room, and the identity. Their name is `<identity>'s name`."""
    join_hidden: Callable[[str, str], Awaitable[None]]
    name: str
    """A name that no other test uses."""


async def check_a_rooms_life(rooms: Rooms) -> None:
    body = {"name": rooms.name, "maxParticipants": 50, "emptyTimeout": 600, "metadata": '{"topic":"standup"}'}
    created = await rooms.ask("POST", "/v1/rooms", body)
    assert created.status == 201
    assert set(created.body) == ROOM
    assert created.body["sid"].startswith("RM_")
    assert abs(created.body["creationTime"] - time.time()) < 60, "seconds"
    assert created.body | {"sid": "", "creationTime": 0} == {
        "room": rooms.name,
        "sid": "",
        "numParticipants": 0,
        "maxParticipants": 50,
        "creationTime": 0,
        "metadata": '{"topic":"standup"}',
    }
    listed = await rooms.ask("GET", "/v1/rooms")
    assert (listed.status, set(listed.body)) == (200, {"rooms"})
    assert created.body in listed.body["rooms"]
    inspected = await rooms.ask("GET", f"/v1/rooms/{rooms.name}")
    assert (inspected.status, inspected.body) == (200, created.body | {"participants": []})

    for _ in range(2):
        ended = await rooms.ask("DELETE", f"/v1/rooms/{rooms.name}")
        assert (ended.status, ended.body) == (200, {"ended": True}), "also of a room that no longer exists"
    gone = await rooms.ask("GET", f"/v1/rooms/{rooms.name}")
    assert gone.error == (404, "not_found", "not_found")
    assert gone.body["error"]["message"] == "Room not found"
    assert created.body not in (await rooms.ask("GET", "/v1/rooms")).body["rooms"]


async def check_only_a_name_is_needed(rooms: Rooms) -> None:
    created = await rooms.ask("POST", "/v1/rooms", {"name": rooms.name})
    assert created.status == 201
    assert (created.body["maxParticipants"], created.body["metadata"]) == (0, "")
    again = await rooms.ask("POST", "/v1/rooms", {"name": rooms.name})
    assert (again.status, again.body["sid"]) == (201, created.body["sid"]), "it is found"


async def check_participants(rooms: Rooms) -> None:
    await rooms.ask("POST", "/v1/rooms", {"name": rooms.name})
    full = f"p_demo__{rooms.name}"
    await rooms.join(full, "user/1 ü")
    await rooms.join(full, "user-2")
    await rooms.join_hidden(full, "relay-bot")

    room = (await rooms.ask("GET", f"/v1/rooms/{rooms.name}")).body

    assert room["numParticipants"] == 2
    people = {person["identity"]: person for person in room["participants"]}
    assert set(people) == {"user/1 ü", "user-2"}, "the bot is not listed"
    first = people["user/1 ü"]
    assert set(first) == {"identity", "name", "state", "joinedAt", "tracks"}
    assert first["name"] == "user/1 ü's name"
    assert first["state"] in (1, 2)
    assert abs(first["joinedAt"] - time.time()) < 60, "seconds"
    assert first["tracks"] == 0

    path = f"/v1/rooms/{rooms.name}/participants/"
    removed = await rooms.ask("DELETE", path + "user%2F1%20%C3%BC")
    assert (removed.status, removed.body) == (200, {"removed": True})
    for who in ("nobody", "relay-bot"):
        missing = await rooms.ask("DELETE", path + who)
        assert missing.error == (404, "not_found", "not_found"), "the bot does not exist for callers"
        assert missing.body["error"]["message"] == "Participant not found"
    left = (await rooms.ask("GET", f"/v1/rooms/{rooms.name}")).body
    assert [person["identity"] for person in left["participants"]] == ["user-2"]


async def check_nobody_in_no_room(rooms: Rooms) -> None:
    answer = await rooms.ask("DELETE", "/v1/rooms/never-was/participants/ann")
    assert answer.error == (404, "not_found", "not_found")


async def check_a_key_creates_once(rooms: Rooms) -> None:
    first = await rooms.ask("POST", "/v1/rooms", {"name": rooms.name, "metadata": "a"}, key=rooms.name)
    await rooms.ask("DELETE", f"/v1/rooms/{rooms.name}")
    again = await rooms.ask("POST", "/v1/rooms", {"name": rooms.name, "metadata": "a"}, key=rooms.name)
    assert (again.status, again.body) == (201, first.body)
    assert (await rooms.ask("GET", f"/v1/rooms/{rooms.name}")).status == 404, "it was not made a second time"
    other = await rooms.ask("POST", "/v1/rooms", {"name": rooms.name, "metadata": "b"}, key=rooms.name)
    assert other.status == 422


CHECKS = [
    check_a_rooms_life,
    check_only_a_name_is_needed,
    check_participants,
    check_nobody_in_no_room,
    check_a_key_creates_once,
]
