"""The decisions about announcements."""

from __future__ import annotations

import uuid
from typing import Annotated, Any

import msgspec

from plugins.announcements.bodies import Announce, Level, PostAnnouncement
from plugins.announcements.state import Announced, Announcements, Hidden
from plugins.announcements.views import AnnouncementView, view
from relay_bot.plugin import (
    Arguments,
    Context,
    Event,
    Participant,
    Plugin,
    Refuse,
    Role,
    clean_text,
    command,
    handle,
    route,
    timer,
)


class AnnouncementsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`plugins.announcements`."""

    max_text: Annotated[int, msgspec.Meta(ge=1, le=3_000)] = 2_000
    show_seconds: Annotated[float, msgspec.Meta(ge=0, le=604_800)] = 300.0
    """How long the last announcement is told to those who come."""


class AnnouncementsPlugin(Plugin[Announcements, AnnouncementsSettings]):
    """The announcements of one hall."""

    @handle
    def announce(self, body: Announce, ctx: Context) -> None:
        """Announce something; a host or a backend may."""
        ctx.sender.require(Role.HOST)
        self._announce(body.text, body.level, ctx.audience, ctx)

    @command("announce", "TEXT", role=Role.HOST)
    def announce_command(self, arguments: Arguments, ctx: Context) -> str:
        """Announce something to everybody."""
        text = ctx.check_text(arguments.rest(), field="text", what="announcement")
        self._announce(text, "info", None, ctx)
        return "announced"

    @route("POST", "/announcements")
    def post_announcement(self, request: PostAnnouncement, ctx: Context) -> AnnouncementView:
        """Announce something, to everybody or to those named in `to`."""
        to = None if request.to is None else tuple(dict.fromkeys(request.to))
        return view(self._announce(request.text, request.level, to, ctx))

    def _announce(self, text: str, level: Level, to: tuple[str, ...] | None, ctx: Context) -> Announced:
        text = clean_text(text)
        if not 1 <= len(text) <= self.settings.max_text:
            raise Refuse(
                "malformed", f"an announcement has 1 to {self.settings.max_text} characters", field="payload.text"
            )
        shown_until = ctx.now + round(self.settings.show_seconds * 1000)
        made = Announced(str(uuid.uuid4()), text, level, ctx.now, shown_until, ctx.sender.identity, to)
        ctx.record(made)
        if to is None:
            ctx.set_timer(self.time_is_up, "shown", shown_until)
        ctx.publish("announcement", view(made), to=to, sender_id=made.by or None)
        return made

    def say_again(self, event: Event, ctx: Context) -> None:
        """Announce what may not have been announced before a restart."""
        if isinstance(event, Announced) and ctx.now < event.shown_until:
            ctx.publish("announcement", view(event), to=event.to, sender_id=event.by or None)

    @timer
    def time_is_up(self, key: str, ctx: Context) -> None:
        """Tell those who come no more."""
        shown = self.state.shown
        if shown is not None and shown.shown_until <= ctx.now:
            ctx.record(Hidden(shown.announcement_id))

    def hall_state(self, participant: Participant) -> dict[str, Any]:
        """Tell the last announcement to everybody, while it is shown."""
        shown = self.state.shown
        return {} if shown is None else {"announcement": view(shown)}
