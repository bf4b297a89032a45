"""How an announcement looks on the wire and on the control endpoint."""

from __future__ import annotations

import msgspec

from plugins.announcements.bodies import Level
from plugins.announcements.state import Announced
from relay_bot.plugin import iso


class AnnouncementView(msgspec.Struct, frozen=True):
    """An announcement; times are ISO 8601. One to everybody is told to those who come until `shown_until` as well."""

    announcement_id: str
    text: str
    level: Level
    announced_at: str
    shown_until: str


def view(announcement: Announced) -> AnnouncementView:
    """Describe an announcement."""
    return AnnouncementView(
        announcement.announcement_id,
        announcement.text,
        announcement.level,
        iso(announcement.at),
        iso(announcement.shown_until),
    )
