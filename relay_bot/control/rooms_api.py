"""Rooms on the control endpoint: create, list, inspect and end them, remove participants.

Source: the Relay text "Rooms". Its fields are in camel case; `p_<project>__<name>` is what a room is called at
LiveKit, and the prefix is in no answer. Without a project the names are LiveKit's own.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Protocol

import msgspec
from livekit.protocol.models import ParticipantInfo, Room
from livekit.protocol.room import CreateRoomRequest

from relay_bot.control.errors import ApiError
from relay_bot.control.hall_api import NoParameters
from relay_bot.control.hall_set import HallSet
from relay_bot.control.idempotency import IdempotencyLog
from relay_bot.control.operation import Call, Operation, Run
from relay_bot.livekit.rooms import RoomsError
from relay_bot.observe import metrics
from relay_bot.settings import Settings
from relay_bot.wire.body import Request

_NAME: Final = re.compile(r"[A-Za-z0-9._\-:]{1,128}")
_MAX_LISTED: Final = 10_000

RoomName = Annotated[
    str,
    msgspec.Meta(
        min_length=1, max_length=128, pattern=r"^[A-Za-z0-9._:-]+$", description="The name without the project's prefix"
    ),
]


class RoomService(Protocol):
    """LiveKit's server API, as far as the rooms need it (see `relay_bot.livekit.rooms.LivekitRooms`).

    Every call raises `RoomsError`; `not_found` in it tells that the room or the participant isn't there.
    """

    async def rooms(self, names: list[str] | None = None) -> list[Room]:
        """List the rooms, or those with these names."""
        ...

    async def create(self, request: CreateRoomRequest) -> Room:
        """Create a room, or find it."""
        ...

    async def delete(self, hall: str) -> None:
        """End a room; one that doesn't exist is fine."""
        ...

    async def participants(self, hall: str) -> list[ParticipantInfo]:
        """List who is in a room, hidden agents left out."""
        ...

    async def remove_visible(self, hall: str, identity: str) -> None:
        """Disconnect a participant who is not hidden."""
        ...


class CreateRoom(Request, frozen=True, rename="camel", forbid_unknown_fields=False):
    """A room to be made before anyone joins."""

    name: RoomName
    max_participants: Annotated[int, msgspec.Meta(ge=1, le=10_000)] | None = None
    empty_timeout: Annotated[int, msgspec.Meta(ge=1, le=86_400)] | None = None
    """Seconds that the room lives on after the last participant has left."""
    metadata: Annotated[str, msgspec.Meta(max_length=4096)] | None = None


class OneRoom(Request, frozen=True):
    """A room, by the path."""

    name: RoomName


class OneParticipant(Request, frozen=True):
    """Someone in a room, by the path."""

    name: RoomName
    identity: str


class RoomView(msgspec.Struct, frozen=True, rename="camel"):
    """A room; times are in seconds since 1970, `maxParticipants` 0 means unlimited."""

    room: str
    sid: str
    num_participants: int
    max_participants: int
    creation_time: int
    metadata: str


class RoomList(msgspec.Struct, frozen=True):
    """The active rooms of the project."""

    rooms: list[RoomView]


class ParticipantView(msgspec.Struct, frozen=True, rename="camel"):
    """Someone in a room. `state`: 0 joining, 1 joined, 2 active, 3 disconnected; `tracks`: how many they publish."""

    identity: str
    name: str
    state: int
    joined_at: int
    tracks: int


class RoomWithParticipants(RoomView, frozen=True, rename="camel"):
    """A room and who is in it; the bot is never among them."""

    participants: list[ParticipantView]


class Ended(msgspec.Struct, frozen=True):
    """The room is over, or was already."""

    ended: bool


class Removed(msgspec.Struct, frozen=True):
    """The participant was disconnected."""

    removed: bool


_ROOM_EXAMPLE: Final = {
    "room": "my-room",
    "sid": "RM_xxxxxxxxxxxx",
    "numParticipants": 0,
    "maxParticipants": 50,
    "creationTime": 1718800000,
    "metadata": '{"topic":"standup"}',
}
_ACTIVE_EXAMPLE: Final = {**_ROOM_EXAMPLE, "numParticipants": 1, "metadata": ""}
_PARTICIPANT_EXAMPLE: Final = {
    "identity": "user-123",
    "name": "Ada Lovelace",
    "state": 2,
    "joinedAt": 1718800050,
    "tracks": 2,
}


