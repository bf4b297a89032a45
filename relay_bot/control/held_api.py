"""Held messages of a hall on the control endpoint: a backend sees them, and releases or rejects them."""

from __future__ import annotations

import time
from typing import Annotated, Any, Final

import msgspec

from relay_bot.control.hall_api import HallRequest, decided, key_of
from relay_bot.control.hall_set import HallSet, hall_of
from relay_bot.control.operation import Call, Operation
from relay_bot.hall.held import DECIDE, HeldDecide, told
from relay_bot.hall.message import BackendMessage, FutureWaiter

_PATH: Final = "/v1/halls/{hall_id}/moderation/held"


class HeldMessage(msgspec.Struct, frozen=True):
    """A message that waits for a moderator: whose it is, of which type, what it says, and why it waits."""

    held_id: str
    participant_id: str
    type: str
    payload: dict[str, Any]
    reason: str
    held_at: str


class HeldList(msgspec.Struct, frozen=True):
    """The held messages, oldest first."""

    held: list[HeldMessage]


class OneHeld(HallRequest, frozen=True):
    """A held message by its id, and whether it is to be said."""

    held_id: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    approved: bool


class HeldDone(msgspec.Struct, frozen=True):
    """What was decided."""

    held_id: str
    approved: bool


class HeldApi:
    """Makes the operations on held messages."""

    def __init__(self, halls: HallSet) -> None:
        self._halls = halls

    def operations(self) -> list[Operation]:
        """List the operations."""
        return [
            Operation(
                "GET",
                _PATH,
                "moderation",
                "List the messages that wait for a moderator",
                HallRequest,
                HeldList,
                self._list,
                errors=(404,),
            ),
            Operation(
                "POST",
                _PATH + "/{held_id}",
                "moderation",
                "Release a held message, or reject it",
                OneHeld,
                HeldDone,
                self._decide,
                description="Released it is said as its sender's, once; refused (403) while they are muted or banned.",
                errors=(403, 404, 409, 503),
            ),
        ]

    async def _list(self, call: Call) -> Any:
        hall = hall_of(self._halls, call.request.hall_id)
        held = hall.session.core.held.values() if hall.session is not None else ()
        return {"held": [told(each) for each in held]}

    async def _decide(self, call: Call) -> HeldDone:
        asked: OneHeld = call.request
        payload = msgspec.Raw(msgspec.json.encode(HeldDecide(asked.held_id, asked.approved)))
        item = BackendMessage(DECIDE, payload, None, (), FutureWaiter(), key_of(call), call.digest, time.monotonic())
        await decided(hall_of(self._halls, asked.hall_id), item)
        return HeldDone(asked.held_id, asked.approved)
