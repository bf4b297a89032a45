"""A tally: what is counted of a poll's votes, ballot by ballot."""

from __future__ import annotations

from typing import Any

import msgspec


class Ballot(msgspec.Struct, frozen=True, array_like=True):
    """What one voter said: options by index (a ranking: in order; a rating: its step), or a text."""

    choices: tuple[int, ...] = ()
    text: str = ""


class Tally(msgspec.Struct):
    """The sums of a poll. Each kind fills what it needs."""

    counts: list[int] = []
    """Votes by option (by step; by first preference)."""
    total_votes: int = 0
    """Selections: what `counts` adds up to; for a text poll the answers."""
    weighted: list[int] = []
    """`counts` by weight, in thousandths; empty where the poll has no weights."""
    weight: int = 0
    """The weight of all who voted."""
    correct: int = 0
    """Voters who were right."""
    rankings: dict[str, int] = {}
    """How often each ranking was given, as `2,0,1`."""
    words: dict[str, int] = {}
    """How many voters used each word."""
    spellings: dict[str, dict[str, int]] = {}
    """How each word was written, and by how many."""
    meant: dict[str, dict[str, int]] = {}
    """The same, of uses that are meant whatever the word (the only one of an answer, capitals as in US)."""
    answers: dict[str, int] = {}
    """Of an anonymous poll: how often each text was given."""
    voters: int = 0
    """Of a closed anonymous poll: how many voted (the ballots are gone)."""
    inferred: int = 0
    """Of a closed anonymous poll: how many of them were inferred."""
    final: dict[str, Any] = {}
    """Of a closed anonymous poll: the results of its kind that can't be made again without the ballots."""


def shift(counter: dict[str, int], key: str, by: int) -> None:
    """Add to a counter that keeps no zeros."""
    now = counter.get(key, 0) + by
    if now:
        counter[key] = now
    else:
        counter.pop(key, None)


def shift_within(counters: dict[str, dict[str, int]], key: str, inner: str, by: int) -> None:
    """Add to a counter of counters that keeps no empty ones."""
    counter = counters.setdefault(key, {})
    shift(counter, inner, by)
    if not counter:
        del counters[key]
