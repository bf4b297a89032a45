"""Real participants for tests, and the tokens they join with.

The client itself is the dev stack's, so that the crowd a person plays with and the tests' participants
are the same; see `scripts/devstack/participant.py` for what it can do.
"""

import asyncio
from typing import Any, Protocol

from scripts.devstack.participant import (
    Access,
    Participant,
    Received,
    RefusedError,
    envelope,
    join_token,
    new_id,
)

__all__ = [
    "Access",
    "Join",
    "Participant",
    "Participants",
    "Received",
    "RefusedError",
    "envelope",
    "join_token",
    "new_id",
]


class Join(Protocol):
    """What the `join` fixture gives: joins a participant who is made to leave after the test."""

    async def __call__(self, hall: str, identity: str, **options: Any) -> Participant:
        """Join; the options are those of `Participant.join`."""
        ...


class Participants:
    """The participants of one test."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._present: list[Participant] = []

    async def join(self, hall: str, identity: str, **options: Any) -> Participant:
        person = await Participant.join(self._access, hall, identity, **options)
        self._present.append(person)
        return person

    async def leave(self) -> None:
        """All leave together, each within its own time limit."""
        present, self._present = self._present, []
        await asyncio.gather(*(person.leave() for person in present))
