"""What a kind of poll is to the rest of the plugin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from plugins.polls.asked import Question
from plugins.polls.tally import Ballot, Tally
from relay_bot.plugin import Refuse, fold_text

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
    """Words that say nothing, except where they are surely meant."""
    unwanted: frozenset[str] = frozenset()
    """Words that are never shown."""


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
        raise Refuse("invalid_choice", f"choose {_wanted(asked.min_choices, asked.max_choices)}", field=field)
    return found


def _wanted(least: int, most: int) -> str:
    if most == 1:
        return "one option"
    return f"{least} different options" if least == most else f"{least} to {most} different options"


def _index(options: Sequence[str], choice: Choice, field: str) -> int:
    if not options:
        raise Refuse("invalid_choice", "the poll has no options yet: suggest one", field=field)
    if isinstance(choice, str):
        if choice in options:
            return options.index(choice)
        key = fold_text(choice, case=False)
        found = next((index for index, option in enumerate(options) if fold_text(option, case=False) == key), None)
        if found is None:
            raise Refuse("invalid_choice", "the poll has no option with this text", field=field)
        return found
    if not 0 <= choice < len(options):
        raise Refuse("invalid_choice", f"options are numbered 0 to {len(options) - 1}", field=field)
    return choice
