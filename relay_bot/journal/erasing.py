"""Erasing a participant: their identity gives way to a pseudonym, and what they said to nothing.

The events stay, so that counts and orders stay right; they just don't lead to anybody any more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, cast

import msgspec

CORE: Final = "hall"
"""The namespace of the hall's own events."""


class Personal(msgspec.Struct, frozen=True):
    """Which fields of an event hold somebody's words: those of `fields`, where `subject` names that somebody."""

    subject: str
    fields: tuple[str, ...]


def erased(kind: str, body: bytes, identity: str, pseudonym: str, rules: Mapping[str, Personal]) -> bytes | None:
    """Give an event's body without the participant; `None` where it doesn't name them.

    Wherever a string of it is the identity, also as a key, the pseudonym takes its place; in the hall's own events
    (timers, effects) also where the identity is a word of a string, as plugins make their keys of it.
    """
    word = re.compile(rf"(?<![\w-]){re.escape(identity)}(?![\w-])") if kind.startswith(f"{CORE}.") else None
    event: dict[str, Any] = msgspec.json.decode(body)
    rule = rules.get(kind)
    words: dict[str, Any] = {}
    if rule is not None and event.get(rule.subject) == identity:
        words = {name: _emptied(event[name]) for name in rule.fields if name in event}
    changed = _renamed(event, identity, pseudonym, word) | words
    return None if changed == event else msgspec.json.encode(changed)


def renamed(body: bytes, identity: str, pseudonym: str) -> bytes | None:
    """Give a JSON body with the pseudonym wherever a string, or a key, is the identity; `None` where none is."""
    before = msgspec.json.decode(body)
    changed = _renamed(before, identity, pseudonym, None)
    return None if changed == before else msgspec.json.encode(changed)


def _emptied(value: Any) -> Any:
    return "" if isinstance(value, str) else None if value is None else type(value)()


def _renamed(value: Any, identity: str, pseudonym: str, word: re.Pattern[str] | None) -> Any:
    if isinstance(value, dict):
        entries = cast("dict[str, Any]", value).items()
        return {
            _renamed(key, identity, pseudonym, word): _renamed(part, identity, pseudonym, word) for key, part in entries
        }
    if isinstance(value, list):
        return [_renamed(part, identity, pseudonym, word) for part in cast("list[Any]", value)]
    if isinstance(value, str) and word is not None:
        return word.sub(lambda found: pseudonym, value)
    return pseudonym if value == identity else value
