"""Those who leave: their votes go with them, where the settings want it, and not before the grace is over."""

from __future__ import annotations

from plugins.polls.state import Poll
from plugins.polls.tally import Ballot
from plugins.polls.voting import Voting
from relay_bot.plugin import Context, Identity, Participant, timer


class Leaving(Voting):
    """`votes_of_leavers: drop`."""

    def left(self, participant: Participant, ctx: Context) -> None:
        """Give someone who leaves the time to come again: a page that is loaded anew looks like leaving."""
        identity = participant.identity
        if self.settings.votes_of_leavers == "keep" or not self._polls():
            return  # whether they have voted is not asked: a timer must not tell who took part in an anonymous poll
        grace = round(self.settings.grace_seconds * 1000)
        if grace:
            ctx.set_timer(self.vote_grace_over, identity, ctx.now + grace)
        else:
            self._drop(identity, ctx)

    def joined(self, participant: Participant, ctx: Context) -> None:
        """Let those who come again keep their votes."""
        if self.settings.votes_of_leavers == "drop":
            for name in (participant.identity, *self.hall.erased_as(participant.identity)):
                ctx.clear_timer(self.vote_grace_over, name)

    @timer
    def vote_grace_over(self, key: Identity, ctx: Context) -> None:
        """Take out the votes of someone who has not come again."""
        if self.hall.roster.get(key) is None:
            self._drop(key, ctx)

    def _drop(self, identity: str, ctx: Context) -> None:
        for poll, ballot in self._votes(identity, ctx):
            self.withdraw(poll, identity, ballot, "left", ctx)

    def _votes(self, identity: str, ctx: Context) -> list[tuple[Poll, Ballot]]:
        """List the votes that someone would lose."""
        found: list[tuple[Poll, Ballot]] = []
        for poll in self._polls():
            if poll.rules.anonymous:
                self.key(poll, ctx)
            ballot = self.own_ballot(poll, identity)
            if ballot is not None:
                found.append((poll, ballot))
        return found

    def _polls(self) -> list[Poll]:
        """List the polls that run; an answer to a quiz stays, or it could be given twice."""
        return [poll for poll in self.state.running() if poll.rules.kind != "quiz"]
