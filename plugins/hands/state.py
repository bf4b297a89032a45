"""The hands and the stage of a hall session, as the journal tells them."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from plugins.hands.events import (
    AllLowered,
    Demoted,
    Demoting,
    FormerGuest,
    GuestAway,
    GuestBack,
    HandChanged,
    HandGivenBack,
    HandLowered,
    HandMoved,
    HandRaised,
    HandSpeaking,
    HandSpoke,
    InviteClosed,
    Invited,
    Promoted,
    Promoting,
    QueueSwitched,
    RaiserAway,
    RaiserBack,
)
from relay_bot.plugin import Role, State

_MAX_REMEMBERED: Final = 1_000
"""Expired invitations and former guests that are remembered; the oldest go first."""


class Hand(msgspec.Struct):
    """A raised hand. `away_at`: since when its owner is not in the hall.

    `spoke_at`: it went down by itself then and is not seen any more, but its place is kept for a moment.
    """

    name: str
    raised_at: int
    topic: str = ""
    inferred: bool = False
    away_at: int | None = None
    speaking_at: int | None = None
    spoke_at: int | None = None
    role: Role = Role.VIEWER


class Invitation(msgspec.Struct, frozen=True):
    """An invitation that is open."""

    name: str
    by: str
    expires_at: int
    speaking_ms: int | None
    role: Role = Role.VIEWER


class Guest(msgspec.Struct):
    """Someone on the stage, or on the way onto it or off it.

    `on`: LiveKit has said so. `announced`: it was said to all before, so a right given again is no news.
    """

    name: str
    by: str
    status: Literal["promoting", "on", "demoting"]
    speaking_ms: int | None = None
    since: int | None = None
    ends_at: int | None = None
    away_at: int | None = None
    announced: bool = False
    reason: str = ""
    role: Role = Role.VIEWER


class Hands(State):
    """The raised hands by identity, and their order; who is invited, and who is on the stage.

    `lent`: those whose right to publish is the stage's to take again: it gave it, or somebody had it taken from them.
    Their token may have it meanwhile (LiveKit refreshes tokens with what is allowed now), so it is remembered here.
    `former`: those of them who are off the stage, and since when: an old token must not bring them back.
    """

    open: bool = True
    hands: dict[str, Hand] = {}
    queue: list[str] = []
    invited: dict[str, Invitation] = {}
    expired: dict[str, int] = {}
    stage: dict[str, Guest] = {}
    former: dict[str, int] = {}
    lent: set[str] = set()

    # -- reading ------------------------------------------------------------------------------------

    def waiting(self) -> list[str]:
        """List the identities in the queue as people see it, first in line first."""
        return [identity for identity in self.queue if self.hands[identity].spoke_at is None]

    def is_up(self, identity: str) -> bool:
        """Tell whether someone's hand is up, as people see it."""
        hand = self.hands.get(identity)
        return hand is not None and hand.spoke_at is None

    def position(self, identity: str) -> int | None:
        """Give someone's place in the queue, the first being 1; `None` where no hand of theirs is up."""
        return self.waiting().index(identity) + 1 if self.is_up(identity) else None

    def last_role(self, identity: str) -> Role:
        """Give the role that somebody had when they raised their hand, were invited or promoted."""
        known = (self.stage.get(identity), self.invited.get(identity), self.hands.get(identity))
        return max((each.role for each in known if each is not None), default=Role.VIEWER)

    # -- the queue ----------------------------------------------------------------------------------

    def on_hand_raised(self, event: HandRaised) -> None:
        """Put a hand into the queue."""
        away_at = event.at if event.away else None
        self.hands[event.identity] = Hand(event.name, event.at, event.topic, event.inferred, away_at, role=event.role)
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

    def on_hand_speaking(self, event: HandSpeaking) -> None:
        """Note since when someone with a raised hand speaks."""
        self.hands[event.identity].speaking_at = event.at

    def on_hand_spoke(self, event: HandSpoke) -> None:
        """Lower a hand, for now."""
        hand = self.hands[event.identity]
        hand.spoke_at = event.at
        hand.speaking_at = None

    def on_hand_given_back(self, event: HandGivenBack) -> None:
        """Raise it again."""
        self.hands[event.identity].spoke_at = None

    # -- the stage ----------------------------------------------------------------------------------

    def on_invited(self, event: Invited) -> None:
        """Invite someone; an open invitation of theirs is replaced."""
        self.expired.pop(event.identity, None)
        self.invited[event.identity] = Invitation(event.name, event.by, event.expires_at, event.speaking_ms, event.role)

    def on_invite_closed(self, event: InviteClosed) -> None:
        """End an invitation."""
        closed = self.invited.pop(event.identity)
        if event.outcome == "expired":
            _remember(self.expired, event.identity, closed.expires_at)

    def on_promoting(self, event: Promoting) -> None:
        """Begin to put someone on the stage, or to give a guest their right again."""
        guest = self.stage.get(event.identity)
        if guest is None:
            self.stage[event.identity] = Guest(event.name, event.by, "promoting", event.speaking_ms, role=event.role)
        else:
            guest.status = "promoting"
        if event.lends:
            self.lent.add(event.identity)

    def on_promoted(self, event: Promoted) -> None:
        """Have someone on the stage."""
        guest = self.stage[event.identity]
        guest.status = "on"
        if not guest.announced:
            guest.announced = True
            guest.since = event.at
            guest.ends_at = event.ends_at

    def on_demoting(self, event: Demoting) -> None:
        """Begin to take someone off the stage, be it one who came with the right in their token."""
        guest = self.stage.get(event.identity)
        if guest is None:
            guest = self.stage[event.identity] = Guest(event.name, "", "demoting", announced=True)
            self.lent.add(event.identity)
        guest.status = "demoting"
        guest.reason = event.reason

    def on_demoted(self, event: Demoted) -> None:
        """Have someone off the stage."""
        del self.stage[event.identity]
        if event.identity in self.lent:
            self.lent.discard(event.identity)
            _remember(self.former, event.identity, event.at)

    def on_former_guest(self, event: FormerGuest) -> None:
        """Remember someone who was on the stage in the session before."""
        _remember(self.former, event.identity, event.at)

    def on_guest_away(self, event: GuestAway) -> None:
        """Keep the place of a guest who dropped."""
        self.stage[event.identity].away_at = event.at

    def on_guest_back(self, event: GuestBack) -> None:
        """Give it back."""
        self.stage[event.identity].away_at = None


def _remember(kept: dict[str, int], identity: str, at: int) -> None:
    kept.pop(identity, None)
    kept[identity] = at
    if len(kept) > _MAX_REMEMBERED:
        del kept[next(iter(kept))]
