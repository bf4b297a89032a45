"""Two bots with one identity: one serves, the other steps back and doesn't fight for the hall."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.server.polls import a_vote, open_poll, poll_of, votes_are
from tests.support.bot import Bot, StartBot, eventually
from tests.support.clients import Join, Participant, RefusedError, new_id
from tests.support.links import on_both_links

pytestmark = [pytest.mark.server, on_both_links]


async def _serves(bot: Bot, hall: str) -> bool:
    found = await bot.hall(hall)
    return found is not None and found["status"] == "live"


async def _only(hall: str, *, serving: Bot, other: Bot) -> bool:
    return await _serves(serving, hall) and not await _serves(other, hall)


async def _vote_throughout(person: Participant, poll_id: str, stop: asyncio.Event) -> int:
    """Vote again and again, each until it is acked; gives the choice of the last one."""
    turn = 0
    while not stop.is_set():
        await _taken(person, a_vote(poll_id, turn % 2), new_id())
        turn += 1
        await asyncio.sleep(0.1)
    return (turn - 1) % 2


async def _taken(person: Participant, vote: dict[str, object], message_id: str) -> None:
    """Send until it is acked; `busy` means that it was not taken, and asks for just that."""
    for _ in range(10):
        try:
            await person.request("poll_response", vote, message_id, tries=20)
        except RefusedError as refused:
            if refused.code != "busy":
                raise
            await asyncio.sleep(0.2)
        else:
            return
    raise AssertionError(f"{person.identity} was told ten times that the hall is busy")


async def test_a_second_bot_on_the_same_database_takes_over_with_all_votes(
    start_bot: StartBot, join: Join, tmp_path: Path
) -> None:
    """And the first one takes over again when the second is gone."""
    database = tmp_path / "shared.db"
    first = await start_bot(database=database)
    hall = await first.open_hall()
    people = await asyncio.gather(*(join(hall, f"p{number}") for number in range(4)))
    await first.live(hall, present=4)
    poll_id = await open_poll(first, hall)
    closes_at = (await poll_of(first, hall, poll_id))["closes_at"]
    stop = asyncio.Event()
    voting = [asyncio.create_task(_vote_throughout(one, poll_id, stop)) for one in people]
    first.expect_errors("hall.not_kept")  # what it was about to commit when it was fenced

    second = await start_bot(*first.halls, database=database)
    await eventually(lambda: _only(hall, serving=second, other=first), "the second bot alone", limit=20)
    refused = await first.call("POST", f"/v1/halls/{hall}/interactions", {"type": "x", "payload": {}})
    assert (refused.status, refused.body["error"]["code"]) == (409, "hall_not_active")
    await _no_fight(hall, serving=second, other=first)
    stop.set()
    last = await asyncio.gather(*voting)
    poll = await poll_of(second, hall, poll_id)
    assert votes_are(poll, [last.count(0), last.count(1)], voters=4)
    assert poll["closes_at"] == closes_at

    await second.stop()
    await eventually(lambda: _serves(first, hall), "the first bot back", limit=45, pause=0.2)
    assert votes_are(await poll_of(first, hall, poll_id), [last.count(0), last.count(1)], voters=4)
    await people[0].request("poll_response", a_vote(poll_id, 1 - last[0]))
    last[0] = 1 - last[0]
    assert votes_are(await poll_of(first, hall, poll_id), [last.count(0), last.count(1)], voters=4)


async def _no_fight(hall: str, *, serving: Bot, other: Bot) -> None:
    """Look for longer than the other one waits before it looks whether the hall is free."""
    joins = [await bot.metric("relay_joins_total", outcome="joined") for bot in (serving, other)]
    looks = len(other.events("hall.over"))

    async def has_looked() -> bool:
        assert await _only(hall, serving=serving, other=other)
        return len(other.events("hall.over")) > looks

    await eventually(has_looked, "the other bot has looked again", limit=45, pause=0.2)
    for _ in range(5):
        assert await _only(hall, serving=serving, other=other)
        await asyncio.sleep(0.1)
    assert joins == [await bot.metric("relay_joins_total", outcome="joined") for bot in (serving, other)]
    assert other.events("hall.over")[-1]["ending"] == "stood_back"


async def test_a_second_bot_with_a_database_of_its_own_is_alone_too(start_bot: StartBot, join: Join) -> None:
    first = await start_bot()
    hall = await first.open_hall()
    ann, bob = await asyncio.gather(join(hall, "ann"), join(hall, "bob"))
    await first.live(hall, present=2)
    lost = await open_poll(first, hall)
    await ann.rpc("poll_response", a_vote(lost, 0))

    second = await start_bot(*first.halls)
    await eventually(lambda: _only(hall, serving=second, other=first), "the second bot alone", limit=20)
    await second.live(hall, present=2)
    poll_id = await open_poll(second, hall)
    assert (await first.get(f"/v1/halls/{hall}/polls/{poll_id}")).status == 404
    same = new_id()
    for _ in range(2):
        await ann.request("poll_response", a_vote(poll_id, 0), same)
        await bob.rpc("poll_response", a_vote(poll_id, 1))
    assert votes_are(await poll_of(second, hall, poll_id), [1, 1], voters=2)
    for _ in range(15):
        assert await _only(hall, serving=second, other=first)
        await asyncio.sleep(0.1)
    assert await first.metric("relay_joins_total") == 1


@pytest.mark.parametrize("database", ["shared", "separate"])
async def test_of_two_that_start_together_one_serves(
    start_bot: StartBot, join: Join, tmp_path: Path, database: str
) -> None:
    options: dict[str, Any] = {"database": tmp_path / "shared.db"} if database == "shared" else {}
    pattern = f"together-{new_id()[:8]}-*"  # of this test alone: rooms outlive the test that made them
    hall = pattern.replace("*", "hall")
    ann = await join(hall, "ann")
    first, second = await asyncio.gather(start_bot(pattern, **options), start_bot(pattern, **options))
    for bot in (first, second):
        bot.expect_errors("hall.not_kept")

    async def one_stood_back() -> Bot | None:
        for serving, other in ((first, second), (second, first)):
            over = [line["ending"] for line in other.events("hall.over")]
            away = over[-1:] == ["stood_back"] and await other.hall(hall) is None
            if away and await _only(hall, serving=serving, other=other):
                return serving
        return None

    winner = await eventually(one_stood_back, "one of the two alone, the other back", limit=40)
    await winner.live(hall, present=1)
    poll_id = await open_poll(winner, hall)
    same = new_id()
    for _ in range(2):
        await ann.request("poll_response", a_vote(poll_id, 1), same)
    assert votes_are(await poll_of(winner, hall, poll_id), [0, 1], voters=1)
    loser = second if winner is first else first
    for _ in range(10):
        assert await _only(hall, serving=winner, other=loser)
        await asyncio.sleep(0.1)
