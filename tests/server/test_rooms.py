"""How halls begin and end with their rooms."""

import asyncio
import json
from pathlib import Path

import pytest

from scripts.devstack.ports import LOOPBACK, free_port
from tests.server.polls import a_vote, open_poll, poll_of, votes_are
from tests.support.bot import Bot, StartBot, eventually
from tests.support.clients import Join, Participants
from tests.support.livekit_server import LiveKit, start_server

pytestmark = pytest.mark.server


async def _rooms(livekit: LiveKit) -> dict[str, str]:
    """The rooms that LiveKit has now, with their sids."""
    listed = await asyncio.to_thread(livekit.server.call, "ListRooms")
    return {room["name"]: room["sid"] for room in listed.get("rooms", [])}


async def test_the_room_closes_after_its_last_human_and_does_not_come_back(
    livekit: LiveKit, bot: Bot, join: Join
) -> None:
    hall = await bot.open_hall(departure_timeout=2, empty_timeout=60)
    sid = (await _rooms(livekit))[hall]
    ann = await join(hall, "ann")
    await bot.live(hall, present=1)
    poll_id = await open_poll(bot, hall)
    await ann.request("poll_response", a_vote(poll_id, 0))
    await ann.leave()

    async def is_over() -> bool:
        return await bot.hall(hall) is None and hall not in await _rooms(livekit)

    await eventually(is_over, "the room closed, the hall over", limit=40)
    [over] = bot.events("hall.over")
    assert over["ending"] == "ended"
    exported = await bot.found(f"/v1/halls/{hall}/export/polls?format=json")
    assert [(each["poll"]["status"], each["poll"]["counts"]) for each in exported["polls"]] == [("closed", [1, 0])]
    for _ in range(15):  # several listings long
        assert hall not in await _rooms(livekit), "the bot made the room again"
        await asyncio.sleep(0.1)
    assert len(bot.events("hall.found")) == 1

    # A room of the same name later on is another session: nothing is left of the first one.
    again = await join(hall, "ann")
    assert (await again.wait_for("hall_state", timeout=15)).payload["polls"] == []
    assert (await _rooms(livekit))[hall] != sid
    assert (await bot.get(f"/v1/halls/{hall}/polls/{poll_id}")).status == 404


async def test_the_bot_is_named_in_room_metadata_if_that_is_switched_on(livekit: LiveKit, start_bot: StartBot) -> None:
    bot = await start_bot(identity="relay-7", settings={"bot": {"identity": "relay-7", "in_room_metadata": True}})

    async def metadata(hall: str) -> str:
        listed = await asyncio.to_thread(livekit.server.call, "ListRooms", {"names": [hall]})
        return listed["rooms"][0].get("metadata", "")

    others = {name: await bot.open_hall(metadata=name) for name in ("a backend's own words", "[1]")}
    for given, expected in (("", {}), ('{"topic":"standup"}', {"topic": "standup"})):
        hall = await bot.open_hall(metadata=given)

        async def named(hall: str = hall) -> dict[str, str] | None:
            told = json.loads(await metadata(hall) or "{}")
            return told if "bot_identity" in told else None

        assert await eventually(named, "the bot in the room's metadata") == expected | {"bot_identity": "relay-7"}
    for own, hall in others.items():  # the rooms made after them have been changed by now
        assert await metadata(hall) == own


async def test_room_metadata_is_left_alone_unless_switched_on(livekit: LiveKit, bot: Bot, join: Join) -> None:
    hall = await bot.open_hall()
    ann = await join(hall, "ann")
    await ann.wait_for("hall_state", timeout=10)
    listed = await asyncio.to_thread(livekit.server.call, "ListRooms", {"names": [hall]})
    assert not listed["rooms"][0].get("metadata")


