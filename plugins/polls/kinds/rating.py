"""Rating: one step of a scale."""

from __future__ import annotations

from typing import Any

from plugins.polls.asked import Question, Scale
from plugins.polls.kinds.base import View, VoteFields
from plugins.polls.tally import Ballot, Tally
from relay_bot.plugin import Refuse


class RatingKind:
    """`{"rating": 4}`; the steps stand in `options`, their votes in `counts`."""

    def read(self, asked: Question, vote: VoteFields) -> Ballot:
        """See `PollKind`."""
        scale = asked.rules.scale or Scale()
        if vote.rating is None or not scale.min <= vote.rating <= scale.max:
            raise Refuse("invalid_choice", f"expected a rating from {scale.min} to {scale.max}", field="rating")
        return Ballot((vote.rating - scale.min,))

    def add(self, asked: Question, tally: Tally, ballot: Ballot, by: int) -> None:
        """See `PollKind`."""
        tally.counts[ballot.choices[0]] += by
        tally.total_votes += by

    def results(self, asked: Question, tally: Tally, view: View) -> dict[str, Any]:
        """Give the average, by weight as well where there are weights, and the NPS of a scale from 0 to 10."""
        scale = asked.rules.scale or Scale()
        found: dict[str, Any] = {"average": average(scale, tally.counts)}
        if tally.weighted:
            found["weighted_average"] = average(scale, tally.weighted)
        if (scale.min, scale.max) == (0, 10):
            found["nps"] = nps(tally.counts)
        return found

    def own(self, asked: Question, ballot: Ballot) -> Any:
        """See `PollKind`."""
        return ballot.choices[0] + (asked.rules.scale or Scale()).min


def average(scale: Scale, counts: list[int]) -> float | None:
    """Give the mean step, to three places; `None` where nobody voted."""
    total = sum(counts)
    if not total:
        return None
    return round(sum((scale.min + step) * count for step, count in enumerate(counts)) / total, 3)


def nps(counts: list[int]) -> int | None:
    """Give the Net Promoter Score: percent of 9 and 10 less percent of 0 to 6, from -100 to 100."""
    total = sum(counts)
    if not total:
        return None
    net = sum(counts[9:]) - sum(counts[:7])
    return (abs(net) * 200 + total) // (2 * total) * (1 if net >= 0 else -1)
