"""A hall that floods costs no other hall a vote, nor the process its memory; what is dropped is counted."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext

import psutil
import pytest

from bench.drive.crowd import Crowd, Outcome
from tests.server.polls import open_poll, poll_of, votes_are
from tests.support.bot import Bot, StartBot, eventually
from tests.support.crowd import crowd_on
from tests.support.links import on_the_native_link
from tests.support.livekit_server import LiveKit

pytestmark = [pytest.mark.server, on_the_native_link, pytest.mark.timeout(300)]  # the crowd may have to be built

FLOODERS, FLOOD_EACH = 5, 20_000  # few: each has more than its share (an eighth) of what waits
VOTERS, VOTES_EACH = 5, 60
SECONDS = 5.0  # 20,000 packets a second
GROWTH = 64 << 20
"""Bytes that each process may grow: of one room the link keeps 8 MiB, the bot a mailbox of 20,000 messages."""


@asynccontextmanager
async def growth(processes: Sequence[psutil.Process]) -> AsyncGenerator[Callable[[], list[int]]]:
    """Watch the memory of processes; gives a function that tells the bytes by which each has grown at most."""
    before = [process.memory_info().rss for process in processes]
    peaks = list(before)

    async def watch() -> None:
        while True:
            for index, process in enumerate(processes):
                peaks[index] = max(peaks[index], process.memory_info().rss)
            await asyncio.sleep(0.05)

    watching = asyncio.create_task(watch())
    try:
        yield lambda: [peak - size for peak, size in zip(peaks, before, strict=True)]
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


@contextmanager
def stalled(bot: Bot) -> Generator[None]:
    """Let the bot stand still, so that what comes has to wait in the link."""
    os.kill(bot.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(bot.pid, signal.SIGCONT)


async def _vote(
    crowd: Crowd, bot: Bot, hall: str, poll_id: str, *, votes: int, seconds: float, answered: bool
) -> Outcome:
    return await asyncio.to_thread(
        lambda: crowd.burst(
            bot.identity,
            poll_id,
            halls=[hall],
            votes=votes,
            options=2,
            with_id=answered,
            spread_seconds=seconds,
            resend_seconds=2,
            seconds=seconds + 30,
        )
    )


async def test_beside_a_hall_that_floods_all_votes_are_acked(livekit: LiveKit, start_bot: StartBot) -> None:
    """20,000 packets a second into one hall, votes into another, and a bot that stands still for half of the time.

    How much of the flood comes through is for the SFU and the flooders' own connections to say.
    """
    bot = await start_bot()
    loud, hall = await bot.open_hall(), await bot.open_hall()
    async with crowd_on(livekit) as flooders, crowd_on(livekit) as voters:
        await asyncio.gather(
            asyncio.to_thread(flooders.join, [loud], FLOODERS), asyncio.to_thread(voters.join, [hall], VOTERS)
        )
        await asyncio.gather(bot.live(loud, present=FLOODERS), bot.live(hall, present=VOTERS))
        poll_id, loud_poll = await open_poll(bot, hall), await open_poll(bot, loud)
        process = psutil.Process(bot.pid)
        async with growth([process, *process.children()]) as grown:
            voting = asyncio.create_task(
                _vote(voters, bot, hall, poll_id, votes=VOTES_EACH, seconds=2 * SECONDS, answered=True)
            )
            for standing in (stalled(bot), nullcontext()):  # a flood may choke its own connection: stalled first
                with standing:
                    await _vote(
                        flooders, bot, loud, loud_poll, votes=FLOOD_EACH // 2, seconds=SECONDS / 2, answered=False
                    )
            voted = await voting
        assert len(grown()) == 2, "the bot and its link"
        assert max(grown()) < GROWTH, f"bot and link grew by {grown()} bytes"
        assert (voted.acked, voted.unacked, voted.refused) == (VOTERS * VOTES_EACH, 0, {})
        assert votes_are(await poll_of(bot, hall, poll_id), voted.choices, voters=VOTERS)

        async def all_accounted_for() -> bool:
            came = await bot.metric("relay_messages_total") + await bot.metric("relay_dropped_total")
            return came == await bot.metric("relay_link_frames_total") > 0

        await eventually(all_accounted_for, "each packet that the link handed on taken or counted", limit=30)
        assert await bot.metric("relay_link_dropped_total", reason="flooded") > 0