async def test_a_room_that_is_deleted_ends_its_hall(livekit: LiveKit, bot: Bot, join: Join) -> None:
    hall = await bot.open_hall()
    await join(hall, "ann")
    await bot.live(hall, present=1)
    await asyncio.to_thread(livekit.server.call, "DeleteRoom", {"room": hall})

    async def is_over() -> bool:
        return await bot.hall(hall) is None

    await eventually(is_over, "the hall over")
    [over] = bot.events("hall.over")
    assert over["ending"] == "ended"


async def test_a_room_deleted_and_made_again_at_once_is_served_as_another_session(
    livekit: LiveKit, bot: Bot, join: Join
) -> None:
    hall = await bot.open_hall()
    await bot.live(hall)
    lost = await open_poll(bot, hall)
    await asyncio.to_thread(livekit.server.call, "DeleteRoom", {"room": hall})
    await asyncio.to_thread(livekit.server.call, "CreateRoom", {"name": hall})
    sid = (await _rooms(livekit))[hall]

    async def serves_the_new_one() -> bool:
        found = await bot.hall(hall)
        return found is not None and found["room_sid"] == sid and found["status"] == "live"

    await eventually(serves_the_new_one, "the bot in the new room", limit=20)
    await join(hall, "ann")
    await bot.live(hall, present=1)
    assert (await bot.get(f"/v1/halls/{hall}/polls/{lost}")).status == 404


async def test_a_bot_that_is_removed_leaves_and_the_session_goes_on_when_it_returns(
    livekit: LiveKit, bot: Bot, join: Join
) -> None:
    """Somebody removes it through the server API: the room is still there, so it is found again."""
    hall = await bot.open_hall()
    ann = await join(hall, "ann")
    await bot.live(hall, present=1)
    poll_id = await open_poll(bot, hall)
    await ann.request("poll_response", a_vote(poll_id, 1))
    await asyncio.to_thread(livekit.server.call, "RemoveParticipant", {"room": hall, "identity": bot.identity})

    async def found_again() -> bool:
        return len(bot.events("hall.live")) == 2

    await eventually(found_again, "the bot back in the hall", limit=20)
    await bot.live(hall, present=1)
    assert votes_are(await poll_of(bot, hall, poll_id), [0, 1], voters=1)


async def test_only_rooms_of_the_configuration_are_served(livekit: LiveKit, start_bot: StartBot, join: Join) -> None:
    bot = await start_bot("mine-*", settings={"halls": {"exclude": ["mine-not-*"]}})
    other, excluded = livekit.new_hall("theirs"), livekit.new_hall("mine-not")
    stranger, _ = await asyncio.gather(join(other, "ann"), join(excluded, "bob"))
    hall = await bot.open_hall("mine")
    halls = [one["hall_id"] for one in (await bot.found("/v1/halls"))["halls"]]
    assert hall in halls
    assert other not in halls
    assert excluded not in halls
    assert not stranger.all_of("hall_state")


async def test_webhooks_find_a_hall_at_once(tmp_path: Path, start_bot: StartBot) -> None:
    """LiveKit itself tells the bot: the next listing would be an hour away."""
    port = free_port()
    server = start_server(tmp_path / "livekit", webhook_url=f"http://{LOOPBACK}:{port}/livekit/webhook")
    livekit = LiveKit(server)
    people = Participants(livekit.access)
    try:
        bot = await start_bot(livekit=livekit, port=port, settings={"halls": {"reconcile_seconds": 3600}})
        hall = livekit.new_hall(bot.halls[0].rstrip("-*"))
        ann = await people.join(hall, "ann")
        state = await ann.wait_for("hall_state", timeout=10)
        assert state.payload["hall_id"] == hall
        assert await bot.metric("relay_webhooks_total", outcome="taken") >= 1
        assert await bot.metric("relay_webhooks_total", outcome="refused") == 0
        poll_id = await open_poll(bot, hall)
        await ann.rpc("poll_response", a_vote(poll_id, 0))
        assert votes_are(await poll_of(bot, hall, poll_id), [1, 0], voters=1)
        await people.leave()
        await bot.stop()
    finally:
        await people.leave()
        server.stop()
