"""What the moderation of a participant means here: who is put out of the hall waits in no queue and keeps no place."""

from __future__ import annotations

from plugins.hands.commands import CommandsPart
from plugins.moderation.events import Kicked, RankKnown, Sanctioned
from relay_bot.plugin import Context, on


class ModeratedPart(CommandsPart):
    """Hears bans, kicks and mutes."""

    @on(Sanctioned)
    def sanctioned(self, event: Sanctioned, ctx: Context) -> None:
        """Take all that a banned participant has here, and the invitation of a muted one: they can't answer it."""
        if event.sanction == "mute":
            if event.identity in self.state.invited:
                self._withdraw(event.identity, ctx, "muted")
        elif event.rank_known or self.state.last_role(event.identity) < event.by_role:
            self._put_out(event.identity, "banned", ctx)

    @on(RankKnown)
    def rank_known(self, event: RankKnown, ctx: Context) -> None:
        """Do it for one who was banned in absence, now that the ban is known to hold."""
        self._put_out(event.identity, "banned", ctx)

    @on(Kicked)
    def kicked(self, event: Kicked, ctx: Context) -> None:
        """Take all that a kicked participant has here: it does not wait for their return."""
        self._put_out(event.identity, "kicked", ctx)

    def _put_out(self, identity: str, reason: str, ctx: Context) -> None:
        """Lower the hand first: who is put out is not the next one to be invited."""
        if identity in self.state.hands:
            self._lower(identity, reason, ctx)
        if identity in self.state.invited:
            self._withdraw(identity, ctx, reason)
            self._advance(ctx)
        if identity in self.state.stage:
            self._demote(identity, reason, ctx)
        if identity in self.state.stage and self.hall.roster.get(identity) is None:
            self._off_stage(identity, ctx)  # they have dropped: LiveKit has nothing to confirm
