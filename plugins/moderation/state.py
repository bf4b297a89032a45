"""The sanctions of a hall session, as the journal tells them."""

from __future__ import annotations

from typing import ClassVar, Final, Literal

import msgspec

from relay_bot.plugin import Event, Identity, Role, State

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


class Sanction(msgspec.Struct, frozen=True):
    """A mute or a ban in force."""

    identity: Identity
    display_name: str
    reason: str
    at: int
    until: int | None
    by: Identity
    by_role: Role
    rank_known: bool


_MAX_RETURNED: Final = 10_000
"""Of so many it is remembered that they have their permission again; the oldest go first."""


class Sanctions(State):
    """Mutes and bans by identity, and whose permission to send we hold, though they may have left since.

    `returned`: those who have it again, and since when.
    """

    mutes: dict[str, Sanction] = {}
    bans: dict[str, Sanction] = {}
    taken: set[str] = set()
    returned: dict[str, int] = {}
    kicks: int = 0

    def in_force(self, sanction: SanctionKind) -> dict[str, Sanction]:
        """Give the mutes, or the bans."""
        return self.mutes if sanction == "mute" else self.bans

    def on_sanctioned(self, event: Sanctioned) -> None:
        """Begin a sanction."""
        self.in_force(event.sanction)[event.identity] = Sanction(
            event.identity,
            event.display_name,
            event.reason,
            event.at,
            event.until,
            event.by,
            event.by_role,
            event.rank_known,
        )

    def on_lifted(self, event: Lifted) -> None:
        """End a sanction."""
        self.in_force(event.sanction).pop(event.identity, None)

    def on_rank_known(self, event: RankKnown) -> None:
        """Remember that a ban needs no further check."""
        self.bans[event.identity] = msgspec.structs.replace(self.bans[event.identity], rank_known=True)

    def on_kicked(self, event: Kicked) -> None:
        """Count a kick."""
        self.kicks += 1

    def on_permission_taken(self, event: PermissionTaken) -> None:
        """Remember what an unmute has to give back."""
        self.taken.add(event.identity)
        self.returned.pop(event.identity, None)

    def on_permission_returned(self, event: PermissionReturned) -> None:
        """Forget what was given back."""
        self.taken.discard(event.identity)
        self.returned.pop(event.identity, None)
        self.returned[event.identity] = event.at
        if len(self.returned) > _MAX_RETURNED:
            del self.returned[next(iter(self.returned))]
