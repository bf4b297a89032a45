"""How polls look on the wire and on the control endpoint."""

from __future__ import annotations

from typing import Any

import msgspec

from plugins.polls.state import Poll
from relay_bot.plugin import iso, iso_or_none


class PollView(msgspec.Struct, frozen=True):
    """A poll on the control endpoint; times are ISO 8601."""

    poll_id: str
    question: str
    options: list[str]
    status: str
    seq: int
    counts: list[int]
    total_voters: int
    total_votes: int
    inferred_voters: int
    min_choices: int
    max_choices: int
    opened_at: str
    closes_at: str | None
    closed_at: str | None


class PollList(msgspec.Struct, frozen=True):
    """The polls of a hall session, in the order of their opening."""

    polls: list[PollView]


def view(poll: Poll, seq: int) -> PollView:
    """Describe a poll with its results."""
    return PollView(
        poll.poll_id,
        poll.question,
        poll.options,
        poll.status,
        seq,
        list(poll.counts),
        len(poll.ballots),
        poll.total_votes,
        len(poll.inferred),
        poll.min_choices,
        poll.max_choices,
        iso(poll.opened_at),
        iso_or_none(poll.closes_at),
        iso_or_none(poll.closed_at),
    )


def announcement(poll: Poll, seq: int) -> dict[str, Any]:
    """Make the payload of `poll`: the published fields, and when it closes by the bot's clock."""
    said: dict[str, Any] = {
        "poll_id": poll.poll_id,
        "question": poll.question,
        "options": poll.options,
        "min_choices": poll.min_choices,
        "max_choices": poll.max_choices,
        "status": poll.status,
        "opened_at": iso(poll.opened_at),
        "closes_at": iso_or_none(poll.closes_at),
        "seq": seq,
    }
    if poll.closes_at is not None:
        said["duration_seconds"] = (poll.closes_at - poll.opened_at) / 1000
    return said


def results(poll: Poll, seq: int) -> dict[str, Any]:
    """Make the payload of `poll_results` and `poll_closed`."""
    return {
        "poll_id": poll.poll_id,
        "seq": seq,
        "status": poll.status,
        "counts": list(poll.counts),
        "total_voters": len(poll.ballots),
        "total_votes": poll.total_votes,
        "inferred_voters": len(poll.inferred),
        "closed_at": iso_or_none(poll.closed_at),
    }
