"""The kinds of polls: how each reads a vote, counts it and tells the results."""

from __future__ import annotations

from typing import Final

from plugins.polls.asked import Kind
from plugins.polls.kinds.base import PollKind
from plugins.polls.kinds.choice import ChoiceKind
from plugins.polls.kinds.quiz import QuizKind
from plugins.polls.kinds.ranking import RankingKind
from plugins.polls.kinds.rating import RatingKind
from plugins.polls.kinds.text import TextKind

RANKING: Final = RankingKind()
KINDS: Final[dict[Kind, PollKind]] = {
    "choice": ChoiceKind(),
    "quiz": QuizKind(),
    "rating": RatingKind(),
    "ranking": RANKING,
    "text": TextKind(),
}

__all__ = ["KINDS", "RANKING"]
