"""The results of polls, worked out again from the ballots in the plainest way there is."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

Ballots = Mapping[str, Any]


def counts(ballots: Ballots, options: int) -> list[int]:
    return [sum(option in chosen for chosen in ballots.values()) for option in range(options)]


def percentages(counted: list[int]) -> list[int]:
    """Hand out 100 points, one at a time, to whoever is owed the most."""
    if not sum(counted):
        return [0] * len(counted)
    exact = [Fraction(count * 100, sum(counted)) for count in counted]
    given = [int(share) for share in exact]
    order = sorted(range(len(counted)), key=lambda index: exact[index] - given[index], reverse=True)
    for index in order[: 100 - sum(given)]:
        given[index] += 1
    return given


def borda(ballots: Ballots, options: int) -> list[int]:
    points = [0] * options
    for ranking in ballots.values():
        for better, option in enumerate(ranking):
            points[option] += sum(1 for _ in range(options)) - 1 - better
    return points


def words(ballots: Ballots) -> dict[str, int]:
    return dict(Counter(word for text in ballots.values() for word in set(re.findall(r"[a-z]+", text.lower()))))


def runoff(ballots: Ballots, options: int) -> tuple[int | None, list[list[int | None]]]:
    """Count anew in every round from the whole ballots; gives the winner and each round's counts."""
    standing = set(range(options))
    rounds: list[list[int | None]] = []
    while True:
        tops = [next((option for option in ranking if option in standing), None) for ranking in ballots.values()]
        counted = {option: tops.count(option) for option in standing}
        rounds.append([counted.get(option) for option in range(options)])
        total = sum(counted.values())
        if not total:
            return None, rounds
        most = max(counted.values())
        if most * 2 > total:
            return next(option for option in standing if counted[option] == most), rounds
        if most * 2 == total and sum(1 for count in counted.values() if count) == 2:
            return None, rounds
        fewest = min(counted.values())
        losers = {option for option in standing if counted[option] == fewest}
        if fewest:
            for earlier in reversed(rounds[:-1]):
                least = min(earlier[option] or 0 for option in losers)
                losers = {option for option in losers if (earlier[option] or 0) == least}
            losers = {max(losers)}
        standing -= losers
