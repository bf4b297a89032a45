"""The hands and the stage of a hall session, as the journal tells them."""

from __future__ import annotations

import msgspec

from plugins.hands.events import (
    AllLowered,
    HandChanged,
    HandLowered,
    HandMoved,
    HandRaised,
    QueueSwitched,
    RaiserAway,
    RaiserBack,
)
from relay_bot.plugin import State


class Hand(msgspec.Struct):
    """A raised hand. `away_at`: since when its owner is not in the hall."""

    name: str
    raised_at: int
    topic: str = ""
    inferred: bool = False
    away_at: int | None = None


class Hands(State):
    """The raised hands by identity, and their order."""

    open: bool = True
    hands: dict[str, Hand] = {}
    queue: list[str] = []

    # -- reading ------------------------------------------------------------------------------------

    def waiting(self) -> list[str]:
        """List the identities in the queue as people see it, first in line first."""
        return list(self.queue)

    def position(self, identity: str) -> int | None:
        """Give someone's place in the queue, the first being 1; `None` where no hand of theirs is up."""
        return self.queue.index(identity) + 1 if identity in self.hands else None

    # -- the queue ----------------------------------------------------------------------------------

    def on_hand_raised(self, event: HandRaised) -> None:
        """Put a hand into the queue."""
        away_at = event.at if event.away else None
        self.hands[event.identity] = Hand(event.name, event.at, event.topic, event.inferred, away_at)
        self.queue.insert(event.index, event.identity)

    def on_hand_changed(self, event: HandChanged) -> None:
        """Take the newer words of someone whose hand is up."""
        hand = self.hands[event.identity]
        hand.topic = event.topic
        hand.inferred = event.inferred

    def on_hand_lowered(self, event: HandLowered) -> None:
        """Take a hand out of the queue."""
        del self.hands[event.identity]
        self.queue.remove(event.identity)

    def on_all_lowered(self, event: AllLowered) -> None:
        """Empty the queue."""
        self.hands.clear()
        self.queue.clear()

    def on_hand_moved(self, event: HandMoved) -> None:
        """Put a hand at another place."""
        self.queue.remove(event.identity)
        self.queue.insert(event.index, event.identity)

    def on_raiser_away(self, event: RaiserAway) -> None:
        """Keep the place of someone who dropped."""
        self.hands[event.identity].away_at = event.at

    def on_raiser_back(self, event: RaiserBack) -> None:
        """Give the place back."""
        hand = self.hands[event.identity]
        hand.away_at = None
        hand.name = event.name

    def on_queue_switched(self, event: QueueSwitched) -> None:
        """Open or close the queue."""
        self.open = event.open
