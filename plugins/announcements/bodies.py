"""What hosts and backends send to announce something."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from relay_bot.plugin import Body, Request, public

Level = Literal["info", "warning"]
Identity = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class Announce(Body, type="announcement"):
    """Announce something."""

    text: Annotated[str, public("announcement")]
    level: Level = "info"


class PostAnnouncement(Request, frozen=True):
    """Announce something, to everybody or to those named in `to`."""

    text: Annotated[str, public("announcement")]
    level: Level = "info"
    to: Annotated[list[Identity], msgspec.Meta(max_length=1000)] | None = None
