"""What clients and backends send about hands and the stage."""

from __future__ import annotations

from typing import Annotated

import msgspec

from plugins.hands.settings import Topic
from relay_bot.plugin import Body, Request

Identity = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
Position = Annotated[int, msgspec.Meta(ge=1, le=2_000)]


class HandRaise(Body, type="hand_raise"):
    """Raise one's hand, or lower it. With `participant_id`: a host or a backend lowers that one."""

    raised: bool
    participant_id: Identity | None = None
    topic: Topic | None = None


class HandMove(Body, type="hand_move"):
    """Put a raised hand at another place in the queue, the first being 1."""

    participant_id: Identity
    position: Position


class HandsLower(Body, type="hands_lower"):
    """Lower all hands."""


class HandsOpen(Body, type="hands_open"):
    """Let hands be raised, or not any more; those that are up stay up."""

    open: bool


class HandsAsk(Body, type="hands"):
    """Ask for a page of the queue; the ack's `result` is a `hand_queue` payload."""

    page: Annotated[int, msgspec.Meta(ge=0, le=2_000)] = 0


class Nothing(Request, frozen=True):
    """Nothing."""


class LowerRequest(Request, frozen=True):
    """Whose hand is lowered: one participant's, or `all`."""

    participant_id: Identity | None = None
    all: bool = False


class MoveRequest(Request, frozen=True):
    """Where to put a raised hand: 1 is the first place."""

    participant_id: Identity
    position: Position
