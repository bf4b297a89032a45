"""What moderators have decided: other plugins may listen to it."""

from __future__ import annotations

from typing import ClassVar, Literal

from relay_bot.plugin import Event, Identity, Role

SanctionKind = Literal["mute", "ban"]


class Sanctioned(Event, frozen=True):
    """A mute or a ban, in place of an earlier one; `until` is `None` for the rest of the hall session.

    `by` is empty for a backend. `rank_known`: the participant was here, and of a lower role than `by_role`.
    """

    personal: ClassVar[tuple[str, ...]] = ("display_name", "reason")

    sanction: SanctionKind
    identity: Identity
    display_name: str
    reason: str
    at: int
    until: int | None
    by: Identity
    by_role: Role
    rank_known: bool = True


class Lifted(Event, frozen=True):
    """A mute or a ban is over: by hand, by time, or because it was never allowed (`by` empty)."""

    sanction: SanctionKind
    identity: Identity
    by: Identity


class RankKnown(Event, frozen=True):
    """Someone banned in absence came, and the ban was allowed."""

    identity: Identity


class Kicked(Event, frozen=True):
    """Someone was removed; they may come again."""

    personal: ClassVar[tuple[str, ...]] = ("reason",)

    identity: Identity
    reason: str
    at: int
    by: Identity


class PermissionTaken(Event, frozen=True):
    """We take someone's permission to send, which they had."""

    identity: Identity


class PermissionReturned(Event, frozen=True):
    """They have their permission again: nothing is to be given back. `at` is 0 where that is not known."""

    identity: Identity
    at: int = 0
