"""Who is in one hall: keeps its roster, tells the plugins who comes, changes and leaves, and knows whom to greet."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from relay_bot.hall.deciding import Decider
from relay_bot.hall.gate import Gate
from relay_bot.hall.roster import HallRoster
from relay_bot.hall.telling import Telling
from relay_bot.link import Changed, Joined, Left
from relay_bot.plugin import Participant

MOST_AT_ONCE: Final = 32
"""People who are greeted in one turn of the loop."""
_GREETING_SECONDS: Final = 0.005


class People:
    """The people of one hall. What is told goes through a `Decider`, and may raise `Halted` there.

    While there is none (no session that could hear it) the roster is kept all the same, and `catch_up` tells the rest.

    Who left and came back while nobody looked, and looks the same, is not told of: after a restart of the SFU that
    is everybody, each with a new session at LiveKit, and none of them has left in anybody's eyes. What a plugin
    keeps of a connection (a permission that it took or gave) shows in the participant, and so is told as a change.
    """

    def __init__(self, roster: HallRoster, gate: Gate) -> None:
        self._roster = roster
        self._gate = gate
        self._telling = Telling()
        self._whole = False
        """Everybody who is here has been named since the hall is served: whoever was not has left."""
        self._absent: set[str] = set()
        """Who was here when the seat was lost and has not been seen since."""
        self._to_greet: dict[str, None] = {}
        self._greeted: set[str] = set()
        self._at_once = MOST_AT_ONCE

    # -- what the link tells ----------------------------------------------------------------------------

    def take(self, item: Joined | Changed | Left, decider: Decider | None) -> None:
        """Take what the link tells of somebody."""
        match item:
            case Joined(presence, stamp):
                self._absent.discard(presence.identity)
                self._greeted.discard(presence.identity)
            case Changed(presence):
                stamp = None
            case Left(identity):
                self._remove(identity)
                if decider is not None:
                    self._telling.left(identity, decider)
                    decider.check()
                self._tell_renamed(decider)
                return
        after = self._roster.put(presence, stamp)
        self._gate.forget(presence.identity)
        if decider is not None and presence.identity in self._roster.distrusted:
            decider.distrust(presence.identity, self._roster.distrusted[presence.identity])
        if presence.hidden:
            return
        self._gate.meet(after)
        if presence.active and presence.identity not in self._greeted:
            self._to_greet[presence.identity] = None
        if decider is not None:
            self._telling.of(after, decider)
            decider.check()
        self._tell_renamed(decider)

    def seat_lost(self) -> None:
        """Hear that nothing is heard of anybody from now on."""
        self._absent = {person.identity for person in self._roster}

    def seated(self, decider: Decider | None) -> None:
        """Hear that all who are here have been named since: the others have left."""
        self._whole = True
        absent, self._absent = self._absent, set()
        for identity in absent:
            self._remove(identity)
        if decider is not None:
            self.catch_up(decider)

    def _remove(self, identity: str) -> None:
        self._roster.remove(identity)
        self._gate.forget(identity)
        self._to_greet.pop(identity, None)
        self._greeted.discard(identity)

    # -- what the plugins are told ----------------------------------------------------------------------

    def begin(self, decider: Decider) -> None:
        """Hear that a session was opened: what the plugins were told is what its journal says."""
        self._telling.begin(decider.session)

    def erased(self, identity: str) -> None:
        """Hear that somebody was erased from the journal."""
        self._telling.erased(identity)

    def catch_up(self, decider: Decider) -> None:
        """Tell the plugins who came, changed and left while there was no session that could hear it."""
        self._tell_renamed(None)
        for identity, name in self._roster.distrusted.items():
            if self._roster.anyone(identity) is not None:
                decider.distrust(identity, name)
        for person in self._roster:
            self._telling.of(person, decider)
        if self._whole:
            for identity in self._telling.known():
                if self._roster.get(identity) is None:
                    self._telling.left(identity, decider)
        decider.check()

    def _tell_renamed(self, decider: Decider | None) -> None:
        """Tell of those who are called otherwise because of whom else is here."""
        for person in self._roster.take_renamed():
            self._gate.forget(person.identity)
            if decider is not None:
                self._telling.of(person, decider)
        if decider is not None:
            decider.check()

    def tell_again(self, decider: Decider) -> None:
        """Tell those plugins again that failed at it a moment ago."""
        for identity in self._telling.due(decider.session.watching):
            person = self._roster.get(identity)
            if person is not None:
                self._telling.of(person, decider)
            elif self._whole:
                self._telling.left(identity, decider)
        decider.check()

    def seconds_to_next(self) -> float | None:
        """Give the seconds until somebody is to be told again."""
        return self._telling.seconds_to_next()

    # -- greeting ---------------------------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """How many are to be greeted."""
        return len(self._to_greet)

    def greet(self, decider: Decider, welcome: Callable[[str], bool]) -> None:
        """Tell those who have become active how things stand: data sent to them earlier can be lost.

        A few at a time, and fewer where their states take long: other halls have the loop between them.
        """
        people: list[Participant] = []
        started = time.perf_counter()
        while self._to_greet and len(people) < self._at_once:
            identity = next(iter(self._to_greet))
            del self._to_greet[identity]
            self._greeted.add(identity)
            person = self._roster.get(identity)
            if person is not None and welcome(identity):
                people.append(person)
        if not people:
            return
        decider.greet(people)
        took = time.perf_counter() - started
        if took > _GREETING_SECONDS:
            self._at_once = max(1, self._at_once // 2)
        elif took < _GREETING_SECONDS / 4:
            self._at_once = min(MOST_AT_ONCE, self._at_once * 2)
