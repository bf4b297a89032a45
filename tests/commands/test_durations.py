"""Times as people type them."""

from __future__ import annotations

import pytest

from relay_bot.commands.arguments import Arguments
from relay_bot.plugin import Refuse, parse_duration

DAY = 86_400


@pytest.mark.parametrize(
    ("text", "seconds", "rest"),
    [
        ("10min", 600, ""),
        ("10 min", 600, ""),
        ("10 Minutes", 600, ""),
        ("10M", 600, ""),
        ("1w", 7 * DAY, ""),
        ("2 weeks", 14 * DAY, ""),
        ("1.5h", 5400, ""),
        ("1,5h", 5400, ""),
        (".5h", 1800, ""),
        ("2h30", 9000, ""),
        ("2h30 spam", 9000, "spam"),
        ("1 day", DAY, ""),
        ("1 day and 2 hours", DAY + 7200, ""),
        ("1h 30m", 5400, ""),
        ("1h 30m 5s rude", 5405, "rude"),
        ("1h 30 people said so", 3600, "30 people said so"),
        ("90sec, rude", 90, "rude"),
        ("+10m", 600, ""),
        ("１０ｍ", 600, ""),
        ("١٠m", 600, ""),
        ("\u200b10m", 600, ""),
        ("\u00a010m\u00a0x", 600, "x"),
        ("10m\nx", 600, "x"),
        ("", None, ""),
        ("rude 10m", None, "rude 10m"),
        ("m", None, "m"),
        ('"2nd warning"', None, '"2nd warning"'),
    ],
)
def test_a_duration_is_taken_if_it_is_one(text: str, seconds: int | None, rest: str) -> None:
    arguments = Arguments(text, "/x [10m]")
    assert (arguments.duration(), arguments.rest()) == (seconds, rest)


@pytest.mark.parametrize(
    "text",
    [
        "10", "10 rude", "-1d", "−1d", "0s", "0m", "10m5", "10m 1h", "5x", "1 month", "1y", "2nd time", "10:30", "½h",
        "10m-20m", "999999999w", "1e9s", "367d", "１０", "-1d rude", "0.1s",
    ],
)  # fmt: skip
def test_what_begins_like_a_number_and_is_no_duration_is_refused_with_the_usage(text: str) -> None:
    with pytest.raises(Refuse, match=r"; usage: /x \[10m\]") as refused:
        Arguments(text, "/x [10m]").duration()
    assert (refused.value.code, refused.value.field) == ("malformed", None)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("1h30m", 5400),
        ("2d", 2 * DAY),
        ("0s", 0),
        ("1 w", 7 * DAY),
        ("", None),
        ("10", None),
        ("-1d", None),
    ],
)
def test_a_text_that_is_a_duration_and_nothing_else(text: str, seconds: int | None) -> None:
    assert parse_duration(text) == seconds
    assert parse_duration(text + " x") is None
