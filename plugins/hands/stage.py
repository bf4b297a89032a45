"""The stage: who is on it is what LiveKit has confirmed, never what was only asked for.

What is asked of LiveKit for somebody is owed under their bare identity: the newest takes the place of all before,
and erasing the participant finds it.
"""

from __future__ import annotations

from plugins.hands.bodies import GuestDemote, GuestPromote, GuestRemove
from plugins.hands.events import Demoted, Demoting, FormerGuest, GuestAway, GuestBack, InviteClosed, Promoted, Promoting
from plugins.hands.queue import QueuePart
from plugins.hands.state import Guest, Hands
from plugins.hands.views import guest_said
from relay_bot.plugin import (
    Context,
    Effect,
    Identity,
    Participant,
    Refuse,
    RemoveParticipant,
    Role,
    SetPermissions,
    handle,
    iso,
    timer,
)

_TOKEN_MS = 6 * 3_600_000
"""How long a token lives unless it says otherwise (LiveKit's default); one that is refreshed lives as long."""
_SETTLE_MS = 2_000
"""How long a guest may look as if they had lost the right before that is believed: updates can cross."""


class StagePart(QueuePart):
    """Puts guests on the stage and takes them off."""

    # -- onto it ------------------------------------------------------------------------------------------

    @handle(forward=False)
    def promote_guest(self, body: GuestPromote, ctx: Context) -> None:
        """Put someone on the stage without asking; a host, a moderator or a backend may."""
        ctx.sender.require(Role.MODERATOR)
        self._promote(body.participant_id, body.speaking_seconds, ctx)

    def _promote(
        self, identity: str, seconds: float | None, ctx: Context, *, limit: int | None = None, at: str = "payload."
    ) -> None:
        guest = self.state.stage.get(identity)
        self._check_may_act(identity, ctx)
        if guest is not None and guest.status != "demoting":
            return
        self._check_guest(identity, at)
        if guest is None:
            self._check_room(limit)
        self._put_on_stage(identity, ctx.sender.identity, self._speaking_ms(seconds), ctx)

    def _check_guest(self, identity: str, at: str) -> None:
        person = self.hall.roster.get(identity)
        if person is None:
            raise Refuse("not_found", "nobody here has this identity", field=f"{at}participant_id")
        if person.role >= Role.MODERATOR and person.can_publish and identity not in self.state.stage:
            raise Refuse("forbidden", "hosts and moderators who may publish need no stage", field=f"{at}participant_id")

    def _check_room(self, limit: int | None = None) -> None:
        most = min(self.settings.stage_limit, limit or self.settings.stage_limit)
        if len(self.state.stage) >= most:
            raise Refuse("stage_full", f"the stage has {most} place{'s' if most > 1 else ''}, all taken")

    def _speaking_ms(self, seconds: float | None) -> int | None:
        chosen = self.settings.speaking_seconds if seconds is None else seconds
        return round(chosen * 1000) or None

    def _put_on_stage(self, identity: str, by: str, speaking_ms: int | None, ctx: Context) -> None:
        if identity in self.state.invited:
            ctx.record(InviteClosed(identity, "accepted"))
            self._clear_invite_timer(identity, ctx)
        name, role = self._name_of(identity), self._role_of(identity)
        ctx.record(Promoting(identity, name, by, ctx.now, speaking_ms, role, self._lends(identity, ctx.now)))
        self._ask_for(identity, True, ctx)
        if identity in self.state.hands:
            self._lower(identity, "on_stage", ctx)
        else:
            self._say_queue(ctx, self.state.waiting())

    def _lends(self, identity: str, now: int) -> bool:
        """Tell whether the right to publish that somebody will have is not their own."""
        person = self.hall.roster.get(identity)
        return identity in self.state.lent or person is None or not person.can_publish or self._is_former(person, now)

    def _is_former(self, person: Participant, now: int) -> bool:
        """Tell whether somebody may have the right to publish from a token of the time when they were on the stage."""
        since = self.state.former.get(person.identity)
        return since is not None and now - since < _TOKEN_MS and person.role < Role.MODERATOR

    def _role_of(self, identity: str) -> Role:
        person = self.hall.roster.get(identity)
        return Role.VIEWER if person is None else person.role

    def _clear_invite_timer(self, identity: str, ctx: Context) -> None:
        """Call off the end of an invitation (the part that invites says how)."""

    def _ask_for(self, identity: str, can_publish: bool, ctx: Context) -> None:
        """Have LiveKit change the one right; what else they may do stays as it is."""
        ctx.owe(SetPermissions(identity, can_publish=can_publish), key=identity)
        ctx.set_timer(self.is_late, identity, ctx.now + round(self.settings.report_seconds * 1000))

    @timer
    def is_late(self, key: Identity, ctx: Context) -> None:
        """Tell hosts of a change that LiveKit has not done yet. It stays owed."""
        guest = self.state.stage.get(key)
        if guest is not None and guest.status != "on" and guest.away_at is None:
            done = "on" if guest.status == "promoting" else "off"
            self._tell_hosts(
                ctx, f"{guest.name} ({key}) is not {done} the stage yet: LiveKit does not answer. It is tried on."
            )

    def _tell_hosts(self, ctx: Context, text: str) -> None:
        for identity in self.hall.roster.at_least(Role.MODERATOR):
            ctx.notice(text, to=identity)

    # -- what LiveKit said -----------------------------------------------------------------------------------

    def effect_settled(self, effect: Effect, error: str | None, ctx: Context) -> None:
        """Believe a change now that LiveKit has done it, or hear that it can't be."""
        if not isinstance(effect, SetPermissions | RemoveParticipant):
            return
        identity = effect.identity
        guest = self.state.stage.get(identity)
        if guest is None:
            return
        if isinstance(effect, SetPermissions) and effect.can_publish:
            if guest.status == "promoting":
                self._promotion_settled(identity, guest, error, ctx)
        elif guest.status == "demoting" and error in (None, "not_found"):
            self._off_stage(identity, ctx)
        elif guest.status == "demoting":
            self._tell_hosts(ctx, f"{guest.name} ({identity}) could not be taken off the stage: {error}")

    def _promotion_settled(self, identity: str, guest: Guest, error: str | None, ctx: Context) -> None:
        if error is not None:
            self._guest_gone(identity, ctx)  # LiveKit does not find them: they left, and may come back
            return
        news = not guest.announced
        ends_at = None if guest.speaking_ms is None else ctx.now + guest.speaking_ms
        ctx.record(Promoted(identity, ctx.now, ends_at))
        ctx.clear_timer(self.is_late, identity)
        self._set_time(identity, guest, ctx)
        if news:
            ctx.publish("guest_promoted", guest_said(self.state, identity, self.hall.seq))
        self._say_queue(ctx, self.state.waiting())

    # -- off it ----------------------------------------------------------------------------------------------

    @handle(forward=False)
    def demote_guest(self, body: GuestDemote, ctx: Context) -> None:
        """Leave the stage oneself; a host, a moderator or a backend may take another off it."""
        identity = body.participant_id or ctx.sender.identity
        if not identity:
            raise Refuse("malformed", "whom? name a participant", field="payload.participant_id")
        if identity == ctx.sender.identity:
            if ctx.sender.inferred:
                raise Refuse("sender_unknown", "the sender can't be told yet; send again with the same id")
            if identity not in self.state.stage:
                raise Refuse("not_found", "you are not on the stage")
            self._demote(identity, "own", ctx)
            return
        ctx.sender.require(Role.MODERATOR)
        self._take_off(identity, "demoted", ctx)

    @handle(forward=False)
    def remove_guest(self, body: GuestRemove, ctx: Context) -> None:
        """Take a guest out of the hall; a host, a moderator or a backend may."""
        ctx.sender.require(Role.MODERATOR)
        self._remove(body.participant_id, ctx)

    def _take_off(self, identity: str, reason: str, ctx: Context, at: str = "payload.") -> None:
        """Demote a guest, withdraw an invitation, or take the right from one who came with it."""
        self._check_may_act(identity, ctx)
        if identity in self.state.stage:
            self._demote(identity, reason, ctx)
        elif identity in self.state.invited:
            self._withdraw(identity, ctx)
        else:
            person = self.hall.roster.get(identity)
            if person is None or not person.can_publish:
                raise Refuse("not_found", "they are not on the stage", field=f"{at}participant_id")
            if person.role >= Role.MODERATOR:
                raise Refuse("forbidden", "hosts and moderators are not guests", field=f"{at}participant_id")
            self._demote(identity, reason, ctx)

    def _withdraw(self, identity: str, ctx: Context, reason: str = "") -> None:
        """Take an invitation back (the part that invites says how)."""

    def _demote(self, identity: str, reason: str, ctx: Context) -> None:
        """Begin to take someone off the stage. It takes what it gave: a right of their own stays theirs."""
        guest = self.state.stage.get(identity)
        if guest is not None and guest.status == "demoting":
            return
        ctx.record(Demoting(identity, self._name_of(identity), reason, ctx.now))
        self._clear_time(identity, ctx)
        if identity not in self.state.lent:
            self._off_stage(identity, ctx)
            return
        self._ask_for(identity, False, ctx)
        self._say_queue(ctx, self.state.waiting())

    def _remove(self, identity: str, ctx: Context, at: str = "payload.") -> None:
        self._check_may_act(identity, ctx)
        if identity not in self.state.stage:
            raise Refuse("not_found", "they are not on the stage", field=f"{at}participant_id")
        self._demote(identity, "removed", ctx)
        person = self.hall.roster.get(identity)
        ctx.owe(RemoveParticipant(identity, person.sid if person else ""), key=identity)

    def _off_stage(self, identity: str, ctx: Context) -> None:
        """Have a guest off the stage: LiveKit has done it, or they are gone."""
        guest = self.state.stage[identity]
        said = guest_said(self.state, identity, self.hall.seq)
        ctx.record(Demoted(identity, ctx.now))
        for method in (self.is_late, self.stage_grace_over, self.has_lost_it):
            ctx.clear_timer(method, identity)
        self._clear_time(identity, ctx)
        concerned = None if guest.announced else [identity, *self.hall.roster.at_least(Role.MODERATOR)]
        ctx.publish("guest_demoted", said | {"seq": self.hall.seq}, to=concerned)
        self._say_queue(ctx, self.state.waiting())
        self._advance(ctx)

    def _advance(self, ctx: Context) -> None:
        """Invite the next one, where a free place asks for it (the part that invites says how)."""

    # -- time ------------------------------------------------------------------------------------------------

    def _set_time(self, identity: str, guest: Guest, ctx: Context) -> None:
        if guest.ends_at is None:
            return
        ctx.set_timer(self.time_is_over, identity, guest.ends_at)
        warn_at = guest.ends_at - round(self.settings.warning_seconds * 1000)
        if self.settings.warning_seconds and warn_at > ctx.now:
            ctx.set_timer(self.time_is_short, identity, warn_at)

    def _clear_time(self, identity: str, ctx: Context) -> None:
        ctx.clear_timer(self.time_is_over, identity)
        ctx.clear_timer(self.time_is_short, identity)

    @timer
    def time_is_short(self, key: Identity, ctx: Context) -> None:
        """Warn a guest, and tell the hosts."""
        guest = self.state.stage.get(key)
        if guest is None or guest.ends_at is None:
            return
        left = max(0, guest.ends_at - ctx.now) / 1000
        said = {"participant_id": key, "ends_at": iso(guest.ends_at), "seconds_left": left, "seq": self.hall.seq}
        ctx.publish("stage_time", said, to=list(dict.fromkeys([key, *self.hall.roster.at_least(Role.MODERATOR)])))

    @timer
    def time_is_over(self, key: Identity, ctx: Context) -> None:
        """Take a guest off the stage whose time is over."""
        guest = self.state.stage.get(key)
        if guest is not None and guest.ends_at is not None:
            self._demote(key, "time", ctx)

    # -- what is true at LiveKit --------------------------------------------------------------------------------

    def joined(self, participant: Participant, ctx: Context) -> None:
        """Give a guest who comes back their right again, and a former one none."""
        super().joined(participant, ctx)
        identity = participant.identity
        guest = self.state.stage.get(identity)
        if guest is None:
            if participant.can_publish and self._is_former(participant, ctx.now):
                ctx.owe(SetPermissions(identity, can_publish=False), key=identity)
            return
        if guest.away_at is not None:
            ctx.record(GuestBack(identity))
            ctx.clear_timer(self.stage_grace_over, identity)
            self._say_queue(ctx, self.state.waiting())
        if guest.status == "promoting" or (guest.status == "on" and not participant.can_publish):
            self._ask_again(identity, guest, ctx)

    def _ask_again(self, identity: str, guest: Guest, ctx: Context) -> None:
        if guest.status == "on":
            # They have not the right now, whoever's it was: what is given from here on is the stage's.
            ctx.record(Promoting(identity, guest.name, guest.by, ctx.now, guest.speaking_ms, guest.role))
        self._ask_for(identity, True, ctx)
        self._say_queue(ctx, self.state.waiting())

    def changed(self, before: Participant, after: Participant, ctx: Context) -> None:
        """See a guest lose the right without our doing."""
        super().changed(before, after, ctx)
        guest = self.state.stage.get(after.identity)
        if guest is None or guest.status != "on" or after.can_publish or not before.can_publish:
            return
        if self.hall.active:
            ctx.set_timer(self.has_lost_it, after.identity, ctx.now + _SETTLE_MS)
        else:  # found so when the bot came back: LiveKit was restarted and has forgotten it
            self._ask_again(after.identity, guest, ctx)

    @timer
    def has_lost_it(self, key: Identity, ctx: Context) -> None:
        """Take a guest for demoted from whom someone else has taken the right, at LiveKit itself."""
        guest = self.state.stage.get(key)
        person = self.hall.roster.get(key)
        if guest is not None and guest.status == "on" and person is not None and not person.can_publish:
            ctx.record(Demoting(key, guest.name, "taken", ctx.now))
            self._off_stage(key, ctx)

    def left(self, participant: Participant, ctx: Context) -> None:
        """Keep the place of a guest who drops, for the grace."""
        super().left(participant, ctx)
        self._guest_gone(participant.identity, ctx)

    def _guest_gone(self, identity: str, ctx: Context) -> None:
        guest = self.state.stage.get(identity)
        if guest is None:
            return
        if guest.status == "demoting":
            self._off_stage(identity, ctx)
        elif guest.away_at is None:
            ctx.record(GuestAway(identity, ctx.now))
            ctx.set_timer(self.stage_grace_over, identity, ctx.now + self._grace_ms())
            self._say_queue(ctx, self.state.waiting())

    @timer
    def stage_grace_over(self, key: Identity, ctx: Context) -> None:
        """Free the place of a guest who did not come back."""
        guest = self.state.stage.get(key)
        if guest is None or guest.away_at is None:
            return
        if guest.status == "promoting":
            self._tell_hosts(ctx, f"{guest.name} ({key}) could not be put on the stage: they are not here.")
        ctx.record(Demoting(key, guest.name, "gone", ctx.now))
        if key in self.state.lent:
            ctx.owe(SetPermissions(key, can_publish=False), key=key)
        self._off_stage(key, ctx)

    @timer
    def sweep(self, key: str, ctx: Context) -> None:
        """Treat those whose leaving was not seen as gone: they have had the grace."""
        super().sweep(key, ctx)
        for identity, guest in list(self.state.stage.items()):
            if guest.away_at is None and self.hall.roster.get(identity) is None:
                ctx.record(GuestAway(identity, ctx.now))
                self.stage_grace_over(identity, ctx)

    def inherit(self, earlier: Hands, ctx: Context) -> None:
        """Take over whose tokens may let them publish though they are on no stage any more."""
        lent = dict.fromkeys(earlier.lent, ctx.now)
        for identity, at in (earlier.former | lent).items():
            if ctx.now - at < _TOKEN_MS:
                ctx.record(FormerGuest(identity, at))
