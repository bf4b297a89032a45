"""How those who are here are called, so that nobody passes for another."""

from __future__ import annotations

from collections.abc import Iterable

from relay_bot.text.lookalikes import name_keys


class ShownNames:
    """The names of those in one hall. Who looks the same as another, or as the bot, is shown with their identity."""

    def __init__(self, reserved: Iterable[str] = ()) -> None:
        self._reserved = frozenset(key for name in reserved for key in name_keys(name))
        self._given: dict[str, str] = {}
        self._holders: dict[str, set[str]] = {}
        """Whose identity or name has a key."""

    def put(self, identity: str, given: str) -> set[str]:
        """Learn somebody's name; gives the others who may be shown differently now."""
        before = self._keys(identity)
        self._given[identity] = given
        after = self._keys(identity)
        for key in after - before:
            self._holders.setdefault(key, set()).add(identity)
        # A third one of a name changes nothing for the others.
        met = {one for key in after - before if len(holders := self._holders[key]) == 2 for one in holders}
        return (met | self._let_go(identity, before - after)) - {identity}

    def remove(self, identity: str) -> set[str]:
        """Forget somebody; gives the others who may be shown differently now."""
        keys = self._keys(identity)
        self._given.pop(identity, None)
        return self._let_go(identity, keys)

    def clear(self) -> None:
        """Forget everybody."""
        self._given.clear()
        self._holders.clear()

    def given(self, identity: str) -> str:
        """Give the name alone."""
        return self._given.get(identity, "")

    def shown(self, identity: str, given: str) -> str:
        """Give the name to show; empty where there is none."""
        return f"{given} ({identity})" if given and self.is_taken(given, identity) else given

    def is_taken(self, name: str, by: str) -> bool:
        """Tell whether somebody here other than `by`, or the bot, is called so to a reader."""
        keys = name_keys(name)
        return not keys.isdisjoint(self._reserved) or any(self._holders.get(key, set()) - {by} for key in keys)

    def _keys(self, identity: str) -> frozenset[str]:
        given = self._given.get(identity)
        return frozenset() if given is None else name_keys(identity) | name_keys(given)

    def _let_go(self, identity: str, keys: Iterable[str]) -> set[str]:
        alone: set[str] = set()
        for key in keys:
            holders = self._holders.get(key, set())
            holders.discard(identity)
            if len(holders) == 1:
                alone |= holders
            elif not holders:
                self._holders.pop(key, None)
        return alone
