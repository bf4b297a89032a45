"""Quiz: a choice with right answers, points and a leaderboard."""

from __future__ import annotations

from typing import Any

from plugins.polls.asked import Question, Quiz
from plugins.polls.kinds.base import View
from plugins.polls.kinds.choice import ChoiceKind
from plugins.polls.tally import Ballot, Tally


class QuizKind(ChoiceKind):
    """Voted on like a choice. Right is who chose every right option and no other."""

    def add(self, asked: Question, tally: Tally, ballot: Ballot, by: int) -> None:
        """See `PollKind`."""
        super().add(asked, tally, ballot, by)
        if is_right(asked, ballot.choices):
            tally.correct += by

    def results(self, asked: Question, tally: Tally, view: View) -> dict[str, Any]:
        """Add nothing while it is open: who is told the right options is decided when it closes."""
        return {}


def solution(asked: Question, tally: Tally) -> dict[str, Any]:
    """Give what is told with the results of a closed quiz."""
    quiz = asked.rules.quiz or Quiz(())
    told: dict[str, Any] = {"correct": list(quiz.correct), "correct_voters": tally.correct}
    if quiz.explanation:
        told["explanation"] = quiz.explanation
    return told


def is_right(asked: Question, choices: tuple[int, ...]) -> bool:
    """Tell whether an answer is right."""
    return asked.rules.quiz is not None and choices == asked.rules.quiz.correct


def points(asked: Question, choices: tuple[int, ...], took_ms: int) -> int:
    """Give the points of an answer that took so long; a wrong one may cost some.

    The bonus falls from `speed_bonus` at once to 0 at the end of the duration that was announced at the opening.
    """
    quiz = asked.rules.quiz
    if quiz is None:
        return 0
    if choices != quiz.correct:
        return -quiz.negative_points
    duration = asked.rules.duration_ms if asked.lasts_ms is None else asked.lasts_ms
    bonus = quiz.speed_bonus * max(0, duration - took_ms) // duration if duration else 0
    return quiz.points + bonus
