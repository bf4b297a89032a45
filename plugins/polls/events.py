"""What the journal keeps of polls. Times are the bot's clock in milliseconds."""

from __future__ import annotations

from typing import ClassVar

from plugins.polls.asked import WHOLE, Rules
from plugins.polls.tally import Tally
from relay_bot.plugin import Event, Identity


class PollOpened(Event, frozen=True):
    """A poll was made and opened."""

    poll_id: str
    question: str
    options: list[str]
    min_choices: int
    max_choices: int
    opened_at: int
    closes_at: int | None
    rules: Rules = Rules()


class PollPlanned(Event, frozen=True):
    """A poll was made as a draft (no `opens_at`) or for later."""

    poll_id: str
    question: str
    options: list[str]
    min_choices: int
    max_choices: int
    planned_at: int
    opens_at: int | None
    rules: Rules = Rules()


class PollEdited(Event, frozen=True):
    """A planned poll is to be asked otherwise."""

    poll_id: str
    question: str
    options: list[str]
    min_choices: int
    max_choices: int
    opens_at: int | None
    rules: Rules


class PollStarted(Event, frozen=True):
    """A planned poll was opened."""

    poll_id: str
    opened_at: int
    closes_at: int | None


class PollPostponed(Event, frozen=True):
    """A poll could not be opened at its time: it is a draft now."""

    poll_id: str


class Voted(Event, frozen=True, omit_defaults=True):
    """A participant's vote, in place of any that they cast before. `inferred`: see the wire's "who is believed"."""

    personal: ClassVar[tuple[str, ...]] = ("text", "name")

    poll_id: str
    identity: Identity
    choices: tuple[int, ...]
    inferred: bool = False
    text: str = ""
    took_ms: int = 0
    """Of a quiz: how long after the opening."""
    name: str = ""
    """The voter's name, where it isn't known yet; of a quiz always, for the leaderboard."""
    weight: int = WHOLE


class SealedVote(Event, frozen=True, omit_defaults=True):
    """A vote in an anonymous poll: who and what can be read with the poll's key only, which its closing destroys."""

    poll_id: str
    voter: Identity
    sealed: bytes
    inferred: bool = False


class VoteWithdrawn(Event, frozen=True):
    """A vote was taken out again. `voter` is the identity, or an anonymous poll's hash of it.

    `reason`: `left`, or `voter` who took it back, or `again` where a vote of the same voter, erased meanwhile, follows.
    """

    poll_id: str
    voter: Identity
    reason: str = "left"


class OptionSuggested(Event, frozen=True):
    """A participant (`by`: the identity, or an anonymous poll's hash of it) suggested an option."""

    poll_id: str
    text: str
    by: Identity


class OptionAdded(Event, frozen=True):
    """A suggested option was taken: it is the last one now."""

    poll_id: str
    text: str


class OptionRefused(Event, frozen=True):
    """A suggested option was refused."""

    poll_id: str
    text: str


class PollExtended(Event, frozen=True):
    """An open poll's end was moved; of a paused one, the time that will be left (`remaining_ms`)."""

    poll_id: str
    closes_at: int | None
    remaining_ms: int | None = None


class PollPaused(Event, frozen=True):
    """A poll takes no votes for a while."""

    poll_id: str
    paused_at: int


class PollResumed(Event, frozen=True):
    """A paused poll takes votes again."""

    poll_id: str
    resumed_at: int
    closes_at: int | None


class PollClosed(Event, frozen=True, omit_defaults=True):
    """A poll was closed, by hand (`reason` "closed"), by time ("time"), with its hall ("hall_ended") or by
    being discarded ("discarded"). Of an anonymous poll it carries the tally: nothing else can tell it any more.
    """

    poll_id: str
    closed_at: int
    reason: str
    tally: Tally | None = None


class PollReopened(Event, frozen=True):
    """A closed poll takes votes again; those that it has stay."""

    poll_id: str
    reopened_at: int
    closes_at: int | None


class PollPublished(Event, frozen=True):
    """The host lets everybody see the results, from now on."""

    poll_id: str


class PollDiscarded(Event, frozen=True):
    """A poll was put out of sight for good."""

    poll_id: str
    archived_at: int
