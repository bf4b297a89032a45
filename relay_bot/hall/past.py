"""Halls that are over: their plugins still answer questions, from what the journal has of the last session."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from relay_bot.hall.calling import PluginCalls
from relay_bot.hall.roster import HallRoster
from relay_bot.hall.services import Services
from relay_bot.hall.session import Session
from relay_bot.hall.turn import THE_BACKEND, Turn, TurnContext
from relay_bot.journal.batch import SessionInfo
from relay_bot.plugin import Request, Route
from relay_bot.wire.clock import now_ms
from relay_bot.wire.refusal import Refuse


class PastHall:
    """The plugins' `HallView` of a hall in which nobody is any more."""

    active = False
    encrypted = False

    def __init__(self, name: str, services: Services) -> None:
        self.name = name
        self.bot_identity = services.settings.bot.identity
        self.roster = HallRoster(services.settings.roles, (services.settings.bot.identity,))
        self.session: Session | None = None

    @property
    def seq(self) -> int:
        """See `HallView.seq`."""
        return self.session.seq if self.session else 0

    def erased_as(self, identity: str) -> tuple[str, ...]:
        """See `HallView.erased_as`: the session is over, and so nobody is known again in it."""
        return ()


class Past:
    """Asks the sessions that have ended, one at a time: each is read into memory, and forgotten again."""

    def __init__(self) -> None:
        self._turnstile = asyncio.Lock()

    async def ask(self, hall: str, plugin: str, route: Route, request: Request, services: Services) -> Any:
        """Have a plugin's GET answered by a hall's last session; what it would change is changed for nobody.

        Raises `Refuse`: `not_found` where that session has not ended (another bot may serve it) or there is none;
        and `Unavailable`.
        """
        async with self._turnstile:
            found = await services.journal.last_session(hall)
            if found is None or plugin not in services.plugins:
                raise Refuse("not_found", "there is no active hall with this id")
            view = PastHall(hall, services)
            session = view.session = Session(SessionInfo(found, 0), services.plugins, view)
            await session.recall(services.journal)
        calls = PluginCalls(hall, services.watchdog)
        context = TurnContext(Turn(session, services, calls), plugin, THE_BACKEND, now_ms(), private=True)
        return calls(plugin, partial(getattr(session.plugins[plugin], route.method), request, context))
