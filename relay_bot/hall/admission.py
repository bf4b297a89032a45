"""Who is to get no join token, of a hall that knows nobody yet: what its journal says holds before it is served, too.

A hall that begins has no session in memory for a moment, and one that nobody is in has none at all. Bans hold in both:
the plugins that refuse tokens are asked in the state that the hall would begin with.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

import msgspec
import structlog

from relay_bot.hall.calling import PluginCalls, join_refusal
from relay_bot.hall.deadlines import Deadlines
from relay_bot.hall.deciding import Decider
from relay_bot.hall.past import PastHall
from relay_bot.hall.services import Services
from relay_bot.hall.session import Loaded, Session
from relay_bot.hall.timers import TimerRetries
from relay_bot.journal.batch import SessionInfo, Unavailable
from relay_bot.journal.events import State
from relay_bot.plugin import own_methods
from relay_bot.wire.refusal import Refuse

log = structlog.get_logger("admission")

_KEEP_SECONDS: Final = 5.0
"""How long what was read of a hall is good for: a crowd that asks for tokens reads its journal once."""
_MAX_KEPT: Final = 64


class Admission:
    """Answers for the halls that are not in memory; each is read from the journal, one at a time."""

    def __init__(self) -> None:
        self._turnstile = asyncio.Lock()
        self._kept: OrderedDict[str, tuple[float, Session | None]] = OrderedDict()

    async def refusal(self, hall: str, identity: str, services: Services) -> Refuse | None:
        """Tell why someone is to get no join token; `None` where they may have it. Raises `Unavailable`."""
        keepers = {
            name: each
            for name, each in services.plugins.items()
            if "refuses_join" in own_methods(each.spec.plugin_type)
        }
        if not keepers:
            return None
        async with self._turnstile:
            session = await self._session(hall, msgspec.structs.replace(services, plugins=keepers))
        return (
            None if session is None else join_refusal(session.plugins, identity, PluginCalls(hall, services.watchdog))
        )

    async def _session(self, hall: str, services: Services) -> Session | None:
        read_at, session = self._kept.get(hall, (0.0, None))
        if read_at and time.monotonic() - read_at < _KEEP_SECONDS:
            return session
        try:
            session = await _read(hall, services)
        except Unavailable:
            raise
        except Exception as error:  # an event that can't be read, say: nobody is let in by it
            log.exception("admission.unreadable", hall=hall)
            raise Unavailable(f"the hall's last session can't be read: {type(error).__name__}") from error
        if session is not None and session.closed:
            raise Unavailable("the plugin that judges who may come can't read the hall's last session")
        self._kept[hall] = (time.monotonic(), session)
        self._kept.move_to_end(hall)
        if len(self._kept) > _MAX_KEPT:
            self._kept.popitem(last=False)
        return session


async def _read(hall: str, services: Services) -> Session | None:
    """Give the session that the hall would go on with, or begin; `None` where it never had one."""
    latest = await services.journal.latest_session(hall)
    if latest is None:
        return None
    number, ended = latest
    session, decider = await _recalled(hall, number, services)
    if not ended and session.seq:
        decider.fire_timers()  # what has ended meanwhile does not hold any more
        return session
    if not ended:  # begun, and nothing is taken over yet
        before = await services.journal.before(number)
        if before is None:
            return session
        session, _ = await _recalled(hall, before, services)
    return _begun(hall, services, {name: plugin.state for name, plugin in session.plugins.items()})


async def _recalled(hall: str, number: int, services: Services) -> tuple[Session, Decider]:
    session, decider = _empty(hall, number, services, services.plugins)
    await session.recall(services.journal)
    return session, decider


def _begun(hall: str, services: Services, earlier: Mapping[str, State]) -> Session:
    """Give a new session that has taken over what outlives the one before."""
    session, decider = _empty(hall, 0, services, services.plugins)
    heirs = {name for name, each in services.plugins.items() if "inherit" in own_methods(each.spec.plugin_type)}
    decider.inherit({name: state for name, state in earlier.items() if name in heirs})
    return session


def _empty(hall: str, number: int, services: Services, plugins: Mapping[str, Loaded]) -> tuple[Session, Decider]:
    view = PastHall(hall, services)
    session = view.session = Session(SessionInfo(number, 0), plugins, view)
    calls, timers = PluginCalls(hall, services.watchdog), TimerRetries(Deadlines())
    return session, Decider(view, services, session, calls, timers)
