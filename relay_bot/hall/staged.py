"""What one call into a plugin asks for: it gathers apart, and joins the turn only when the call has ended well."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from relay_bot.journal.batch import EventRow, ShelfRow
from relay_bot.plugin import Payload, Role

To = tuple[str, ...] | Role | Callable[[], Iterable[str]] | None


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """An envelope to be sent after the commit; roles and functions in `to` are resolved when it leaves."""

    data: bytes
    to: To
    kind: str
    payload: dict[str, Any]
    sender_id: str | None
    extra: Mapping[str, Any] = {}
    """Fields that a backend provided and nobody here knows: the dialects' packets have them as well."""
    greets: bool = False
    """It is a `hall_state` for those who have come."""


class Latest(msgspec.Struct, frozen=True):
    """A snapshot to be made once at the end of the turn."""

    plugin: str
    kind: str
    payload: Callable[[], Payload | None]
    to: To


class Staged(msgspec.Struct):
    """The transaction of one call. Events alone are applied at once: a handler reads what it has decided.

    One is made for each message: what few calls ask for is made when it is asked for.
    """

    events: list[EventRow] = []
    outgoing: list[Outgoing] | None = None
    latest: dict[tuple[str, ...], Latest | None] | None = None
    secrets: dict[str, bytes | None] | None = None
    """By full name: secrets made, and `None` for those destroyed."""
    shelved: list[ShelfRow] | None = None
    owes: bool = False
    timers: set[str] | None = None
    """The core's names of the timers that were set or cleared."""
    torn: bool = False
    """An event is being applied. Where this stays set, it raised midway and its state is half changed."""

    @property
    def applied(self) -> bool:
        """Tell whether a state in memory is ahead of the journal by what this call decided."""
        return self.torn or bool(self.events)
