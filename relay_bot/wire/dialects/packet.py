"""What the dialects have in common: one loose reading of a packet, and what it meant."""

from __future__ import annotations

from typing import Any

import msgspec


class LoosePacket:
    """All the fields that any dialect has; each says for itself which it needs.

    Clients differ in what they send and show what they can: a field of another type is as good as none, and a number
    is an id, too.
    """

    def __init__(self, fields: dict[str, Any]) -> None:
        self._fields = fields

    def text(self, name: str) -> str:
        """Give a field that is a text; empty where it is none."""
        found = self._fields.get(name)
        return found if isinstance(found, str) else ""

    def text_or_none(self, name: str) -> str | None:
        """Give a field that is a text, also an empty one; `None` where it is none."""
        found = self._fields.get(name)
        return found if isinstance(found, str) else None

    def flag(self, name: str) -> bool | None:
        """Give a field that is true or false; `None` where it is neither."""
        found = self._fields.get(name)
        return found if isinstance(found, bool) else None

    def has(self, *names: str) -> bool:
        """Tell whether any of these fields is there, whatever it holds."""
        return any(name in self._fields for name in names)

    @property
    def type(self) -> str:
        """What kind of packet it says it is."""
        return self.text("type")

    @property
    def id(self) -> str | None:
        """The packet's own id."""
        found = self._fields.get("id")
        if isinstance(found, (int, float)) and not isinstance(found, bool):
            return str(found)
        return self.text("id") or None

    @property
    def sender(self) -> str | None:
        """Who it says it is from."""
        return self.text("senderId") or None


class Spoken(msgspec.Struct, frozen=True):
    """A dialect's packet, as the envelope's type and payload. `claimed` is who it says it is from."""

    dialect: str
    kind: str
    payload: dict[str, Any]
    id: str | None
    claimed: str | None
