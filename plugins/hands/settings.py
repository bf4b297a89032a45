"""The settings of `plugins.hands`."""

from __future__ import annotations

from typing import Annotated

import msgspec

Wait = Annotated[float, msgspec.Meta(ge=0, le=86_400)]
"""Seconds; 0 switches the thing off."""
Topic = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]


class HandsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`plugins.hands`."""

    max_hands: Annotated[int, msgspec.Meta(ge=1, le=2_000)] = 500
    grace_seconds: Wait = 60.0
    """How long those who drop keep their place in the queue, or on the stage."""
    topics: tuple[Topic, ...] = ()
    """The topics that a hand may have; empty = any text, or none."""
    first_topics: tuple[Topic, ...] = ()
    """Hands with one of these (such as `reply`) go before the others."""
