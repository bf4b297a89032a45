"""What each plugin was told of each participant: in the journal, so that each hears all of it after a restart, too."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Any, Final

from relay_bot.hall import core
from relay_bot.hall.deciding import Decider
from relay_bot.hall.session import Session
from relay_bot.plugin import Context, Participant, Plugin, Role

_AGAIN_SECONDS: Final = 0.1
"""Doubled with each failure: a plugin that goes on failing at one participant is in quarantine after some seconds."""


class Telling:
    """Tells plugins of participants, each by itself, until it has heard.

    What was told is recorded afterwards, in the same commit as what the plugins decided by it. The journal keeps how
    somebody looks by name, role and permissions; attributes and tracks are compared for as long as the process lives.
    """

    def __init__(self) -> None:
        self._told: dict[str, dict[str, Participant]] = {}
        """By identity and plugin: how they looked when that plugin last heard of them."""
        self._bare: dict[str, list[Participant]] = {}
        """By identity: how the journal says they looked, which is not all that can be seen."""
        self._erased: set[str] = set()
        """Who was erased from the journal while they were here."""
        self._again: dict[tuple[str, str], tuple[int, float]] = {}
        """By plugin and identity: how often it failed, and when it is told again (monotonic seconds)."""

    def begin(self, session: Session) -> None:
        """Take what the journal says; of those who look so still, what this process knows beyond it."""
        before, self._told = self._told, {}
        self._bare.clear()
        for identity, known in session.core.told.items():
            told = self._told[identity] = dict[str, Participant]()
            for each in known:
                look = Participant(
                    identity, each.name, each.role, each.can_publish, each.can_publish_data, each.can_subscribe
                )
                self._bare.setdefault(identity, []).append(look)
                for plugin in each.plugins:
                    seen = before.get(identity, {}).get(plugin)
                    told[plugin] = seen if seen is not None and _look(seen) == _look(look) else look

        for identity in self._erased:  # to them nothing has happened: nobody is told of it
            known_as = [name for name in session.erased_as(identity) if self._told.pop(name, None) is not None]
            if known_as and identity in before:
                self._told[identity] = before[identity]

    def erased(self, identity: str) -> None:
        """Hear that somebody was erased from the journal: what they are told of from now on is not written there."""
        if identity in self._told:
            self._erased.add(identity)

    def known(self) -> list[str]:
        """List whom any plugin was told of."""
        return list(self._told)

    def of(self, person: Participant, decider: Decider) -> None:
        """Tell the plugins of somebody who is here, as far as they don't know it."""
        identity, told = person.identity, self._told.setdefault(person.identity, {})
        new: list[str] = []
        others: list[tuple[Participant, list[str]]] = []
        for plugin in decider.session.watching:
            before = told.get(plugin)
            if before == person or not self._may(plugin, identity):
                continue
            if before is None:
                new.append(plugin)
                continue
            if _look(before) == _look(person) and any(before is bare for bare in self._bare.get(identity, ())):
                told[plugin] = person
                continue
            same = next((names for look, names in others if look == before), None)
            if same is None:
                others.append((before, [plugin]))
            else:
                same.append(plugin)
        recorded = self._tell(decider, identity, new, lambda plugin, ctx: plugin.joined(person, ctx))
        for before, names in others:
            heard = self._tell(
                decider, identity, names, lambda plugin, ctx, before=before: plugin.changed(before, person, ctx)
            )
            for plugin in heard:
                told[plugin] = person
            if _look(before) != _look(person):
                recorded += heard
        for plugin in recorded:
            told[plugin] = person
        if recorded and identity not in self._erased:
            decider.record_told(core.Told(identity, *_look(person), True, tuple(recorded)))

    def left(self, identity: str, decider: Decider) -> None:
        """Tell those plugins that know of somebody that they have left."""
        told, gone = self._told.get(identity, {}), list[str]()
        look: Participant | None = None
        for plugin in decider.session.watching:
            person = told.get(plugin)
            if person is None or not self._may(plugin, identity):
                continue
            look = person
            gone += self._tell(decider, identity, [plugin], lambda plugin, ctx, person=person: plugin.left(person, ctx))
        for plugin in gone:
            del told[plugin]
        if not told:
            self._told.pop(identity, None)
        if gone and look is not None and identity not in self._erased:
            decider.record_told(core.Told(identity, *_look(look), False, tuple(gone)))
        if not told:
            self._erased.discard(identity)

    # -- again ------------------------------------------------------------------------------------------

    def due(self, plugins: Collection[str]) -> list[str]:
        """List those of whom one of these plugins is to be told again by now; the others need not be any more."""
        if not self._again:
            return []
        self._again = {name: again for name, again in self._again.items() if name[0] in plugins}
        now = time.monotonic()
        return list(dict.fromkeys(identity for (_, identity), (_, at) in self._again.items() if at <= now))

    def seconds_to_next(self) -> float | None:
        """Give the seconds until one is."""
        at = min((at for _, at in self._again.values()), default=None)
        return None if at is None else at - time.monotonic()

    def _tell(
        self, decider: Decider, identity: str, plugins: list[str], function: Callable[[Plugin[Any, Any], Context], None]
    ) -> list[str]:
        heard = decider.tell_some(plugins, function) if plugins else []
        for plugin in plugins if len(heard) < len(plugins) or self._again else ():
            if plugin in heard:
                self._again.pop((plugin, identity), None)
            else:
                failures = self._again.get((plugin, identity), (0, 0.0))[0] + 1
                wait = _AGAIN_SECONDS * 2.0 ** min(failures, 8)
                self._again[(plugin, identity)] = failures, time.monotonic() + wait
        return heard

    def _may(self, plugin: str, identity: str) -> bool:
        again = self._again.get((plugin, identity))
        return again is None or again[1] <= time.monotonic()


def _look(person: Participant) -> tuple[str, Role, bool, bool, bool]:
    return person.name, person.role, person.can_publish, person.can_publish_data, person.can_subscribe
