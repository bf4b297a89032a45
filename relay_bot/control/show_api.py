"""The Interactive Show's API: `/api/rooms…`, exactly as its text has it.

It has no queue and no stage of its own: hands and guests are those of the hands plugin, so that the text's calls and
the envelope's messages drive the same ones. Its words for errors are its own: `{"error": "…"}`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any, Final, Protocol

import msgspec
from livekit.protocol.models import ParticipantInfo, Room

from relay_bot.control.errors import ApiError, from_refuse
from relay_bot.control.hall_api import NoParameters, public_url
from relay_bot.control.hall_set import HallSet
from relay_bot.control.idempotency import IdempotencyLog
from relay_bot.control.operation import Call, ErrorForm, Header, Operation, Run
from relay_bot.control.show_limits import RateLimits
from relay_bot.control.show_names import LATELY_SECONDS, ShowNames, is_own
from relay_bot.control.show_people import is_guest, is_host, show_metadata, token_as
from relay_bot.control.show_stage import ShowStage
from relay_bot.control.show_types import (
    ShowChanged,
    ShowDetails,
    ShowDone,
    ShowError,
    ShowGuest,
    ShowHand,
    ShowHandRaised,
    ShowInfo,
    ShowInvite,
    ShowJoin,
    ShowJoined,
    ShowListed,
    ShowParticipant,
    ShowPeople,
    ShowPerson,
    ShowRemoved,
    ShowRoom,
    ShowRooms,
)
from relay_bot.control.token_desk import check_may_join
from relay_bot.hall.hall import Hall
from relay_bot.hall.session import Loaded
from relay_bot.livekit.rooms import RoomsError
from relay_bot.livekit.tokens import join_token
from relay_bot.plugin import Refuse, Role, Sender
from relay_bot.settings import Settings
from relay_bot.wire.body import Request

_HOST_SECONDS: Final = 30.0
"""How long a host's token, once given, keeps other hosts out, though its bearer has not joined yet."""
_MAX_HOSTS: Final = 10_000
_MAX_LISTED: Final = 10_000
_MAX_NAME_CHARS: Final = 256
_CONTROL_CHARACTER: Final = re.compile(r"[\x00-\x1f\x7f]")
_JOIN_LIMIT: Final = 10
_INVITE_LIMIT: Final = 5
_HAND_LIMIT: Final = 10
_OTHER_LIMIT: Final = 100
_NO_GUEST: Final = "guestIdentity and hostIdentity are required"
_CLIENT: Final = Header(
    "X-Forwarded-For",
    "The user for whom the backend calls: the rate limits count for each. Without it they count for each participant "
    "who acts in a room (`hostIdentity`, `participantIdentity`), and for each room where it is none, as at `/join`.",
)
_ACTING: Final = ("host_identity", "participant_identity")
_ERRORS: Final = (400, 401, 403, 404, 409, 413, 415, 429, 500, 502, 503)
_DONE_EXAMPLE: Final = {"success": True}
_TOKEN_EXAMPLE: Final = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9..."  # noqa: S105  (an example)
_URL_EXAMPLE: Final = "wss://your-project.livekit.cloud"


def _show_error(error: ApiError) -> tuple[int, Any]:
    """Say an error as the text does: what is wrong with a body is 400 here."""
    return 400 if error.status == 422 else error.status, ShowError(error.message)


ERROR_FORM: Final = ErrorForm("/api/", _show_error)


class ShowService(Protocol):
    """LiveKit's server API, as far as the show needs it (see `relay_bot.livekit.rooms.LivekitRooms`).

    Every call raises `RoomsError`; `not_found` in it tells that the room or the participant isn't there.
    """

    async def rooms(self, names: list[str] | None = None) -> list[Room]:
        """List the rooms, or those with these names."""
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


