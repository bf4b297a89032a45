"""A kick names the connection: at LiveKit itself, which removes by identity alone, and through both links."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from livekit import rtc

from relay_bot.livekit.rooms import LivekitRooms
from relay_bot.plugin import RemoveParticipant
from relay_bot.settings import BotSettings, LivekitSettings
from tests.support.bot import StartBot, eventually
from tests.support.clients import Join, Participant
from tests.support.links import on_both_links
from tests.support.livekit_server import LiveKit

pytestmark = pytest.mark.server


@pytest.fixture
async def rooms(livekit: LiveKit) -> AsyncGenerator[LivekitRooms]:
    access = livekit.access
    made = LivekitRooms(LivekitSettings(livekit.url, access.key, access.secret), BotSettings())
    yield made
    await made.close()


async def sid_of(rooms: LivekitRooms, hall: str, identity: str) -> str:
    [found] = [each.sid for each in await rooms.presences(hall) if each.identity == identity]
    return found


async def is_thrown_out(person: Participant) -> None:
    async def out() -> bool:
        return rtc.DisconnectReason.PARTICIPANT_REMOVED in person.disconnects

    await eventually(out, f"{person.identity} removed")


async def test_who_came_back_is_spared_by_the_removal_of_the_earlier_connection(
    livekit: LiveKit, rooms: LivekitRooms, join: Join
) -> None:
    hall = livekit.new_hall("kick")
    bob, ann = await join(hall, "bob"), await join(hall, "ann")
    earlier = await sid_of(rooms, hall, "ann")
    await ann.leave()
    back = await join(hall, "ann")
    now = await sid_of(rooms, hall, "ann")
    assert earlier != now
    assert await rooms.perform(hall, RemoveParticipant("ann", earlier)) is None
    assert await sid_of(rooms, hall, "ann") == now
    assert back.connected
    assert await rooms.perform(hall, RemoveParticipant("ann", now)) is None
    await is_thrown_out(back)
    assert bob.connected
    assert await rooms.perform(hall, RemoveParticipant("nobody", now)) == "not_found"


@on_both_links
async def test_the_bot_names_the_connection_that_livekit_knows(
    livekit: LiveKit, rooms: LivekitRooms, start_bot: StartBot, join: Join
) -> None:
    """One that is told wrongly by a link would make every kick a kick of somebody who has left."""
    bot = await start_bot()
    hall = await bot.open_hall()
    ann, _ = await asyncio.gather(join(hall, "ann"), join(hall, "bob"))
    await bot.live(hall, present=2)
    order = {"action": "kick", "participant_id": "ann"}
    for person in (ann, None):
        person = person or await join(hall, "ann")  # they may come again, and be kicked again
        await bot.live(hall, present=2)
        assert (await bot.call("POST", f"/v1/halls/{hall}/moderation", order)).status == 200
        await is_thrown_out(person)
        await bot.live(hall, present=1)
