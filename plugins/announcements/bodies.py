"""What hosts and backends send to announce something."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

import msgspec

from relay_bot.plugin import Body, Request

Level = Literal["info", "warning"]
Identity = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Announce(Body, type="announcement"):
    """Announce something."""

    text: str
    level: Level = "info"


class PostAnnouncement(Request, frozen=True):
    """Announce something, to everybody or to those named in `to`."""

    text: str
    level: Level = "info"
    to: Annotated[list[Identity], msgspec.Meta(max_length=1000)] | None = None


def cleaned(text: str) -> str:
    """Take out control characters other than newline and tab, and the space around the text."""
    return _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n")).strip()
