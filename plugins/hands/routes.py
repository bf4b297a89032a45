"""Hands and the stage on the control endpoint."""

from __future__ import annotations

from plugins.hands.bodies import LowerRequest, MoveRequest, Nothing
from plugins.hands.queue import QueuePart
from plugins.hands.views import HandsView, hands_view
from relay_bot.plugin import Context, Refuse, route


class RoutesPart(QueuePart):
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
            self._lower_for(request.participant_id, ctx, other=True)
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
