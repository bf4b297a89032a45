"""Ends the sessions of rooms that are gone for good: also where no one came back, and where the bot was down then.

Their plugins hear `ended` as at any other end, and what that owes is done, before the session is over. A kill between
leaves it to whoever looks next; `ended` may be told again then.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Final

import structlog

from relay_bot.effect import CORE_EFFECTS
from relay_bot.hall.calling import PluginCalls
from relay_bot.hall.deadlines import Deadlines
from relay_bot.hall.debts import Debtor, DebtSettled
from relay_bot.hall.deciding import Decider
from relay_bot.hall.past import PastHall
from relay_bot.hall.services import EffectFailed, Services
from relay_bot.hall.session import Session
from relay_bot.hall.timers import TimerRetries
from relay_bot.hall.turn import Halted
from relay_bot.journal.batch import Batch, JournalError, SessionInfo, Unfinished, settle
from relay_bot.wire.clock import now_ms

log = structlog.get_logger("halls")

_LOOK_SECONDS: Final = 15.0
_SEEN_SECONDS: Final = 3.0
STALE_MS: Final = 15_000
"""Whoever closes a session says so every three seconds; after so long another may go on with it."""
_WORK_SECONDS: Final = 300.0
"""So long it is tried to do what a closed session owes; what is left is tried again at the next look."""


class Closing:
    """Looks for such sessions, and ends one after the other."""

    def __init__(self, services: Callable[[], Services], wants: Callable[[str], bool]) -> None:
        self._services = services
        self._wants = wants
        self._left: dict[int, SessionInfo] = {}
        """Sessions that halls of this process have left with something to do."""
        self._wake = asyncio.Event()

    def left(self, session: SessionInfo) -> None:
        """Hear that a hall has ended whose session still owes something."""
        self._left[session.id] = session
        self._wake.set()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            self._wake.clear()
            try:
                await self.look()
            except (JournalError, EffectFailed) as error:
                log.warning("halls.not_closed", error=str(error))
            every = min(self._services().settings.halls.resume_seconds / 2, _LOOK_SECONDS)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(every):
                    await self._wake.wait()

    async def look(self) -> None:
        """End what is to be ended; raises `JournalError` and `EffectFailed`."""
        services, now = self._services(), now_ms()
        unseen = now - int(services.settings.halls.resume_seconds * 1000)
        found = [each for each in await services.journal.unfinished(unseen) if self._wants(each.hall)]
        if not found:
            return
        # Only now: a room that comes back later finds its session closed, or takes it up before that is claimed.
        rooms = {name for name, _ in await services.rooms.list_rooms()}
        for each in found:
            if each.closing or each.hall not in rooms:
                await self._close(each, unseen, room_is_back=each.hall in rooms)

    async def _close(self, each: Unfinished, unseen: int, *, room_is_back: bool) -> None:
        services, ours = self._services(), self._left.pop(each.session, None)
        now = now_ms()
        info = await services.journal.claim_closing(
            each.session, now, unseen, now - STALE_MS, ours.epoch if ours is not None else 0
        )
        if info is None:
            return  # somebody was quicker, or the room has come back
        log.info("hall.closing", hall=each.hall, session=info.id)
        try:
            over = await ClosingSession(each.hall, info, services, room_is_back=room_is_back).run()
        except JournalError:
            raise
        except Exception:  # of a plugin's state, say: it can't be told, and must not stay open for ever
            log.exception("hall.not_told_of_its_end", hall=each.hall, session=info.id)
            over = True
        if await services.journal.release(info, now_ms(), ended=over):
            log.info("hall.closed", hall=each.hall, session=info.id, ended=over)


class ClosingSession:
    """One session that is opened a last time, without a room."""

    def __init__(self, hall: str, info: SessionInfo, services: Services, *, room_is_back: bool) -> None:
        self._hall = hall
        self._info = info
        self._services = services
        self._room_is_back = room_is_back
        self._notes: list[DebtSettled] = []
        self._noted = asyncio.Event()

    async def run(self) -> bool:
        """Tell the plugins, and do what is owed; gives whether all of it is done. Raises `JournalError`."""
        decider = await self._open()
        try:
            decider.tell(lambda plugin, context: plugin.ended(context))
        except Halted:  # what was decided before that is kept, and the session in memory is not what it says
            await self._commit(decider)
            decider = await self._open()
        await self._commit(decider)
        return await self._work_off(decider)

    async def _open(self) -> Decider:
        view = PastHall(self._hall, self._services)
        session = view.session = Session(self._info, self._services.plugins, view)
        await session.replay(self._services.journal)
        calls = PluginCalls(self._hall, self._services.watchdog)
        return Decider(view, self._services, session, calls, TimerRetries(Deadlines()))

    async def _commit(self, decider: Decider) -> None:
        turn = decider.take_turn()
        if not turn.must_be_kept():
            return
        done: asyncio.Future[JournalError | None] = asyncio.get_running_loop().create_future()
        batch = Batch(self._info, settle(done))
        batch.events, batch.answers, batch.shelved = turn.events, turn.answer_rows, turn.shelved
        batch.secrets, batch.forgotten = turn.secrets, turn.forgotten
        self._services.journal.submit(batch)
        if (error := await done) is not None:
            raise error
        self._services.shelf.settle(turn.shelved)

    async def _work_off(self, decider: Decider) -> bool:
        """Do what is owed until nothing is, or its time is over."""
        debtor = Debtor(self._hall, self._services, self._note, self._holds)
        debtor.begin(self._info, decider.session.core.debts())
        if self._room_is_back:  # another room has that name now: what concerned people in the old one is over
            for each in debtor.progress():
                if isinstance(each.effect, CORE_EFFECTS):
                    self._note(DebtSettled(each.plugin, each.key, each.owed, "not_found", each.effect))
        await self._write_off(decider)
        debtor.begin(self._info, decider.session.core.debts())
        working = asyncio.create_task(debtor.run(), name=f"effects {self._hall}")
        until = time.monotonic() + _WORK_SECONDS
        try:
            while any(each.kind is not None for each in debtor.progress()) and time.monotonic() < until:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_SEEN_SECONDS):
                        await self._noted.wait()
                await self._write_off(decider)
                debtor.owe(decider.session.core.debts())
                if not await self._services.journal.release(self._info, now_ms(), ended=False):
                    return False  # another goes on with it
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
        return time.monotonic() < until

    def _note(self, note: DebtSettled) -> None:
        self._notes.append(note)
        self._noted.set()

    async def _holds(self) -> bool:
        return await self._services.journal.holds(self._info)

    async def _write_off(self, decider: Decider) -> None:
        self._noted.clear()
        notes, self._notes = self._notes, []
        for note in notes:
            decider.debt_settled(note)
        await self._commit(decider)
