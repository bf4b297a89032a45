"""The published answer to a backend's interaction: whether it left, to whom, and who of those wasn't here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from relay_bot.hall.message import BackendMessage
from relay_bot.hall.staged import Outgoing, To
from relay_bot.hall.turn import Turn
from relay_bot.plugin import Role, Roster
from relay_bot.wire.clock import iso

_PUBLISHED: Final = frozenset({"reaction", "chat", "hand_raise"})
"""Interactions whose answer is published without a `result`; a `poll` has one only where it was given an id here."""


class Leaving:
    """What a turn had to say before an interaction: the rest is what the interaction has said."""

    def __init__(self, turn: Turn, roster: Roster) -> None:
        self._turn = turn
        self._roster = roster
        self._outgoing = len(turn.outgoing)
        self._latest = dict(turn.latest)

    def said(self) -> Sequence[Outgoing]:
        """List the envelopes that it has said."""
        return self._turn.outgoing[self._outgoing :]

    def anything(self) -> bool:
        """Tell whether it has said anything, or will once its turn is sealed."""
        snapshots = self._turn.latest.items()
        new = [each for key, each in snapshots if each is not None and self._latest.get(key) is not each]
        return any(self._is_for_somebody(each.to) for each in (*self.said(), *new))

    def _is_for_somebody(self, to: To) -> bool:
        return bool(self._roster.at_least(to)) if isinstance(to, Role) else to != ()


def answer_to(item: BackendMessage, result: Any, leaving: Leaving, roster: Roster, now: int) -> dict[str, Any]:
    """Make the answer. Whom it is for the interaction says in `to`, and some payloads say it as well."""
    to = _addressees(item, leaving.said())
    absent = sorted(identity for identity in to or () if roster.get(identity) is None)
    sent: dict[str, Any] = {
        "sent": leaving.anything() and (to is None or len(absent) < len(to)),
        "type": item.kind,
        "broadcast": to is None,
        "recipient_count": None if to is None else len(to),
        "timestamp": iso(now),
    }
    if absent:
        sent["not_here"] = absent
    if result is not None and item.kind not in _PUBLISHED:
        sent["result"] = result
    return sent


def _addressees(item: BackendMessage, said: Sequence[Outgoing]) -> set[str] | None:
    named = None if item.audience is None else set(item.audience)
    to = next((each.to for each in said if each.kind == item.kind), None)
    if to is None or isinstance(to, Role) or callable(to):
        return named
    return set(to) - ({item.sender_id} - (named or set()))  # its sender is told as well
