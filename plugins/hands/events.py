"""What the journal keeps of hands. Times are the bot's clock in milliseconds."""

from __future__ import annotations

from typing import ClassVar

from relay_bot.plugin import Event, Identity, Role


class HandRaised(Event, frozen=True):
    """A hand went up, at `index` of the queue. `away`: its owner is not in the hall."""

    personal: ClassVar[tuple[str, ...]] = ("name", "topic")

    identity: Identity
    name: str
    at: int
    topic: str
    index: int
    inferred: bool = False
    away: bool = False
    role: Role = Role.VIEWER


class HandChanged(Event, frozen=True):
    """A hand that is up was raised again: the place stays."""

    personal: ClassVar[tuple[str, ...]] = ("topic",)

    identity: Identity
    topic: str
    inferred: bool


class HandLowered(Event, frozen=True):
    """A hand went down. `reason`: own, lowered, gone, banned, kicked, and those of the stage."""

    identity: Identity
    reason: str


class AllLowered(Event, frozen=True):
    """All hands went down."""


class HandMoved(Event, frozen=True):
    """A hand was put at another place of the queue."""

    identity: Identity
    index: int


class RaiserAway(Event, frozen=True):
    """Someone with a raised hand dropped: the place is kept for the grace."""

    identity: Identity
    at: int


class RaiserBack(Event, frozen=True):
    """They came back in time."""

    personal: ClassVar[tuple[str, ...]] = ("name",)

    identity: Identity
    name: str


class QueueSwitched(Event, frozen=True):
    """The queue was opened or closed for new hands."""

    open: bool


class HandSpeaking(Event, frozen=True):
    """Someone with a raised hand began to speak, or (`at` is null) has stopped before it was lowered."""

    identity: Identity
    at: int | None


class HandSpoke(Event, frozen=True):
    """They have spoken: the hand is down, its place kept a moment longer."""

    identity: Identity
    at: int


class HandGivenBack(Event, frozen=True):
    """They stopped at once: the hand is up again, at its place."""

    identity: Identity


class Invited(Event, frozen=True):
    """Someone was invited onto the stage, or invited anew. `by` is empty for a backend and the bot itself."""

    personal: ClassVar[tuple[str, ...]] = ("name",)

    identity: Identity
    name: str
    by: Identity
    at: int
    expires_at: int
    speaking_ms: int | None = None
    role: Role = Role.VIEWER


class InviteClosed(Event, frozen=True):
    """An invitation is over. `outcome`: accepted, declined, expired, withdrawn.

    `reason`: why it was withdrawn, where nobody here did it: muted, banned, kicked.
    """

    identity: Identity
    outcome: str
    reason: str = ""


class Promoting(Event, frozen=True):
    """Someone is to be on the stage, or to get the rights of one who is there again: LiveKit is asked.

    `lends`: they have no right to publish of their own, so it is taken again when they leave the stage.
    """

    personal: ClassVar[tuple[str, ...]] = ("name",)

    identity: Identity
    name: str
    by: Identity
    at: int
    speaking_ms: int | None = None
    role: Role = Role.VIEWER
    lends: bool = True


class Promoted(Event, frozen=True):
    """LiveKit has done it. `ends_at`: when their time is over."""

    identity: Identity
    at: int
    ends_at: int | None = None


class Demoting(Event, frozen=True):
    """Someone is to leave the stage: LiveKit is asked.

    `reason`: demoted, own, time, removed, gone, taken, banned, kicked.
    """

    personal: ClassVar[tuple[str, ...]] = ("name",)

    identity: Identity
    name: str
    reason: str
    at: int


class Demoted(Event, frozen=True):
    """Someone is not on the stage any more, and has no right to be."""

    identity: Identity
    at: int


class FormerGuest(Event, frozen=True):
    """Someone was on the stage in the hall session before: a token from there may still let them publish."""

    identity: Identity
    at: int


class GuestAway(Event, frozen=True):
    """A guest dropped, or is not there yet: the place on the stage is kept for the grace."""

    identity: Identity
    at: int


class GuestBack(Event, frozen=True):
    """They came back in time."""

    identity: Identity