class ShowApi:
    """Makes the operations of the show. `guests`: how many a room may have at once; the text knows one."""

    def __init__(
        self,
        settings: Settings,
        rooms: ShowService,
        halls: HallSet,
        plugins: Mapping[str, Loaded],
        once: IdempotencyLog,
        *,
        guests: int = 1,
    ) -> None:
        self._settings = settings
        self._rooms = rooms
        self._halls = halls
        self._stage = ShowStage(halls, plugins)
        self._once = once
        self._guests = guests
        self._limits = RateLimits()
        self._names = ShowNames()
        self._hosts: dict[str, tuple[str, float]] = {}

    def update(self, settings: Settings) -> None:
        """Take the roles of a configuration that was read again: whoever asks next is judged by them."""
        self._settings = settings

    def operations(self) -> list[Operation]:
        """List the operations."""
        room = "/{roomName}"
        return [
            self._operation(
                "POST", "/join", "Join a room and receive a LiveKit access token", ShowJoin, ShowJoined, self._join,
                limit=_JOIN_LIMIT,
                example={"roomName": "my-show", "participantName": "john-doe", "role": "host"},
                answer_example={
                    "token": _TOKEN_EXAMPLE, "wsUrl": _URL_EXAMPLE, "roomName": "my-show", "role": "host",
                },
            ),
            self._operation("GET", "", "Get all active rooms", NoParameters, ShowRooms, self._list),
            self._operation("GET", room, "Get a room, with its host and guest", ShowRoom, ShowInfo, self._info),
            self._operation(
                "DELETE", room, "End a room and disconnect all participants", ShowRoom, ShowDone, self._delete,
                answer_example=_DONE_EXAMPLE,
            ),
            self._operation("GET", f"{room}/participants", "List participants", ShowRoom, ShowPeople, self._people),
            self._operation(
                "DELETE", room + "/participants/{identity}", "Remove a participant from a room", ShowParticipant,
                ShowDone, self._remove, answer_example=_DONE_EXAMPLE,
            ),
            self._operation(
                "POST", f"{room}/invite", "Invite a viewer as guest", ShowInvite, ShowChanged, self._invite,
                limit=_INVITE_LIMIT,
                example={"viewerIdentity": "viewer-123", "hostIdentity": "host-456"},
                answer_example={
                    "success": True, "token": _TOKEN_EXAMPLE, "wsUrl": _URL_EXAMPLE,
                    "message": "viewer-123 has been promoted to guest",
                },
            ),
            self._operation(
                "POST", f"{room}/demote", "Demote a guest to viewer", ShowGuest, ShowChanged, self._demote,
                example={"guestIdentity": "guest-123", "hostIdentity": "host-456"},
                answer_example={
                    "success": True, "token": _TOKEN_EXAMPLE, "wsUrl": _URL_EXAMPLE,
                    "message": "guest-123 has been demoted to viewer",
                },
            ),
            self._operation(
                "POST", f"{room}/remove-guest", "Remove a guest from the room", ShowGuest, ShowRemoved,
                self._remove_guest,
                example={"guestIdentity": "guest-123", "hostIdentity": "host-456"},
                answer_example={"success": True, "message": "guest-123 has been removed from the room"},
            ),
            self._operation(
                "POST", f"{room}/hand-raise", "Raise or lower a hand", ShowHand, ShowHandRaised, self._hand,
                limit=_HAND_LIMIT,
                example={"participantIdentity": "viewer-123", "raised": True},
                answer_example={"success": True, "handRaised": True},
            ),
        ]  # fmt: skip

    def _operation(
        self,
        method: str,
        path: str,
        summary: str,
        takes: type[Request],
        gives: Any,
        run: Run,
        *,
        limit: int = _OTHER_LIMIT,
        **more: Any,
    ) -> Operation:
        async def running(call: Call) -> Any:
            self._limits.check(f"{method} {path}", _client(call), limit)
            try:
                if method != "POST" or call.idempotency_key is None:
                    return await run(call)

                async def make() -> Any:
                    return msgspec.to_builtins(await run(call))

                return await self._once.once(call.idempotency_key, call.digest, make)
            except RoomsError as error:
                raise ApiError(502, "livekit_error", str(error)) from error

        return Operation(
            method, "/api/rooms" + path, "show", summary, takes, gives, running,
            headers=(_CLIENT,), other_answers=dict.fromkeys(_ERRORS, ShowError), error_form=ERROR_FORM, **more,
        )  # fmt: skip

    # -- rooms --------------------------------------------------------------------------------------

    async def _join(self, call: Call) -> Any:
        asked: ShowJoin = call.request
        missing = "roomName and participantName are required"
        room, name = _text(asked.room_name, missing), _text(asked.participant_name, missing)
        if asked.role not in ("host", "viewer"):
            raise _bad('role is required: "host" or "viewer"')
        if name == self._settings.bot.identity:
            # LiveKit would throw the bot out of the room: one identity is there once.
            raise _bad("participantName: this name is the bot's")
        await check_may_join(self._halls, room, name)
        proven = is_own(self._settings.livekit, room, name, asked.participant_token)
        people = await self._people_in(room)
        hosts = {person.identity for person in people if is_host(person, self._settings.roles)}
        if asked.role == "host":
            self._check_host(room, name, hosts, proven=proven)
        elif name in hosts and not proven:
            raise ApiError(409, "conflict", "This name is the host's")
        here = {person.identity for person in people}
        identity, shown = self._names.choose(
            room, name, proven=proven, taken=lambda each: each in here or self._is_taken(room, each, asked.role)
        )
        if asked.role == "host":
            self._claim_host(room, identity)
        token = join_token(
            self._settings.livekit,
            room,
            identity,
            name=shown,
            can_publish=asked.role == "host",
            metadata=show_metadata(asked.role, shown),
        )
        return ShowJoined(token, public_url(self._settings), room, asked.role)

    def _is_taken(self, room: str, identity: str, role: str) -> bool:
        roles = self._settings.roles
        if identity in roles.moderators or (identity in roles.hosts and role != "host"):
            return True  # who asks for that name here would have its rights
        if identity == self._settings.bot.identity:
            return True
        hall = self._halls.get(room)
        return hall is not None and hall.is_taken(identity, LATELY_SECONDS)

    def _check_host(self, room: str, name: str, hosts: set[str], *, proven: bool) -> None:
        """Raise `ApiError` (409) where a host is in the room, or has just been given a token; not for themselves."""
        claimed, until = self._hosts.get(room, ("", 0.0))
        own = {name} if proven else set[str]()
        if hosts - own or (time.monotonic() < until and claimed not in own):
            raise ApiError(409, "conflict", "Room already has a host")

    def _claim_host(self, room: str, identity: str) -> None:
        now = time.monotonic()
        if len(self._hosts) >= _MAX_HOSTS:
            self._hosts = {each: claim for each, claim in self._hosts.items() if now < claim[1]}
        if len(self._hosts) < _MAX_HOSTS:
            self._hosts[room] = (identity, now + _HOST_SECONDS)

    async def _list(self, call: Call) -> Any:
        rooms = (await self._rooms.rooms())[:_MAX_LISTED]
        return ShowRooms(
            [ShowListed(room.name, room.sid, room.num_participants, str(room.creation_time)) for room in rooms]
        )

    async def _info(self, call: Call) -> Any:
        room = await self._room(call.request.room_name)
        people = await self._people_in(room.name)
        roles = self._settings.roles
        has_host = any(is_host(person, roles) for person in people)
        has_guest = any(is_guest(person, roles) for person in people) or await self._stage.has_guest(room.name)
        # The room's own count lags behind; who is listed is there.
        return ShowInfo(ShowDetails(room.name, room.sid, len(people), has_host, has_guest))

    async def _delete(self, call: Call) -> Any:
        await self._rooms.delete(call.request.room_name)
        self._hosts.pop(call.request.room_name, None)
        return ShowDone(True)

    async def _people(self, call: Call) -> Any:
        room = await self._room(call.request.room_name)
        return ShowPeople(
            [
                ShowPerson(person.sid, person.identity, person.name, person.metadata, str(person.joined_at))
                for person in await self._people_in(room.name)
            ]
        )

    async def _remove(self, call: Call) -> Any:
        asked: ShowParticipant = call.request
        try:
            await self._rooms.remove_visible(asked.room_name, asked.identity)
        except RoomsError as error:
            if error.not_found:
                raise _no_participant() from error
            raise
        await self._stage.forget(asked.room_name, asked.identity)
        return ShowDone(True)

    async def _room(self, name: str) -> Room:
        rooms = await self._rooms.rooms([name])
        if not rooms:
            raise ApiError(404, "not_found", "Room not found")
        return rooms[0]

    async def _people_in(self, room: str) -> list[ParticipantInfo]:
        try:
            people = await self._rooms.participants(room)
        except RoomsError as error:
            if error.not_found:
                return []
            raise
        return [person for person in people if person.state != ParticipantInfo.State.DISCONNECTED]

    # -- guests -------------------------------------------------------------------------------------

    async def _invite(self, call: Call) -> Any:
        asked: ShowInvite = call.request
        missing = "viewerIdentity and hostIdentity are required"
        viewer, host = _text(asked.viewer_identity, missing), _text(asked.host_identity, missing)
        hall, people = await self._as_host(asked.room_name, host, "Only the host can promote viewers to guest")
        person = _person(people, viewer)
        await self._check_target(hall, host, viewer)
        await self._stage.promote(hall, viewer, self._guests)
        return self._changed(hall, person, "guest", f"{viewer} has been promoted to guest")

    async def _demote(self, call: Call) -> Any:
        asked: ShowGuest = call.request
        guest, host = _text(asked.guest_identity, _NO_GUEST), _text(asked.host_identity, _NO_GUEST)
        hall, people = await self._as_host(asked.room_name, host, "Only the host can demote guests")
        person = _person(people, guest)
        await self._check_target(hall, host, guest)
        await self._stage.demote(hall, guest)
        return self._changed(hall, person, "viewer", f"{guest} has been demoted to viewer")

    async def _remove_guest(self, call: Call) -> Any:
        asked: ShowGuest = call.request
        guest, host = _text(asked.guest_identity, _NO_GUEST), _text(asked.host_identity, _NO_GUEST)
        hall, _ = await self._as_host(asked.room_name, host, "Only the host can remove guests")
        _check_may_act(hall, host, guest)
        await self._stage.remove(hall, guest)
        return ShowRemoved(True, f"{guest} has been removed from the room")

    async def _as_host(self, room: str, host: str, otherwise: str) -> tuple[Hall, list[ParticipantInfo]]:
        """Check that it is the room's host who asks; gives the hall and who is in it. Raises `ApiError`."""
        await self._room(room)
        people = await self._people_in(room)
        if not any(person.identity == host and is_host(person, self._settings.roles) for person in people):
            raise ApiError(403, "forbidden", otherwise)
        return await self._stage.hall(room), people

    async def _check_target(self, hall: Hall, host: str, identity: str) -> None:
        """Check that the host may act on somebody, and that they may have a token. Raises `ApiError`."""
        _check_may_act(hall, host, identity)
        await check_may_join(self._halls, hall.name, identity)

    def _changed(self, hall: Hall, person: ParticipantInfo, role: str, message: str) -> ShowChanged:
        known = hall.roster.get(person.identity)
        believed = Role.VIEWER if known is None else known.role
        token = token_as(self._settings.livekit, hall.name, person, role, believed)
        return ShowChanged(True, token, public_url(self._settings), message)

    async def _hand(self, call: Call) -> Any:
        asked: ShowHand = call.request
        missing = "participantIdentity and raised are required"
        identity = _text(asked.participant_identity, missing)
        if not isinstance(asked.raised, bool):
            raise _bad(missing if asked.raised is None else "raised: expected true or false")
        await self._room(asked.room_name)
        _person(await self._people_in(asked.room_name), identity)
        await self._stage.raise_hand(await self._stage.hall(asked.room_name), identity, raised=asked.raised)
        return ShowHandRaised(True, asked.raised)


