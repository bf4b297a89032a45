"""Three hundred participants vote in the same second, and the bot is killed in the middle of it."""

import asyncio
import sqlite3
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterable, Sequence
from pathlib import Path

import msgspec
import pytest

from bench.drive.crowd import Crowd, Insistence
from tests.server.polls import open_poll, poll_of, votes_are
from tests.support.bot import Bot, StartBot, eventually
from tests.support.clients import Join
from tests.support.crowd import crowd_on
from tests.support.livekit_server import LiveKit

pytestmark = [pytest.mark.server, pytest.mark.timeout(600)]

VOTERS = 300
OPTIONS = ("red", "green", "blue")
A_SECOND = 2
"""`halls.snapshots_per_second` in this test: another number than the default, so that it is the setting that counts."""


@pytest.fixture
async def crowd(livekit: LiveKit) -> AsyncGenerator[Crowd]:
    """A crowd of light participants: as many on the Python SDK would cost more than the bot that they vote with."""
    async with crowd_on(livekit) as crowd:
        yield crowd


async def test_three_hundred_vote_in_one_second_over_a_kill_9(start_bot: StartBot, join: Join, crowd: Crowd) -> None:
    """Each sends one vote twice with one id, then another one; in the first poll a vote can't be changed."""
    bot = await start_bot(settings={"halls": {"snapshots_per_second": A_SECOND}})
    hall = await bot.open_hall()
    watcher = await join(hall, "watcher")
    await asyncio.to_thread(crowd.join, [hall], VOTERS)
    await bot.live(hall, present=VOTERS + 1, limit=60)

    for may_change in (False, True):
        poll_id = await open_poll(bot, hall, OPTIONS, allow_revote=may_change)
        began = time.monotonic()
        voting = asyncio.create_task(_insist(crowd, bot, hall, poll_id))
        await _kill_in_the_middle(bot, hall, poll_id, voting)
        await bot.start()
        people = await voting
        assert len(people) == VOTERS

        # Every answer is the right one, whichever of the copies it came for and however often it came.
        for person in people:
            first, second = person.votes
            assert set(first.answers) == {""}, person
            assert set(second.answers) == ({""} if may_change else {"already_voted"}), person
        assert any(person.votes[0].sent > 2 for person in people), "nobody had to send again: it was no crash"

        # What was acked is there, once: in the poll, in the list of its votes, and in the journal.
        counted = {person.identity: person.votes[1 if may_change else 0].option for person in people}
        counts = [sum(option == index for option in counted.values()) for index in range(len(OPTIONS))]
        found = await poll_of(bot, hall, poll_id)
        assert votes_are(found, counts, voters=VOTERS), found
        listed = (await bot.found(f"/v1/halls/{hall}/polls/{poll_id}/votes"))["votes"]
        assert {vote["participant_id"]: vote["choices"] for vote in listed} == {
            identity: [option] for identity, option in counted.items()
        }
        assert _journaled(bot.database, poll_id) == {
            person.identity: [vote.option for vote in person.votes if set(vote.answers) == {""}] for person in people
        }

        # Results came in the order of their seq and no faster than the configuration says, to everybody.
        seq = _seq_of_the_last_vote(bot.database)
        last = await watcher.wait_for(
            "poll_results",
            lambda item, poll_id=poll_id, seq=seq: item.payload["poll_id"] == poll_id and item.payload["seq"] >= seq,
            timeout=15,
        )
        assert votes_are(last.payload, counts, voters=VOTERS), last.payload
        heard = [item for item in watcher.all_of("poll_results") if item.payload["poll_id"] == poll_id]
        _in_order(item.payload["seq"] for item in heard)
        _not_too_fast([item.at - began for item in heard])
        for person in people:
            results = [each for each in person.results or () if each.poll_id == poll_id]
            assert results, person.identity
            _in_order(each.seq for each in results)
            _not_too_fast([each.at_ms / 1000 for each in results])


async def _insist(crowd: Crowd, bot: Bot, hall: str, poll_id: str) -> list[Insistence]:
    return await asyncio.to_thread(
        crowd.insist, bot.identity, poll_id, hall=hall, options=len(OPTIONS), spread_seconds=1, seconds=90
    )


async def _kill_in_the_middle(bot: Bot, hall: str, poll_id: str, voting: "asyncio.Task[list[Insistence]]") -> None:
    """Kill the bot when some have voted and some have not: the journal that it leaves is the proof."""

    async def some() -> bool:
        assert not voting.done(), "all votes were answered before the bot could be killed"
        return (await poll_of(bot, hall, poll_id))["total_voters"] >= VOTERS // 10

    await eventually(some, "a tenth of the votes", limit=30, pause=0.001)
    bot.kill()
    kept = _journaled(bot.database, poll_id)
    assert 0 < len(kept) < VOTERS


def _journaled(database: Path, poll_id: str) -> dict[str, list[int]]:
    """The votes of a poll as the journal has them: each voter's options, in order."""
    votes: dict[str, list[int]] = defaultdict(list)
    for _, body in _vote_rows(database):
        vote = msgspec.json.decode(body)
        if vote["poll_id"] == poll_id:
            votes[vote["identity"]] += vote["choices"]
    return dict(votes)


def _seq_of_the_last_vote(database: Path) -> int:
    return _vote_rows(database)[-1][0]


def _vote_rows(database: Path) -> list[tuple[int, bytes]]:
    connection = sqlite3.connect(database)
    try:
        return connection.execute(
            "SELECT seq, body FROM events WHERE kind = 'polls.voted' ORDER BY session, seq"
        ).fetchall()
    finally:
        connection.close()


def _in_order(seqs: Iterable[int]) -> None:
    seen = list(seqs)
    assert seen == sorted(set(seen)), seen


def _not_too_fast(times: Sequence[float]) -> None:
    """However late a packet may come, the n-th can't come before its time; the second bot has a first one as well.

    `times` are seconds since before the voting began.
    """
    for count, at in enumerate(times, 1):
        assert count <= 2 + at * A_SECOND, times
