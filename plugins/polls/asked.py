"""What is asked, and by which rules: the part of a poll that its votes don't change."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from relay_bot.plugin import Identity

Kind = Literal["choice", "quiz", "rating", "ranking", "text"]
Results = Literal["live", "after_vote", "on_close", "hosts", "held"]
UserOptions = Literal["no", "approval", "free"]
RoleName = Literal["viewer", "speaker", "moderator", "host"]

WHOLE: Final = 1000
"""Weights are kept in parts, so that sums are exact: this is a weight of 1 in older journals."""
MILLIONTHS: Final = 1_000_000
"""This is a weight of 1 in polls that are made now."""


class Eligible(msgspec.Struct, frozen=True):
    """Who may vote: those with one of the roles, and those named."""

    roles: frozenset[RoleName] = frozenset()
    identities: frozenset[Identity] = frozenset()

    def has(self, identity: str, role: str) -> bool:
        """Tell whether someone may vote."""
        return role in self.roles or identity in self.identities


class Weights(msgspec.Struct, frozen=True):
    """How much a vote counts, in parts of 1: by identity, else by role, else 1."""

    identities: dict[Identity, int] = {}
    roles: dict[RoleName, int] = {}
    unit: int = WHOLE
    """Parts of which 1 consists."""

    def of(self, identity: str, role: str) -> int:
        """Give the weight of someone's vote, in parts."""
        found = self.identities.get(identity)
        return found if found is not None else self.roles.get(role, self.unit)  # type: ignore[call-overload]  (a role may be none of the known)


class Quiz(msgspec.Struct, frozen=True):
    """Which options are right, and what a right answer is worth."""

    correct: tuple[int, ...]
    points: int = 100
    negative_points: int = 0
    speed_bonus: int = 0
    explanation: str = ""


class Scale(msgspec.Struct, frozen=True):
    """The steps of a rating, `min` to `max`; labels are for each step or for the two ends."""

    min: int = 1
    max: int = 5
    labels: tuple[str, ...] = ()


class Series(msgspec.Struct, frozen=True):
    """A poll's place in a running order."""

    series_id: str
    index: int


class Rules(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a poll is voted on and who sees what of it. The defaults are those of the published form."""

    kind: Kind = "choice"
    allow_revote: bool = True
    results: Results = "live"
    anonymous: bool = False
    eligible: Eligible | None = None
    weights: Weights | None = None
    quiz: Quiz | None = None
    scale: Scale | None = None
    max_length: int = 0
    series: Series | None = None
    audience: frozenset[Identity] | None = None
    """Whom the poll was sent to; `None` for everybody."""
    duration_ms: int | None = None
    user_options: UserOptions = "no"
    rerun_of: str | None = None
    round: int = 1


class Question(msgspec.Struct):
    """What is asked. `options` of a rating are its steps; a text poll has none."""

    poll_id: str
    question: str
    options: list[str]
    min_choices: int
    max_choices: int
    rules: Rules
    lasts_ms: int | None = None
    """Of one that was opened: how long it was announced to last."""
