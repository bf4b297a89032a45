"""kill -9 of the native link's process: the bot goes on, what was acked is there, nothing is there twice."""

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Iterator

import psutil
import pytest

from tests.server.polls import a_vote, open_poll, poll_of, votes_are
from tests.server.streams import Stream, more
from tests.support.bot import Bot, StartBot, eventually
from tests.support.clients import Join
from tests.support.links import on_the_native_link

pytestmark = [pytest.mark.server, on_the_native_link]

KILLS = 3


def link_of(bot: Bot) -> psutil.Process:
    [link] = psutil.Process(bot.pid).children()
    return link


def votes_in(poll_id: str, first: int) -> Iterator[dict[str, object]]:
    return (a_vote(poll_id, turn % 2) for turn in itertools.count(first))


async def test_votes_outlive_the_links_process(start_bot: StartBot, join: Join) -> None:
    """Votes stream into two halls, by packet and by RPC, while the link is killed again and again."""
    bot = await start_bot(settings={"gate": {"rates": {"default": {"per_second": 100_000, "burst": 100_000}}}})
    halls = [await bot.open_hall() for _ in range(2)]
    people = await asyncio.gather(*(join(halls[number % 2], f"p{number}") for number in range(6)))
    witness = await join(halls[0], "witness")
    await asyncio.gather(bot.live(halls[0], present=4), bot.live(halls[1], present=3))
    polls = [await open_poll(bot, hall) for hall in halls]
    streams = [
        Stream(one, "poll_response", votes_in(polls[number % 2], number), rpc=number >= 4)
        for number, one in enumerate(people)
    ]
    stop = asyncio.Event()
    running = [asyncio.create_task(stream.run(stop)) for stream in streams]

    def acks() -> int:
        return sum(len(stream.acked) for stream in streams)

    for _ in range(KILLS):
        await more(acks, 50 + random.randrange(50), running)
        link_of(bot).kill()
        await asyncio.gather(bot.live(halls[0], present=4), bot.live(halls[1], present=3))
    await more(acks, 100, running)
    stop.set()
    await asyncio.gather(*running)

    assert await bot.metric("relay_link_starts_total") == KILLS + 1
    assert len(bot.events("link.died")) == KILLS
    for index, (hall, poll_id) in enumerate(zip(halls, polls, strict=True)):
        last = Counter(stream.acked[-1][1]["option"] for stream in streams[index::2])
        poll = await poll_of(bot, hall, poll_id)
        assert votes_are(poll, [last[0], last[1]], voters=3), poll

    final = await poll_of(bot, halls[0], polls[0])

    async def healed() -> bool:
        """Whether one who only watched sees what the poll says."""
        seen = [item.payload for item in witness.all_of("poll_results")]
        return bool(seen) and votes_are(seen[-1], final["counts"], voters=3)

    await eventually(healed, "the witness sees the poll as it is")
