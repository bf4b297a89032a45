"""One hall: takes its mailbox item by item, has each decided, and keeps itself and its room together."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import time
from collections import deque
from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec
import structlog

from relay_bot.hall.calling import PluginCalls, is_expected, join_refusal, parts, together
from relay_bot.hall.committing import BUSY, Committer
from relay_bot.hall.deadlines import Deadlines
from relay_bot.hall.debts import Debtor, DebtSettled, Progress
from relay_bot.hall.deciding import Decider
from relay_bot.hall.feed import Feed
from relay_bot.hall.gate import Gate, Read
from relay_bot.hall.mailbox import Mailbox
from relay_bot.hall.message import (
    Answered,
    Asked,
    BackendMessage,
    CommandCall,
    RetryEffect,
    RouteCall,
    RpcWaiter,
    refused,
)
from relay_bot.hall.outbox import AckGroups, Outbox
from relay_bot.hall.ownership import Ownership
from relay_bot.hall.pauses import pause
from relay_bot.hall.people import People
from relay_bot.hall.quarantine import Quarantine, Quarantined
from relay_bot.hall.roster import HallRoster
from relay_bot.hall.saying import SaidNotes
from relay_bot.hall.seat import Seated, SeatKeeper, Unseated
from relay_bot.hall.services import EffectFailed, Services
from relay_bot.hall.session import Loaded, Session
from relay_bot.hall.supervisor import Supervisor, Trouble
from relay_bot.hall.timers import TimerRetries
from relay_bot.hall.turn import Halted, Turn
from relay_bot.journal.batch import Batch, Fenced, JournalError, SessionInfo, SnapshotRow, Unavailable, settle
from relay_bot.journal.erasing import erased
from relay_bot.journal.events import State
from relay_bot.link import Changed, Encrypted, Frame, Interrupted, Joined, Left, Lost, Presence, Reason, Resumed
from relay_bot.observe import metrics
from relay_bot.plugin import Sender, own_methods
from relay_bot.wire.clock import now_ms
from relay_bot.wire.refusal import Refuse

log = structlog.get_logger("hall")

_ITEMS_A_SLICE: Final = 256
"""Items handled before other halls get the loop."""
_MESSAGES_A_TURN: Final = 4_000
"""Decisions that may gather while a commit is under way; then the mailbox waits."""
_CROWD: Final = 32
"""Messages of a turn that make a crowd."""
_GATHER_SECONDS: Final = 0.02
"""From a crowd's turn to the next one: a commit and its acks cost a crowd less the fewer they are."""
_LOOKUP_SECONDS: Final = 0.1
_FAILURES: Final = 4
_FAILURE_SECONDS: Final = 30.0
"""After so many failures within so long a hall waits before it opens its session again: replays cost all halls."""
_CLOSE_SECONDS: Final = 5.0
_WORK_OFF_SECONDS: Final = 2.0
"""How long a hall whose room is gone stays for what it owes."""
_OVERDUE_SECONDS: Final = 60.0
"""An effect that is not done for so long is told as a trouble."""
_ENCRYPTED: Final = "the room is end-to-end encrypted: what its participants send encrypted can't be read by the bot"
_OVER: Final = Refuse("hall_not_active", "the hall is not active any more")


class Ending(enum.Enum):
    """Why a hall stopped being served."""

    ENDED = "ended"
    """The room is gone for good: the session is over."""
    GONE = "gone"
    """The room is not there now; if it comes back in time, the session goes on."""
    STOOD_BACK = "stood_back"
    """Another bot has it."""
    STOPPED = "stopped"
    """The process stops."""
    FAILED = "failed"
    """A task that it can't do without fails again and again: it begins anew."""


HallStatus = Literal["starting", "live", "away", "degraded", "ended"]

_ENDINGS: Final = {
    Reason.ROOM_ENDED: Ending.ENDED,
    Reason.DUPLICATE: Ending.STOOD_BACK,
    Reason.REMOVED: Ending.GONE,
    Reason.NETWORK: Ending.GONE,
}


class _Looked(msgspec.Struct, frozen=True):
    """The answer of the server API: who is in the room."""

    presences: list[Presence]


