"""Whoever speaks needs no raised hand: it goes down by itself, and comes back where that was a mistake.

A data-only bot is not told who speaks. It goes by the microphone's publish, mute and unmute, and by what clients
report themselves.
"""

from __future__ import annotations

from plugins.hands.base import HandsBase
from plugins.hands.bodies import Speaking
from plugins.hands.events import HandGivenBack, HandLowered, HandSpeaking, HandSpoke
from relay_bot.plugin import Context, Identity, Participant, Role, handle, timer


class SpeakingPart(HandsBase):
    """Lowers the hands of those who speak."""

    @handle(forward=False)
    def report(self, body: Speaking, ctx: Context) -> None:
        """Take a client's word on whether its own user speaks."""
        if not ctx.sender.inferred:
            self._heard(ctx.sender.identity, body.speaking, ctx)

    def changed(self, before: Participant, after: Participant, ctx: Context) -> None:
        """See a microphone go on or off, and tell the queue to one who may see it now."""
        if before.role < Role.MODERATOR <= after.role:
            self._show_queue(after.identity, ctx)
        if _has_live_microphone(before) != _has_live_microphone(after):
            self._heard(after.identity, _has_live_microphone(after), ctx)

    def _heard(self, identity: str, speaks: bool, ctx: Context) -> None:
        hand = self.state.hands.get(identity)
        if hand is None or not self.settings.auto_lower_seconds:
            return
        if not speaks:
            self._stops(identity, ctx)
            if hand.spoke_at is not None:
                self._give_back(identity, ctx)
        elif hand.speaking_at is None and hand.spoke_at is None:
            ctx.record(HandSpeaking(identity, ctx.now))
            ctx.set_timer(self.has_spoken, identity, ctx.now + round(self.settings.auto_lower_seconds * 1000))

    def _stops(self, identity: str, ctx: Context) -> None:
        if self.state.hands[identity].speaking_at is not None:
            ctx.record(HandSpeaking(identity, None))
            ctx.clear_timer(self.has_spoken, identity)

    def _give_back(self, identity: str, ctx: Context) -> None:
        before = self.state.waiting()
        ctx.record(HandGivenBack(identity))
        ctx.clear_timer(self.keeps_it_down, identity)
        self._say_queue(ctx, before)

    @timer
    def has_spoken(self, key: Identity, ctx: Context) -> None:
        """Lower the hand of one who has spoken for a while; the place is kept a moment longer."""
        hand = self.state.hands.get(key)
        if hand is None or hand.speaking_at is None:
            return
        before = self.state.waiting()
        ctx.record(HandSpoke(key, ctx.now))
        ctx.set_timer(self.keeps_it_down, key, ctx.now + round(self.settings.give_back_seconds * 1000))
        self._say_queue(ctx, before, "spoke")

    @timer
    def keeps_it_down(self, key: Identity, ctx: Context) -> None:
        """Give the place up for good: they are still speaking."""
        hand = self.state.hands.get(key)
        if hand is not None and hand.spoke_at is not None:
            ctx.record(HandLowered(key, "spoke"))


def _has_live_microphone(person: Participant) -> bool:
    return any(track.source == "microphone" and not track.muted for track in person.tracks)
