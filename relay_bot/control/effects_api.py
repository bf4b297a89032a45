"""Effects of a hall on the control endpoint: what is owed, what was given up, and trying that again by hand."""

from __future__ import annotations

import time
from typing import Annotated, Any, Final, Literal

import msgspec

from relay_bot.control.hall_api import HallRequest, decided, key_of
from relay_bot.control.hall_set import HallSet, hall_of
from relay_bot.control.operation import Call, Operation
from relay_bot.hall.core import Dead
from relay_bot.hall.debts import Progress
from relay_bot.hall.message import FutureWaiter, RetryEffect
from relay_bot.wire.clock import iso

_PATH: Final = "/v1/halls/{hall_id}/effects"

Status = Literal["pending", "dead"]


class ListEffects(HallRequest, frozen=True):
    """Which effects: those that are pending, those that were given up (`dead`), or both."""

    status: Status | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100


class EffectEntry(msgspec.Struct, frozen=True):
    """One effect: what is owed (with its `type`), by which plugin, and what went wrong last.

    `attempts` of a pending one are those since the bot's start. `at`: when it was owed, or given up.
    """

    id: int
    status: Status
    plugin: str
    key: str
    effect: dict[str, Any]
    attempts: int
    error: str | None
    at: str | None
    retry_in_seconds: float | None = None


class EffectList(msgspec.Struct, frozen=True):
    """Effects, oldest first, at most `limit` of `total`."""

    effects: list[EffectEntry]
    total: int


class OneEffect(HallRequest, frozen=True):
    """An effect that was given up, by its `id`."""

    id: Annotated[str, msgspec.Meta(pattern=r"^[1-9][0-9]{0,15}\Z")]


class EffectOwed(msgspec.Struct, frozen=True):
    """The id under which the effect is owed again."""

    id: int


class EffectsApi:
    """Makes the operations on effects."""

    def __init__(self, halls: HallSet) -> None:
        self._halls = halls

    def operations(self) -> list[Operation]:
        """List the operations."""
        return [
            Operation(
                "GET",
                _PATH,
                "effects",
                "List the effects that are owed, or were given up",
                ListEffects,
                EffectList,
                self._list,
                description="What a plugin asked to be done outside: a permission, a removal, or what plugins add.",
                errors=(404,),
            ),
            Operation(
                "POST",
                _PATH + "/{id}/retry",
                "effects",
                "Try an effect again that was given up",
                OneEffect,
                EffectOwed,
                self._retry,
                description="It is owed again as if anew; 404 where a newer one with its plugin and key replaced it.",
                errors=(404, 409, 503),
            ),
        ]

    async def _list(self, call: Call) -> EffectList:
        asked: ListEffects = call.request
        hall = hall_of(self._halls, asked.hall_id)
        found: list[EffectEntry] = []
        if asked.status != "dead":
            found += [_pending(each) for each in hall.owed_effects()]
        if asked.status != "pending" and hall.session is not None:
            found += [_dead(*each) for each in hall.session.core.given_up()]
        return EffectList(found[: asked.limit], len(found))

    async def _retry(self, call: Call) -> Any:
        asked: OneEffect = call.request
        hall = hall_of(self._halls, asked.hall_id)
        item = RetryEffect(int(asked.id), FutureWaiter(), key_of(call), call.digest, time.monotonic())
        return await decided(hall, item)


def _pending(each: Progress) -> EffectEntry:
    wait = None if each.kind is None else round(max(0.0, each.not_before - time.monotonic()), 3)
    at = iso(each.owed.at) if each.owed.at else None
    effect: dict[str, Any] = msgspec.json.decode(each.owed.effect)
    return EffectEntry(
        each.owed.seq, "pending", each.plugin, each.key, effect, each.attempts, each.error or None, at, wait
    )


def _dead(plugin: str, key: str, dead: Dead) -> EffectEntry:
    effect: dict[str, Any] = msgspec.json.decode(dead.effect)
    return EffectEntry(dead.seq, "dead", plugin, key, effect, dead.attempts, dead.error, iso(dead.at))
