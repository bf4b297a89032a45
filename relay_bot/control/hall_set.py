"""What the control endpoint needs of the set of halls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from relay_bot.control.errors import ApiError
from relay_bot.hall.hall import Hall
from relay_bot.plugin import Refuse, Request, Route


class HallSet(Protocol):
    """The halls of this process (see `relay_bot.hall.halls.Halls`)."""

    def get(self, name: str) -> Hall | None:
        """Find a hall."""
        ...

    def all(self) -> Sequence[Hall]:
        """List the halls by name."""
        ...

    async def ask_past(self, name: str, plugin: str, route: Route, request: Request) -> Any:
        """Ask a hall that is over; raises `Refuse` and `Unavailable`."""
        ...

    async def refuses_join(self, name: str, identity: str) -> Refuse | None:
        """Tell why someone is to get no join token for a hall, served or not; raises `Unavailable`."""
        ...

    def found(self, name: str, sid: str) -> None:
        """Hear of a room: its hall begins, unless it has or the configuration leaves it out."""
        ...

    async def hears_livekit(self) -> bool:
        """Tell whether LiveKit answers."""
        ...

    async def erase(self, identity: str) -> int:
        """Erase a participant from all that is kept; gives how many events named them."""
        ...


def hall_of(halls: HallSet, hall_id: str) -> Hall:
    """Find a hall; raises `ApiError` (404)."""
    hall = halls.get(hall_id)
    if hall is None:
        raise ApiError(404, "not_found", "there is no active hall with this id")
    return hall


def check_journal(hall: Hall) -> None:
    """Raise `ApiError` (503) where nothing can be decided in a hall, because its journal can't be written."""
    if hall.status == "degraded":
        text = "the hall's journal can't be written now; nothing was taken, send again (GET /ready says why)"
        raise ApiError(503, "busy", text, code="journal_unavailable", retry_after_ms=2000)
