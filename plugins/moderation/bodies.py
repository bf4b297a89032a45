"""What hosts, moderators and backends send to moderate."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

import msgspec

from relay_bot.plugin import Body, Request, one_line

Action = Literal["mute", "unmute", "kick", "ban", "unban"]
Identity = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
MAX_SECONDS: Final = 366 * 86_400
Duration = Annotated[float, msgspec.Meta(gt=0, le=MAX_SECONDS)]
"""Seconds that a mute or a ban lasts, beyond the hall session too; without one it lasts as long as that."""
MAX_REASON: Final = 500
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class Moderate(Body, type="moderation"):
    """Sanction a participant, or lift a sanction."""

    action: Action
    participant_id: Identity
    reason: str | None = None
    until: str | None = None
    duration_seconds: Duration | None = None


class Decide(Request, frozen=True):
    """Sanction a participant, or lift a sanction."""

    action: Action
    participant_id: Identity
    reason: str | None = None
    duration_seconds: Duration | None = None


class ListSanctions(Request, frozen=True):
    """The sanctions in force."""


def cleaned(reason: str) -> str:
    """Put a reason on one line; empty where nothing of it can be seen."""
    return one_line(_CONTROL.sub(" ", reason))
