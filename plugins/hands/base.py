"""What the parts of the plugin share: names, and saying how the queue stands."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from plugins.hands.settings import HandsSettings
from plugins.hands.state import Hands
from plugins.hands.views import most_pages, own_hand, pages, shown
from relay_bot.plugin import Context, Plugin, Refuse, Role, Sender

_EXACT: Final = 100
_STEP: Final = 10
"""Whoever is further back than `_EXACT` hears of every tenth place: a move of the queue is not 500 packets."""


class HandsBase(Plugin[Hands, HandsSettings]):
    """Hands and stage of one hall: the common ground of its parts."""

    def __init__(self) -> None:
        self._paged: tuple[int, list[dict[str, Any]]] = (-1, [])

    def _name_of(self, identity: str, sender: Sender | None = None) -> str:
        person = self.hall.roster.get(identity)
        if person is not None:
            return shown(person.display_name) or shown(identity)
        known = sender.name if sender is not None and sender.identity == identity else ""
        return shown(known) or shown(identity)

    # -- who may act on whom --------------------------------------------------------------------------

    def _check_may_act(self, identity: str, ctx: Context) -> None:
        """Refuse what the sender may not do to somebody: one who has dropped keeps the rank that they had."""
        self.hall.roster.may_act_on(ctx.sender, identity, last_role=self.state.last_role(identity))

    def _may_act(self, identity: str, ctx: Context) -> bool:
        try:
            self._check_may_act(identity, ctx)
        except Refuse:
            return False
        return True

    # -- saying ---------------------------------------------------------------------------------------

    def _say_queue(self, ctx: Context, before: Sequence[str], reason: str = "") -> None:
        """Push the queue to hosts and moderators, and their place to those whom the change has moved.

        `before` is the queue as it was, `reason` why those who are not in it any more are gone.
        """
        after = self.state.waiting()
        for number in range(most_pages(len(after))):
            ctx.publish_latest("hand_queue", partial(self._page, number), key=str(number), to=Role.MODERATOR)
        old = {identity: _step(place) for place, identity in enumerate(before)}
        for place, identity in enumerate(after):
            if old.pop(identity, None) != _step(place):
                self._say_position(ctx, identity)
        for identity in old:
            self._say_position(ctx, identity, reason)

    def _say_position(self, ctx: Context, identity: str, reason: str = "") -> None:
        ctx.publish_latest("hand_position", partial(self._position, identity, reason), to=(identity,))

    def _position(self, identity: str, reason: str) -> dict[str, Any]:
        said = own_hand(self.state, identity, self.hall.seq)
        return said if said["raised"] or not reason else said | {"reason": reason}

    def _show_queue(self, identity: str, ctx: Context) -> None:
        """Push the whole queue to somebody."""
        for number in range(len(pages(self.state, self.hall.seq))):
            ctx.publish_latest("hand_queue", partial(self._page, number), key=str(number), to=(identity,))

    def _page(self, number: int) -> dict[str, Any] | None:
        """Give a page of the queue as it is now; `None` where it has not so many."""
        seq = self.hall.seq
        if self._paged[0] != seq:
            self._paged = (seq, pages(self.state, seq))
        made = self._paged[1]
        return made[number] if number < len(made) else None


def _step(place: int) -> int:
    return place if place < _EXACT else place // _STEP + _EXACT
