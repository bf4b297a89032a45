"""What a kind of poll is to the rest of the plugin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from plugins.polls.asked import Question
from plugins.polls.tally import Ballot, Tally
from relay_bot.plugin import Refuse

Choice = int | str
"""An option by its index or by its text."""


class VoteFields(Protocol):
    """What a vote may carry; each kind takes its own."""

    @property
    def option(self) -> Choice | None: ...
    @property
    def options(self) -> Sequence[Choice] | None: ...
    @property
    def rating(self) -> int | None: ...
    @property
    def ranking(self) -> Sequence[Choice] | None: ...
    @property
    def text(self) -> str | None: ...


class View(msgspec.Struct, frozen=True):
    """What a kind needs beside the tally to make results: bounds of what is shown."""

    words_shown: int = 50
    stop_words: frozenset[str] = frozenset()


class PollKind(Protocol):
    """How votes of one kind are read and counted. All of it is pure."""

    def read(self, asked: Question, vote: VoteFields) -> Ballot:
        """Read a vote; raises `Refuse("invalid_choice")` with the field."""
        ...

    def add(self, asked: Question, tally: Tally, ballot: Ballot, by: int) -> None:
        """Count a ballot (`by` 1), or take it back (-1)."""
        ...

    def results(self, asked: Question, tally: Tally, view: View) -> dict[str, Any]:
        """Give what this kind adds to the results."""
        ...

    def own(self, asked: Question, ballot: Ballot) -> Any:
        """Give a ballot as its voter sees it in `my_vote`."""
        ...


def indices(asked: Question, named: Sequence[Choice], field: str) -> tuple[int, ...]:
    """Read options named by index or text, in their order; refuses one that is named twice."""
    found = tuple(_index(asked.options, choice, field) for choice in named)
    if len(set(found)) < len(found):
        raise Refuse("invalid_choice", "an option is named twice", field=field)
    if not asked.min_choices <= len(found) <= asked.max_choices:
        least, most = asked.min_choices, asked.max_choices
        wanted = str(least) if least == most else f"{least} to {most}"
        raise Refuse("invalid_choice", f"choose {wanted} different options", field=field)
    return found


def _index(options: Sequence[str], choice: Choice, field: str) -> int:
    if isinstance(choice, str):
        if choice not in options:
            raise Refuse("invalid_choice", "the poll has no option with this text", field=field)
        return options.index(choice)
    if not 0 <= choice < len(options):
        raise Refuse("invalid_choice", f"options are numbered 0 to {len(options) - 1}", field=field)
    return choice
