"""Counting, against examples worked by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from plugins.polls.asked import Scale
from plugins.polls.kinds.ranking import borda, instant_runoff
from plugins.polls.kinds.rating import average, nps
from plugins.polls.shares import leaders, of_voters, percentages
from plugins.polls.texts import clean, words
from relay_bot.testing import Guest, HallKit


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([1, 1, 1], [34, 33, 33]),
        ([2, 1], [67, 33]),
        ([1, 2], [33, 67]),
        ([1, 1, 4], [17, 17, 66]),
        ([0, 0], [0, 0]),
        ([], []),
        ([5], [100]),
        ([1, 1, 1, 1, 1, 1], [17, 17, 17, 17, 16, 16]),
        ([200, 1], [100, 0]),
        ([3, 3, 1], [43, 43, 14]),
        ([995, 3, 2], [100, 0, 0]),
    ],
)
def test_percentages_add_up(counts: list[int], expected: list[int]) -> None:
    assert percentages(counts) == expected


def test_leaders_name_ties() -> None:
    assert leaders([1, 3, 3]) == [1, 2]
    assert leaders([0, 0]) == []


def test_percentages_of_voters_are_not_shares_of_selections() -> None:
    assert of_voters([2, 2, 1], 2) == [100, 100, 50]
    assert of_voters([0, 0], 0) == [0, 0]


def test_rating() -> None:
    assert average(Scale(1, 5), [1, 0, 0, 0, 3]) == 4.0
    assert average(Scale(1, 5), [0] * 5) is None
    assert nps([1, 0, 0, 0, 0, 0, 0, 1, 0, 1, 1]) == 25  # 4 votes: two promoters, one detractor
    assert nps([0] * 6 + [2] + [0] * 3 + [1]) == -33
    assert nps([0] * 11) is None


# Tennessee's four cities, as social choice texts have it; the numbers are percents.
MEMPHIS, NASHVILLE, CHATTANOOGA, KNOXVILLE = range(4)
TENNESSEE = {
    (MEMPHIS, NASHVILLE, CHATTANOOGA, KNOXVILLE): 42,
    (NASHVILLE, CHATTANOOGA, KNOXVILLE, MEMPHIS): 26,
    (CHATTANOOGA, KNOXVILLE, NASHVILLE, MEMPHIS): 15,
    (KNOXVILLE, CHATTANOOGA, NASHVILLE, MEMPHIS): 17,
}


def test_tennessee() -> None:
    assert borda(4, TENNESSEE) == [126, 194, 173, 107]  # Nashville
    runoff = instant_runoff(4, TENNESSEE)
    assert runoff["winner"] == KNOXVILLE
    assert [entry["counts"] for entry in runoff["rounds"]] == [
        [42, 26, 15, 17],
        [42, 26, None, 32],
        [42, None, None, 58],
    ]
    assert [entry["eliminated"] for entry in runoff["rounds"]] == [[CHATTANOOGA], [NASHVILLE], []]


@pytest.mark.parametrize(
    ("rankings", "winner", "tie", "rounds"),
    [
        ({}, None, [], [[0, 0, 0]]),
        ({(1,): 1}, 1, [], [[0, 1, 0]]),
        ({(0, 1): 1, (1, 0): 1}, None, [0, 1], [[1, 1, 0]]),
        # 2 goes first; one of its ballots is exhausted, and 1 has more than half of those that are left.
        ({(0,): 3, (1, 0): 3, (2,): 1, (2, 1): 1}, 1, [], [[3, 3, 2], [3, 4, None]]),
        # 1 and 2 are equal last: no earlier round tells them apart, so the one listed last goes.
        ({(0,): 2, (1, 2): 1, (2, 1): 1}, None, [0, 1], [[2, 1, 1], [2, 2, None]]),
        # 3 goes, then 1 and 2 are equal with 3: in the round before, 1 had fewer.
        (
            {(0,): 4, (1,): 2, (2,): 3, (3, 1): 1},
            0,
            [],
            [[4, 2, 3, 1], [4, 3, 3, None], [4, None, 3, None]],
        ),
    ],
)
def test_runoff_by_hand(
    rankings: Mapping[tuple[int, ...], int],
    winner: int | None,
    tie: list[int],
    rounds: list[list[int | None]],
) -> None:
    found = instant_runoff(len(rounds[0]), rankings)
    assert (found["winner"], found["tie"]) == (winner, tie)
    assert [entry["counts"] for entry in found["rounds"]] == rounds


def test_runoff_says_when_the_order_decided_and_what_is_exhausted() -> None:
    rounds = instant_runoff(3, {(0,): 2, (1,): 1, (2,): 1})["rounds"]
    assert rounds[0]["by_order"]
    assert [entry["exhausted"] for entry in rounds] == [0, 1]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("  Tea?  ", "Tea?"),
        ("a\nb\tc", "a b c"),
        ("a\x00\x1bb", "ab"),
        ("\u202egnp.exe\u202c", "gnp.exe"),
        ("\u200f\u2067שלום\u2069", "שלום"),
        ("\u200b\ufeff", ""),
        ("\u200d", ""),
        ("👩\u200d🚀", "👩\u200d🚀"),
        ("e\u0301", "é"),
        ("\x07", ""),
    ],
)
def test_text_is_made_safe_to_show(text: str, shown: str) -> None:
    assert clean(text) == shown


def test_words() -> None:
    assert words("Don't PANIC, don’t-panic! Straße ﬁ") == {"don't", "panic", "don't-panic", "strasse", "fi"}


async def test_leaderboard_of_a_series(kit: HallKit, host: Guest, ann: Guest, ben: Guest) -> None:
    cat = await kit.join("cat", name="Cat")
    dan = await kit.join("dan", name="Dan")
    for index in range(2):
        quiz = {
            "kind": "quiz", "question": f"Q{index}", "options": ["a", "b"], "correct": [1], "points": 10,
            "negative_points": 3, "series": {"series_id": "s", "index": index}, "poll_id": f"q{index}",
        }  # fmt: skip
        await host.ask("poll", quiz)
        right = {ann: [1, 1], ben: [1, 0], cat: [0, 0], dan: [1, None]}
        for guest in (ben, ann, dan, cat):
            option = right[guest][index]
            if option is not None:
                await guest.ask("poll_response", {"poll_id": f"q{index}", "option": option})
                await asyncio.sleep(0.01)
        await host.ask("poll_close", {"poll_id": f"q{index}"})
    await kit.settle()
    board = (await kit.call("polls", "get_series", series_id="s"))["leaderboard"]
    # ann 10+10; dan 10 (his answer came late); ben 10-3; cat -3-3
    assert [(place["rank"], place["display_name"], place["points"]) for place in board] == [
        (1, "Ann", 20), (2, "Dan", 10), (3, "Ben", 7), (4, "Cat", -6),
    ]  # fmt: skip
    assert ann.last("poll_closed")["leaderboard"] == board
    assert ann.last("poll_closed")["correct_voters"] == 1
    assert (dan.last("quiz_rank")["rank"], dan.last("quiz_rank")["total_points"]) == (2, 10)
    assert cat.last("quiz_rank") | {"seq": 0} == {
        "poll_id": "q1", "series_id": "s", "seq": 0, "points": -3, "total_points": -6, "rank": 4, "of": 4,
    }  # fmt: skip
    await host.ask("poll_discard", {"poll_id": "q1"})
    board = (await kit.call("polls", "get_series", series_id="s"))["leaderboard"]
    # q1 does not count any more: of three with 10 points the faster are ahead
    assert [(place["rank"], place["display_name"], place["points"]) for place in board] == [
        (1, "Ben", 10), (2, "Ann", 10), (3, "Dan", 10), (4, "Cat", -3),
    ]  # fmt: skip


async def test_equals_share_a_rank(kit: HallKit, host: Guest, ann: Guest, ben: Guest) -> None:
    cat = await kit.join("cat")
    await host.ask("poll", {"poll_id": "q", "kind": "quiz", "question": "Q", "options": ["a", "b"], "correct": [0]})
    for guest, option in ((ann, 1), (ben, 1), (cat, 0)):
        await guest.ask("poll_response", {"poll_id": "q", "option": option})
    await host.ask("poll_close", {"poll_id": "q"})
    board = (await kit.call("polls", "get_poll", poll_id="q"))["leaderboard"]
    assert [place["rank"] for place in board] == [1, 2, 2]


async def test_the_faster_gets_a_bonus(kit: HallKit, host: Guest, ann: Guest, ben: Guest) -> None:
    await host.ask(
        "poll",
        {
            "poll_id": "q", "kind": "quiz", "question": "Q", "options": ["a", "b"], "correct": [0], "points": 100,
            "speed_bonus": 1000, "duration_seconds": 10,
        },
    )  # fmt: skip
    await ann.ask("poll_response", {"poll_id": "q", "option": 0})
    await host.ask("poll_pause", {"poll_id": "q"})
    await asyncio.sleep(0.2)
    await host.ask("poll_resume", {"poll_id": "q"})
    await asyncio.sleep(0.1)
    await ben.ask("poll_response", {"poll_id": "q", "option": 0})
    votes = {vote["participant_id"]: vote for vote in (await kit.call("polls", "list_votes", poll_id="q"))["votes"]}
    for vote in votes.values():
        took = round(vote["seconds"] * 1000)
        assert vote["points"] == 100 + 1000 * (10_000 - took) // 10_000
    assert 0.1 <= votes["ben"]["seconds"] - votes["ann"]["seconds"] < 0.3  # the pause doesn't count
