"""Who is in the hall, and what they may do: roles come from the signed token or the configuration only."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

import msgspec

from relay_bot.commands.names import find_person
from relay_bot.hall.shown_names import ShownNames
from relay_bot.link import Presence
from relay_bot.observe import metrics
from relay_bot.plugin import Participant, Refuse, Role, Sender
from relay_bot.settings import RoleSettings
from relay_bot.text import one_line

MAX_DISTRUSTED: Final = 10_000
"""Participants of a hall session of whom it is known that their words about themselves are their own."""
_NAME_CHARS: Final = 256
ROLE_ATTRIBUTE: Final = "relay.role"
_MAX_FORMER: Final = 10_000
"""So many who have left are remembered; the oldest go first."""
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
    listed = configured_role(presence.identity, configured)
    if listed is not None:
        return listed
    if own_words or presence.can_update_metadata:
        return Role.VIEWER
    named = presence.attributes.get(ROLE_ATTRIBUTE, "")
    if not named and presence.metadata.startswith("{"):
        try:
            named = _metadata.decode(presence.metadata).role
        except (msgspec.DecodeError, RecursionError):
            named = ""
    return _ROLES.get(named, Role.VIEWER)


def configured_role(identity: str, configured: RoleSettings) -> Role | None:
    """Give the role that the configuration's lists give an identity, here or not; `None` where it is in none."""
    if identity in configured.hosts:
        return Role.HOST
    return Role.MODERATOR if identity in configured.moderators else None


