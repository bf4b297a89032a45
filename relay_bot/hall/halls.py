"""The set of halls: finds rooms, gives each its hall, and lets none of them disturb another."""

from __future__ import annotations

import asyncio
import math
import time
from fnmatch import fnmatchcase
from typing import Any, Final

import structlog

from relay_bot.hall.admission import Admission
from relay_bot.hall.closing import Closing
from relay_bot.hall.hall import Ending, Hall
from relay_bot.hall.past import Past
from relay_bot.hall.pauses import pause
from relay_bot.hall.services import EffectFailed, Services
from relay_bot.hall.supervisor import Supervisor, Trouble
from relay_bot.journal.batch import Unavailable
from relay_bot.observe import metrics
from relay_bot.plugin import Request, Route
from relay_bot.wire.clock import now_ms
from relay_bot.wire.refusal import Refuse

log = structlog.get_logger("halls")

_STOOD_BACK_SECONDS: Final = 15.0
"""How long to leave a hall alone after another bot took it; then it is taken only if that one is gone."""
_ENDED_SECONDS: Final = 60.0
"""How long a room's listing may be stale: joining a room that has closed would make it anew."""
_ERASE_SECONDS: Final = 20.0
"""How long a hall may take to be erased from: it opens its session anew, and needs the database for it."""
_FORGET_SECONDS: Final = 3600.0
_DAY_MS: Final = 86_400_000
_FRESH_SECONDS: Final = 30.0
_ASK_AGAIN_SECONDS: Final = 5.0
"""A listing of rooms tells for so long that LiveKit answers; after that, one is asked for so often at most."""
_HINTS_SECONDS: Final = 0.1
"""How long after one listing of rooms a hint has another made."""
_SAY_AGAIN_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 8.0
_MAX_REMEMBERED: Final = 10_000
_STEADY_SECONDS: Final = 60.0
"""A hall that was served for so long failed of something new: it is begun anew soon."""


