"""The hands plugin, put together from its parts."""

from __future__ import annotations

from typing import Any

from plugins.hands.moderated import ModeratedPart
from plugins.hands.routes import RoutesPart
from plugins.hands.views import first_page, own_hand, stage_state
from relay_bot.plugin import Participant, Role


class HandsPlugin(ModeratedPart, RoutesPart):
    """Hands and stage of one hall."""

    state_version = 2

    def hall_state(self, participant: Participant) -> dict[str, Any]:
        """Tell one's own place, and hosts and moderators the queue."""
        seq = self.hall.seq
        told: dict[str, Any] = {
            "hand": own_hand(self.state, participant.identity, seq),
            "stage": stage_state(self.state, participant.identity, self.settings.stage_limit),
        }
        if participant.role >= Role.MODERATOR:
            told["hand_queue"] = first_page(self.state, seq)
        return told

    def holds_place(self, identity: str) -> bool:
        """Tell whether someone's hand is up, or they are invited or on the stage."""
        return any(identity in kept for kept in (self.state.hands, self.state.invited, self.state.stage))

    def wants_command(self, name: str) -> bool:
        """Leave `/next` to others while no hand is up."""
        return name != "next" or bool(self.state.waiting())

    def summary(self) -> dict[str, Any]:
        """Tell how many hands are up and how many guests are on the stage."""
        on_stage = sum(guest.status == "on" for guest in self.state.stage.values())
        return {"hands": {"open": self.state.open, "raised": len(self.state.waiting()), "on_stage": on_stage}}
