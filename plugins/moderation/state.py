"""The sanctions of a hall session, as the journal tells them."""

from __future__ import annotations

from typing import Final

import msgspec

from plugins.moderation.events import (
    Kicked,
    Lifted,
    PermissionReturned,
    PermissionTaken,
    RankKnown,
    Sanctioned,
    SanctionKind,
)
from relay_bot.plugin import Identity, Role, State


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
