"""Rooms, participants and permissions, through LiveKit's server API."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, Final, TypeVar, cast

import aiohttp
import msgspec
from google.protobuf.message import DecodeError
from livekit.api import LiveKitAPI, ServerError
from livekit.protocol.models import ParticipantInfo, ParticipantPermission, Room, TrackSource, TrackType
from livekit.protocol.room import (
    CreateRoomRequest,
    DeleteRoomRequest,
    ListParticipantsRequest,
    ListRoomsRequest,
    RoomParticipantIdentity,
    UpdateParticipantRequest,
    UpdateRoomMetadataRequest,
)

from relay_bot.hall.services import EffectFailed
from relay_bot.link import Presence
from relay_bot.livekit.tokens import bot_token
from relay_bot.plugin import Effect, RemoveParticipant, SetPermissions, Track
from relay_bot.settings import BotSettings, LivekitSettings

T = TypeVar("T")

AGENT_KIND: Final = ParticipantInfo.Kind.AGENT
_SECONDS: Final = 5.0
"""How long LiveKit may take for a call. The library asks without any limit, whatever its session has."""
_metadata = msgspec.json.Decoder(dict[str, Any])


class RoomsError(EffectFailed):
    """LiveKit could not be asked, or answered with an error. `not_found` tells the harmless one."""

    def __init__(self, text: str, *, not_found: bool = False) -> None:
        super().__init__(text)
        self.not_found = not_found


class LivekitRooms:
    """The server API for halls and for the control endpoint. Every call has a time limit."""

    def __init__(self, livekit: LivekitSettings, bot: BotSettings) -> None:
        self._livekit = livekit
        self._bot = bot
        url = livekit.url.replace("ws://", "http://", 1).replace("wss://", "https://", 1)
        self._session = aiohttp.ClientSession()
        self._api = LiveKitAPI(url, livekit.api_key, livekit.api_secret, session=self._session)

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    def bot_token(self, hall: str) -> str:
        """See `Rooms.bot_token`."""
        return bot_token(self._livekit, self._bot, hall)

    # -- rooms ---------------------------------------------------------------------------------------

    async def list_rooms(self) -> list[tuple[str, str]]:
        """See `Rooms.list_rooms`."""
        return [(room.name, room.sid) for room in await self.rooms()]

    async def rooms(self, names: list[str] | None = None) -> list[Room]:
        """List the rooms, or those with these names; raises `RoomsError`."""
        answer = await self._ask(self._api.room.list_rooms(ListRoomsRequest(names=names or [])))
        return list(answer.rooms)

    async def exists(self, hall: str) -> bool:
        """See `Rooms.exists`."""
        return bool(await self.rooms([hall]))

    async def name_bot(self, hall: str) -> None:
        """See `Rooms.name_bot`. What is somebody else's and no JSON object stays as it is."""
        for room in await self.rooms([hall]):
            try:
                told = _metadata.decode(room.metadata or "{}")
            except (msgspec.DecodeError, RecursionError):
                return
            if told.get("bot_identity") == self._bot.identity:
                return
            metadata = msgspec.json.encode(told | {"bot_identity": self._bot.identity}).decode()
            await self._ask(
                self._api.room.update_room_metadata(UpdateRoomMetadataRequest(room=hall, metadata=metadata))
            )

    async def create(self, request: CreateRoomRequest) -> Room:
        """Create a room, or find it if it exists; raises `RoomsError`."""
        return await self._ask(self._api.room.create_room(request))

    async def delete(self, hall: str) -> None:
        """End a room; one that doesn't exist is fine. Raises `RoomsError`."""
        try:
            await self._ask(self._api.room.delete_room(DeleteRoomRequest(room=hall)))
        except RoomsError as error:
            if not error.not_found:
                raise

    # -- participants ----------------------------------------------------------------------------------

    async def participants(self, hall: str) -> list[ParticipantInfo]:
        """List who is in a room, the bot and other agents left out; raises `RoomsError`."""
        answer = await self._ask(self._api.room.list_participants(ListParticipantsRequest(room=hall)))
        return [info for info in answer.participants if not _is_hidden(info)]

    async def presences(self, hall: str) -> list[Presence]:
        """See `Rooms.presences`."""
        answer = await self._ask(self._api.room.list_participants(ListParticipantsRequest(room=hall)))
        return [_presence(info) for info in answer.participants]

    async def remove(self, hall: str, identity: str) -> None:
        """Disconnect a participant; raises `RoomsError`, with `not_found` for nobody of that identity."""
        await self._ask(self._api.room.remove_participant(RoomParticipantIdentity(room=hall, identity=identity)))

    async def _remove_connection(self, hall: str, identity: str, sid: str) -> None:
        """Disconnect a participant unless they have come back with a new connection.

        LiveKit removes by identity alone, so the connection is compared right before.
        """
        where = RoomParticipantIdentity(room=hall, identity=identity)
        if (await self._ask(self._api.room.get_participant(where))).sid == sid:
            await self.remove(hall, identity)

    async def remove_visible(self, hall: str, identity: str) -> None:
        """Disconnect a participant whom `participants` lists: to callers, the bot and its like don't exist."""
        where = RoomParticipantIdentity(room=hall, identity=identity)
        if _is_hidden(await self._ask(self._api.room.get_participant(where))):
            raise RoomsError("LiveKit: a hidden participant", not_found=True)
        await self.remove(hall, identity)

    async def set_permissions(self, hall: str, change: SetPermissions) -> None:
        """Change what is named and nothing else; raises `RoomsError`.

        LiveKit replaces the whole permission, so it is read first.
        """
        where = RoomParticipantIdentity(room=hall, identity=change.identity)
        info = await self._ask(self._api.room.get_participant(where))
        permission = ParticipantPermission()
        permission.CopyFrom(info.permission)
        for name in ("can_publish", "can_publish_data", "can_subscribe"):
            value = getattr(change, name)
            if value is not None:
                setattr(permission, name, value)
        if permission == info.permission:
            return
        await self._ask(
            self._api.room.update_participant(
                UpdateParticipantRequest(room=hall, identity=change.identity, permission=permission)
            )
        )

    async def perform(self, hall: str, effect: Effect) -> str | None:
        """See `Rooms.perform`."""
        try:
            match effect:
                case SetPermissions():
                    await self.set_permissions(hall, effect)
                case RemoveParticipant():
                    if effect.sid:
                        await self._remove_connection(hall, effect.identity, effect.sid)
                    else:
                        await self.remove(hall, effect.identity)
                case _:
                    raise TypeError(f"{type(effect).__name__}: not an effect on a room")
        except RoomsError as error:
            if error.not_found:
                return "not_found"
            raise
        return None

    async def _ask(self, call: Awaitable[T]) -> T:
        """Make a call to LiveKit: every one goes through here, and has its time limit here."""
        try:
            async with asyncio.timeout(_SECONDS):
                return await call
        except ServerError as error:
            if error.status in (401, 403):
                raise RoomsError("LiveKit refuses the key or the secret: see livekit.api_key and api_secret") from error
            raise RoomsError(f"LiveKit: {error.message}", not_found=error.code == "not_found") from error
        except TimeoutError as error:
            raise RoomsError(f"LiveKit did not answer within {_SECONDS:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise RoomsError(f"LiveKit can't be reached: {type(error).__name__}") from error
        except (DecodeError, ValueError) as error:
            raise RoomsError("what answers at livekit.url is not LiveKit") from error


def _is_hidden(info: ParticipantInfo) -> bool:
    return info.permission.hidden or info.kind == AGENT_KIND


def _presence(info: ParticipantInfo) -> Presence:
    permission = info.permission
    return Presence(
        info.identity,
        info.name,
        info.metadata,
        dict(info.attributes),
        info.state == ParticipantInfo.State.ACTIVE,
        _is_hidden(info),
        permission.can_publish,
        permission.can_publish_data,
        permission.can_subscribe,
        permission.can_update_metadata,
        tuple(
            Track(
                track.sid,
                "audio" if track.type == TrackType.AUDIO else "video",
                cast(Any, TrackSource).Name(track.source).lower(),
                track.muted,
            )
            for track in info.tracks
        ),
        info.sid,
    )
