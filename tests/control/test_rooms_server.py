"""Rooms and webhooks on a real livekit-server."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from livekit.protocol.models import ParticipantInfo
from livekit.protocol.room import ListParticipantsRequest

from relay_bot.livekit.rooms import LivekitRooms
from relay_bot.settings import BotSettings, LivekitSettings
from tests.control.rooms_contract import CHECKS, Rooms
from tests.control.support import LIVEKIT, Answer, Endpoint, open_endpoint
from tests.support.bot import eventually
from tests.support.clients import Access, Join, Participants
from tests.support.livekit_server import Keys, LiveKit, start_server

pytestmark = pytest.mark.server

HIDDEN = {"hidden": True, "agent": True, "can_publish": False, "can_subscribe": False}


@pytest.fixture
async def endpoint(livekit: LiveKit, tmp_path: Path) -> AsyncGenerator[Endpoint]:
    settings = LivekitSettings(livekit.url, livekit.key, livekit.secret)
    rooms = LivekitRooms(settings, BotSettings())
    async with open_endpoint(tmp_path, rooms=rooms, livekit=settings, project="demo") as opened:
        yield opened
    await rooms.close()


@pytest.mark.parametrize("check", CHECKS)
async def test_the_contract(
    endpoint: Endpoint, livekit: LiveKit, join: Join, check: Callable[[Rooms], Awaitable[None]]
) -> None:
    async def enter(room: str, identity: str) -> None:
        await join(room, identity, name=f"{identity}'s name")
        await listed(livekit, room, identity)

    async def enter_hidden(room: str, identity: str) -> None:
        await join(room, identity, grants=HIDDEN)
        await listed(livekit, room, identity)

    async def ask(method: str, path: str, body: Any = None, *, key: str | None = None) -> Answer:
        return await endpoint.call(method, path, body, key=key)

    await check(Rooms(ask, enter, enter_hidden, livekit.new_hall("room")))


async def listed(livekit: LiveKit, room: str, identity: str) -> ParticipantInfo:
    """Wait until LiveKit lists someone: its listing lags a little behind."""

    async def look() -> ParticipantInfo | None:
        answer = await api.room.list_participants(ListParticipantsRequest(room=room))
        return next((info for info in answer.participants if info.identity == identity), None)

    async with livekit.api() as api:
        return await eventually(look, f"{identity} in {room}")


async def test_the_room_ends_when_it_has_been_empty_for_so_long(
    endpoint: Endpoint, livekit: LiveKit, join: Join
) -> None:
    """LiveKit's own time after the last one has left is 20 s; the published field sets it."""
    name = livekit.new_hall("room")
    await endpoint.call("POST", "/v1/rooms", {"name": name, "emptyTimeout": 2})
    ann = await join(f"p_demo__{name}", "ann")
    await listed(livekit, f"p_demo__{name}", "ann")
    await ann.leave()

    async def gone() -> bool:
        return (await endpoint.call("GET", f"/v1/rooms/{name}")).status == 404

    await eventually(gone, "the room's end", limit=12)


async def test_the_bot_takes_nobodys_place(endpoint: Endpoint, livekit: LiveKit, join: Join) -> None:
    name = livekit.new_hall("room")
    await endpoint.call("POST", "/v1/rooms", {"name": name, "maxParticipants": 1})
    await join(f"p_demo__{name}", "relay-bot", grants=HIDDEN)
    await join(f"p_demo__{name}", "ann")
    await listed(livekit, f"p_demo__{name}", "ann")
    assert (await endpoint.call("GET", f"/v1/rooms/{name}")).body["numParticipants"] == 1


async def test_with_a_token_of_ours_one_gets_in(endpoint: Endpoint, livekit: LiveKit) -> None:
    """What the join token grants, as the server itself understands it."""
    from livekit import rtc

    hall = livekit.new_hall("room")
    body = {"participant_id": "ann", "display_name": "Ann", "role": "subscriber", "hall_role": "host"}
    made = (await endpoint.call("POST", f"/v1/halls/{hall}/join", body)).body
    room = rtc.Room()
    await room.connect(made["livekit_url"], made["join_token"])
    try:
        info = await listed(livekit, hall, "ann")
        assert (info.name, dict(info.attributes)) == ("Ann", {"relay.role": "host"})
        permission = info.permission
        assert (permission.can_publish, permission.can_subscribe, permission.can_publish_data) == (False, True, True)
        assert not permission.can_update_metadata
        assert not permission.hidden
    finally:
        await room.disconnect()


async def test_a_wrong_secret_is_livekits_error(livekit: LiveKit, tmp_path: Path) -> None:
    rooms = LivekitRooms(LivekitSettings(livekit.url, livekit.key, "w" * 40), BotSettings())
    async with open_endpoint(tmp_path, rooms=rooms) as endpoint:
        assert (await endpoint.call("GET", "/v1/rooms")).error == (502, "livekit_error", "livekit_error")
    await rooms.close()


async def test_nobody_answers_at_livekits_address(tmp_path: Path) -> None:
    rooms = LivekitRooms(LivekitSettings("ws://127.0.0.1:1", "key", "w" * 40), BotSettings())
    async with open_endpoint(tmp_path, rooms=rooms) as endpoint:
        assert (await endpoint.call("GET", "/v1/rooms")).error == (502, "livekit_error", "livekit_error")
    await rooms.close()


async def test_livekits_own_webhooks_are_believed(tmp_path: Path) -> None:
    async with open_endpoint(tmp_path / "bot") as endpoint:
        server = await asyncio.to_thread(
            start_server,
            tmp_path / "livekit",
            keys=Keys(LIVEKIT.api_key, LIVEKIT.api_secret),
            webhook_url=f"{endpoint.url}/livekit/webhook",
        )
        people = Participants(Access(server.url, LIVEKIT.api_key, LIVEKIT.api_secret))
        try:
            await people.join("hall-1", "ann")

            async def told() -> bool:
                return len(endpoint.halls.told) >= 2  # room_started, participant_joined

            await eventually(told, "two webhooks")
            assert {name for name, _ in endpoint.halls.told} == {"hall-1"}
            assert all(sid.startswith("RM_") for _, sid in endpoint.halls.told)
        finally:
            await people.leave()
            await asyncio.to_thread(server.stop)
