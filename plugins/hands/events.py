"""What the journal keeps of hands. Times are the bot's clock in milliseconds."""

from __future__ import annotations

from relay_bot.plugin import Event


class HandRaised(Event, frozen=True):
    """A hand went up, at `index` of the queue. `away`: its owner is not in the hall."""

    identity: str
    name: str
    at: int
    topic: str
    index: int
    inferred: bool = False
    away: bool = False


class HandChanged(Event, frozen=True):
    """A hand that is up was raised again: the place stays."""

    identity: str
    topic: str
    inferred: bool


class HandLowered(Event, frozen=True):
    """A hand went down. `reason`: own, lowered, gone, and those of the stage."""

    identity: str
    reason: str


class AllLowered(Event, frozen=True):
    """All hands went down."""


class HandMoved(Event, frozen=True):
    """A hand was put at another place of the queue."""

    identity: str
    index: int


class RaiserAway(Event, frozen=True):
    """Someone with a raised hand dropped: the place is kept for the grace."""

    identity: str
    at: int


class RaiserBack(Event, frozen=True):
    """They came back in time."""

    identity: str
    name: str


class QueueSwitched(Event, frozen=True):
    """The queue was opened or closed for new hands."""

    open: bool
