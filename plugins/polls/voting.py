"""Taking votes: the hot path of the plugin."""

from __future__ import annotations

from plugins.polls.asked import WHOLE
from plugins.polls.bodies import Vote
from plugins.polls.events import SealedVote, Voted, VoteWithdrawn
from plugins.polls.kinds import KINDS
from plugins.polls.sealing import seal, unseal, voter_of
from plugins.polls.speaking import Speaking
from plugins.polls.state import Poll
from plugins.polls.tally import Ballot
from relay_bot.plugin import Context, Refuse, handle


class Voting(Speaking):
    """Votes, once for each participant."""

    @handle(forward=False)
    def vote(self, body: Vote, ctx: Context) -> None:
        """Take a participant's vote; another one of theirs takes its place, where the poll allows it."""
        try:
            poll = self._votable(body.poll_id, ctx)
            if body.options is not None and not body.options and self._take_back(poll, ctx):
                return
            ballot = KINDS[poll.rules.kind].read(poll, body)
        except Refuse as refusal:
            raise in_payload(refusal) from None
        changed = self._take_sealed(poll, ballot, ctx) if poll.rules.anonymous else self._take(poll, ballot, ctx)
        if changed:
            self.say_results(poll, ctx)

    def _votable(self, poll_id: str, ctx: Context) -> Poll:
        """Find a poll in which the sender may vote now."""
        poll = self.state.polls.get(poll_id)
        sender = ctx.sender
        if poll is None or poll.opened_at is None:
            raise Refuse("poll_not_found", "there is no such poll in this hall", field="poll_id")
        sender.require_participant()
        if poll.closed_at is not None or poll.archived_at is not None:
            raise Refuse("poll_closed", "this poll is closed", field="poll_id")
        if poll.paused_at is not None:
            raise Refuse("poll_closed", "this poll is paused", field="poll_id")
        if poll.closes_at is not None and ctx.now >= poll.closes_at:
            raise Refuse("poll_closed", "the time of this poll is over", field="poll_id")
        rules = poll.rules
        if rules.eligible is not None and not rules.eligible.has(sender.identity, sender.role.label):
            raise Refuse("forbidden", "you are not among those who may vote in this poll")
        if rules.eligible is None and rules.audience is not None and sender.identity not in rules.audience:
            raise Refuse("poll_not_found", "there is no such poll in this hall", field="poll_id")
        return poll

    # -- taking back --------------------------------------------------------------------------------

    def _take_back(self, poll: Poll, ctx: Context) -> bool:
        """Take the sender's vote out again: `options: []`. False where they have none that could be taken back."""
        voter = ctx.sender.identity
        ballot = self.own_ballot(poll, voter)
        if ballot is None:
            return poll.min_choices == 0
        known_as = voter_of(self.key(poll, ctx), voter) if poll.rules.anonymous else self.voted_as(poll, voter)
        was_inferred = known_as in poll.inferred
        _may_change(poll, same=False, inferred=ctx.sender.inferred, was_inferred=was_inferred)
        self.withdraw(poll, voter, ballot, "voter", ctx)
        return True

    def withdraw(self, poll: Poll, identity: str, ballot: Ballot, reason: str, ctx: Context) -> None:
        """Take someone's vote out again, and tell the results."""
        if poll.rules.anonymous:
            tally = self.sure_tally(poll, ctx)
            voter = voter_of(self.key(poll, ctx), identity)
            ctx.record(VoteWithdrawn(poll.poll_id, voter, reason))
            KINDS[poll.rules.kind].add(poll, tally, ballot, -1)
        else:
            ctx.record(VoteWithdrawn(poll.poll_id, self.voted_as(poll, identity), reason))
        self.say_results(poll, ctx)

    # -- named polls --------------------------------------------------------------------------------

    def _take(self, poll: Poll, ballot: Ballot, ctx: Context) -> bool:
        identity = ctx.sender.identity
        inferred = ctx.sender.inferred
        earlier, before = identity, poll.ballots.get(identity)
        if before is None:
            earlier = self.voted_as(poll, identity)
            before = poll.ballots.get(earlier)
        if before is not None:
            was_inferred = earlier in poll.inferred
            same = before == ballot.choices and poll.texts.get(earlier, "") == ballot.text
            if same and inferred == was_inferred:
                return False
            _may_change(poll, same=same, inferred=inferred, was_inferred=was_inferred)
        rules, took, name = poll.rules, 0, ctx.sender.name[:64]
        if rules.quiz is not None:
            # A certain vote that confirms an inferred one must not lose the voter their speed.
            took = poll.took.get(earlier, 0) if before == ballot.choices else self._took(poll, ctx.now)
        elif name == self.state.names.get(identity, identity):
            name = ""  # it is known: exports show it beside the identity
        if before is not None and earlier != identity:
            ctx.record(VoteWithdrawn(poll.poll_id, earlier, "again"))
        if rules.kind == "choice" and rules.weights is None:
            ctx.record(Voted(poll.poll_id, identity, ballot.choices, inferred, name=name))
            return True
        weight = WHOLE if rules.weights is None else rules.weights.of(identity, ctx.sender.role.label)
        ctx.record(Voted(poll.poll_id, identity, ballot.choices, inferred, ballot.text, took, name, weight))
        return True

    def _took(self, poll: Poll, now: int) -> int:
        return max(0, now - (poll.opened_at or now) - poll.paused_ms)

    # -- anonymous polls ----------------------------------------------------------------------------

    def _take_sealed(self, poll: Poll, ballot: Ballot, ctx: Context) -> bool:
        """Take a vote that only the poll's key can read."""
        tally = self.sure_tally(poll, ctx)
        key = self.key(poll, ctx)
        voter = voter_of(key, ctx.sender.identity)
        inferred = ctx.sender.inferred
        kind = KINDS[poll.rules.kind]
        sealed = poll.sealed.get(voter)
        before = None if sealed is None else unseal(key, voter, sealed)
        if before is not None:
            was_inferred = voter in poll.inferred
            if before == ballot and inferred == was_inferred:
                return False
            _may_change(poll, same=before == ballot, inferred=inferred, was_inferred=was_inferred)
        ctx.record(SealedVote(poll.poll_id, voter, seal(key, voter, ballot, poll), inferred))
        if before is not None:
            kind.add(poll, tally, before, -1)
        kind.add(poll, tally, ballot, 1)
        return True


def _may_change(poll: Poll, *, same: bool, inferred: bool, was_inferred: bool) -> None:
    """Refuse a vote that may not take the place of an earlier one. A certain one may take an inferred one's."""
    if inferred and not was_inferred:
        raise Refuse("already_voted", "your vote was counted already; send again to change it")
    if not poll.rules.allow_revote and not same and inferred == was_inferred:
        raise Refuse("already_voted", "you have voted, and a vote can't be changed in this poll")


def in_payload(refusal: Refuse) -> Refuse:
    """Name the field as it stands in an envelope."""
    field = None if refusal.field is None else f"payload.{refusal.field}"
    return Refuse(refusal.code, refusal.message, field=field, retry_after_ms=refusal.retry_after_ms)
