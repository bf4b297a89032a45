"""The way onto the stage: an invitation that is accepted, declined, withdrawn, or runs out."""

from __future__ import annotations

from typing import Any, Final

from plugins.hands.bodies import GuestInvite, GuestInviteResponse, HandNext
from plugins.hands.events import InviteClosed, Invited
from plugins.hands.stage import StagePart
from plugins.hands.state import Invitation
from relay_bot.plugin import Context, Identity, Refuse, Role, handle, iso, timer

_MAX_INVITED: Final = 100


class InvitesPart(StagePart):
    """Invites, and takes the answers."""

    @handle(forward=False)
    def invite(self, body: GuestInvite, ctx: Context) -> None:
        """Invite someone onto the stage; a host, a moderator or a backend may."""
        ctx.sender.require(Role.MODERATOR)
        self._invite(body.participant_id, body.speaking_seconds, ctx)

    def _invite(self, identity: str, seconds: float | None, ctx: Context, at: str = "payload.") -> None:
        self._check_may_act(identity, ctx)
        if identity in self.state.stage:
            return
        self._check_guest(identity, at)
        self._check_room()
        if len(self.state.invited) >= _MAX_INVITED and identity not in self.state.invited:
            raise Refuse("busy", f"{_MAX_INVITED} invitations are open, which is the limit", retry_after_ms=10_000)
        self._send_invitation(identity, self._speaking_ms(seconds), ctx)

    def _send_invitation(self, identity: str, speaking_ms: int | None, ctx: Context) -> None:
        by = ctx.sender.identity
        if not self.settings.ask_first:
            self._put_on_stage(identity, by, speaking_ms, ctx)
            return
        expires_at = ctx.now + round(self.settings.invite_seconds * 1000)
        ctx.record(
            Invited(identity, self._name_of(identity), by, ctx.now, expires_at, speaking_ms, self._role_of(identity))
        )
        ctx.set_timer(self.invite_over, identity, expires_at)
        said: dict[str, Any] = {
            "participant_id": identity,
            "display_name": self.state.invited[identity].name,
            "invited_by": by or None,
            "expires_at": iso(expires_at),
        }
        ctx.publish("guest_invite", said, to=(identity,), sender_id=by or None)
        self._say_queue(ctx, self.state.waiting())

    @handle(forward=False)
    def next_hand(self, body: HandNext, ctx: Context) -> dict[str, Any]:
        """Invite the first in the queue; a host, a moderator or a backend may."""
        ctx.sender.require(Role.MODERATOR)
        return {"participant_id": self._next(ctx)}

    def _next(self, ctx: Context) -> str:
        ready = self._ready()
        if not ready:
            raise Refuse("not_raised", "no hand is up whose owner is here and not invited yet")
        first = next((identity for identity in ready if self._may_act(identity, ctx)), None)
        if first is None:
            raise Refuse("forbidden", f"only hands of a {ctx.sender.role.label} or above are up: a host invites them")
        self._invite(first, None, ctx)
        return first

    def _ready(self) -> list[str]:
        """List those in line who are here, and neither invited nor on the stage."""
        state = self.state
        return [
            identity
            for identity in state.waiting()
            if identity not in state.invited and identity not in state.stage and self._may_be_guest(identity)
        ]

    def _may_be_guest(self, identity: str) -> bool:
        person = self.hall.roster.get(identity)
        return person is not None and not (person.role >= Role.MODERATOR and person.can_publish)

    def _advance(self, ctx: Context) -> None:
        """Invite the next one, where that is wanted and a place is free beyond those invited already."""
        taken = len(self.state.stage) + len(self.state.invited)
        if self.settings.auto_advance and taken < self.settings.stage_limit:
            ready = self._ready()
            if ready:
                self._send_invitation(ready[0], self._speaking_ms(None), ctx)

    # -- answers --------------------------------------------------------------------------------------------

    @handle(forward=False)
    def respond(self, body: GuestInviteResponse, ctx: Context) -> None:
        """Accept or decline one's invitation."""
        identity = ctx.sender.identity
        guest = self.state.stage.get(identity)
        if body.accepted and guest is not None and guest.status != "demoting" and not ctx.sender.inferred:
            return  # accepted twice: they are where they want to be
        invitation = self._open_invitation(identity, ctx)
        if body.accepted:
            if identity not in self.state.stage:
                self._check_room()
            self._tell_answer(identity, invitation, True, ctx)
            self._put_on_stage(identity, invitation.by, invitation.speaking_ms, ctx)
        else:
            self._tell_answer(identity, invitation, False, ctx)
            self._close(identity, "declined", ctx)

    def _open_invitation(self, identity: str, ctx: Context) -> Invitation:
        if not identity:
            raise Refuse("malformed", "whose answer? name a participant in sender_id", field="sender_id")
        if ctx.sender.inferred:
            raise Refuse("sender_unknown", "the sender can't be told yet; send again with the same id")
        invitation = self.state.invited.get(identity)
        if identity in self.state.expired or (invitation is not None and ctx.now >= invitation.expires_at):
            raise Refuse("invite_expired", "the invitation has run out; raise your hand to be asked again")
        if invitation is None:
            raise Refuse("not_invited", "there is no invitation for you")
        return invitation

    def _tell_answer(self, identity: str, invitation: Invitation, accepted: bool, ctx: Context) -> None:
        said = {"participant_id": identity, "display_name": invitation.name, "accepted": accepted}
        ctx.publish("guest_invite_response", said, to=Role.MODERATOR, sender_id=identity)

    @timer
    def invite_over(self, key: Identity, ctx: Context) -> None:
        """End an invitation that nobody answered."""
        if key in self.state.invited:
            self._close(key, "expired", ctx)

    def _withdraw(self, identity: str, ctx: Context, reason: str = "") -> None:
        self._close(identity, "withdrawn", ctx, reason)

    def _close(self, identity: str, outcome: str, ctx: Context, reason: str = "") -> None:
        """End an invitation that led to nothing. Only a withdrawn one leaves the hand up."""
        ctx.record(InviteClosed(identity, outcome, reason))
        self._clear_invite_timer(identity, ctx)
        closed: dict[str, Any] = {"participant_id": identity, "outcome": outcome, "seq": self.hall.seq}
        if reason:
            closed["reason"] = reason
        told = dict.fromkeys([identity, *self.hall.roster.at_least(Role.MODERATOR)])
        ctx.publish("guest_invite_closed", closed, to=list(told))
        if identity in self.state.hands and outcome != "withdrawn":
            self._lower(identity, outcome, ctx)
        else:
            self._say_queue(ctx, self.state.waiting())
        if outcome != "withdrawn":
            self._advance(ctx)

    def _clear_invite_timer(self, identity: str, ctx: Context) -> None:
        ctx.clear_timer(self.invite_over, identity)
