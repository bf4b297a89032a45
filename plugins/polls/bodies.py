"""What clients and backends send about polls."""

from __future__ import annotations

from typing import Annotated

import msgspec

from relay_bot.plugin import Body, Request

PollId = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
OptionText = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Choice = int | Annotated[str, msgspec.Meta(max_length=200)]
"""An option by its index or by its text."""


class OpenPoll(Body, type="poll"):
    """Open a poll (reference: interactions, "Poll")."""

    question: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
    options: Annotated[list[OptionText], msgspec.Meta(min_length=2, max_length=100)]
    poll_id: PollId | None = None
    duration_seconds: Annotated[float, msgspec.Meta(gt=0, le=86_400)] | None = None
    min_choices: Annotated[int, msgspec.Meta(ge=1)] = 1
    max_choices: Annotated[int, msgspec.Meta(ge=1)] = 1


class Vote(Body, type="poll_response"):
    """Vote, or change one's vote."""

    poll_id: PollId
    option: Choice | None = None
    options: Annotated[list[Choice], msgspec.Meta(max_length=100)] | None = None


class ClosePoll(Body, type="poll_close"):
    """Close a poll before its time."""

    poll_id: PollId


class OnePoll(Request, frozen=True):
    """A poll, by the path."""

    poll_id: PollId


class AllPolls(Request, frozen=True):
    """All polls of the hall session."""