class HallRoster:
    """The participants of one hall, kept current by the link's arrivals.

    Who may write their own metadata, attributes and name gets no role and no new name from them, from then on and for
    as long as the hall session lasts: LiveKit signs what they wrote into their next token, whatever they may then.
    Where too many are listed for it, who comes then gets a role from the configuration's lists alone.
    """

    def __init__(self, configured: RoleSettings, reserved: Iterable[str] = ()) -> None:
        """`reserved`: what the bot is called, its identity first."""
        self._configured = configured
        reserved = tuple(reserved)
        self._bot_identity = reserved[0] if reserved else ""
        self._former: dict[str, tuple[Role, float]] = {}
        """The last role of those who have left, and when that was (monotonic seconds)."""
        self._people: dict[str, Participant] = {}
        self._hidden: dict[str, Participant] = {}
        self._since: dict[str, float] = {}
        self.distrusted: dict[str, str] = {}
        """Who may write their own words, or could, with the last name that was not their own word."""
        self._unlisted: set[str] = set()
        """Those of the people here who came, or could write, when `distrusted` was full."""
        self._erased_as: Callable[[str], tuple[str, ...]] = lambda _: ()
        self._names = ShownNames(reserved)
        self._renamed: set[str] = set()

    def clear(self) -> None:
        """Forget everybody, as when the room is gone."""
        for kept in (self._people, self._hidden, self._since, self._former, self._unlisted):
            kept.clear()
        self._names.clear()

    def put(self, presence: Presence, stamp: float | None = None) -> Participant:
        """Add or update someone; gives them as they are now. `stamp`: when they joined."""
        identity = presence.identity
        if self._is_full and (presence.can_update_metadata or self.anyone(identity) is None):
            self._keep_from_trust(identity)
        if not presence.hidden:
            self._renamed |= self._names.put(identity, self._name_of(presence))
        after = self.read(presence)
        kept = self._hidden if presence.hidden else self._people
        kept[identity] = after
        self._former.pop(identity, None)
        if stamp is not None:
            self._since[identity] = stamp
        return after

    def read(self, presence: Presence) -> Participant:
        """Describe someone as the hall sees them, whether they are in the roster yet or not."""
        identity, name = presence.identity, self._name_of(presence)
        return Participant(
            identity,
            self._names.shown(identity, name),
            role_of(presence, self._configured, own_words=self.is_distrusted(identity)),
            presence.can_publish,
            presence.can_publish_data,
            presence.can_subscribe,
            presence.metadata,
            presence.attributes,
            presence.tracks,
            presence.sid,
        )

    def _name_of(self, presence: Presence) -> str:
        identity, name = presence.identity, one_line(presence.name)[:_NAME_CHARS]
        if presence.can_update_metadata:
            kept = self._names.given(identity) if identity in self._people else name
            if self.is_distrusted(identity) or self._is_full:
                return self.distrusted.get(identity, kept)
            self.distrusted[identity] = kept
        # The question lists who was erased, too: else a name that they gave themselves would be theirs again.
        return self.distrusted.get(identity, name) if self.is_distrusted(identity) else name

    def is_distrusted(self, identity: str) -> bool:
        """Tell whether somebody's words about themselves are their own; an erasure, which takes the name, stays so."""
        if identity in self.distrusted:
            return True
        if any(name in self.distrusted for name in self._erased_as(identity)):
            if not self._is_full:
                self.distrusted[identity] = ""
            return True
        return identity in self._unlisted or (self._is_full and self.anyone(identity) is None)

    def _keep_from_trust(self, identity: str) -> None:
        """Trust nobody who can't be listed, for as long as they are here: nor anybody who comes, who may be one."""
        if identity not in self.distrusted and identity not in self._unlisted:
            self._unlisted.add(identity)
            metrics.DROPPED.labels("distrusted").inc()

    @property
    def _is_full(self) -> bool:
        return len(self.distrusted) >= MAX_DISTRUSTED

    def distrust(self, known: Mapping[str, str], erased_as: Callable[[str], tuple[str, ...]]) -> None:
        """Learn from the journal whose words are their own: identity → the name that is kept for them.

        `erased_as`: see `HallView.erased_as`.
        """
        self._erased_as = erased_as
        self.distrusted |= known

    def take_renamed(self) -> list[Participant]:
        """Give those who are shown by another name since others came or left."""
        renamed, self._renamed = self._renamed, set()
        found: list[Participant] = []
        for identity in renamed:
            person = self._people.get(identity)
            shown = self._names.shown(identity, self._names.given(identity))
            if person is not None and person.name != shown:
                self._people[identity] = msgspec.structs.replace(person, name=shown)
                found.append(self._people[identity])
        return found

    def remove(self, identity: str) -> Participant | None:
        """Take someone out; gives them as they were, `None` for a stranger or a hidden agent."""
        self._since.pop(identity, None)
        self._hidden.pop(identity, None)
        self._unlisted.discard(identity)
        self._renamed |= self._names.remove(identity)
        person = self._people.pop(identity, None)
        if person is not None:
            self._former[identity] = (person.role, time.monotonic())
            if len(self._former) > _MAX_FORMER:
                del self._former[next(iter(self._former))]
        return person

    def was_here(self, identity: str, seconds: float) -> bool:
        """Tell whether somebody is here, or was within the last seconds."""
        former = self._former.get(identity)
        return identity in self._people or (former is not None and time.monotonic() - former[1] < seconds)

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
        return [(identity, self._names.given(identity)) for identity in self._people]

    def is_taken(self, name: str, by: str) -> bool:
        """See `Roster.is_taken`."""
        return self._names.is_taken(name, by)

    def at_least(self, role: Role) -> list[str]:
        """See `Roster.at_least`."""
        return [person.identity for person in self._people.values() if person.role >= role]

    def may_act_on(self, sender: Sender, identity: str, *, last_role: Role | None = None) -> None:
        """See `Roster.may_act_on`."""
        if identity and identity == self._bot_identity:
            raise Refuse("forbidden", "the bot can't be moderated")
        if sender.is_backend or (identity == sender.identity and identity):
            return
        role = self._rank(identity, last_role)
        if role >= sender.role:
            raise Refuse("forbidden", f"a {sender.role.label} can't do this to a {role.label}")

    def _rank(self, identity: str, last_role: Role | None) -> Role:
        """Give somebody's role, though they may not be here."""
        person = self._people.get(identity)
        if person is not None:
            return person.role
        former = self._former.get(identity)
        known = former[0] if former is not None else last_role or Role.VIEWER
        return max(known, configured_role(identity, self._configured) or Role.VIEWER)

    def __iter__(self) -> Iterator[Participant]:
        return iter(list(self._people.values()))

    def __len__(self) -> int:
        return len(self._people)
