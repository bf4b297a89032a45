"""The polls of a hall session, as the journal tells them."""

from __future__ import annotations

from typing import Literal

import msgspec

from plugins.polls.asked import WHOLE, Question, Rules
from plugins.polls.events import (
    OptionAdded,
    OptionRefused,
    OptionSuggested,
    PollClosed,
    PollDiscarded,
    PollEdited,
    PollExtended,
    PollOpened,
    PollPaused,
    PollPlanned,
    PollPostponed,
    PollPublished,
    PollReopened,
    PollResumed,
    PollStarted,
    SealedVote,
    Voted,
    VoteWithdrawn,
)
from plugins.polls.kinds import KINDS
from plugins.polls.tally import Ballot, Tally
from relay_bot.plugin import Identity, State

Status = Literal["draft", "scheduled", "open", "paused", "closed", "archived"]


class Poll(Question):
    """One poll with its ballots; `tally` follows from them and is kept beside them.

    An anonymous poll has sealed ballots instead, which the state can't read: its `tally` is empty until
    the poll is closed, and is then all that is left.
    """

    opened_at: int | None = None
    closes_at: int | None = None
    closed_at: int | None = None
    opens_at: int | None = None
    paused_at: int | None = None
    remaining_ms: int | None = None
    """Of a paused poll: the time that was left."""
    paused_ms: int = 0
    archived_at: int | None = None
    published: bool = False
    tally: Tally = msgspec.field(default_factory=Tally)
    ballots: dict[str, tuple[int, ...]] = {}
    inferred: set[str] = set()
    texts: dict[str, str] = {}
    took: dict[str, int] = {}
    names: dict[str, str] = {}
    weights: dict[str, int] = {}
    sealed: dict[str, bytes] = {}
    suggested: dict[str, str] = {}
    """Options that wait for approval, each with who suggested it."""
    suggestions: dict[str, int] = {}
    """How many options someone has suggested."""
    dropped: set[Identity] = set()
    """Whose vote was taken out because they had left, and who haven't voted again (an anonymous poll's hashes)."""

    @property
    def status(self) -> Status:
        """Where the poll is in its life."""
        if self.archived_at is not None:
            return "archived"
        if self.closed_at is not None:
            return "closed"
        if self.opened_at is None:
            return "draft" if self.opens_at is None else "scheduled"
        return "open" if self.paused_at is None else "paused"

    @property
    def is_running(self) -> bool:
        """Tell whether the poll is open or paused."""
        return self.opened_at is not None and self.closed_at is None and self.archived_at is None

    @property
    def is_planned(self) -> bool:
        """Tell whether the poll is a draft or scheduled."""
        return self.opened_at is None and self.archived_at is None

    @property
    def total_voters(self) -> int:
        """Participants whose vote counts."""
        if not self.rules.anonymous:
            return len(self.ballots)
        return len(self.sealed) if self.closed_at is None else self.tally.voters

    @property
    def inferred_voters(self) -> int:
        """Those among them whose identity was inferred."""
        ended = self.rules.anonymous and self.closed_at is not None
        return self.tally.inferred if ended else len(self.inferred)

    def ballot(self, identity: str) -> Ballot | None:
        """Give someone's vote in a poll that is not anonymous."""
        choices = self.ballots.get(identity)
        return None if choices is None else Ballot(choices, self.texts.get(identity, ""))


def _open(poll: Poll, opened_at: int, closes_at: int | None) -> None:
    poll.opened_at = opened_at
    poll.closes_at = closes_at
    poll.lasts_ms = None if closes_at is None else closes_at - opened_at


