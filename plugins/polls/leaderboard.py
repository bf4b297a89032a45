"""The leaderboard of a quiz, or of a series of them."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from plugins.polls.kinds.quiz import is_right, points
from plugins.polls.state import Poll


class Standing(msgspec.Struct, frozen=True):
    """Someone's place. `total_seconds` is what their right answers took; the faster of equals is ahead."""

    rank: int
    participant_id: str
    display_name: str
    points: int
    total_seconds: float


def standings(polls: Iterable[Poll]) -> list[Standing]:
    """Rank all who answered one of these quizzes; those with equal points and time share a rank."""
    scores: dict[str, tuple[int, int]] = {}
    names: dict[str, str] = {}
    for poll in polls:
        for identity, choices in poll.ballots.items():
            took = poll.took.get(identity, 0)
            before, spent = scores.get(identity, (0, 0))
            spent += took if is_right(poll, choices) else 0
            scores[identity] = (before + points(poll, choices, took), spent)
            names[identity] = poll.names.get(identity) or identity
    ordered = sorted(scores.items(), key=lambda entry: (-entry[1][0], entry[1][1], entry[0]))
    board: list[Standing] = []
    rank, last = 0, None
    for position, (identity, score) in enumerate(ordered, 1):
        if score != last:
            rank, last = position, score
        board.append(Standing(rank, identity, names[identity], score[0], score[1] / 1000))
    return board


def is_counted(poll: Poll) -> bool:
    """Tell whether a poll is a closed quiz whose voters are known."""
    return poll.rules.kind == "quiz" and not poll.rules.anonymous and poll.closed_at is not None
