"""kill -9 of the bot at any moment: what was acked is there, nothing is there twice, deadlines are kept."""

import asyncio
import itertools
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.server.polls import a_vote, my_vote, open_poll, poll_of, seconds, synced, votes_are
from tests.server.streams import Stream, more
from tests.server.user_plugins import LEDGER, write_plugins
from tests.support.bot import Bot, StartBot
from tests.support.clients import Join, RefusedError, new_id
from tests.support.links import on_both_links

pytestmark = [pytest.mark.server, on_both_links]

FAST = {"rates": {"default": {"per_second": 100_000, "burst": 100_000}}}
KILLS = 3


async def test_every_acked_message_outlives_kill_9_once(start_bot: StartBot, join: Join, tmp_path: Path) -> None:
    """Votes and entries stream in from six participants while the bot is killed again and again."""
    plugins = write_plugins(tmp_path / "mine", ledger=LEDGER)
    bot = await start_bot(settings={"gate": FAST, "plugins": plugins})
    hall = await bot.open_hall()
    people = await asyncio.gather(*(join(hall, f"p{number}") for number in range(6)))
    await bot.live(hall, present=6)
    poll_id = await open_poll(bot, hall, ["a", "b", "c"], duration_seconds=300)
    closes_at = (await poll_of(bot, hall, poll_id))["closes_at"]
    votes = [
        Stream(one, "poll_response", (a_vote(poll_id, turn % 3) for turn in itertools.count(number)), rpc=number == 5)
        for number, one in enumerate(people)
    ]
    entries = [
        Stream(one, "entry", ({"n": turn} for turn in itertools.count()), rpc=number == 4)
        for number, one in enumerate(people)
    ]
    streams = votes + entries
    stop = asyncio.Event()
    running = [asyncio.create_task(stream.run(stop)) for stream in streams]

    def acks() -> int:
        return sum(len(stream.acked) for stream in streams)

    for _ in range(KILLS):
        await more(acks, 100 + random.randrange(50), running)
        bot.kill()
        await bot.start()
    await more(acks, 200, running)
    stop.set()
    await asyncio.gather(*running)

    # The last of each stream went unanswered over a kill, if its time was so: all of them are answered now.
    book = await _book(bot, hall)
    assert book == Counter((stream.person.identity, turn) for stream in entries for turn in range(len(stream.acked)))
    last = Counter(stream.acked[-1][1]["option"] for stream in votes)
    poll = await poll_of(bot, hall, poll_id)
    assert votes_are(poll, [last[0], last[1], last[2]], voters=6), poll
    assert poll["closes_at"] == closes_at

    async def again(stream: Stream, message_id: str, payload: dict[str, Any], answer: dict[str, Any]) -> None:
        repeated = await stream.send(payload, message_id)
        assert repeated.get("result") == answer.get("result")
        assert message_id in repeated["ids"]

    await asyncio.gather(
        *(again(stream, *sent) for stream in streams for sent in [stream.acked[0], *stream.acked[-3:-1]])
    )
    assert await _book(bot, hall) == book
    assert votes_are(await poll_of(bot, hall, poll_id), [last[0], last[1], last[2]], voters=6)


async def _book(bot: Bot, hall: str) -> Counter[tuple[str, int]]:
    return Counter((identity, n) for identity, n in (await bot.found(f"/v1/halls/{hall}/ledger"))["entries"])


async def test_refusals_too_are_the_same_after_a_crash(bot: Bot, join: Join) -> None:
    hall = await bot.open_hall()
    host, ann = await asyncio.gather(join(hall, "host", role="host"), join(hall, "ann"))
    await bot.live(hall, present=2)
    opening, wrong = new_id(), new_id()
    question: dict[str, object] = {"question": "?", "options": ["a", "b"]}
    opened = await host.request("poll", question, opening)
    poll_id = opened["result"]["poll_id"]
    with pytest.raises(RefusedError) as before:
        await ann.request("poll_response", a_vote(poll_id, 9), wrong)
    await bot.restart()
    await bot.live(hall, present=2)

    assert await host.request("poll", question, opening) == opened
    with pytest.raises(RefusedError) as after:
        await ann.request("poll_response", a_vote(poll_id, 9), wrong)
    assert (after.value.code, after.value.data) == ("invalid_choice", before.value.data)
    assert len((await bot.found(f"/v1/halls/{hall}/polls"))["polls"]) == 1


@pytest.mark.parametrize("way", ["killed", "stopped"])
async def test_a_running_deadline_is_kept_over_a_restart(bot: Bot, join: Join, way: str) -> None:
    hall = await bot.open_hall()
    ann = await join(hall, "ann")
    await bot.live(hall, present=1)
    poll_id = await open_poll(bot, hall, duration_seconds=9)
    closes_at = (await poll_of(bot, hall, poll_id))["closes_at"]
    await ann.request("poll_response", a_vote(poll_id, 1))
    if way == "killed":
        bot.kill()
    else:
        await bot.stop()
    mark = ann.mark()
    await bot.start()

    state = (await ann.wait_for("hall_state", since=mark, timeout=10)).payload
    assert my_vote(state, poll_id) == [1]
    assert (await poll_of(bot, hall, poll_id))["closes_at"] == closes_at
    closed = await ann.wait_for("poll_closed", since=mark, timeout=15)
    poll = await poll_of(bot, hall, poll_id)
    assert votes_are(closed.payload, [0, 1], voters=1)
    assert votes_are(poll, [0, 1], voters=1)
    assert 0 <= seconds(poll["closed_at"]) - seconds(closes_at) < 1.5


async def test_a_deadline_that_passed_while_the_bot_was_down_closes_the_poll_at_once(bot: Bot, join: Join) -> None:
    hall = await bot.open_hall()
    ann = await join(hall, "ann")
    await bot.live(hall, present=1)
    poll_id = await open_poll(bot, hall, duration_seconds=3)
    closes_at = seconds((await poll_of(bot, hall, poll_id))["closes_at"])
    await ann.request("poll_response", a_vote(poll_id, 0))
    bot.kill()
    await asyncio.sleep(max(0.0, closes_at - time.time()))
    assert not ann.all_of("poll_closed")
    await bot.start()

    closed = await ann.wait_for("poll_closed", timeout=10)
    assert votes_are(closed.payload, [1, 0], voters=1)
    with pytest.raises(RefusedError) as late:
        await ann.request("poll_response", a_vote(poll_id, 1))
    assert late.value.code == "poll_closed"
    assert not (await synced(ann))["polls"]
