"""The queue: hands go up and down, move, and outlive a dropped connection."""

from __future__ import annotations

from typing import Any, Final

from plugins.hands.bodies import HandMove, HandRaise, HandsAsk, HandsLower, HandsOpen
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
from plugins.hands.speaking import SpeakingPart
from relay_bot.plugin import Context, Identity, Participant, Refuse, Role, fold_text, handle, one_line, timer

_ARRIVAL_MS: Final = 10_000
"""How long somebody with a raised hand may take to be known of: LiveKit tells of new viewers seconds later."""


class QueuePart(SpeakingPart):
    """Decides about the queue."""

    def __init__(self) -> None:
        super().__init__()
        self._sweep_planned = False

    # -- raising and lowering ---------------------------------------------------------------------------

    @handle
    def raise_hand(self, body: HandRaise, ctx: Context) -> dict[str, Any] | None:
        """Raise or lower one's own hand; a host, a moderator or a backend may lower another's."""
        sender = ctx.sender
        target = body.participant_id or self._claimed_raiser(body, ctx) or sender.identity
        if not target:
            raise Refuse(
                "malformed",
                "whose hand? name a participant in sender_id, or in participant_id to lower theirs",
                field="payload.participant_id",
            )
        other = target != sender.identity
        if other:
            sender.require(Role.MODERATOR)
        if not body.raised:
            self._lower_for(target, ctx, other=other)
        elif other:
            raise Refuse("forbidden", "only they themselves can raise their hand", field="payload.participant_id")
        else:
            self._raise(target, body.topic, ctx)
        if not ctx.private:
            return None  # a packet's sender hears their place by `hand_position`: the ack goes with the others
        return {"raised": self.state.is_up(target), "position": self.state.position(target)}

    def _claimed_raiser(self, body: HandRaise, ctx: Context) -> str | None:
        """Read the published way to lower another's hand: "the same event with `raised: false`", in their name.

        It is a claim, so it counts for nothing but whom a host or a moderator means.
        """
        if body.raised or ctx.sender.inferred or ctx.sender.role < Role.MODERATOR:
            return None
        return ctx.claimed

    def _topic(self, text: str, ctx: Context) -> str:
        """Give the topic as it is shown: one of those in the settings, if they have any, however it is written."""
        topics = self.settings.topics
        if topics:
            found = next((topic for topic in topics if fold_text(topic) == fold_text(text)), None)
            if found is None:
                raise Refuse("malformed", f"the topics here are {', '.join(topics)}", field="payload.topic")
            return found
        shown = one_line(text)
        if not shown:
            raise Refuse("malformed", "the topic has no visible characters", field="payload.topic")
        return ctx.check_text(shown, field="payload.topic", what="topic")

    def _raise(self, identity: str, topic: str | None, ctx: Context) -> None:
        settings = self.settings
        topic = None if topic is None else self._topic(topic, ctx)
        if identity in self.state.hands:
            self._raise_again(identity, topic, ctx)
            return
        if not self.state.open:
            raise Refuse("forbidden", "the queue is closed: no hands can be raised now")
        for name in self.hall.erased_as(identity):
            if name in self.state.hands:
                self._lower(name, "own", ctx)  # one hand for each, also for those who were erased since
        if len(self.state.hands) >= settings.max_hands:
            raise Refuse("busy", f"{settings.max_hands} hands are up, which is the limit", retry_after_ms=10_000)
        before = self.state.waiting()
        away = self.hall.roster.get(identity) is None  # just coming, or named by a backend
        ctx.record(
            HandRaised(
                identity,
                self._name_of(identity, ctx.sender),
                ctx.now,
                topic or "",
                self._index_for(topic or ""),
                ctx.sender.inferred,
                away,
                ctx.sender.role,
            )
        )
        if away:
            ctx.set_timer(self.grace_over, identity, ctx.now + max(self._grace_ms(), _ARRIVAL_MS))
        self._look_after(ctx)
        self._say_queue(ctx, before)

    def _raise_again(self, identity: str, topic: str | None, ctx: Context) -> None:
        hand = self.state.hands[identity]
        if hand.spoke_at is not None and not ctx.sender.inferred:
            self._give_back(identity, ctx)
        inferred = hand.inferred and ctx.sender.inferred
        new_topic = hand.topic if topic is None else topic
        if (hand.topic, hand.inferred) != (new_topic, inferred):
            if ctx.sender.inferred and not hand.inferred:
                raise Refuse("sender_unknown", "the sender can't be told yet; send again with the same id")
            ctx.record(HandChanged(identity, new_topic, inferred))
            self._say_queue(ctx, self.state.waiting())
        self._say_position(ctx, identity)

    def _index_for(self, topic: str) -> int:
        """Find where a new hand goes: to the end, or behind the last of those that go first."""
        first = self.settings.first_topics
        if topic not in first:
            return len(self.state.queue)
        places = (
            place for place, identity in enumerate(self.state.queue) if self.state.hands[identity].topic not in first
        )
        return next(places, len(self.state.queue))

    def _lower_for(self, identity: str, ctx: Context, *, other: bool, at: str = "payload.") -> None:
        hand = self.state.hands.get(identity)
        if other:
            self._check_may_act(identity, ctx)
        if hand is None or hand.spoke_at is not None:
            if other:
                raise Refuse("not_raised", "no hand of theirs is up", field=f"{at}participant_id")
            raise Refuse("not_raised", "your hand is not up")
        if ctx.sender.inferred and not hand.inferred:
            raise Refuse("sender_unknown", "the sender can't be told yet; send again with the same id")
        self._lower(identity, "lowered" if other else "own", ctx)

    def _lower(self, identity: str, reason: str, ctx: Context) -> None:
        before = self.state.waiting()
        ctx.record(HandLowered(identity, reason))
        self._clear_hand_timers(identity, ctx)
        self._look_after(ctx)
        self._say_queue(ctx, before, reason)

    def _clear_hand_timers(self, identity: str, ctx: Context) -> None:
        for method in (self.grace_over, self.has_spoken, self.keeps_it_down):
            ctx.clear_timer(method, identity)

    @handle(forward=False)
    def lower_all(self, body: HandsLower, ctx: Context) -> None:
        """Lower all hands; a host, a moderator or a backend may."""
        ctx.sender.require(Role.MODERATOR)
        self._lower_all(ctx)

    def _lower_all(self, ctx: Context) -> int:
        """Lower the hands of all on whom the sender may act; gives how many."""
        before = self.state.waiting()
        lowered = [identity for identity in self.state.queue if self._may_act(identity, ctx)]
        for identity in lowered:
            self._clear_hand_timers(identity, ctx)
        if lowered == self.state.queue and lowered:
            ctx.record(AllLowered())
        else:
            for identity in lowered:
                ctx.record(HandLowered(identity, "lowered"))
        if lowered:
            self._say_queue(ctx, before, "lowered")
        return len(before) - len(self.state.waiting())

    # -- order ------------------------------------------------------------------------------------------

    @handle(forward=False)
    def move(self, body: HandMove, ctx: Context) -> None:
        """Put a hand at another place; a host, a moderator or a backend may."""
        ctx.sender.require(Role.MODERATOR)
        self._move(body.participant_id, body.position, ctx)

    def _move(self, identity: str, position: int, ctx: Context, at: str = "payload.") -> None:
        before = self.state.waiting()
        if identity not in before:
            raise Refuse("not_raised", "no hand of theirs is up", field=f"{at}participant_id")
        self._check_may_act(identity, ctx)
        if position > len(before):
            raise Refuse("malformed", f"expected a position from 1 to {len(before)}", field=f"{at}position")
        if before[position - 1] == identity:
            return
        ctx.record(HandMoved(identity, self._index_at(identity, position)))
        self._say_queue(ctx, before)

    def _index_at(self, identity: str, position: int) -> int:
        """Find the index in the queue without this hand that gives it this place in the line."""
        others = [each for each in self.state.queue if each != identity]
        line = [each for each in self.state.waiting() if each != identity]
        return others.index(line[position - 1]) if position <= len(line) else len(others)

    @handle(forward=False)
    def switch(self, body: HandsOpen, ctx: Context) -> None:
        """Open or close the queue; a host, a moderator or a backend may."""
        ctx.sender.require(Role.MODERATOR)
        self._switch(body.open, ctx)

    def _switch(self, is_open: bool, ctx: Context) -> None:
        if self.state.open != is_open:
            ctx.record(QueueSwitched(is_open))
            ctx.publish("hands_open", {"open": is_open, "seq": self.hall.seq})
        self._say_queue(ctx, self.state.waiting())

    @handle(forward=False, reads=True)
    def ask(self, body: HandsAsk, ctx: Context) -> dict[str, Any]:
        """Give a page of the queue to a host, a moderator or a backend."""
        ctx.sender.require(Role.MODERATOR)
        page = self._page(body.page)
        if page is None:
            raise Refuse("not_found", "the queue has not so many pages", field="payload.page")
        return page

    # -- who is here --------------------------------------------------------------------------------------

    def joined(self, participant: Participant, ctx: Context) -> None:
        """Give someone who comes back in time their place."""
        self._look_after(ctx)
        hand = self.state.hands.get(participant.identity)
        if hand is not None and hand.away_at is not None:
            ctx.record(RaiserBack(participant.identity, self._name_of(participant.identity)))
            ctx.clear_timer(self.grace_over, participant.identity)
            self._say_queue(ctx, self.state.waiting())
            self._say_position(ctx, participant.identity)

    def left(self, participant: Participant, ctx: Context) -> None:
        """Keep the place of someone who drops, for the grace."""
        self._raiser_gone(participant.identity, ctx)

    def _raiser_gone(self, identity: str, ctx: Context) -> None:
        hand = self.state.hands.get(identity)
        if hand is None or hand.away_at is not None or hand.spoke_at is not None:
            return
        if not self.settings.grace_seconds:
            self._lower(identity, "gone", ctx)
            return
        self._stops(identity, ctx)
        ctx.record(RaiserAway(identity, ctx.now))
        ctx.set_timer(self.grace_over, identity, ctx.now + self._grace_ms())
        self._say_queue(ctx, self.state.waiting())

    @timer
    def grace_over(self, key: Identity, ctx: Context) -> None:
        """Free the place of someone who did not come back."""
        hand = self.state.hands.get(key)
        if hand is not None and hand.away_at is not None:
            self._lower(key, "gone", ctx)

    def _grace_ms(self) -> int:
        return round(self.settings.grace_seconds * 1000)

    def _look_after(self, ctx: Context) -> None:
        """See to it that those who left unseen (the bot was away, or restarted) are found, once."""
        if not self._sweep_planned:
            self._sweep_planned = True
            ctx.set_timer(self.sweep, "", ctx.now + self._grace_ms())

    @timer
    def sweep(self, key: str, ctx: Context) -> None:
        """Treat those whose leaving was not seen as gone: they have had the grace."""
        for identity in list(self.state.queue):
            hand = self.state.hands[identity]
            if hand.away_at is None and hand.spoke_at is None and self.hall.roster.get(identity) is None:
                self._lower(identity, "gone", ctx)
