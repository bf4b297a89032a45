"""How sanctions look on the wire and on the control endpoint."""

from __future__ import annotations

from typing import Any

import msgspec

from plugins.moderation.bodies import Action
from plugins.moderation.events import SanctionKind
from plugins.moderation.state import Sanction, Sanctions
from relay_bot.plugin import iso, iso_or_none


class SanctionView(msgspec.Struct, frozen=True):
    """A sanction in force; `until` is null for the rest of the hall session, `by` for a backend."""

    action: SanctionKind
    participant_id: str
    display_name: str
    reason: str
    since: str
    until: str | None
    by: str | None


class SanctionList(msgspec.Struct, frozen=True):
    """The sanctions in force: mutes, then bans."""

    sanctions: list[SanctionView]


class Decided(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was decided, as participants are told."""

    action: Action
    participant_id: str
    reason: str | None = None
    until: str | None = None


def decided(action: Action, identity: str, reason: str, until: int | None) -> Decided:
    """Make the payload of `moderation`."""
    return Decided(action, identity, reason or None, iso_or_none(until))


def listed(state: Sanctions) -> list[SanctionView]:
    """Describe all sanctions in force."""
    mutes = [_view("mute", sanction) for sanction in state.mutes.values()]
    return mutes + [_view("ban", sanction) for sanction in state.bans.values()]


def own(mute: Sanction) -> dict[str, Any]:
    """Tell someone of their own mute."""
    return {"reason": mute.reason or None, "until": iso_or_none(mute.until)}


def _view(sanction: SanctionKind, found: Sanction) -> SanctionView:
    return SanctionView(
        sanction,
        found.identity,
        found.display_name,
        found.reason,
        iso(found.at),
        iso_or_none(found.until),
        found.by or None,
    )
