"""The polls of a hall session, as the journal tells them."""

from __future__ import annotations

import msgspec

from relay_bot.plugin import Event, State


class PollOpened(Event, frozen=True):
    """A poll was opened; times are the bot's clock in milliseconds."""

    poll_id: str
    question: str
    options: list[str]
    min_choices: int
    max_choices: int
    opened_at: int
    closes_at: int | None


class Voted(Event, frozen=True):
    """A participant's vote, in place of any that they cast before. `inferred`: see the wire's "who is believed"."""

    poll_id: str
    identity: str
    choices: tuple[int, ...]
    inferred: bool = False


class PollClosed(Event, frozen=True):
    """A poll was closed, by hand (`reason` "closed"), by time ("time") or with its hall ("hall_ended")."""

    poll_id: str
    closed_at: int
    reason: str


class Poll(msgspec.Struct):
    """One poll with its ballots; `counts` follows from them and is kept beside them."""

    poll_id: str
    question: str
    options: list[str]
    min_choices: int
    max_choices: int
    opened_at: int
    closes_at: int | None
    closed_at: int | None = None
    counts: list[int] = []
    total_votes: int = 0
    ballots: dict[str, tuple[int, ...]] = {}
    inferred: set[str] = set()

    @property
    def status(self) -> str:
        """`open` or `closed`."""
        return "open" if self.closed_at is None else "closed"


class Polls(State):
    """All polls by id, in the order of their opening."""

    polls: dict[str, Poll] = {}

    def on_poll_opened(self, event: PollOpened) -> None:
        """Begin a poll."""
        self.polls[event.poll_id] = Poll(
            event.poll_id,
            event.question,
            event.options,
            event.min_choices,
            event.max_choices,
            event.opened_at,
            event.closes_at,
            counts=[0] * len(event.options),
        )

    def on_voted(self, event: Voted) -> None:
        """Count a ballot in the place of the voter's last one."""
        poll = self.polls[event.poll_id]
        for choice in poll.ballots.get(event.identity, ()):
            poll.counts[choice] -= 1
            poll.total_votes -= 1
        poll.ballots[event.identity] = event.choices
        for choice in event.choices:
            poll.counts[choice] += 1
            poll.total_votes += 1
        if event.inferred:
            poll.inferred.add(event.identity)
        else:
            poll.inferred.discard(event.identity)

    def on_poll_closed(self, event: PollClosed) -> None:
        """End a poll."""
        self.polls[event.poll_id].closed_at = event.closed_at

    def open_polls(self) -> list[Poll]:
        """List the polls that take votes."""
        return [poll for poll in self.polls.values() if poll.closed_at is None]