class Halls:
    """All halls of this process, by name: as many as are configured, and at most as the system bears (`most`)."""

    def __init__(self, services: Services, most: int | None = None) -> None:
        self._services = services
        self._most = most
        self._full_said_at = -math.inf
        self._past = Past()
        self._closing = Closing(lambda: self._services, self.wants)
        self._admission = Admission()
        self._halls: dict[str, Hall] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._ended: dict[str, float] = {}
        self._not_before: dict[str, tuple[float, int]] = {}
        self._why: dict[str, str] = {}
        """Of halls that a required plugin has stopped."""
        self._stood_back: set[str] = set()
        self._forget_at = 0.0
        self._declared = False
        self._stopping = False
        self._wake = asyncio.Event()
        self._asking = asyncio.Lock()
        self.trouble = ""
        """Why LiveKit did not tell its rooms when it was asked last; empty = it did."""
        self._asked_at = self._listed_at = -math.inf
        """When LiveKit was last asked for its rooms, and when it last told them (monotonic seconds)."""

    def get(self, name: str) -> Hall | None:
        """Find a hall."""
        return self._halls.get(name)

    def all(self) -> list[Hall]:
        """List the halls by name."""
        return [self._halls[name] for name in sorted(self._halls)]

    async def ask_past(self, name: str, plugin: str, route: Route, request: Request) -> Any:
        """See `Past.ask`."""
        return await self._past.ask(name, plugin, route, request, self._services)

    async def refuses_join(self, name: str, identity: str) -> Refuse | None:
        """Tell why someone is to get no join token for a hall, served or not. Raises `Unavailable`."""
        hall = self._halls.get(name)
        if hall is not None and hall.session is not None:
            return hall.refuses_join(identity)
        return await self._admission.refusal(name, identity, self._services)

    def wants(self, name: str) -> bool:
        """Tell whether the configuration lets the bot into a room."""
        halls = self._services.settings.halls
        included = any(fnmatchcase(name, pattern) for pattern in halls.include)
        return included and not any(fnmatchcase(name, pattern) for pattern in halls.exclude)

    def update(self, services: Services) -> None:
        """Take new settings: halls found from now on have them, and plugins in quarantine come back in all halls."""
        self._services = services
        for hall in self.all():
            hall.plugins_reloaded(services)
        self._declared = False
        self._wake.set()

    # -- finding -------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Ask LiveKit for its rooms every few seconds until cancelled, and end the sessions of those that are gone."""
        await self.reconcile()
        closing = Supervisor()
        closing.start("closing", self._closing.run)
        try:
            await self._find()
        finally:
            await closing.stop()

    async def end_gone(self) -> None:
        """End now what is to be ended, see `Closing`."""
        await self._closing.look()

    async def _find(self) -> None:
        while not self._stopping:
            self._wake.clear()
            await self._declare()
            await self.reconcile()
            await self._forget_old()
            try:
                async with asyncio.timeout(self._services.settings.halls.reconcile_seconds):
                    await self._wake.wait()
                await asyncio.sleep(self._asked_at + _HINTS_SECONDS - time.monotonic())
            except TimeoutError:
                pass

    async def reconcile(self) -> None:
        """Begin the halls of rooms that have none yet."""
        async with self._asking:
            await self._ask()

    async def _ask(self) -> None:
        try:
            rooms = await self._services.rooms.list_rooms()
        except EffectFailed as error:
            self.trouble = str(error)
            log.warning("halls.list_failed", error=str(error))
            return
        finally:
            self._asked_at = time.monotonic()
        self._listed_at = self._asked_at
        self.trouble = ""
        for name, sid in rooms:
            self.found(name, sid)

    async def hears_livekit(self) -> bool:
        """Tell whether LiveKit answers: it has told its rooms lately, or does so now.

        The listings alone would not tell: `reconcile_seconds` may be an hour where webhooks find the halls.
        """
        async with self._asking:  # who asks meanwhile hears the same answer
            now = time.monotonic()
            if now - self._listed_at >= _FRESH_SECONDS and now - self._asked_at >= _ASK_AGAIN_SECONDS:
                await self._ask()
        return time.monotonic() - self._listed_at < _FRESH_SECONDS

    def hinted(self, name: str, sid: str) -> None:
        """Hear of a room from a webhook, which may be old: joining a closed room makes it anew, so LiveKit is asked."""
        hall = self._halls.get(name)
        if self.wants(name) and not self._is_over(sid) and (hall is None or hall.room_sid != sid):
            self._wake.set()

    def found(self, name: str, sid: str) -> None:
        """Hear of a room that is there now, from its listing or its making; the first to tell begins the hall."""
        if self._stopping or not self.wants(name) or self._is_over(sid):
            return
        hall = self._halls.get(name)
        if hall is not None:
            hall.room_is(sid)
            return
        not_before, _ = self._not_before.get(name, (0.0, 0))
        if time.monotonic() < not_before:
            return
        if len(self._halls) >= (most := self._room_for()):
            metrics.DROPPED.labels("halls").inc()
            if time.monotonic() - self._full_said_at >= _SAY_AGAIN_SECONDS:
                self._full_said_at = time.monotonic()
                cause = "descriptors: raise LimitNOFILE or ulimit -n" if most == self._most else "halls.max_halls"
                log.warning("halls.full", hall=name, most=most, cause=cause)
            return
        hall = self._halls[name] = Hall(name, sid, self._services)
        self._tasks[name] = asyncio.create_task(self._serve(hall), name=f"hall {name}")

    def _room_for(self) -> int:
        configured = self._services.settings.halls.max_halls
        return configured if self._most is None else min(configured, self._most)

    def _is_over(self, sid: str) -> bool:
        ended = self._ended.get(sid)
        return ended is not None and time.monotonic() - ended < _ENDED_SECONDS

    def troubles(self) -> list[Trouble]:
        """List the halls that failed and are not served until their pause is over."""
        now = time.monotonic()
        return [
            Trouble("hall", self._failed(name, failures, not_before - now), name)
            for name, (not_before, failures) in self._not_before.items()
            if failures and not_before > now and name not in self._halls
        ]

    def _failed(self, name: str, failures: int, wait: float) -> str:
        why = self._why.get(name, "")
        return f"failed, {failures} times in a row; it is begun anew in {wait:.0f} s{why and f': {why}'}"

    # -- serving ----------------------------------------------------------------------------------------

    async def _serve(self, hall: Hall) -> None:
        """Run one hall to its end; its failure is its own."""
        log.info("hall.found", hall=hall.name, room_sid=hall.room_sid)
        ending = Ending.FAILED
        began = time.monotonic()
        try:
            ending = Ending.STOOD_BACK if await self._still_taken(hall.name) else await hall.run()
        except Exception:
            log.exception("hall.failed", hall=hall.name)
        finally:
            del self._halls[hall.name]
            del self._tasks[hall.name]
            self._remember(hall, ending, time.monotonic() - began)
            if ending is Ending.ENDED and hall.owes and hall.session is not None:
                self._closing.left(hall.session.info)
            log.info("hall.over", hall=hall.name, ending=ending.value)

    async def _still_taken(self, name: str) -> bool:
        """Tell whether the bot to which we stood back is still in the room."""
        if name not in self._stood_back:
            return False
        try:
            presences = await self._services.rooms.presences(name)
        except EffectFailed:
            return True
        own = self._services.settings.bot.identity
        if any(presence.identity == own for presence in presences):
            return True
        self._stood_back.discard(name)
        return False

    def _remember(self, hall: Hall, ending: Ending, lived: float) -> None:
        now = time.monotonic()
        self._why.pop(hall.name, None)
        if hall.failure:
            self._why[hall.name] = hall.failure
        for kept in (self._ended, self._not_before, self._why):
            if len(kept) > _MAX_REMEMBERED:
                kept.clear()
        if ending is Ending.ENDED:
            self._ended[hall.ended_sid] = now
        elif ending is Ending.STOOD_BACK:
            self._stood_back.add(hall.name)
            self._not_before[hall.name] = (now + _STOOD_BACK_SECONDS + pause(3), 0)
        elif ending is Ending.FAILED:
            metrics.HALL_RESTARTS.labels("failure").inc()
            failures = 1 if lived > _STEADY_SECONDS else self._not_before.get(hall.name, (0.0, 0))[1] + 1
            self._not_before[hall.name] = (now + pause(failures), failures)

    # -- personal data ------------------------------------------------------------------------------------

    async def erase(self, identity: str) -> int:
        """Erase a participant from all that is kept, running halls included.

        Gives how many events and shelved things named them.

        Raises `Unavailable` where the journal can't be written.
        """
        services, asked = self._services, self.all()
        events, live = await self._erase_in(asked, identity)
        events += await services.journal.erase(identity, services.rules(), besides=live)
        await services.shelf.load()
        # Those found meanwhile may have read their journal before it was erased from.
        late = [hall for hall in self.all() if hall not in asked]
        found, _ = await self._erase_in(late, identity, unseen=True)
        return events + found

    async def _erase_in(self, halls: list[Hall], identity: str, *, unseen: bool = False) -> tuple[int, list[int]]:
        """Erase someone from the sessions of halls, from those also that are about to open one.

        Gives how many events named them, and the sessions that this was done in.
        """
        try:
            async with asyncio.timeout(_ERASE_SECONDS):
                counts = await asyncio.gather(*(hall.erase(identity, unseen=unseen) for hall in halls))
        except TimeoutError:
            raise Unavailable("a hall can't be erased from now; send again") from None
        done = [
            (count, hall.session.info.id)
            for hall, count in zip(halls, counts, strict=True)
            if count is not None and hall.session is not None
        ]
        return sum(count for count, _ in done), [session for _, session in done]

    async def _declare(self) -> None:
        """Keep what the plugins declare of people: so that they can be erased from what a plugin kept that is gone."""
        if not self._declared:
            try:
                await self._services.journal.declare(self._services.rules())
            except Unavailable as error:
                log.warning("halls.not_declared", error=str(error))
            else:
                self._declared = True

    async def _forget_old(self) -> None:
        """Delete what is older than it is to be kept: once an hour.

        Answers to requests that belong to no hall go after a day: among them are join tokens, which name
        somebody in a form that no erasure finds.
        """
        if time.monotonic() < self._forget_at:
            return
        self._forget_at = time.monotonic() + _FORGET_SECONDS
        services, now = self._services, now_ms()
        days = services.settings.storage.retention_days
        living = [hall.session.info.id for hall in self.all() if hall.session is not None]
        try:
            await services.journal.forget_answers(now - _DAY_MS)
            gone = await services.journal.forget_sessions(now - int(days * _DAY_MS), living) if days > 0 else 0
        except Unavailable as error:
            log.warning("halls.retention_failed", error=str(error))
        else:
            if gone:
                log.info("halls.sessions_forgotten", sessions=gone)

    async def stop(self) -> None:
        """Let every hall decide what has arrived, commit and leave; stragglers are named and cancelled."""
        self._stopping = True
        self._wake.set()
        tasks = list(self._tasks.values())
        for hall in self.all():
            hall.stop()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=_STOP_SECONDS)
            for task in late:
                log.warning("halls.straggler", task=task.get_name())
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)


class Hinted:
    """The set of halls to whom rooms are told by hearsay: see `Halls.hinted`."""

    def __init__(self, halls: Halls) -> None:
        self.found = halls.hinted