def _client(call: Call) -> str:
    """Tell for whom a call counts: the user whom the backend names, or else the one who acts, in that room.

    Not for the name with which somebody asks to join: each could choose another and ask without end.
    """
    forwarded = call.headers.get(_CLIENT.name, "").partition(",")[0].strip()[:64]
    if forwarded:
        return forwarded
    named = [getattr(call.request, field, None) for field in ("room_name", *_ACTING)]
    return "\0".join(name[:_MAX_NAME_CHARS] if isinstance(name, str) else "" for name in named)


def _text(value: Any, missing: str) -> str:
    """Read a required name; raises `ApiError` (400) in the text's words where it is missing."""
    if not isinstance(value, str) or not value.strip():
        raise _bad(missing)
    if len(value) > _MAX_NAME_CHARS or _CONTROL_CHARACTER.search(value):
        raise _bad(f"a name has at most {_MAX_NAME_CHARS} characters, none of them a control character")
    return value


def _bad(message: str) -> ApiError:
    return ApiError(400, "validation_error", message)


def _no_participant() -> ApiError:
    return ApiError(404, "not_found", "Participant not found")


def _check_may_act(hall: Hall, host: str, identity: str) -> None:
    """Raise `ApiError` (403) for what a host may not do to somebody: the hall's own rule."""
    try:
        hall.roster.may_act_on(Sender(host, "", Role.HOST), identity)
    except Refuse as refusal:
        raise from_refuse(refusal) from None


def _person(people: list[ParticipantInfo], identity: str) -> ParticipantInfo:
    found = next((person for person in people if person.identity == identity), None)
    if found is None:
        raise _no_participant()
    return found
