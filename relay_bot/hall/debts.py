"""Does what is owed: one effect after the other, each until it succeeded or can never succeed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
import structlog

from relay_bot.hall.core import Owed
from relay_bot.hall.pauses import pause
from relay_bot.hall.services import EffectFailed, Services
from relay_bot.hall.turn import Debt
from relay_bot.journal.batch import Unavailable
from relay_bot.observe import metrics
from relay_bot.plugin import RemoveParticipant

log = structlog.get_logger("effects")

_FAREWELL_SECONDS: Final = 0.25
"""What someone is told of their removal goes first: a packet still under way to them is lost with them."""

_NOT_OURS_SECONDS: Final = 1.0
"""While the session is claimed anew, what is owed waits."""


class DebtSettled(msgspec.Struct, frozen=True):
    """A note to the hall: this was done, or given up for the reason `error`."""

    plugin: str
    key: str
    owed: Owed
    error: str | None


class Debtor:
    """Performs a hall's owed effects. The journal's list is the truth; this only works it off."""

    def __init__(
        self,
        hall: str,
        services: Services,
        settled: Callable[[DebtSettled], None],
        holds: Callable[[], Awaitable[bool]],
    ) -> None:
        self._hall = hall
        self._services = services
        self._settled = settled
        self._holds = holds
        self._debts: dict[tuple[str, str], Owed] = {}
        self._failures: dict[tuple[str, str], tuple[int, float]] = {}
        self._reported: set[int] = set()
        self._since: dict[int, float] = {}
        """Since when (monotonic seconds) each is owed, by its `seq`."""
        self._wake = asyncio.Event()

    def begin(self, debts: list[Debt]) -> None:
        """Begin anew with what a journal says: what was done but not written off there is done again."""
        self._reported.clear()
        self._failures.clear()
        self.owe(debts)

    def owe(self, debts: list[Debt]) -> None:
        """Say what is owed now (all of it): only what is durable may be named here."""
        before = self._debts
        self._debts = {(plugin, key): owed for plugin, key, owed in debts if owed.seq not in self._reported}
        for name, owed in self._debts.items():
            if isinstance(owed.effect, RemoveParticipant) and before.get(name) is not owed:
                self._failures[name] = (0, time.monotonic() + _FAREWELL_SECONDS)
        self._failures = {key: value for key, value in self._failures.items() if key in self._debts}
        self._reported &= {owed.seq for _, _, owed in debts}
        now = time.monotonic()
        self._since = {owed.seq: self._since.get(owed.seq, now) for _, _, owed in debts}
        self._wake.set()

    def overdue(self, seconds: float) -> int:
        """Count the effects that are not done though they have been owed for so long."""
        before = time.monotonic() - seconds
        return sum(self._since.get(owed.seq, before) < before for owed in self._debts.values())

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            self._wake.clear()
            wait = await self._work()
            try:
                async with asyncio.timeout(wait):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def _work(self) -> float | None:
        """Try each debt whose time has come; gives the seconds until the next one's."""
        soonest: float | None = None
        for name, owed in list(self._debts.items()):
            failures, not_before = self._failures.get(name, (0, 0.0))
            wait = not_before - time.monotonic()
            if wait <= 0:
                wait = await self._try(name, owed, failures)
            if wait > 0:
                soonest = wait if soonest is None else min(soonest, wait)
        return soonest

    async def _try(self, name: tuple[str, str], owed: Owed, failures: int) -> float:
        kind = type(owed.effect).__name__
        try:
            if not await self._holds():  # another bot has the hall: what is owed is for that one to do
                return _NOT_OURS_SECONDS
            error = await self._services.rooms.perform(self._hall, owed.effect)
        except (EffectFailed, Unavailable) as failure:
            metrics.EFFECTS.labels(kind, "retried").inc()
            wait = pause(failures + 1)
            self._failures[name] = (failures + 1, time.monotonic() + wait)
            log.warning("effect.retried", hall=self._hall, effect=kind, error=str(failure))
            return wait
        metrics.EFFECTS.labels(kind, "done" if error is None else "given_up").inc()
        if self._debts.get(name) is owed:
            del self._debts[name]
        self._reported.add(owed.seq)
        self._settled(DebtSettled(*name, owed, error))
        return 0.0