class _Erase(msgspec.Struct, frozen=True):
    """Someone is to be erased from this session; `done` hears how many events named them, `None` if it is over."""

    identity: str
    done: asyncio.Future[int | None]

    def over(self) -> None:
        """Say that the hall is over: what it knew is in the journal by now."""
        if not self.done.done():
            self.done.set_result(None)


class _GaveUp(msgspec.Struct, frozen=True):
    """One of the hall's tasks fails again and again."""

    part: str


class _Reloaded(msgspec.Struct, frozen=True):
    """The configuration was read again, and these are the plugins."""

    plugins: Mapping[str, Loaded]


class RequiredFailed(Exception):
    """A required plugin does not work in this hall."""


class _Stop(msgspec.Struct, frozen=True):
    """The process asks the hall to finish."""


class Hall:
    """One hall, from the moment it is found until `run` returns. It is also the plugins' `HallView`."""

    def __init__(self, name: str, room_sid: str, services: Services) -> None:
        self.name = name
        self.room_sid = room_sid
        self.ended_sid = ""
        """The room whose end was heard; `room_sid` may be that of the next one of the same name by then."""
        self.failure = ""
        """Why it ended, where a required plugin is the cause."""
        self.status: HallStatus = "starting"
        self._services = services
        self._encrypted = False
        settings = self._settings = services.settings
        self._roster = HallRoster(settings.roles, (settings.bot.identity, settings.bot.name))
        self._gate = Gate(settings.gate, frozenset(settings.halls.dialects), self._roster, settings.bot.identity)
        self._people = People(self._roster, self._gate)
        self._mailbox = Mailbox(settings.gate.mailbox, self._refuse_full)
        link = services.link.name
        self._outbox = Outbox(name, settings.halls.snapshots_per_second, link, self._roster.__len__)
        self._gate.on_refusal = self._refusals_wait
        self._notes = SaidNotes(services.journal, self._outbox)
        self.feed = Feed()
        self._keeper = SeatKeeper(name, services, self._mailbox)
        self.ownership = Ownership(name, services.journal, lambda: self.room_sid, self._stand_back)
        self._debtor = Debtor(name, services, self._mailbox.note, self.ownership.holds)
        self._committer = Committer(
            name,
            settings.bot,
            services.journal,
            self._outbox,
            self.feed,
            self._debtor,
            self._gate,
            self._roster,
            self._not_kept,
            self._committed,
            self._waiting_ids,
            link,
            self._notes.row,
        )
        self._quarantine = Quarantine(name, self._plugin_given_up)
        self._calls = PluginCalls(name, services.watchdog, self._quarantine)
        self._decider: Decider | None = None
        """`None` while there is no session in memory that is what its journal says."""
        self._session: Session | None = None
        self._ending: Ending | None = None
        self._timers = TimerRetries(Deadlines())
        self._gather_until = 0.0
        """When a crowd's next turn may be committed (monotonic seconds); 0 without a crowd."""
        self._failures: deque[float] = deque(maxlen=_FAILURES)
        """When handlers last failed so that the session had to be opened again."""
        self._supervisor = Supervisor(name, lambda part: self._mailbox.note(_GaveUp(part)))
        self._to_erase: list[_Erase] = []
        self._said_again = False
        self._inherits = True
        self._earlier: dict[str, State] | None = None
        """What plugins are to inherit from as soon as they can be told."""

    # -- the plugins' HallView --------------------------------------------------------------------------

    @property
    def seq(self) -> int:
        """See `HallView.seq`."""
        return self._session.seq if self._session else 0

    @property
    def bot_identity(self) -> str:
        """See `HallView.bot_identity`."""
        return self._settings.bot.identity

    @property
    def roster(self) -> HallRoster:
        """See `HallView.roster`."""
        return self._roster

    @property
    def encrypted(self) -> bool:
        """See `HallView.encrypted`."""
        return self._encrypted

    def erased_as(self, identity: str) -> tuple[str, ...]:
        """See `HallView.erased_as`."""
        return self._session.erased_as(identity) if self._session else ()

    # -- what the process asks ----------------------------------------------------------------------------

    @property
    def session(self) -> Session | None:
        """The session as it is in memory."""
        return self._session

    @property
    def active(self) -> bool:
        """Tell whether the hall takes requests now."""
        return self.status == "live"

    @property
    def owes(self) -> bool:
        """Tell whether an effect of the session is not settled."""
        return self._session is not None and bool(self._session.core.owed)

    @property
    def waiting(self) -> int:
        """How many messages wait to be decided."""
        return len(self._mailbox)

    @property
    def dead_effects(self) -> int:
        """How many effects were given up and can be tried again by hand."""
        return len(self._session.core.dead) if self._session is not None else 0

    def owed_effects(self) -> list[Progress]:
        """List the effects that are owed, with how far each is."""
        return self._debtor.progress()

    def is_settled(self) -> bool:
        """Tell whether all that has arrived is decided, durable and said (but for throttled snapshots)."""
        idle = self._decider is None or self._decider.turn.is_empty()
        greeted = self.status != "live" or not self._people.waiting
        said = greeted and not (self._gate.refusals or self._outbox.backlog)
        return idle and not self._committer.busy and not len(self._mailbox) and said

    async def request(self, item: Asked) -> Answered:
        """Have a backend's request decided like any message; gives the answer after the commit."""
        if not self.active:
            raise Refuse("hall_not_active", "the hall is not active")
        if not self._mailbox.put(item):
            raise Refuse("busy", "the hall is overloaded; send again", retry_after_ms=1000)
        return await item.waiter.future

    def refuses_join(self, identity: str) -> Refuse | None:
        """Ask the plugins whether someone is to get no join token."""
        if self._session is None:
            return None
        if self._session.closed:
            return Refuse(
                "internal", "the hall can't tell who is banned now: no join tokens until an operator mends it"
            )
        return self._refuses_stay(identity)

    def _refuses_stay(self, identity: str) -> Refuse | None:
        return None if self._session is None else join_refusal(self._session.plugins, identity, self._calls)

    def is_taken(self, identity: str, seconds: float) -> bool:
        """Tell whether an identity is somebody's: here, here within the last seconds, or expected back."""
        if self._roster.was_here(identity, seconds):
            return True
        return self._session is not None and is_expected(self._session.plugins, identity, self._calls)

    async def erase(self, identity: str, *, unseen: bool = False) -> int | None:
        """Erase someone from this session's journal and memory; gives how many events named them.

        A session that doesn't name them goes on undisturbed. `unseen`: the journal can't tell that, because they were
        erased from it after this session was read. `None`: the hall has ended meanwhile, and its session is to be
        erased from like any other.
        """
        if not unseen and self._decider is not None and not await self._names(self._decider, identity):
            return 0
        if self.status == "ended":
            return None
        done: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self._mailbox.note(_Erase(identity, done))
        return await done

    async def _names(self, decider: Decider, identity: str) -> bool:
        """Tell whether this session names someone, in its journal or in what is on its way there."""
        session, rules = decider.session.info.id, self._services.rules()
        coming = [*self._committer.events(), *decider.turn.events]
        if any(erased(kind, body, identity, "", rules) for _, _, _, kind, body in coming):
            return True
        return await self._services.journal.names(session, identity, rules)

    def hear_dialect(self, dialect: str) -> None:
        """Take note that clients here speak a dialect, though none has been heard yet."""
        self._gate.hear(dialect)

    def room_is(self, sid: str) -> None:
        """Hear under which id LiveKit has the room now: another one after the SFU was restarted."""
        if sid and sid != self.room_sid:
            self.room_sid = sid
            self.ownership.moved()

    def stop(self) -> None:
        """Ask the hall to finish: decide what has arrived, commit, say it, leave."""
        self._mailbox.note(_Stop())

    def summary(self) -> dict[str, Any]:
        """Describe the hall for `GET /v1/halls/{hall_id}`."""
        found: dict[str, Any] = {
            "hall_id": self.name,
            "room_sid": self.room_sid,
            "status": self.status,
            "seq": self.seq,
            "participants": len(self._roster),
            "bot_identity": self.bot_identity,
        }
        if self._encrypted:
            found["encrypted"] = True
        if self._quarantine.found:
            found["quarantined"] = [msgspec.to_builtins(each) for each in self._quarantine.found.values()]
        if self._session is not None:
            found = together(parts(self._session.plugins, lambda plugin: plugin.summary(), self._calls)) | found
        return found

    def troubles(self) -> list[Trouble]:
        """List what of this hall does not work: a task, or an effect that is not done for long."""
        overdue = self._debtor.overdue(_OVERDUE_SECONDS)
        late = [Trouble("effects", f"{overdue} not done for {_OVERDUE_SECONDS:g} s", self.name)] if overdue else []
        if self.dead_effects:
            late.append(
                Trouble("dead effects", f"{self.dead_effects} given up; /v1/halls/…/effects lists them", self.name)
            )
        left_out = [
            Trouble("plugin", f"{each.plugin} is in quarantine since {each.since}: {each.reason}", self.name)
            for each in self._quarantine.found.values()
        ]
        if self._encrypted:
            late.append(Trouble("encrypted", _ENCRYPTED, self.name))
        return self._supervisor.troubles() + late + left_out

    # -- life -----------------------------------------------------------------------------------------------

    async def run(self) -> Ending:
        """Serve the hall until its room is gone, another bot has it, or the process stops."""
        self._supervisor.start("outbox", self._outbox.run)
        self._supervisor.start("effects", self._debtor.run)
        self._supervisor.start("heartbeat", lambda: self.ownership.run(self._settings.halls.resume_seconds))
        seated = False
        failures = 0
        try:
            while self._ending is None:
                try:
                    erased = await self._erase_named()
                    decider = self._decider = await self._open()
                    self._tell_erased(erased)
                except Fenced:
                    self.ownership.lose()
                    break
                except Unavailable as error:
                    failures += 1
                    await self._wait_degraded(str(error), failures)
                    continue
                failures = 0
                if not seated:  # only now: the claim in the journal fences another bot before it is thrown out
                    self._supervisor.start("connection", self._keeper.run)
                    seated = True
                self._catch_up(decider)
                await self._serve(decider)
                if len(self._failures) == _FAILURES and time.monotonic() - self._failures[0] < _FAILURE_SECONDS:
                    await self._wait_degraded("handlers fail again and again", _FAILURES)
            if not self.ownership.lost:
                self._say_refusals()
                await self._outbox.flush(2.0)
            assert self._ending is not None
            return self._ending
        finally:
            self.status = "ended"
            await self._supervisor.stop()
            said = self._notes.row()
            self._notes.end()
            await self._keeper.leave()
            self._drop_everything()
            await self._close(said)
            self._quarantine.clear()

    async def _open(self) -> Decider:
        """Claim the session and bring it to what the journal says."""
        settings, journal = self._settings.halls, self._services.journal
        await self._services.shelf.load()
        if self._session is not None and not await journal.holds(self._session.info):
            raise Fenced("another bot has taken this hall over")
        self.ownership.opening()
        info = await journal.claim(self.name, self.room_sid, now_ms(), int(settings.resume_seconds * 1000))
        self.ownership.took(info)
        answers_bytes, without = self._settings.storage.answers_bytes, self._quarantine.found
        session = Session(info, self._services.plugins, self, answers_bytes, without)
        await session.replay(journal)
        for plugin, reason in session.faults.items():
            self._quarantine.add(plugin, reason)
        if self.failure:
            raise RequiredFailed(self.failure)
        if session.seq == 0 and self._inherits:
            self._earlier = await self._recall(info)
        self._session = session
        self._notes.begin(info)
        self._roster.distrust(session.core.distrusted, session.erased_as)
        self._debtor.begin(info, session.core.debts())
        self.status = "live" if self._keeper.seat is not None else "starting"
        log.info("hall.opened", hall=self.name, session=info.id, epoch=info.epoch, seq=session.seq)
        return Decider(self, self._services, session, self._calls, self._timers)

    def _plugin_given_up(self, found: Quarantined) -> None:
        """Go on without a plugin; a required one ends the hall, which is begun anew after a pause."""
        loaded = self._services.plugins.get(found.plugin)
        self._failures.clear()  # their cause is gone: the hall need not wait for it
        if self._session is not None:
            self._session.leave_out(found.plugin)
        if loaded is not None and loaded.required:
            self.failure = f"the required plugin {found.plugin} is not working: {found.reason}"
            log.error("hall.stopped", hall=self.name, plugin=found.plugin, reason=found.reason)
            self._ending = self._ending or Ending.FAILED
            self._mailbox.wake()

    def plugins_reloaded(self, services: Services) -> None:
        """Hear that the configuration was read again: plugins in quarantine come back, as it has them now."""
        if self._quarantine.found:
            self._mailbox.note(_Reloaded(services.plugins))

    def _let_back(self, loaded: Mapping[str, Loaded], decider: Decider | None) -> None:
        plugins = dict(self._services.plugins)
        for name in self._quarantine.clear():
            plugins.pop(name, None)
            if name in loaded:
                plugins[name] = loaded[name]
        self._services = msgspec.structs.replace(self._services, plugins=plugins)
        if decider is not None:
            self._restart(decider, "reload")

    async def _recall(self, info: SessionInfo) -> dict[str, State]:
        """Give the states of the session before, of the plugins that inherit from it."""
        journal, loaded = self._services.journal, self._services.plugins
        heirs = {name: each for name, each in loaded.items() if "inherit" in own_methods(each.spec.plugin_type)}
        before = await journal.before(info.id) if heirs else None
        if before is None:
            return {}
        try:
            return await Session(SessionInfo(before, 0), heirs, self).recall(journal)
        except Unavailable:
            raise
        except Exception:  # what an older version wrote, say: a hall begins without it
            log.exception("hall.nothing_inherited", hall=self.name, session=before)
            return {}

    def _catch_up(self, decider: Decider) -> None:
        """Tell the plugins that they begin, and who came, changed and left while no session could hear it."""
        earlier, self._earlier = self._earlier, None
        try:
            if earlier is not None:
                self._inherits = False  # until it has: one that fails at it must not do so for ever
                decider.inherit(earlier)
                self._inherits = True
            decider.tell(lambda plugin, context: plugin.opened(context))
            self._people.begin(decider)
            self._people.catch_up(decider)
        except Halted:
            self._restart(decider, "handler")

    async def _erase_named(self) -> list[int]:
        """Erase whom we were asked to; between two sessions in memory, so that none of them says it again."""
        if self._session is None:
            return []
        journal, rules, only = self._services.journal, self._services.rules(), self._session.info.id
        counts: list[int] = []
        for each in self._to_erase:
            counts.append(await journal.erase(each.identity, rules, only=only))
            self._people.erased(each.identity)
        return counts

    def _tell_erased(self, counts: list[int]) -> None:
        for asked, events in zip(self._to_erase, counts, strict=False):
            if not asked.done.done():
                asked.done.set_result(events)
        del self._to_erase[: len(counts)]

    async def _close(self, said: list[SnapshotRow]) -> None:
        """Write the last snapshots, and say in the journal how the session was left."""
        if self._session is None or self._ending is Ending.STOOD_BACK:
            return
        done: asyncio.Future[JournalError | None] = asyncio.get_running_loop().create_future()
        batch = Batch(self._session.info, settle(done))
        if self._decider is not None and self._ending is not None:
            # An end in order has committed every turn; a hall that was cancelled may know what its journal does not.
            batch.snapshots = self._session.take_snapshots() + said
        with contextlib.suppress(JournalError, TimeoutError):
            self._services.journal.submit(batch)
            async with asyncio.timeout(_CLOSE_SECONDS):
                await done
                gone = self._ending is Ending.ENDED
                await self._services.journal.release(
                    self._session.info,
                    now_ms(),
                    ended=gone and not self.owes,
                    room_sid=self.room_sid,
                    closing=gone,
                )

    def _drop_everything(self) -> None:
        """Answer what is left when the hall ends: nobody waits for ever."""
        self._roster.clear()
        for item in self._mailbox.take(len(self._mailbox)):
            if isinstance(item, Asked):
                item.waiter.answer(refused(_OVER), AckGroups())
            elif isinstance(item, Frame) and item.reply is not None:
                RpcWaiter(item.reply, None).answer(refused(_OVER), AckGroups())
            elif isinstance(item, _Erase):
                item.over()
        self._committer.abandon(refused(_OVER))
        for asked in self._to_erase:
            asked.over()
        if self._decider is not None:
            self._committer.refuse(self._decider.take_turn(), refused(_OVER))
        self._outbox.clear()
        self.feed.close()
        for hold in (self._gate.nameless, self._gate.strangers):
            deque(hold.clear(), maxlen=0)

    # -- the loop ----------------------------------------------------------------------------------------------

    async def _serve(self, decider: Decider) -> None:
        """Take items, decide, commit, until the hall ends or its session must be opened again."""
        while self._decider is decider and self._ending is None:
            if decider.turn.messages < _MESSAGES_A_TURN:
                self._slice(decider, self._mailbox.take(_ITEMS_A_SLICE))
            if self._decider is not decider or self._ending is not None:
                break
            gathering = self._gathering(decider.turn)
            if not gathering and not self._committer.busy and not decider.turn.is_empty():
                self._gather_until = time.monotonic() + _GATHER_SECONDS if decider.turn.messages >= _CROWD else 0.0
                self._committer.submit(decider.take_turn())
            if decider.turn.messages >= _MESSAGES_A_TURN:
                await self._committer.idle()
            elif len(self._mailbox) or (self.status == "live" and self._people.waiting):
                await asyncio.sleep(0)
            elif gathering:
                await asyncio.sleep(gathering)
            else:
                await self._mailbox.wait(self._next_deadline(decider))
        if self._decider is decider:
            self._decide_last(decider)
        await self._committer.idle()
        if self._ending is Ending.ENDED:
            await self._work_off(decider)

    def _gathering(self, turn: Turn) -> float:
        """Give the seconds for which a turn is still to gather; 0 where it may be committed."""
        if not self._gather_until or turn.is_empty() or turn.messages >= _MESSAGES_A_TURN:
            return 0.0
        return max(0.0, self._gather_until - time.monotonic())

    def _decide_last(self, decider: Decider) -> None:
        """Let plugins finish when the session ends for good, and commit what there is."""
        if self._ending is Ending.ENDED:
            with contextlib.suppress(Halted):
                decider.tell(lambda plugin, context: plugin.ended(context))
        if self._ending is not Ending.STOOD_BACK and not decider.turn.is_empty():
            self._committer.submit(decider.take_turn())

    async def _work_off(self, decider: Decider) -> None:
        """Have done what the end of the session owes, for a moment; the rest is done after it, see `Closing`."""
        until = time.monotonic() + _WORK_OFF_SECONDS
        others: list[Any] = []
        while self._decider is decider and self.owes and (left := until - time.monotonic()) > 0:
            if self.ended_sid and self.room_sid != self.ended_sid:
                break  # there is another room of this name already: it must not be done there
            for item in self._mailbox.take(_ITEMS_A_SLICE):
                if isinstance(item, DebtSettled) and self._decider is decider:
                    self._settle_last(decider, item)
                else:
                    others.append(item)
            if not decider.turn.is_empty():
                self._committer.submit(decider.take_turn())
                await self._committer.idle()
            else:
                await self._mailbox.wait(left)
        self._mailbox.give_back(others)

    def _settle_last(self, decider: Decider, item: DebtSettled) -> None:
        try:
            decider.debt_settled(item)
        except Halted:
            self._restart(decider, "handler")

    def _slice(self, decider: Decider, items: list[Any]) -> None:
        started = time.perf_counter()
        try:
            for index, item in enumerate(items):
                if self._decider is not decider:
                    if self._to_erase:  # the session is only read again: what comes now is decided then
                        self._mailbox.give_back(items[index:])
                        break
                    self._take_degraded(item)
                    continue
                if self._ending is not None:
                    self._mailbox.give_back(items[index:])
                    break
                try:
                    self._take(decider, item)
                except Halted:
                    for left in items[index + 1 :]:
                        self._take_degraded(left)
                    raise
                except BaseException:  # a fault of ours, which ends the hall: whoever waits is told so
                    self._mailbox.give_back(items[index:])
                    raise
            if self._decider is decider:
                self._expire(decider)
                decider.fire_timers()
                decider.reject_expired()
                self._people.tell_again(decider)
                if self.status == "live":
                    self._people.greet(decider, lambda identity: self._refuses_stay(identity) is None)
        except Halted:
            self._restart(decider, "handler")
        if items:
            self._gate.count()
            metrics.HANDLER_SECONDS.observe(time.perf_counter() - started)

    def _restart(self, decider: Decider, cause: str) -> None:
        """Commit what was decided so far, then open the session anew from the journal."""
        metrics.HALL_RESTARTS.labels(cause).inc()
        log.warning("hall.restarts", hall=self.name, cause=cause)
        if cause == "handler":
            self._failures.append(time.monotonic())
        self._decider = None
        self._committer.submit(decider.take_turn(), wrong_state=True)

    def _not_kept(self, error: JournalError) -> None:
        """Hear that the journal did not keep a turn (see `Committer`)."""
        decider, self._decider = self._decider, None
        if decider is not None:
            self._committer.refuse(decider.take_turn(), refused(BUSY))
        if isinstance(error, Fenced):
            self.ownership.lose()
        else:
            self.status = "degraded"
            metrics.HALL_RESTARTS.labels("journal").inc()

    def _stand_back(self) -> None:
        """Decide, send and tell nothing any more: another bot has the session."""
        self._ending = Ending.STOOD_BACK
        self.status = "ended"
        self._debtor.stop()
        self._outbox.seated(None)
        self._outbox.clear()
        decider, self._decider = self._decider, None
        if decider is not None:
            self._committer.refuse(decider.take_turn(), refused(BUSY))
        self._mailbox.wake()

    def _committed(self) -> None:
        """Go on after a commit, if something has gathered meanwhile or the session must be opened again."""
        if self._decider is None or not self._decider.turn.is_empty():
            self._mailbox.wake()

    def _waiting_ids(self) -> set[str]:
        return self._decider.turn.waiting_ids if self._decider is not None else set()

    def _next_deadline(self, decider: Decider) -> float | None:
        """Give the seconds until something is due that no arrival announces."""
        waits: list[float] = []
        timer = self._timers.wait(decider.session.core.timers, now_ms(), decider.session.left_out)
        if timer is not None:
            waits.append(timer)
        again = self._people.seconds_to_next()
        if again is not None:
            waits.append(again)
        monotonic = time.monotonic()
        for hold in (self._gate.nameless, self._gate.strangers):
            if (until := hold.next_expiry()) is not None:
                waits.append(until - monotonic)
        return max(0.0, min(waits)) if waits else None

    # -- without a journal ---------------------------------------------------------------------------------------

    async def _wait_degraded(self, error: str, failures: int) -> None:
        """Refuse what comes with `busy` until it is time to open the session again."""
        log.error("hall.degraded", hall=self.name, error=error, failures=failures)
        self.status = "degraded"
        until = time.monotonic() + min(pause(failures), 5.0)
        while self._ending is None and (left := until - time.monotonic()) > 0:
            for item in self._mailbox.take(_ITEMS_A_SLICE):
                self._take_degraded(item)
            await self._mailbox.wait(left)

    def _refusals_wait(self) -> None:
        """Send refusals off with the next turn of the loop: they wait for no commit, which may hang."""
        asyncio.get_running_loop().call_soon(self._say_refusals)

    def _say_refusals(self) -> None:
        self._outbox.put(self._gate.take_refusals())

    def _take_degraded(self, item: Any) -> None:
        """Take an item when nothing can be decided."""
        match item:
            case Frame():
                self._refuse_full(item)
            case BackendMessage() | RouteCall() | CommandCall() | RetryEffect():
                item.waiter.answer(refused(BUSY), AckGroups())
            case _Erase():
                self._to_erase.append(item)
            case _Reloaded(plugins):
                self._let_back(plugins, None)
            case Joined() | Changed() | Left():
                self._people.take(item, None)
            case _:
                self._take_note(item, None)

    def _refuse_full(self, frame: Frame) -> None:
        """Answer a frame for which there is no room, or no journal, with `busy`."""
        self._gate.refuse(frame, BUSY, self._gate.id_of(frame))

    # -- items ---------------------------------------------------------------------------------------------------

    def _take(self, decider: Decider, item: Any) -> None:
        if type(item) is Frame:  # nearly all are
            read = self._gate.read(item)
            if read is not None:
                self._take_read(decider, read)
            return
        match item:
            case Joined():
                self._people.take(item, decider)
                self._release_held(decider, item.presence.identity)
            case Changed() | Left():
                self._people.take(item, decider)
            case BackendMessage():
                decider.backend_message(item)
            case RouteCall():
                decider.route_call(item)
            case RetryEffect():
                decider.retry_effect(item)
            case CommandCall():
                decider.command_call(item)
            case DebtSettled():
                decider.debt_settled(item)
            case _Looked():
                self._looked(decider, item.presences)
            case _Erase():
                self._to_erase.append(item)
                self._restart(decider, "erasure")
            case _Reloaded(plugins):
                self._let_back(plugins, decider)
            case _:
                self._take_note(item, decider)

    def _take_note(self, item: Any, decider: Decider | None) -> None:
        """Take what concerns the room itself."""
        match item:
            case Seated():
                self._outbox.seated(item.seat)
                self.room_is(item.seat.sid)
                if self.status != "degraded":
                    self.status = "live"
                log.info("hall.live", hall=self.name, participants=len(self._roster))
                self._people.seated(decider)
                if decider is not None and not self._said_again:
                    self._said_again = True  # what is decided from now on waits in the outbox, whatever happens here
                    decider.say_again()
            case Interrupted() | Resumed():
                if isinstance(item, Resumed):
                    self.room_is(item.sid)
                log.info("hall.connection", hall=self.name, state=type(item).__name__.lower())
            case Encrypted():
                if not self._encrypted:
                    log.warning("hall.encrypted", hall=self.name, advice=_ENCRYPTED)
                self._encrypted = True
            case Lost():
                self._outbox.seated(None)
                if self.status != "degraded":
                    self.status = "away"
                self._people.seat_lost()
            case Unseated():
                self._outbox.seated(None)
                self._ending = _ENDINGS[item.reason]
                self.ended_sid = item.sid
            case _Stop():
                self._ending = Ending.STOPPED
            case _GaveUp(part):
                log.error("hall.gives_up", hall=self.name, part=part)
                self._ending = self._ending or Ending.FAILED
            case _:
                pass

    def _take_read(self, decider: Decider, read: Read) -> None:
        now = time.monotonic()
        sender = self._gate.identify(read, now)
        if sender is not None:
            self._admit(decider, read, sender, now)
        elif len(self._gate.strangers):
            self._look_up()

    def _admit(self, decider: Decider, read: Read, sender: Sender, now: float) -> None:
        message = self._gate.admit(read, sender, now, decider.has_answered)
        if message is not None:
            decider.decide(message)

    # -- senders who are not known yet ------------------------------------------------------------------------------

    def _look_up(self) -> None:
        if not self._supervisor.runs("lookup"):
            self._supervisor.start("lookup", self._ask_who)

    async def _ask_who(self) -> None:
        """Ask the server API who is here, at most ten times a second, while messages wait for it."""
        while len(self._gate.strangers):
            try:
                presences = await self._services.rooms.presences(self.name)
            except EffectFailed as error:
                log.warning("hall.lookup_failed", hall=self.name, error=str(error))
            else:
                self._mailbox.note(_Looked(presences))
            await asyncio.sleep(_LOOKUP_SECONDS)

    def _release_held(self, decider: Decider, identity: str) -> None:
        now = time.monotonic()
        sender = self._gate.sender(identity) or self._gate.unlisted(identity)
        for read in self._gate.strangers.take(identity):
            self._admit(decider, read, sender, now)
        for read in self._gate.nameless.take(identity):
            self._admit(decider, read, self._gate.inferred(identity), now)

    def _looked(self, decider: Decider, presences: list[Presence]) -> None:
        people = [self._roster.read(presence) for presence in presences]
        now = time.monotonic()
        for identity in self._gate.looked(people):
            sender = self._gate.sender(identity) or self._gate.unlisted(identity)
            for read in self._gate.strangers.take(identity):
                self._admit(decider, read, sender, now)

    def _expire(self, decider: Decider) -> None:
        """Give up on senders that have not become known in time."""
        now = time.monotonic()
        for _, read in self._gate.nameless.expired(now):
            self._gate.refuse_claim(read, now)
        for identity, read in self._gate.strangers.expired(now):
            self._admit(decider, read, self._gate.unlisted(identity), now)
