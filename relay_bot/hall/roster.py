"""Who is in the hall, and what they may do: roles come from the signed token or the configuration only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from relay_bot.commands.names import find_person
from relay_bot.link import Presence
from relay_bot.plugin import Participant, Role
from relay_bot.settings import RoleSettings

ROLE_ATTRIBUTE: Final = "relay.role"
_ROLES: Final = {
    "host": Role.HOST,
    "moderator": Role.MODERATOR,
    "speaker": Role.SPEAKER,
    "guest": Role.SPEAKER,  # the Interactive Show's word
    "viewer": Role.VIEWER,
}


class _Metadata(msgspec.Struct, frozen=True):
    role: str = ""


_metadata = msgspec.json.Decoder(_Metadata)


def role_of(presence: Presence, configured: RoleSettings, *, own_words: bool = False) -> Role:
    """Read a participant's role: the configuration's identity lists, the token's attribute, its metadata.

    `own_words`: they may write their own metadata and attributes, so neither gives them a role.
    """
    if presence.identity in configured.hosts:
        return Role.HOST
    if presence.identity in configured.moderators:
        return Role.MODERATOR
    if own_words or presence.can_update_metadata:
        return Role.VIEWER
    named = presence.attributes.get(ROLE_ATTRIBUTE, "")
    if not named and presence.metadata.startswith("{"):
        try:
            named = _metadata.decode(presence.metadata).role
        except (msgspec.DecodeError, RecursionError):
            named = ""
    return _ROLES.get(named, Role.VIEWER)


class HallRoster:
    """The participants of one hall, kept current by the link's arrivals."""

    def __init__(self, configured: RoleSettings) -> None:
        self._configured = configured
        self._people: dict[str, Participant] = {}
        self._hidden: dict[str, Participant] = {}
        self._since: dict[str, float] = {}
        self._own_words: set[str] = set()

    def clear(self) -> None:
        """Forget everybody, as when the room is gone."""
        for kept in (self._people, self._hidden, self._since):
            kept.clear()
        self._own_words.clear()

    def put(self, presence: Presence, stamp: float | None = None) -> Participant:
        """Add or update someone; gives them as they are now. `stamp`: when they joined."""
        identity = presence.identity
        if presence.can_update_metadata:
            self._own_words.add(identity)  # what they could write once stays theirs until they join again
        role = role_of(presence, self._configured, own_words=identity in self._own_words)
        after = Participant(
            identity,
            presence.name,
            role,
            presence.can_publish,
            presence.can_publish_data,
            presence.can_subscribe,
            presence.metadata,
            presence.attributes,
            presence.tracks,
            presence.sid,
        )
        kept = self._hidden if presence.hidden else self._people
        kept[identity] = after
        if stamp is not None:
            self._since[identity] = stamp
        return after

    def remove(self, identity: str) -> Participant | None:
        """Take someone out; gives them as they were, `None` for a stranger or a hidden agent."""
        self._since.pop(identity, None)
        self._hidden.pop(identity, None)
        self._own_words.discard(identity)
        return self._people.pop(identity, None)

    def known_for(self, identity: str, stamp: float) -> float | None:
        """Tell how long before `stamp` (monotonic seconds) the link named this identity; `None` = not yet."""
        since = self._since.get(identity)
        return None if since is None else stamp - since

    def anyone(self, identity: str) -> Participant | None:
        """Find a participant or a hidden agent."""
        return self._people.get(identity) or self._hidden.get(identity)

    # -- the plugin API's Roster ------------------------------------------------------------------

    def get(self, identity: str) -> Participant | None:
        """See `Roster.get`."""
        return self._people.get(identity)

    def resolve(self, name: str) -> Participant:
        """See `Roster.resolve`."""
        return self._people[find_person(name, self.names(), whole=True).identity]

    def names(self) -> list[tuple[str, str]]:
        """See `Roster.names`."""
        return [(person.identity, person.name) for person in self._people.values()]

    def at_least(self, role: Role) -> list[str]:
        """See `Roster.at_least`."""
        return [person.identity for person in self._people.values() if person.role >= role]

    def __iter__(self) -> Iterator[Participant]:
        return iter(list(self._people.values()))

    def __len__(self) -> int:
        return len(self._people)
