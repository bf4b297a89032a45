"""kill -9 of livekit-server: participants come back, and the hall goes on where it was."""

import asyncio
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest

from tests.server.polls import a_vote, my_vote, open_poll, poll_of, synced, votes_are
from tests.support.bot import Bot, StartBot, eventually
from tests.support.clients import Join, Participants
from tests.support.links import on_both_links
from tests.support.livekit_server import LiveKit, start_server

pytestmark = [pytest.mark.server, on_both_links]


@pytest.fixture
def own_livekit(tmp_path: Path) -> Generator[LiveKit]:
    """A server that the test may kill."""
    server = start_server(tmp_path / "livekit")
    yield LiveKit(server)
    server.stop()


@pytest.fixture
async def join_own(own_livekit: LiveKit) -> AsyncGenerator[Join]:
    present = Participants(own_livekit.access)
    yield present.join
    await present.leave()


async def _restart(livekit: LiveKit) -> None:
    await asyncio.to_thread(livekit.server.restart)


async def _participants(bot: Bot, hall: str) -> int | None:
    found = await bot.hall(hall)
    return None if found is None else found["participants"]


async def _all_back(livekit: LiveKit, hall: str, bot: Bot, *identities: str) -> None:
    """Wait until LiveKit itself lists them and the bot in the room: what the bot says may be older."""

    async def are_back() -> bool:
        listed = await asyncio.to_thread(livekit.server.call, "ListParticipants", {"room": hall})
        active = {one["identity"] for one in listed.get("participants", []) if one.get("state") == "ACTIVE"}
        return {bot.identity, *identities} <= active

    await eventually(are_back, f"{identities} and the bot back in {hall}", limit=45, pause=0.2)


async def test_a_poll_goes_on_with_its_votes(own_livekit: LiveKit, join_own: Join, start_bot: StartBot) -> None:
    bot = await start_bot(livekit=own_livekit)
    hall = await bot.open_hall()
    ann, bob = await asyncio.gather(join_own(hall, "ann"), join_own(hall, "bob"))
    await bot.live(hall, present=2)
    poll_id = await open_poll(bot, hall, duration_seconds=300)
    closes_at = (await poll_of(bot, hall, poll_id))["closes_at"]
    await asyncio.gather(*(one.request("poll_response", a_vote(poll_id, 0)) for one in (ann, bob)))

    await _restart(own_livekit)
    await _all_back(own_livekit, hall, bot, "ann", "bob")
    cid = await join_own(hall, "cid")
    await bot.live(hall, present=3)
    poll = await poll_of(bot, hall, poll_id)
    assert votes_are(poll, [2, 0], voters=2)
    assert poll["closes_at"] == closes_at
    # By RPC: a packet of ann's could still come nameless, and such a one changes no vote that was certain.
    await ann.rpc("poll_response", a_vote(poll_id, 1))
    await cid.request("poll_response", a_vote(poll_id, 1), tries=8)
    assert my_vote(await synced(bob), poll_id) == [0]
    assert votes_are(await poll_of(bot, hall, poll_id), [1, 2], voters=3)
    assert (await bot.call("POST", f"/v1/halls/{hall}/polls/{poll_id}/close", {})).status == 200
    for one in (ann, bob, cid):
        closed = await one.wait_for("poll_closed")
        assert votes_are(closed.payload, [1, 2], voters=3)


async def test_who_went_away_meanwhile_is_not_here_any_more(
    own_livekit: LiveKit, join_own: Join, start_bot: StartBot
) -> None:
    bot = await start_bot(livekit=own_livekit)
    hall = await bot.open_hall()
    _, bob = await asyncio.gather(join_own(hall, "ann"), join_own(hall, "bob"))
    await bot.live(hall, present=2)
    await asyncio.to_thread(own_livekit.server.kill)
    await bob.leave()
    await asyncio.to_thread(own_livekit.server.start)
    await _all_back(own_livekit, hall, bot, "ann")

    async def only_ann() -> bool:
        return await _participants(bot, hall) == 1

    await eventually(only_ann, "the bot knows that bob is gone", limit=20)


async def test_a_crash_of_the_bot_long_after_one_of_the_server_loses_nothing(
    own_livekit: LiveKit, join_own: Join, start_bot: StartBot
) -> None:
    """The room has another sid than when the session began: the session must be known by the new one."""
    bot = await start_bot(livekit=own_livekit, settings={"halls": {"resume_seconds": 1}})
    hall = await bot.open_hall()
    ann = await join_own(hall, "ann")
    await bot.live(hall, present=1)
    poll_id = await open_poll(bot, hall)
    await ann.request("poll_response", a_vote(poll_id, 1))

    await _restart(own_livekit)
    await _all_back(own_livekit, hall, bot, "ann")
    await ann.rpc("poll_response", a_vote(poll_id, 0))
    await asyncio.sleep(1.5)  # longer than resume_seconds: only the sid can tell that the session is the room's
    bot.kill()
    await bot.start()
    await bot.live(hall, present=1)
    assert votes_are(await poll_of(bot, hall, poll_id), [1, 0], voters=1)


async def test_both_crash_at_once(own_livekit: LiveKit, join_own: Join, start_bot: StartBot) -> None:
    bot = await start_bot(livekit=own_livekit)
    hall = await bot.open_hall()
    ann = await join_own(hall, "ann")
    await bot.live(hall, present=1)
    poll_id = await open_poll(bot, hall)
    await ann.request("poll_response", a_vote(poll_id, 1))

    bot.kill()
    await _restart(own_livekit)
    await bot.start()
    await _all_back(own_livekit, hall, bot, "ann")
    await bot.live(hall, present=1)
    assert my_vote(await synced(ann), poll_id) == [1]
    assert votes_are(await poll_of(bot, hall, poll_id), [0, 1], voters=1)