class Polls(State):
    """All polls by id, in the order in which they were made."""

    polls: dict[str, Poll] = {}
    names: dict[Identity, str] = {}
    """What voters were called when they voted last, where that isn't their identity."""

    # -- life ---------------------------------------------------------------------------------------

    def on_poll_opened(self, event: PollOpened) -> None:
        """Begin a poll."""
        poll = self._add(
            event.poll_id, event.question, event.options, event.min_choices, event.max_choices, event.rules
        )
        _open(poll, event.opened_at, event.closes_at)

    def on_poll_planned(self, event: PollPlanned) -> None:
        """Remember a poll for later."""
        poll = self._add(
            event.poll_id, event.question, event.options, event.min_choices, event.max_choices, event.rules
        )
        poll.opens_at = event.opens_at

    def _add(self, poll_id: str, question: str, options: list[str], least: int, most: int, rules: Rules) -> Poll:
        weighted = [0] * len(options) if rules.weights is not None else []
        tally = Tally(counts=[0] * len(options), weighted=weighted)
        poll = Poll(poll_id, question, list(options), least, most, rules, tally=tally)
        self.polls[poll_id] = poll
        return poll

    def on_poll_started(self, event: PollStarted) -> None:
        """Open a planned poll."""
        _open(self.polls[event.poll_id], event.opened_at, event.closes_at)

    def on_poll_edited(self, event: PollEdited) -> None:
        """Put another question in the place of a planned poll's."""
        poll = self._add(
            event.poll_id, event.question, event.options, event.min_choices, event.max_choices, event.rules
        )
        poll.opens_at = event.opens_at

    def on_poll_postponed(self, event: PollPostponed) -> None:
        """Make a scheduled poll a draft."""
        self.polls[event.poll_id].opens_at = None

    def on_poll_extended(self, event: PollExtended) -> None:
        """Move a poll's end."""
        poll = self.polls[event.poll_id]
        poll.closes_at = event.closes_at
        poll.remaining_ms = event.remaining_ms

    def on_poll_paused(self, event: PollPaused) -> None:
        """Stop a poll's clock."""
        poll = self.polls[event.poll_id]
        poll.paused_at = event.paused_at
        poll.remaining_ms = None if poll.closes_at is None else max(0, poll.closes_at - event.paused_at)
        poll.closes_at = None

    def on_poll_resumed(self, event: PollResumed) -> None:
        """Let a poll's clock go on."""
        poll = self.polls[event.poll_id]
        if poll.paused_at is not None:
            poll.paused_ms += event.resumed_at - poll.paused_at
        poll.paused_at = None
        poll.remaining_ms = None
        poll.closes_at = event.closes_at

    def on_poll_closed(self, event: PollClosed) -> None:
        """End a poll; an anonymous one keeps its tally alone."""
        poll = self.polls[event.poll_id]
        poll.closed_at = event.closed_at
        poll.paused_at = None
        poll.remaining_ms = None
        if event.tally is not None:
            poll.tally = event.tally
            poll.sealed = {}
            poll.inferred = set()
            poll.suggested = dict.fromkeys(poll.suggested, "")
            poll.suggestions = {}
            poll.dropped = set()

    def on_poll_reopened(self, event: PollReopened) -> None:
        """Take votes again."""
        poll = self.polls[event.poll_id]
        if poll.closed_at is not None:
            poll.paused_ms += event.reopened_at - poll.closed_at
        poll.closed_at = None
        poll.closes_at = event.closes_at

    def on_poll_published(self, event: PollPublished) -> None:
        """Show the results to everybody."""
        self.polls[event.poll_id].published = True

    def on_poll_discarded(self, event: PollDiscarded) -> None:
        """Put a poll out of sight."""
        self.polls[event.poll_id].archived_at = event.archived_at

    # -- votes --------------------------------------------------------------------------------------

    def on_voted(self, event: Voted) -> None:
        """Count a ballot in the place of the voter's last one."""
        poll = self.polls[event.poll_id]
        identity = event.identity
        rules = poll.rules
        before = poll.ballots.get(identity)
        if before is not None:
            self._uncount(poll, identity, before)
        poll.ballots[identity] = event.choices
        KINDS[rules.kind].add(poll, poll.tally, Ballot(event.choices, event.text), 1)
        if event.text:
            poll.texts[identity] = event.text
        if rules.quiz is not None:
            poll.took[identity] = event.took_ms
            poll.names[identity] = event.name
        if event.name:
            self.names[identity] = event.name
        if poll.dropped:
            poll.dropped.discard(identity)
        if rules.weights is not None:
            poll.weights[identity] = event.weight
            poll.tally.weight += event.weight
            for choice in event.choices:
                poll.tally.weighted[choice] += event.weight
        if event.inferred:
            poll.inferred.add(identity)
        else:
            poll.inferred.discard(identity)

    def _uncount(self, poll: Poll, identity: str, choices: tuple[int, ...]) -> None:
        KINDS[poll.rules.kind].add(poll, poll.tally, Ballot(choices, poll.texts.pop(identity, "")), -1)
        if poll.rules.weights is not None:
            weight = poll.weights.pop(identity, WHOLE)
            poll.tally.weight -= weight
            for choice in choices:
                poll.tally.weighted[choice] -= weight

    def on_sealed_vote(self, event: SealedVote) -> None:
        """Keep a sealed ballot in the place of the voter's last one."""
        poll = self.polls[event.poll_id]
        poll.sealed[event.voter] = event.sealed
        poll.dropped.discard(event.voter)
        if event.inferred:
            poll.inferred.add(event.voter)
        else:
            poll.inferred.discard(event.voter)

    def on_vote_withdrawn(self, event: VoteWithdrawn) -> None:
        """Take a vote out again."""
        poll = self.polls[event.poll_id]
        voter = event.voter
        poll.inferred.discard(voter)
        if event.reason == "left":
            poll.dropped.add(voter)
        if poll.rules.anonymous:
            poll.sealed.pop(voter, None)
            return
        choices = poll.ballots.pop(voter, None)
        if choices is not None:
            self._uncount(poll, voter, choices)
            poll.took.pop(voter, None)
            poll.names.pop(voter, None)

    # -- options of the voters ------------------------------------------------------------------------

    def on_option_suggested(self, event: OptionSuggested) -> None:
        """Remember a suggestion until it is decided."""
        poll = self.polls[event.poll_id]
        poll.suggested[event.text] = event.by
        poll.suggestions[event.by] = poll.suggestions.get(event.by, 0) + 1

    def on_option_added(self, event: OptionAdded) -> None:
        """Let a suggested option be voted for."""
        poll = self.polls[event.poll_id]
        poll.suggested.pop(event.text, None)
        poll.options.append(event.text)
        poll.tally.counts.append(0)
        if poll.rules.weights is not None:
            poll.tally.weighted.append(0)

    def on_option_refused(self, event: OptionRefused) -> None:
        """Forget a suggestion."""
        self.polls[event.poll_id].suggested.pop(event.text, None)

    # -- reading ------------------------------------------------------------------------------------

    def running(self) -> list[Poll]:
        """List the polls that are open or paused, in the order in which they were made."""
        return [poll for poll in self.polls.values() if poll.is_running]

    def planned(self) -> list[Poll]:
        """List the drafts and the scheduled polls."""
        return [poll for poll in self.polls.values() if poll.is_planned]

    def series(self, series_id: str) -> list[Poll]:
        """List the polls of a series in its running order, without the discarded ones."""
        found = [
            poll
            for poll in self.polls.values()
            if poll.archived_at is None and poll.rules.series is not None and poll.rules.series.series_id == series_id
        ]
        return sorted(found, key=lambda poll: poll.rules.series.index if poll.rules.series else 0)
