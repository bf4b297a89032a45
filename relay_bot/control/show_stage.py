"""The show's guests and hands: calls on the hands plugin of a room's hall, and waits until LiveKit has done them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

import msgspec

from relay_bot.control.errors import ApiError, from_refusal
from relay_bot.control.hall_set import HallSet
from relay_bot.hall.hall import Hall
from relay_bot.hall.message import Asked, BackendMessage, FutureWaiter, RouteCall
from relay_bot.hall.session import Loaded

_HANDS: Final = "hands"
_WAIT_SECONDS: Final = 5.0
"""How long LiveKit may take for a change before the caller is told that it is not done yet."""
_DECIDE_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 0.05


class ShowStage:
    """Drives the hands plugin for the show. Everything raises `ApiError`."""

    def __init__(self, halls: HallSet, plugins: Mapping[str, Loaded]) -> None:
        self._halls = halls
        self._plugins = plugins

    async def hall(self, room: str) -> Hall:
        """Find a room's hall, which is spoken to in the show's words from now on; wait where the bot is just coming."""
        if _HANDS not in self._plugins:
            raise ApiError(503, "busy", "The hands plugin is switched off")
        await _until(lambda: self._active(room) is not None)
        hall = self._active(room)
        if hall is None:
            raise ApiError(503, "busy", "The bot is not in the room yet; send again", retry_after_ms=2000)
        hall.hear_dialect("show")
        return hall

    def _active(self, room: str) -> Hall | None:
        hall = self._halls.get(room)
        return hall if hall is not None and hall.active else None

    async def promote(self, hall: Hall, viewer: str, guests: int) -> None:
        """Put a viewer on the stage, where fewer than `guests` are on it."""
        await _until(lambda: hall.roster.get(viewer) is not None)  # the SFU tells of new viewers up to 3 s later
        try:
            await self._call(hall, "promote_to_stage", participant_id=viewer, limit=guests)
        except ApiError as error:
            if error.code == "stage_full":
                raise ApiError(403, "forbidden", "Room already has a guest", code="stage_full") from error
            raise
        await self._settled(
            hall, lambda stage: viewer in _identities(stage["on_stage"]), f"{viewer} is not promoted yet"
        )

    async def demote(self, hall: Hall, guest: str) -> None:
        """Take a guest off the stage."""
        await self._of_guest(hall, "demote_from_stage", guest)
        await self._settled(hall, lambda stage: not _on_stage(stage, guest), f"{guest} is not demoted yet")

    async def remove(self, hall: Hall, guest: str) -> None:
        """Take a guest out of the room."""
        await self._of_guest(hall, "remove_from_hall", guest)
        await self._settled(hall, lambda stage: not _on_stage(stage, guest), f"{guest} is not removed yet")

    async def raise_hand(self, hall: Hall, identity: str, *, raised: bool) -> None:
        """Raise a hand, or lower it; lowering what is down is no failure."""
        payload = msgspec.Raw(msgspec.json.encode({"raised": raised}))
        item = BackendMessage("hand_raise", payload, identity, None, FutureWaiter(), None, "", time.monotonic())
        try:
            await _asked(hall, item)
        except ApiError as error:
            if error.code != "not_raised":
                raise

    async def has_guest(self, room: str) -> bool:
        """Tell whether somebody is on a room's stage."""
        hall = self._active(room)
        if hall is None or _HANDS not in self._plugins:
            return False
        return bool((await self._stage(hall))["on_stage"])

    async def forget(self, room: str, identity: str) -> None:
        """Free what waits for someone who is out of the room for good: their hand and their place on the stage."""
        hall = self._active(room)
        if hall is None or _HANDS not in self._plugins:
            return
        for method in ("lower_hand", "demote_from_stage"):
            try:
                await self._call(hall, method, participant_id=identity)
            except ApiError as error:
                if error.status >= 500:
                    raise

    async def _of_guest(self, hall: Hall, method: str, guest: str) -> None:
        try:
            await self._call(hall, method, participant_id=guest)
        except ApiError as error:
            if error.status == 404:
                raise ApiError(404, "not_found", f"{guest} is not a guest") from error
            raise

    async def _call(self, hall: Hall, method: str, **parameters: Any) -> Any:
        """Call a route of the plugin by its method; gives its answer as JSON would."""
        route = next(each for each in self._plugins[_HANDS].spec.routes if each.method == method)
        request = msgspec.convert(parameters, route.request_type)
        item = RouteCall(_HANDS, route, request, FutureWaiter(), None, "", time.monotonic())
        return msgspec.to_builtins(await _asked(hall, item))

    async def _stage(self, hall: Hall) -> dict[str, Any]:
        return cast("dict[str, Any]", await self._call(hall, "show_stage"))

    async def _settled(self, hall: Hall, done: Callable[[dict[str, Any]], bool], otherwise: str) -> None:
        """Wait until LiveKit has done it; raises `ApiError` (502) where that takes too long. It stays owed."""
        end = time.monotonic() + _WAIT_SECONDS
        while not done(await self._stage(hall)):
            if time.monotonic() > end:
                raise ApiError(502, "livekit_error", f"{otherwise}: LiveKit has not confirmed it. It is tried on")
            await asyncio.sleep(_LOOK_SECONDS)


async def _until(condition: Callable[[], bool]) -> None:
    """Wait for a condition as long as a caller can be made to wait."""
    end = time.monotonic() + _WAIT_SECONDS
    while not condition() and time.monotonic() < end:  # noqa: ASYNC110  (what is waited for has no event)
        await asyncio.sleep(_LOOK_SECONDS)


async def _asked(hall: Hall, item: Asked) -> Any:
    try:
        async with asyncio.timeout(_DECIDE_SECONDS):
            answer = await hall.request(item)
    except TimeoutError:
        raise ApiError(503, "busy", "The room has not answered in time; send again", retry_after_ms=1000) from None
    if answer.error is not None:
        raise from_refusal(answer.error)
    return answer.result


def _identities(entries: list[dict[str, Any]]) -> set[str]:
    return {entry["participant_id"] for entry in entries}


def _on_stage(stage: dict[str, Any], identity: str) -> bool:
    return identity in _identities(stage["on_stage"]) | _identities(stage["pending"])
