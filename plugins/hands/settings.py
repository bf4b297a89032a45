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
    auto_lower_seconds: Wait = 3.0
    """A hand goes down by itself when its owner has spoken so long; 0 = never."""
    give_back_seconds: Wait = 5.0
    """Whoever stops speaking within this time after that has their place again."""
    ask_first: bool = True
    """Whether one who is invited is asked; if not, an invitation puts them on the stage."""
    invite_seconds: Annotated[float, msgspec.Meta(gt=0, le=86_400)] = 60.0
    """How long an invitation holds."""
    stage_limit: Annotated[int, msgspec.Meta(ge=1, le=50)] = 10
    """Guests on the stage at once."""
    auto_advance: bool = False
    """Whether the first in the queue is invited when a place on the stage falls free."""
    speaking_seconds: Wait = 0.0
    """How long a guest stays on the stage, unless the invitation says otherwise; 0 = no limit."""
    warning_seconds: Wait = 30.0
    """How long before the end of their time a guest is warned."""
    report_seconds: Annotated[float, msgspec.Meta(gt=0, le=3_600)] = 10.0
    """Hosts hear of a change of the stage that LiveKit has not done after this time. It is tried on."""
