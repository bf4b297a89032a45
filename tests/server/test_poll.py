"""The whole poll, with real participants on a real server."""

import asyncio
import time
from typing import Any

import pytest

from tests.server.polls import a_vote, my_vote, open_poll, poll_of, seconds, synced, votes_are
from tests.support.bot import Bot, eventually
from tests.support.clients import Join, Participant, RefusedError, new_id

pytestmark = pytest.mark.server

CROWD = 30


async def _crowd(join: Join, hall: str, count: int) -> list[Participant]:
    few = asyncio.Semaphore(8)  # the SDK's native library ends the process if too many joins wait for one busy loop

    async def one(number: int) -> Participant:
        async with few:
            return await join(hall, f"voter-{number}", name=f"Voter {number}")

    return await asyncio.gather(*(one(number) for number in range(count)))


async def test_thirty_participants_vote_and_all_see_the_same_end(bot: Bot, join: Join) -> None:
    hall = await bot.open_hall()
    crowd = await _crowd(join, hall, CROWD)
    await bot.live(hall, present=CROWD)
    poll_id = await open_poll(bot, hall, ["red", "green", "blue"], duration_seconds=12)
    announced = await asyncio.gather(*(one.wait_for("poll") for one in crowd))
    for said in announced:
        assert (said.payload["poll_id"], said.payload["options"]) == (poll_id, ["red", "green", "blue"])
        assert said.sender_id is None
        assert said.sfu_identity is None  # the hidden bot's mark: no ordinary participant can send such a packet

    async def vote(number: int, voter: Participant) -> tuple[str, dict[str, Any]]:
        message_id = new_id()
        ask = voter.rpc if number % 2 else voter.request
        choice: int | str = ["red", "green", "blue"][number % 3] if number % 5 == 0 else number % 3
        return message_id, await ask("poll_response", a_vote(poll_id, choice), message_id)

    answers = await asyncio.gather(*(vote(number, voter) for number, voter in enumerate(crowd)))
    for message_id, answer in answers:
        assert message_id in answer["ids"]
    assert len({message_id for message_id, _ in answers}) == CROWD
    expected = [CROWD // 3] * 3
    assert votes_are(await poll_of(bot, hall, poll_id), expected, voters=CROWD)
    for one in crowd:
        await one.wait_for("poll_results", lambda item: votes_are(item.payload, expected, voters=CROWD))

    closed = await asyncio.gather(*(one.wait_for("poll_closed", timeout=20) for one in crowd))
    for said in closed:
        assert said.payload["poll_id"] == poll_id
        assert votes_are(said.payload, expected, voters=CROWD)
    final = await poll_of(bot, hall, poll_id)
    assert final["status"] == "closed"
    assert 0 <= seconds(final["closed_at"]) - seconds(final["closes_at"]) < 1.5
    assert seconds(final["closes_at"]) - seconds(final["opened_at"]) == pytest.approx(12, abs=0.01)
    for one in crowd:
        seen = [item.payload["seq"] for item in one.all_of("poll_results")]
        assert seen == sorted(set(seen)), "the seq of poll_results only grows"
        assert one.all_of("poll_closed")[0].payload["seq"] > seen[-1]

    for ask in (crowd[0].request, crowd[1].rpc):
        with pytest.raises(RefusedError) as late:
            await ask("poll_response", a_vote(poll_id, 0))
        assert late.value.code == "poll_closed"
    assert votes_are(await poll_of(bot, hall, poll_id), expected, voters=CROWD)


async def test_results_are_throttled_however_many_vote(bot: Bot, join: Join) -> None:
    hall = await bot.open_hall()
    watcher, *voters = await _crowd(join, hall, 5)
    await bot.live(hall, present=5)
    poll_id = await open_poll(bot, hall, ["a", "b"])
    started = time.monotonic()

    async def change(voter: Participant) -> None:
        for turn in range(60):
            await voter.request("poll_response", a_vote(poll_id, turn % 2))

    await asyncio.gather(*(change(voter) for voter in voters))
    last = await watcher.wait_for("poll_results", lambda item: votes_are(item.payload, [0, 4], voters=4))
    seconds = last.at - started
    results = [item for item in watcher.all_of("poll_results") if item.at <= last.at]
    assert len(results) <= seconds * 5 + 2, f"{len(results)} results in {seconds:.1f} s for 240 votes"
    seen = [item.payload["seq"] for item in results]
    assert seen == sorted(set(seen))


async def test_a_multiple_choice_poll_opened_by_a_host_and_closed_by_hand(bot: Bot, join: Join) -> None:
    hall = await bot.open_hall()
    host, ann, bob = await asyncio.gather(join(hall, "host", role="host"), join(hall, "ann"), join(hall, "bob"))
    await bot.live(hall, present=3)
    poll: dict[str, object] = {"poll_id": "multi", "question": "Which?", "options": ["a", "b", "c"], "max_choices": 2}
    await host.request("poll", poll)
    await ann.wait_for("poll", lambda item: item.payload["poll_id"] == "multi")
    await ann.rpc("poll_response", {"poll_id": "multi", "options": [0, "c"]})
    await bob.request("poll_response", {"poll_id": "multi", "options": [2]})
    found = await poll_of(bot, hall, "multi")
    assert (found["counts"], found["total_voters"], found["total_votes"]) == ([1, 0, 2], 2, 3)
    with pytest.raises(RefusedError) as too_many:
        await bob.rpc("poll_response", {"poll_id": "multi", "options": [0, 1, 2]})
    assert too_many.value.code == "invalid_choice"
    with pytest.raises(RefusedError) as forbidden:
        await ann.rpc("poll", {"question": "Mine?", "options": ["x", "y"]})
    assert forbidden.value.code == "forbidden"

    answer = await bot.call("POST", f"/v1/halls/{hall}/polls/multi/close", {})
    assert answer.status == 200, answer
    closed = await ann.wait_for("poll_closed")
    assert (closed.payload["counts"], closed.payload["total_voters"]) == ([1, 0, 2], 2)


async def test_a_late_joiner_gets_the_poll_and_votes(bot: Bot, join: Join) -> None:
    hall = await bot.open_hall()
    early = await join(hall, "early")
    await bot.live(hall, present=1)
    poll_id = await open_poll(bot, hall, ["a", "b"], duration_seconds=120)
    await early.request("poll_response", a_vote(poll_id, 0))

    late = await join(hall, "late")
    state = (await late.wait_for("hall_state", timeout=10)).payload
    assert state["bot_identity"] == bot.identity
    assert isinstance(state["seq"], int)
    [poll] = [poll for poll in state["polls"] if poll["poll_id"] == poll_id]
    assert poll["options"] == ["a", "b"]
    assert poll["closes_at"] == (await poll_of(bot, hall, poll_id))["closes_at"]
    assert my_vote(state, poll_id) is None
    await late.request("poll_response", a_vote(poll_id, 1))
    assert votes_are(await poll_of(bot, hall, poll_id), [1, 1], voters=2)
    assert my_vote(await synced(late), poll_id) == [1]


@pytest.mark.parametrize("way", ["leaves_first", "thrown_out"])
async def test_who_comes_back_under_the_same_identity_is_counted_once(bot: Bot, join: Join, way: str) -> None:
    """`thrown_out`: the second connection takes the place of the first, as when a page is reloaded."""
    hall = await bot.open_hall()
    first, other = await asyncio.gather(join(hall, "ann"), join(hall, "other"))
    await bot.live(hall, present=2)
    poll_id = await open_poll(bot, hall, ["a", "b"])
    used = new_id()
    await first.request("poll_response", a_vote(poll_id, 1), used)
    await other.rpc("poll_response", a_vote(poll_id, 0))

    if way == "leaves_first":
        await first.leave()

        async def has_left() -> bool:
            found = await bot.hall(hall)
            return found is not None and found["participants"] == 1

        await eventually(has_left, "the bot knows that ann left")
    again = await join(hall, "ann")
    state = (await again.wait_for("hall_state", timeout=10)).payload
    assert my_vote(state, poll_id) == [1]
    assert votes_are(await poll_of(bot, hall, poll_id), [1, 1], voters=2)
    await again.request("poll_response", a_vote(poll_id, 0), used)  # the same id: the same answer, and no change
    assert votes_are(await poll_of(bot, hall, poll_id), [1, 1], voters=2)
    await again.request("poll_response", a_vote(poll_id, 0))
    assert votes_are(await poll_of(bot, hall, poll_id), [2, 0], voters=2)


async def test_the_same_id_again_gets_the_same_answer_and_changes_nothing(bot: Bot, join: Join) -> None:
    hall = await bot.open_hall()
    host, ann = await asyncio.gather(join(hall, "host", role="host"), join(hall, "ann"))
    await bot.live(hall, present=2)
    opening = new_id()
    opened = await host.request("poll", {"question": "?", "options": ["a", "b"]}, opening)
    poll_id = opened["result"]["poll_id"]
    assert await host.request("poll", {"question": "?", "options": ["a", "b"]}, opening) == opened
    assert await host.rpc("poll", {"question": "?", "options": ["a", "b"]}, opening) == opened
    assert len((await bot.found(f"/v1/halls/{hall}/polls"))["polls"]) == 1
    vote = new_id()
    for _ in range(3):
        assert vote in (await ann.request("poll_response", a_vote(poll_id, 0), vote))["ids"]
        assert vote in (await ann.rpc("poll_response", a_vote(poll_id, 1), vote))["ids"]
    assert votes_are(await poll_of(bot, hall, poll_id), [1, 0], voters=1)
    wrong = new_id()
    for _ in range(2):
        with pytest.raises(RefusedError) as refused:
            await ann.request("poll_response", a_vote(poll_id, 7), wrong)
        assert refused.value.code == "invalid_choice"