class RoomsApi:
    """Makes the operations on rooms."""

    def __init__(self, settings: Settings, rooms: RoomService, halls: HallSet, once: IdempotencyLog) -> None:
        project = settings.control.project
        self._prefix = f"p_{project}__" if project else ""
        self._rooms = rooms
        self._halls = halls
        self._once = once

    def operations(self) -> list[Operation]:
        """List the operations."""

        def operation(
            method: str, path: str, summary: str, takes: type[Request], gives: Any, run: Run, **more: Any
        ) -> Operation:
            errors = (*more.pop("errors", ()), 502)
            asking = _asking_livekit(run)
            return Operation(method, "/v1/rooms" + path, "rooms", summary, takes, gives, asking, errors=errors, **more)

        return [
            operation(
                "POST",
                "",
                "Create a room",
                CreateRoom,
                RoomView,
                self._create,
                status=201,
                example={
                    "name": "my-room",
                    "maxParticipants": 50,
                    "emptyTimeout": 600,
                    "metadata": '{"topic":"standup"}',
                },
                answer_example=_ROOM_EXAMPLE,
            ),
            operation(
                "GET",
                "",
                "List active rooms",
                NoParameters,
                RoomList,
                self._list,
                answer_example={"rooms": [_ACTIVE_EXAMPLE]},
            ),
            operation(
                "GET",
                "/{name}",
                "Inspect a room",
                OneRoom,
                RoomWithParticipants,
                self._inspect,
                errors=(404,),
                answer_example={**_ACTIVE_EXAMPLE, "participants": [_PARTICIPANT_EXAMPLE]},
            ),
            operation(
                "DELETE",
                "/{name}",
                "End a room",
                OneRoom,
                Ended,
                self._end,
                description="Disconnects everyone in it; a room that no longer exists is fine.",
                answer_example={"ended": True},
            ),
            operation(
                "DELETE",
                "/{name}/participants/{identity}",
                "Remove a participant",
                OneParticipant,
                Removed,
                self._remove,
                description="Their token stays valid: to keep someone out, ban them in the hall.",
                errors=(404,),
                answer_example={"removed": True},
            ),
        ]

    # -- running ------------------------------------------------------------------------------------

    async def _create(self, call: Call) -> Any:
        asked: CreateRoom = call.request
        name = self._full_name(asked.name, "validation_error")

        async def make() -> Any:
            return msgspec.to_builtins(await self._make(name, asked))

        if call.idempotency_key is None:
            return await make()
        return await self._once.once(call.idempotency_key, call.digest, make)

    async def _make(self, name: str, asked: CreateRoom) -> RoomView:
        room = await self._rooms.create(
            CreateRoomRequest(
                name=name,
                max_participants=asked.max_participants or 0,
                # LiveKit knows two: before anyone has come, and after everyone has left. The text means the second.
                empty_timeout=asked.empty_timeout or 0,
                departure_timeout=asked.empty_timeout or 0,
                metadata=asked.metadata or "",
            )
        )
        self._halls.found(name, room.sid)
        return RoomView(**self._fields(room))

    async def _list(self, call: Call) -> Any:
        rooms = [room for room in await self._rooms.rooms() if room.name.startswith(self._prefix)]
        if len(rooms) > _MAX_LISTED:
            metrics.DROPPED.labels("rooms_listed").inc(len(rooms) - _MAX_LISTED)
        return RoomList([RoomView(**self._fields(room)) for room in rooms[:_MAX_LISTED]])

    async def _inspect(self, call: Call) -> Any:
        name = self._full_name(call.request.name)
        rooms = await self._rooms.rooms([name])
        if not rooms:
            raise ApiError(404, "not_found", "Room not found")
        people = await self._rooms.participants(name)
        fields = self._fields(rooms[0])
        fields["num_participants"] = len(people)  # the room's own count lags behind
        return RoomWithParticipants(
            **fields,
            participants=[
                ParticipantView(person.identity, person.name, int(person.state), person.joined_at, len(person.tracks))
                for person in people
            ],
        )

    async def _end(self, call: Call) -> Any:
        await self._rooms.delete(self._full_name(call.request.name))
        return Ended(True)

    async def _remove(self, call: Call) -> Any:
        name = self._full_name(call.request.name)
        try:
            await self._rooms.remove_visible(name, call.request.identity)
        except RoomsError as error:
            if error.not_found:
                raise ApiError(404, "not_found", "Participant not found") from error
            raise
        return Removed(True)

    # -- names --------------------------------------------------------------------------------------

    def _full_name(self, name: str, kind: str = "invalid_request") -> str:
        if not _NAME.fullmatch(name):  # the type's pattern lets a line break at the end pass
            raise ApiError(422, kind, "name: allowed are 1 to 128 of A-Z a-z 0-9 . _ - :", field="name")
        return self._prefix + name

    def _fields(self, room: Room) -> dict[str, Any]:
        return {
            "room": room.name.removeprefix(self._prefix),
            "sid": room.sid,
            "num_participants": room.num_participants,
            "max_participants": room.max_participants,
            "creation_time": room.creation_time,
            "metadata": room.metadata,
        }


def _asking_livekit(run: Run) -> Run:
    """Turn LiveKit's failures into the published error."""

    async def running(call: Call) -> Any:
        try:
            return await run(call)
        except RoomsError as error:
            raise ApiError(502, "livekit_error", str(error)) from error

    return running
