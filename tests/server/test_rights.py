"""Rights over reconnects on a real server, whose refreshed tokens have what is allowed at the moment."""

import asyncio
from typing import Any

import pytest

from tests.support.bot import Bot, eventually
from tests.support.clients import Join, Participant
from tests.support.livekit_server import LiveKit

pytestmark = pytest.mark.server

VIEWER = {"can_publish": False, "can_subscribe": True, "can_publish_data": True}
PUBLISHER = VIEWER | {"can_publish": True}


async def _may(livekit: LiveKit, hall: str, identity: str, right: str, expected: bool) -> None:
    """Wait until LiveKit itself says so of someone's right."""

    async def says() -> bool:
        answer = await asyncio.to_thread(livekit.server.call, "ListParticipants", {"room": hall})
        listed = [one for one in answer.get("participants", []) if one["identity"] == identity]
        return bool(listed) and listed[0]["permission"].get(right, False) is expected

    await eventually(says, f"{identity}: {right} is {expected}", limit=15)


async def _again(person: Participant, livekit: LiveKit) -> Participant:
    """Make a full reconnect with the token that LiveKit has refreshed last."""
    token: Any = person.room._token  # pyright: ignore[reportPrivateUsage, reportUnknownMemberType]
    assert token
    await person.leave()
    came = Participant(person.hall, person.identity)
    await came.connect(livekit.access.url, token)
    return came


async def _moderate(bot: Bot, hall: str, action: str, identity: str) -> None:
    answer = await bot.call("POST", f"/v1/halls/{hall}/moderation", {"action": action, "participant_id": identity})
    assert answer.status == 200, answer


async def test_an_unmute_reaches_who_reconnected_while_muted(bot: Bot, join: Join, livekit: LiveKit) -> None:
    hall = await bot.open_hall()
    await join(hall, "host", role="host")
    ann = await join(hall, "ann", grants=VIEWER)
    await bot.live(hall, present=2)
    await _moderate(bot, hall, "mute", "ann")
    await _may(livekit, hall, "ann", "can_publish_data", False)
    ann = await _again(ann, livekit)
    try:
        await _may(livekit, hall, "ann", "can_publish_data", False)
        await bot.live(hall, present=2)
        await _moderate(bot, hall, "unmute", "ann")
        await _may(livekit, hall, "ann", "can_publish_data", True)
    finally:
        await ann.leave()


async def test_the_stage_takes_what_it_gave_and_leaves_what_was_theirs(bot: Bot, join: Join, livekit: LiveKit) -> None:
    hall = await bot.open_hall()
    await join(hall, "host", role="host")
    ann, own = await join(hall, "ann", grants=VIEWER), await join(hall, "own", grants=PUBLISHER)
    await bot.live(hall, present=3)
    for one in (ann, own):
        path = f"/v1/halls/{hall}/stage/promote"
        assert (await bot.call("POST", path, {"participant_id": one.identity})).status == 200
        await one.wait_for("guest_promoted", lambda item, who=one.identity: item.payload["participant_id"] == who)
    ann, own = await _again(ann, livekit), await _again(own, livekit)
    try:
        await bot.live(hall, present=3)
        for one in (ann, own):
            await one.rpc("guest_demote", {})
            await one.wait_for("guest_demoted", lambda item, who=one.identity: item.payload["participant_id"] == who)
        await _may(livekit, hall, "ann", "can_publish", False)
        own = await _again(own, livekit)
        await bot.live(hall, present=3)
        await _may(livekit, hall, "own", "can_publish", True)
    finally:
        await asyncio.gather(ann.leave(), own.leave())


async def test_an_impostor_gets_no_place_on_the_stage(bot: Bot, join: Join, livekit: LiveKit) -> None:
    hall = await bot.open_hall()
    await join(hall, "host", role="host")
    viewer = await join(hall, "viewer-123", grants=VIEWER)
    await bot.live(hall, present=2)
    promoted = await bot.call("POST", f"/v1/halls/{hall}/stage/promote", {"participant_id": "viewer-123"})
    assert promoted.status == 200, promoted
    await viewer.wait_for("guest_promoted")
    ask = {"roomName": hall, "participantName": "viewer-123", "role": "viewer"}
    given = await bot.call("POST", "/api/rooms/join", ask)
    assert given.status == 200, given
    impostor = Participant(hall, "viewer-123-2")
    await impostor.connect(given.body["wsUrl"], given.body["token"])
    try:
        await bot.live(hall, present=3)
        await _may(livekit, hall, "viewer-123-2", "can_publish", False)
        await _may(livekit, hall, "viewer-123", "can_publish", True)
        assert not viewer.disconnects
        stage = await bot.found(f"/v1/halls/{hall}/stage")
        assert [one["participant_id"] for one in stage["on_stage"]] == ["viewer-123"]
    finally:
        await impostor.leave()
