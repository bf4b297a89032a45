"""Does what is owed: each effect until it succeeded, can never succeed, or was tried too often.

Attempts run beside each other, so that one that hangs delays no other; only effects of one type on the same
participant wait for each other.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
import structlog

from relay_bot.effect import Effect, EffectContext, EffectFailed, RemoveParticipant
from relay_bot.hall.core import Owed
from relay_bot.hall.effects import Kind, kinds_of, tag_in
from relay_bot.hall.pauses import pause
from relay_bot.hall.services import Services
from relay_bot.hall.supervisor import place_of
from relay_bot.hall.turn import Debt
from relay_bot.journal.batch import SessionInfo, Unavailable
from relay_bot.observe import metrics
from relay_bot.wire.clock import now_ms

log = structlog.get_logger("effects")

_FAREWELL_SECONDS: Final = 0.25
"""What someone is told of their removal goes first: a packet still under way to them is lost with them."""
_NOT_OURS_SECONDS: Final = 1.0
"""While the session is claimed anew, what is owed waits."""
_AT_ONCE: Final = 8
"""Attempts of one type that may be under way in one hall."""
_LEAST_ATTEMPTS: Final = 3
"""An effect is tried so often after each start, however old it is: LiveKit may be starting too."""
_MAX_ERROR: Final = 300


class DebtSettled(msgspec.Struct, frozen=True):
    """A note to the hall: this was done, or given up for the reason `error`.

    `attempts`: it failed so often that it is not tried any more by itself; 0 otherwise. `effect` is `None` where it
    can't be read.
    """

    plugin: str
    key: str
    owed: Owed
    error: str | None
    effect: Effect | None = None
    attempts: int = 0


class Progress(msgspec.Struct):
    """How far an owed effect is. Times are monotonic seconds."""

    plugin: str
    key: str
    owed: Owed
    kind: Kind | None
    """`None` while no plugin that knows the type is loaded: then it waits."""
    effect: Effect | None
    since: float
    not_before: float = 0.0
    attempts: int = 0
    error: str = ""

    @property
    def lane(self) -> tuple[str, str]:
        """Effects with the same lane are done one after the other."""
        about = getattr(self.effect, "identity", None)
        return tag_in(self.owed.effect), about if isinstance(about, str) and about else f"{self.plugin}\n{self.key}"


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
        self._settled = settled
        self._holds = holds
        self._kinds = kinds_of(services)
        self._settings = services.settings.effects
        self._session: SessionInfo | None = None
        """`None` while nothing may be done: no session is held."""
        self._owed: dict[int, Progress] = {}
        """What is to be done, by its `seq`."""
        self._under_way: dict[asyncio.Task[None], Progress] = {}
        self._reported: set[int] = set()
        """What the hall was told to be settled and has not written off yet."""
        self._wake = asyncio.Event()

    # -- what is owed -----------------------------------------------------------------------------------

    def begin(self, session: SessionInfo, debts: list[Debt]) -> None:
        """Begin anew with what a journal says: what was done but not written off there is done again."""
        self._session = session
        self._reported.clear()
        self._owed.clear()
        self.owe(debts)

    def owe(self, debts: list[Debt]) -> None:
        """Say what is owed now (all of it): only what is durable may be named here."""
        before, now = self._owed, time.monotonic()
        self._owed = {
            debt[2].seq: before.get(debt[2].seq) or self._new(debt, now)
            for debt in sorted(debts, key=lambda debt: debt[2].seq)
            if debt[2].seq not in self._reported
        }
        self._reported &= {owed.seq for _, _, owed in debts}
        self._wake.set()

    def _new(self, debt: Debt, now: float) -> Progress:
        plugin, key, owed = debt
        kind, effect, error = self._kinds.get(tag_in(owed.effect)), None, ""
        if kind is None:
            error = "no plugin that is loaded knows this effect"
        else:
            with contextlib.suppress(msgspec.MsgspecError):
                effect = msgspec.json.decode(owed.effect, type=kind.effect_type)
        farewell = _FAREWELL_SECONDS if isinstance(effect, RemoveParticipant) else 0.0
        return Progress(plugin, key, owed, kind, effect, now, now + farewell, error=error)

    def stop(self) -> None:
        """Do nothing any more, also of what is under way, until `begin`: another bot has the session."""
        self._session = None
        self._owed.clear()
        for task in self._under_way:
            task.cancel()

    def progress(self) -> list[Progress]:
        """List what is owed, oldest first."""
        return list(self._owed.values())

    def overdue(self, seconds: float) -> int:
        """Count the effects that are not done though they have been owed for so long."""
        before = time.monotonic() - seconds
        return sum(each.since < before for each in self._owed.values())

    # -- doing it ---------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            while True:
                self._wake.clear()
                wait = self._work()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._wake.wait()
        finally:
            tasks = list(self._under_way)
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks, timeout=1.0)

    def _work(self) -> float | None:
        """Begin what is due; gives the seconds until the next that no other attempt stands before."""
        now, soonest = time.monotonic(), None
        lanes = {each.lane for each in self._under_way.values()}
        busy = Counter(lane[0] for lane in lanes)
        for each in self._owed.values():
            lane = each.lane
            if each.kind is None or lane in lanes:
                continue
            lanes.add(lane)
            wait = each.not_before - now
            if wait > 0:
                soonest = wait if soonest is None else min(soonest, wait)
            elif busy[lane[0]] < _AT_ONCE and self._session is not None:
                busy[lane[0]] += 1
                task = asyncio.create_task(self._attempt(each, self._session), name=f"effect {self._hall}")
                self._under_way[task] = each
                task.add_done_callback(self._attempted)
        return soonest

    def _attempted(self, task: asyncio.Task[None]) -> None:
        del self._under_way[task]
        self._wake.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("effect.attempt_broken", hall=self._hall, exc_info=error)

    async def _attempt(self, each: Progress, session: SessionInfo) -> None:
        """Try one effect within the time limit; whatever its performer raises is this attempt's failure."""
        try:
            if not await self._holds():  # another bot has the hall: what is owed is for that one to do
                each.not_before = time.monotonic() + _NOT_OURS_SECONDS
                return
        except Unavailable as error:  # nobody knows whether it is ours to do: that is no attempt
            each.error = str(error)
            each.not_before = time.monotonic() + pause(each.attempts + 1)
            return
        if self._owed.get(each.owed.seq) is not each:
            return  # another has taken its place meanwhile
        each.attempts += 1
        work = asyncio.ensure_future(self._perform(each, session))
        try:
            await asyncio.wait({work}, timeout=self._settings.attempt_seconds)
        finally:
            if not work.done():  # one that doesn't let itself be cancelled is left behind
                work.cancel()
                work.add_done_callback(_heard)
        if not work.done():
            self._failed(each, session, f"no answer within {self._settings.attempt_seconds:g} s")
        elif work.cancelled():
            self._failed(each, session, "it was cancelled")
        elif (error := work.exception()) is None:
            self._settle(each, session, work.result())
        elif isinstance(error, EffectFailed):
            self._failed(each, session, str(error))
        else:
            log.error("effect.performer_failed", hall=self._hall, effect=each.lane[0], exc_info=error)
            self._failed(each, session, f"{type(error).__name__} at {place_of(error)}")

    async def _perform(self, each: Progress, session: SessionInfo) -> str | None:
        if each.kind is None or each.effect is None:
            raise EffectFailed("what the journal has of it can't be read")
        context = EffectContext(self._hall, f"{session.id}-{each.owed.seq}", each.attempts, each.kind.settings)
        return await each.kind.perform(each.effect, context)

    # -- what came of it --------------------------------------------------------------------------------

    def _failed(self, each: Progress, session: SessionInfo, error: str) -> None:
        each.error = error[:_MAX_ERROR]
        if self._is_hopeless(each):
            self._settle(each, session, each.error, each.attempts)
            return
        metrics.EFFECTS.labels(each.lane[0], "retried").inc()
        each.not_before = time.monotonic() + pause(each.attempts)
        log.warning("effect.retried", hall=self._hall, effect=each.lane[0], error=each.error, attempts=each.attempts)

    def _is_hopeless(self, each: Progress) -> bool:
        settings = self._settings
        age = (now_ms() - each.owed.at) / 1000 if each.owed.at else time.monotonic() - each.since
        old = age > settings.max_age_seconds and each.attempts >= min(_LEAST_ATTEMPTS, settings.attempts)
        return old or each.attempts >= settings.attempts

    def _settle(self, each: Progress, session: SessionInfo, error: str | None, attempts: int = 0) -> None:
        outcome = "done" if error is None else "dead" if attempts else "given_up"
        metrics.EFFECTS.labels(each.lane[0], outcome).inc()
        if attempts:
            log.error("effect.dead", hall=self._hall, effect=each.lane[0], error=error, attempts=attempts)
        if session.id != (self._session.id if self._session else None):
            return  # another session has begun meanwhile, or another bot has this one
        self._owed.pop(each.owed.seq, None)
        self._reported.add(each.owed.seq)
        self._settled(DebtSettled(each.plugin, each.key, each.owed, error, each.effect, attempts))


def _heard(work: asyncio.Future[str | None]) -> None:
    """Take note of the end of an attempt that was left behind, or the loop complains that nobody did."""
    if not work.cancelled():
        work.exception()
