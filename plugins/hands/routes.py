"""Hands and the stage on the control endpoint."""

from __future__ import annotations

from plugins.hands.bodies import InviteRequest, LowerRequest, MoveRequest, Nothing, OneParticipant, PromoteRequest
from plugins.hands.invites import InvitesPart
from plugins.hands.views import HandsView, StageView, hands_view, stage_view
from relay_bot.plugin import Context, Refuse, route


class RoutesPart(InvitesPart):
    """Answers backends."""

    @route("GET", "/hands")
    def list_hands(self, request: Nothing, ctx: Context) -> HandsView:
        """List the raised hands, first in line first."""
        return hands_view(self.state, self.hall.seq)

    @route("POST", "/hands/lower")
    def lower_hand(self, request: LowerRequest, ctx: Context) -> HandsView:
        """Lower one hand, or all."""
        if request.all == (request.participant_id is not None):
            raise Refuse("malformed", "expected either participant_id or all", field="participant_id")
        if request.participant_id is None:
            self._lower_all(ctx)
        else:
            self._lower_for(request.participant_id, ctx, other=True, at="")
        return hands_view(self.state, self.hall.seq)

    @route("POST", "/hands/move")
    def move_hand(self, request: MoveRequest, ctx: Context) -> HandsView:
        """Put a hand at another place in the queue."""
        self._move(request.participant_id, request.position, ctx, at="")
        return hands_view(self.state, self.hall.seq)

    @route("POST", "/hands/open")
    def open_hands(self, request: Nothing, ctx: Context) -> HandsView:
        """Let hands be raised."""
        self._switch(True, ctx)
        return hands_view(self.state, self.hall.seq)

    @route("POST", "/hands/close")
    def close_hands(self, request: Nothing, ctx: Context) -> HandsView:
        """Let no more hands be raised; those that are up stay up."""
        self._switch(False, ctx)
        return hands_view(self.state, self.hall.seq)

    @route("POST", "/hands/next")
    def next_in_line(self, request: Nothing, ctx: Context) -> StageView:
        """Invite the first in the queue onto the stage."""
        self._next(ctx)
        return self._stage()

    @route("GET", "/stage")
    def show_stage(self, request: Nothing, ctx: Context) -> StageView:
        """Show who is on the stage, who is invited, and which changes LiveKit has not confirmed yet."""
        return self._stage()

    @route("POST", "/stage/invite")
    def invite_to_stage(self, request: InviteRequest, ctx: Context) -> StageView:
        """Invite someone onto the stage."""
        self._invite(request.participant_id, request.speaking_seconds, ctx, at="")
        return self._stage()

    @route("POST", "/stage/promote")
    def promote_to_stage(self, request: PromoteRequest, ctx: Context) -> StageView:
        """Put someone on the stage without asking them; `pending` names them until LiveKit has done it."""
        self._promote(request.participant_id, request.speaking_seconds, ctx, limit=request.limit, at="")
        return self._stage()

    @route("POST", "/stage/demote")
    def demote_from_stage(self, request: OneParticipant, ctx: Context) -> StageView:
        """Take someone off the stage, or take their invitation back."""
        self._take_off(request.participant_id, "demoted", ctx, at="")
        return self._stage()

    @route("POST", "/stage/remove")
    def remove_from_hall(self, request: OneParticipant, ctx: Context) -> StageView:
        """Take a guest off the stage and out of the hall."""
        self._remove(request.participant_id, ctx, at="")
        return self._stage()

    def _stage(self) -> StageView:
        return stage_view(self.state, self.hall.seq, self.settings.stage_limit)
