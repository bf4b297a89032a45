"""Ranking: options in order of preference, counted by Borda and by instant runoff."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from plugins.polls.asked import Question
from plugins.polls.kinds.base import View, VoteFields, indices
from plugins.polls.shares import leaders
from plugins.polls.tally import Ballot, Tally, shift
from relay_bot.plugin import Refuse

_LIVE_RANKINGS: Final = 500
"""Different rankings up to which the runoff is made for every snapshot; with more, when the poll is closed."""


class RankingKind:
    """`{"ranking": [2, 0, 1]}`, best first; not all options need a place. `counts` are the first places."""

    def read(self, asked: Question, vote: VoteFields) -> Ballot:
        """See `PollKind`."""
        if vote.ranking is None:
            raise Refuse("invalid_choice", "expected a ranking: the options, best first", field="ranking")
        return Ballot(indices(asked, vote.ranking, "ranking"))

    def add(self, asked: Question, tally: Tally, ballot: Ballot, by: int) -> None:
        """See `PollKind`."""
        tally.counts[ballot.choices[0]] += by
        tally.total_votes += by
        shift(tally.rankings, ",".join(map(str, ballot.choices)), by)

    def results(self, asked: Question, tally: Tally, view: View) -> dict[str, Any]:
        """Give Borda's points and, while there are not too many different rankings, the runoff."""
        if tally.final:
            return tally.final
        live = len(tally.rankings) <= _LIVE_RANKINGS
        return self._results(asked, tally, with_runoff=live)

    def final(self, asked: Question, tally: Tally) -> dict[str, Any]:
        """Give the results of a closed poll."""
        return tally.final or self._results(asked, tally, with_runoff=True)

    def _results(self, asked: Question, tally: Tally, *, with_runoff: bool) -> dict[str, Any]:
        rankings = {tuple(map(int, key.split(","))): count for key, count in tally.rankings.items()}
        points = borda(len(asked.options), rankings)
        leading = leaders(points)
        found: dict[str, Any] = {"borda": points, "leaders": leading, "tie": len(leading) > 1}
        if with_runoff:
            found["irv"] = instant_runoff(len(asked.options), rankings)
        return found

    def own(self, asked: Question, ballot: Ballot) -> Any:
        """See `PollKind`."""
        return list(ballot.choices)


Rankings = Mapping[tuple[int, ...], int]


def borda(options: int, rankings: Rankings) -> list[int]:
    """Give Borda's points: of n options the first gets n - 1, the next n - 2, …; one without a place gets none."""
    points = [0] * options
    for ranking, count in rankings.items():
        for place, option in enumerate(ranking):
            points[option] += (options - 1 - place) * count
    return points


def instant_runoff(options: int, rankings: Rankings) -> dict[str, Any]:
    """Eliminate round by round until one option has more than half of the ballots that still name one.

    Of those with the fewest, all that have none go at once; else the one that had fewer in the latest earlier
    round in which they differ, and if they never did, the one listed last (`by_order` says so in that round).
    A last two who are equal are a `tie` with no winner; so are several who are equal, where no ballot names another.

    Returns:
        `winner` (an index or `None`), `tie` (the options that share the win, if they do), and `rounds`: each
        with `counts` (`None` for those eliminated before), `eliminated`, and `exhausted` ballots; and `by_order` where
        the listed order has decided in some round.
    """
    standing = set(range(options))
    piles: dict[int, list[tuple[tuple[int, ...], int, int]]] = {option: [] for option in range(options)}
    for ranking, count in rankings.items():
        piles[ranking[0]].append((ranking, 0, count))
    rounds: list[dict[str, Any]] = []
    history: list[dict[int, int]] = []
    exhausted = 0
    equal: list[int] = []
    while True:
        counts = {option: sum(count for _, _, count in piles[option]) for option in standing}
        history.append(counts)
        entry: dict[str, Any] = {
            "counts": [counts.get(option) for option in range(options)],
            "eliminated": [],
            "exhausted": exhausted,
        }
        rounds.append(entry)
        winners = _decided(counts)
        if winners is not None:
            tie = equal or (winners if len(winners) > 1 else [])
            winner = winners[0] if len(winners) == 1 else None
            return {"winner": winner, "tie": tie, "rounds": rounds} | _told_order(rounds)
        if not equal and _is_hopeless(counts, piles, standing):
            equal = sorted(standing)
        losers, by_order = _losers(counts, history[:-1])
        entry["eliminated"] = losers
        if by_order and not equal:  # else who goes first decides nothing
            entry["by_order"] = True
        standing.difference_update(losers)
        for loser in losers:
            exhausted += _transfer(piles.pop(loser), piles, standing)


def _told_order(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    return {"by_order": True} if any(each.get("by_order") for each in rounds) else {}


def _is_hopeless(
    counts: dict[int, int], piles: dict[int, list[tuple[tuple[int, ...], int, int]]], standing: set[int]
) -> bool:
    """Tell whether all who stand are equal, and no ballot of theirs could go to another."""
    if len(set(counts.values())) > 1:
        return False
    return not any(
        following in standing
        for option in standing
        for ranking, place, _ in piles[option]
        for following in ranking[place + 1 :]
    )


def _decided(counts: dict[int, int]) -> list[int] | None:
    """Give the winner, or those who share the win; none of them where nobody voted; `None`: go on."""
    total = sum(counts.values())
    if not total:
        return []
    most = max(counts.values())
    if most * 2 > total:
        return [option for option, count in counts.items() if count == most]
    with_votes = sorted(option for option, count in counts.items() if count)
    return with_votes if len(with_votes) == 2 and most * 2 == total else None


def _losers(counts: dict[int, int], history: list[dict[int, int]]) -> tuple[list[int], bool]:
    fewest = min(counts.values())
    found = sorted(option for option, count in counts.items() if count == fewest)
    if fewest == 0:
        return found, False
    for earlier in reversed(history):
        least = min(earlier[option] for option in found)
        found = [option for option in found if earlier[option] == least]
    return found[-1:], len(found) > 1


def _transfer(
    pile: list[tuple[tuple[int, ...], int, int]],
    piles: dict[int, list[tuple[tuple[int, ...], int, int]]],
    standing: set[int],
) -> int:
    """Give the ballots of an eliminated option to their next choice; returns how many have none."""
    exhausted = 0
    for ranking, place, count in pile:
        following = next((at for at in range(place + 1, len(ranking)) if ranking[at] in standing), None)
        if following is None:
            exhausted += count
        else:
            piles[ranking[following]].append((ranking, following, count))
    return exhausted
