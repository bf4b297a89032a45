"""Personal data on the control endpoint: erasing a participant."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from relay_bot.control.errors import ApiError
from relay_bot.control.hall_set import HallSet
from relay_bot.control.operation import Call, Operation
from relay_bot.journal.batch import Unavailable
from relay_bot.plugin import Request


class OneParticipant(Request, frozen=True):
    """A participant, by the path."""

    participant_id: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class Erasure(msgspec.Struct, frozen=True):
    """How many events and shelved things named the participant; none of them does any more."""

    erased: int


class PrivacyApi:
    """Makes the operations on personal data."""

    def __init__(self, halls: HallSet) -> None:
        self._halls = halls

    def operations(self) -> list[Operation]:
        """List the operations."""
        path, summary = "/v1/participants/{participant_id}", "Erase a participant from everything that is kept"
        return [Operation("DELETE", path, "privacy", summary, OneParticipant, Erasure, self._erase)]

    async def _erase(self, call: Call) -> Any:
        try:
            return Erasure(await self._halls.erase(call.request.participant_id))
        except Unavailable as error:
            raise ApiError(503, "busy", f"not erased, ask again: {error}") from None
