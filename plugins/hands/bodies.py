"""What clients and backends send about hands and the stage."""

from __future__ import annotations

from typing import Annotated

import msgspec

from plugins.hands.settings import Topic
from relay_bot.plugin import Body, Request

Identity = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
Position = Annotated[int, msgspec.Meta(ge=1, le=2_000)]


SpeakingSeconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]


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


class HandNext(Body, type="hand_next"):
    """Invite the first in the queue onto the stage."""


class Speaking(Body, type="speaking"):
    """A client's own report that its user speaks, or has stopped: finer than the microphone's state."""

    speaking: bool


class GuestInvite(Body, type="guest_invite"):
    """Invite someone onto the stage (reference: interactive-show). `speaking_seconds`: their time there."""

    participant_id: Identity
    speaking_seconds: SpeakingSeconds | None = None


class GuestInviteResponse(Body, type="guest_invite_response"):
    """Accept an invitation, or decline it."""

    accepted: bool


class GuestPromote(Body, type="guest_promote"):
    """Put someone on the stage without asking them."""

    participant_id: Identity
    speaking_seconds: SpeakingSeconds | None = None


class GuestDemote(Body, type="guest_demote"):
    """Leave the stage; with `participant_id`: take someone off it, or take their invitation back."""

    participant_id: Identity | None = None


class GuestRemove(Body, type="guest_remove"):
    """Take a guest off the stage and out of the hall."""

    participant_id: Identity


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


class InviteRequest(Request, frozen=True):
    """Whom to invite onto the stage; `speaking_seconds`: their time there."""

    participant_id: Identity
    speaking_seconds: SpeakingSeconds | None = None


class PromoteRequest(Request, frozen=True):
    """Whom to put on the stage; `limit`: refuse where so many are on it, be the configured limit higher."""

    participant_id: Identity
    speaking_seconds: SpeakingSeconds | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=50)] | None = None


class OneParticipant(Request, frozen=True):
    """A participant."""

    participant_id: Identity
