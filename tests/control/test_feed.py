"""The feed of a hall's events: bounded, and honest about it."""

import asyncio

import pytest

from relay_bot.hall import feed as feeds
from relay_bot.hall.feed import Feed, Subscription
from relay_bot.journal.batch import EventRow


def rows(*numbers: int) -> list[EventRow]:
    return [(1, number, 0, "desk.note_laid", b"{}") for number in numbers]


async def test_followers_get_what_is_published_from_then_on() -> None:
    feed = Feed()
    feed.publish(rows(1))
    one = feed.subscribe()
    feed.publish(rows(2, 3))
    other = feed.subscribe()
    feed.publish(rows(4))
    assert await one.take(10, 0) == rows(2, 3, 4)
    assert await other.take(10, 0) == rows(4)


async def test_taking_in_parts_and_waiting() -> None:
    feed = Feed()
    follower = feed.subscribe()
    assert await follower.take(10, 0.01) == []
    waiting = asyncio.create_task(follower.take(2, 5))
    await asyncio.sleep(0)
    feed.publish(rows(1, 2, 3))
    assert await waiting == rows(1, 2)
    assert await follower.take(2, 5) == rows(3)


async def test_who_has_left_gets_nothing() -> None:
    feed = Feed()
    follower = feed.subscribe()
    feed.unsubscribe(follower)
    feed.unsubscribe(follower)
    feed.publish(rows(1))
    assert await follower.take(10, 0) == []


async def test_a_slow_follower_ends_without_a_gap() -> None:
    follower = Subscription(3)
    follower.put(rows(1, 2))
    follower.put(rows(3, 4))
    follower.put(rows(5))
    assert follower.ending == "too_slow"
    assert await follower.take(10, 0) == rows(1, 2, 3)
    follower.put(rows(6))
    assert await follower.take(10, 5) == [], "after a gap nothing more may come"


async def test_the_end_of_the_hall() -> None:
    feed = Feed()
    follower = feed.subscribe()
    waiting = asyncio.create_task(follower.take(1, 5))
    await asyncio.sleep(0)
    feed.publish(rows(1))
    feed.close()
    assert await waiting == rows(1)
    assert await follower.take(1, 5) == []
    assert follower.ending == "hall_over"
    late = feed.subscribe()
    assert late.ending == "hall_over"
    follower.end("too_slow")
    assert follower.ending == "hall_over", "the first reason stands"


def test_there_is_room_for_the_largest_turn() -> None:
    """A reader that keeps up must never be called slow: a turn decides up to 4,000 messages."""
    assert feeds.MAX_WAITING >= 4 * 4_000


@pytest.mark.parametrize("bound", [1, 5])
async def test_never_more_than_the_bound(bound: int) -> None:
    follower = Subscription(bound)
    for number in range(20):
        follower.put(rows(number))
    assert len(await follower.take(100, 0)) == bound
