"""What the tests of this folder say and ask about polls: only what every poll has, however polls grow."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from tests.support.bot import Bot
from tests.support.clients import Participant, new_id


def a_vote(poll_id: str, option: int | str) -> dict[str, object]:
    """The payload of a vote."""
    return {"poll_id": poll_id, "option": option}


async def open_poll(bot: Bot, hall: str, options: Sequence[str] = ("a", "b"), **more: object) -> str:
    """Open a poll as a backend; gives its id."""
    poll_id = f"poll-{new_id()[:8]}"
    poll: dict[str, object] = {"poll_id": poll_id, "question": "Which one?", "options": list(options)}
    await bot.interact(hall, "poll", poll | more)
    return poll_id


async def poll_of(bot: Bot, hall: str, poll_id: str) -> dict[str, Any]:
    """The poll on the control endpoint."""
    return await bot.found(f"/v1/halls/{hall}/polls/{poll_id}")


def votes_are(results: Mapping[str, Any], counts: Sequence[int], *, voters: int) -> bool:
    """Whether a poll, its results or its end say this of a poll of single choice."""
    return (
        list(results["counts"]) == list(counts)
        and results["total_voters"] == voters
        and results["total_votes"] == sum(counts)
    )


def my_vote(state: Mapping[str, Any], poll_id: str) -> list[int] | None:
    """One's own vote as a `hall_state` tells it."""
    [poll] = [poll for poll in state["polls"] if poll["poll_id"] == poll_id]
    return poll["my_vote"]


async def synced(person: Participant) -> dict[str, Any]:
    """What `sync` by RPC gives: the state of the hall for this participant."""
    return (await person.rpc("sync", {}))["result"]


def seconds(timestamp: str) -> float:
    """A timestamp of the bot's, in seconds since 1970."""
    return datetime.fromisoformat(timestamp).timestamp()
