"""Erasing a participant: their identity gives way to a pseudonym, and what they said to nothing.

The events stay, so that counts and orders stay right; they just don't lead to anybody any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import msgspec


class Personal(msgspec.Struct, frozen=True):
    """Which fields of an event hold somebody's words: those of `fields`, where `subject` names that somebody."""

    subject: str
    fields: tuple[str, ...]


def erased(kind: str, body: bytes, identity: str, pseudonym: str, rules: Mapping[str, Personal]) -> bytes | None:
    """Give an event's body without the participant; `None` where it doesn't name them.

    Wherever a string of it is the identity, also as a key, the pseudonym takes its place.
    """
    event: dict[str, Any] = msgspec.json.decode(body)
    rule = rules.get(kind)
    words: dict[str, Any] = {}
    if rule is not None and event.get(rule.subject) == identity:
        words = {name: _emptied(event[name]) for name in rule.fields if name in event}
    changed = _renamed(event, identity, pseudonym) | words
    return None if changed == event else msgspec.json.encode(changed)


def _emptied(value: Any) -> Any:
    return "" if isinstance(value, str) else None if value is None else type(value)()


def _renamed(value: Any, identity: str, pseudonym: str) -> Any:
    if isinstance(value, dict):
        entries = cast("dict[str, Any]", value).items()
        return {_renamed(key, identity, pseudonym): _renamed(part, identity, pseudonym) for key, part in entries}
    if isinstance(value, list):
        return [_renamed(part, identity, pseudonym) for part in cast("list[Any]", value)]
    return pseudonym if value == identity else value
