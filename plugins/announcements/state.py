"""The announcement that is shown now, as the journal tells it."""

from __future__ import annotations

from typing import ClassVar

from plugins.announcements.bodies import Level
from relay_bot.plugin import Event, Identity, State


class Announced(Event, frozen=True):
    """Something was announced, by a participant or by a backend (`by` empty); `to` is `None` for everybody.

    Those who come before `shown_until` (ms) are told as well, unless it was only for some.
    """

    subject: ClassVar[str] = "by"
    personal: ClassVar[tuple[str, ...]] = ("text",)

    announcement_id: str
    text: str
    level: Level
    at: int
    shown_until: int
    by: Identity
    to: tuple[Identity, ...] | None


class Hidden(Event, frozen=True):
    """The announcement's time is over."""

    announcement_id: str


class Announcements(State):
    """The last announcement to everybody, while it is shown."""

    shown: Announced | None = None
    made: int = 0
    """How many there were in this hall session."""

    def on_announced(self, event: Announced) -> None:
        """Show an announcement to everybody in the place of the last one."""
        self.made += 1
        if event.to is None:
            self.shown = event

    def on_hidden(self, event: Hidden) -> None:
        """Show nothing."""
        if self.shown is not None and self.shown.announcement_id == event.announcement_id:
            self.shown = None
