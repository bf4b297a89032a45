"""One hall: takes its mailbox item by item, lets plugins decide, commits, and only then speaks."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Literal

import msgspec
import structlog

from relay_bot.hall import core
from relay_bot.hall.commands import run_command, said_command
from relay_bot.hall.debts import Debtor, DebtSettled
from relay_bot.hall.gate import Gate, Read
from relay_bot.hall.greeting import hall_state
from relay_bot.hall.mailbox import Mailbox
from relay_bot.hall.message import (
    ACKED,
    Answered,
    BackendMessage,
    Message,
    RouteCall,
    RpcWaiter,
    refused,
)
from relay_bot.hall.outbox import AckGroups, Outbox, Packet
from relay_bot.hall.pauses import pause
from relay_bot.hall.roster import HallRoster, role_of
from relay_bot.hall.seat import Seated, SeatKeeper, Unseated
from relay_bot.hall.services import EffectFailed, Services
from relay_bot.hall.session import Session
from relay_bot.hall.turn import THE_BACKEND, Halted, Outgoing, Turn, TurnContext
from relay_bot.hall.watchdog import HandlerHung
from relay_bot.journal.batch import Batch, Fenced, JournalError, Unavailable, settle
from relay_bot.link import Changed, Frame, Interrupted, Joined, Left, Lost, Presence, Reason, Resumed
from relay_bot.observe import metrics
from relay_bot.plugin import Participant, Role, Sender
from relay_bot.wire import dialects
from relay_bot.wire.body import decode_body
from relay_bot.wire.clock import iso, now_ms
from relay_bot.wire.refusal import Refuse

log = structlog.get_logger("hall")

_ITEMS_A_SLICE: Final = 256
"""Items handled before other halls get the loop."""
_MESSAGES_A_TURN: Final = 4_000
"""Decisions that may gather while a commit is under way; then the mailbox waits."""
_SLOW_SECONDS: Final = 0.05
_LOOKUP_SECONDS: Final = 0.1


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


HallStatus = Literal["starting", "live", "away", "degraded", "ended"]


class _Looked(msgspec.Struct, frozen=True):
    """The answer of the server API: who is in the room."""

    presences: list[Presence]


class _Stop(msgspec.Struct, frozen=True):
    """The process asks the hall to finish."""


class Hall:
    """One hall, from the moment it is found until `run` returns. It is also the plugins' `HallView`."""

    def __init__(self, name: str, room_sid: str, services: Services) -> None:
        self.name = name
        self.room_sid = room_sid
        self.status: HallStatus = "starting"
        self._services = services
        self._settings = services.settings
        self._people = HallRoster(self._settings.roles)
        self._gate = Gate(self._settings.gate, frozenset(self._settings.halls.dialects), self._people)
        self._mailbox = Mailbox(self._settings.gate.mailbox, self._refuse_full)
        self._outbox = Outbox(name)
        self._keeper = SeatKeeper(name, services, self._mailbox)
        self._debtor = Debtor(name, services, self._mailbox.note)
        self._session: Session | None = None
        self._turn: Turn | None = None
        self._in_flight: Turn | None = None
        self._ending: Ending | None = None
        self._failed = False
        self._absent: set[str] | None = None
        self._greetings: dict[str, None] = {}
        self._greeted: set[str] = set()
        self._last_turn: Turn | None = None
        self._lookup: asyncio.Task[None] | None = None
        self._handlers: dict[str, tuple[str, Any]] = {}

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
        return self._people

    # -- what the process asks ----------------------------------------------------------------------------

    @property
    def session(self) -> Session | None:
        """The session as it is in memory; for tests and benches."""
        return self._session

    def is_settled(self) -> bool:
        """Tell whether all that has arrived is decided, durable and said (but for throttled snapshots)."""
        idle = self._turn is None or self._turn.is_empty()
        return idle and self._in_flight is None and not len(self._mailbox) and not self._outbox.backlog

    @property
    def active(self) -> bool:
        """Tell whether the hall takes requests now."""
        return self.status == "live"

    async def request(self, item: BackendMessage | RouteCall) -> Answered:
        """Have a backend's request decided like any message; gives the answer after the commit."""
        if not self.active:
            raise Refuse("hall_not_active", "the hall is not active")
        if not self._mailbox.put(item):
            raise Refuse("busy", "the hall is overloaded; send again", retry_after_ms=1000)
        return await item.waiter.future

    def refuses_join(self, identity: str) -> Refuse | None:
        """Ask the plugins whether someone is to get no join token."""
        session = self._session
        for plugin in session.plugins.values() if session else ():
            refusal = plugin.refuses_join(identity)
            if refusal is not None:
                return refusal
        return None

    def room_is(self, sid: str) -> None:
        """Hear under which id LiveKit lists the room now: another one after the SFU was restarted."""
        self.room_sid = sid

    def stop(self) -> None:
        """Ask the hall to finish: decide what has arrived, commit, say it, leave."""
        self._mailbox.put(_Stop())

    def summary(self) -> dict[str, Any]:
        """Describe the hall for `GET /v1/halls/{hall_id}`."""
        found: dict[str, Any] = {
            "hall_id": self.name,
            "room_sid": self.room_sid,
            "status": self.status,
            "seq": self.seq,
            "participants": len(self._people),
            "bot_identity": self.bot_identity,
        }
        if self._session is not None:
            for plugin in self._session.plugins.values():
                found |= plugin.summary()
        return found

    # -- life -----------------------------------------------------------------------------------------------

    async def run(self) -> Ending:
        """Serve the hall until its room is gone, another bot has it, or the process stops."""
        helpers = [
            asyncio.create_task(self._outbox.run(), name=f"outbox {self.name}"),
            asyncio.create_task(self._debtor.run(), name=f"effects {self.name}"),
        ]
        failures = 0
        try:
            while self._ending is None:
                try:
                    await self._open()
                except Unavailable as error:
                    failures += 1
                    await self._wait_degraded(error, failures)
                    continue
                failures = 0
                if len(helpers) == 2:
                    helpers.append(asyncio.create_task(self._keeper.run(), name=f"seat {self.name}"))
                await self._serve()
            await self._outbox.flush(2.0)
            return self._ending
        finally:
            self.status = "ended"
            if self._lookup is not None:
                helpers.append(self._lookup)
            for task in helpers:
                task.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)
            await self._keeper.leave()
            self._drop_everything()
            await self._close()

    async def _open(self) -> None:
        """Claim the session and bring it to what the journal says."""
        settings = self._settings.halls
        journal = self._services.journal
        info = await journal.claim(self.name, self.room_sid, now_ms(), int(settings.resume_seconds * 1000))
        session = Session(info, self._services.plugins, self)
        await session.replay(journal)
        self._session = session
        self._handlers = {
            kind: (name, handler)
            for name, loaded in self._services.plugins.items()
            for kind, handler in loaded.spec.handlers.items()
        }
        self._turn = Turn(session)
        self._failed = False
        self._debtor.owe(session.core.debts())
        self.status = "live" if self._keeper.seat is not None else "starting"
        log.info("hall.opened", hall=self.name, session=info.id, epoch=info.epoch, seq=session.seq)

    async def _close(self) -> None:
        """Write the last snapshots, and say in the journal how the session was left."""
        session = self._session
        if session is None or self._ending is Ending.STOOD_BACK:
            return
        done: asyncio.Future[JournalError | None] = asyncio.get_running_loop().create_future()
        batch = Batch(session.info, settle(done))
        if not self._failed:
            batch.snapshots = session.take_snapshots()
        with contextlib.suppress(Unavailable, TimeoutError):
            self._services.journal.submit(batch)
            async with asyncio.timeout(5.0):
                await done
                ended = self._ending is Ending.ENDED
                await self._services.journal.release(session.info, now_ms(), ended=ended, room_sid=self.room_sid)

    async def _wait_degraded(self, error: Unavailable, failures: int) -> None:
        """Refuse what comes with `busy` until it is time to try the journal again."""
        if self.status != "degraded":
            log.error("hall.degraded", hall=self.name, error=str(error))
        self.status = "degraded"
        until = time.monotonic() + min(pause(failures), 5.0)
        while self._ending is None and (left := until - time.monotonic()) > 0:
            for item in self._mailbox.take(_ITEMS_A_SLICE):
                self._take_degraded(item)
            self._outbox.put(self._gate.refusals)
            self._gate.refusals = []
            await self._mailbox.wait(left)

    def _take_degraded(self, item: Any) -> None:
        if isinstance(item, Frame):
            self._refuse_full(item)
        elif isinstance(item, BackendMessage | RouteCall):
            item.waiter.answer(refused(_BUSY), AckGroups())
        elif isinstance(item, _Stop):
            self._ending = Ending.STOPPED
        elif isinstance(item, Unseated):
            self._unseated(item.reason)
        elif isinstance(item, Seated):
            self._outbox.seated(item.seat)
        elif isinstance(item, Lost):
            self._outbox.seated(None)
        elif isinstance(item, Joined):
            self._people.put(item.presence, item.stamp)
        elif isinstance(item, Changed):
            self._people.put(item.presence)
        elif isinstance(item, Left):
            self._people.remove(item.identity)

    def _drop_everything(self) -> None:
        """Answer what is left when the hall ends: nobody waits for ever."""
        over = Refuse("hall_not_active", "the hall is not active any more")
        for item in self._mailbox.take(len(self._mailbox)):
            if isinstance(item, BackendMessage | RouteCall):
                item.waiter.answer(refused(over), AckGroups())
            elif isinstance(item, Frame) and item.reply is not None:
                RpcWaiter(item.reply, None).answer(refused(over), AckGroups())
        for turn in (self._in_flight, self._turn):
            for _, waiter, _ in turn.answers if turn else ():
                waiter.answer(refused(over), AckGroups())
        self._outbox.clear()
        for hold in (self._gate.nameless, self._gate.strangers):
            deque(hold.clear(), maxlen=0)

    # -- the loop ----------------------------------------------------------------------------------------------

    async def _serve(self) -> None:
        """Take items, decide, commit, until the hall ends or its session must be opened again."""
        while True:
            if self._failed:
                await self._let_commit_end()
                return
            if self._ending is not None:
                self._end_turn()
                await self._let_commit_end()
                return
            if self._has_room():
                self._slice(self._mailbox.take(_ITEMS_A_SLICE))
            self._submit()
            if self._failed or self._ending is not None:
                continue
            if len(self._mailbox) and self._has_room():
                await asyncio.sleep(0)
            else:
                await self._mailbox.wait(self._next_deadline())

    def _has_room(self) -> bool:
        """Tell whether more may be decided before the commit under way ends."""
        return self._turn is not None and self._turn.messages < _MESSAGES_A_TURN

    async def _let_commit_end(self) -> None:
        while self._in_flight is not None:
            await self._mailbox.wait(1.0)
            if self._in_flight is not None and len(self._mailbox):
                await asyncio.sleep(0.005)  # arrivals keep waking us; they wait for the commit

    def _slice(self, items: list[Any]) -> None:
        started = time.perf_counter()
        for item in items:
            if self._failed:
                self._take_degraded(item)
                continue
            try:
                self._take(item)
            except Halted:
                self._restart("handler")
        now = time.monotonic()
        self._expire(now)
        self._fire_timers()
        self._greet()
        if self._gate.refusals:
            self._outbox.put(self._gate.refusals)
            self._gate.refusals = []
        if items:
            metrics.HANDLER_SECONDS.observe(time.perf_counter() - started)

    def _next_deadline(self) -> float | None:
        """Give the seconds until something is due that no arrival announces."""
        session = self._session
        waits: list[float] = []
        if session is not None and (at := session.core.next_timer()) is not None:
            waits.append((at - now_ms()) / 1000)
        monotonic = time.monotonic()
        for hold in (self._gate.nameless, self._gate.strangers):
            if (until := hold.next_expiry()) is not None:
                waits.append(until - monotonic)
        return max(0.0, min(waits)) if waits else None

    # -- items ---------------------------------------------------------------------------------------------------

    def _take(self, item: Any) -> None:
        match item:
            case Frame():
                read = self._gate.read(item)
                if read is not None:
                    self._take_read(read)
            case Joined():
                self._joined(item)
            case Changed():
                self._changed(item.presence)
            case Left():
                self._left(item.identity)
            case Seated():
                self._seated(item)
            case Interrupted() | Resumed():
                log.info("hall.connection", hall=self.name, state=type(item).__name__.lower())
            case Lost():
                self.status = "away"
                self._outbox.seated(None)
                self._absent = {person.identity for person in self._people}
            case Unseated():
                self._unseated(item.reason)
            case BackendMessage():
                self._backend_message(item)
            case RouteCall():
                self._route_call(item)
            case DebtSettled():
                self._debt_settled(item)
            case _Looked():
                self._looked(item.presences)
            case _Stop():
                self._ending = Ending.STOPPED
            case _:
                raise TypeError(f"{type(item).__name__} in the mailbox")

    def _take_read(self, read: Read) -> None:
        now = time.monotonic()
        sender = self._gate.identify(read, now)
        if sender is not None:
            self._admit(read, sender, now)
        elif len(self._gate.strangers):
            self._look_up()

    def _admit(self, read: Read, sender: Sender, now: float) -> None:
        message = self._gate.admit(read, sender, now)
        if message is not None:
            self._decide(message)

    # -- deciding --------------------------------------------------------------------------------------------------

    def _decide(self, message: Message) -> None:
        """Let the plugins decide a message, once; a repetition gets the answer that it got."""
        turn = self._turn
        assert turn is not None
        turn.messages += 1
        if message.key is not None and self._answered_before(message, turn):
            return
        now = now_ms()
        try:
            self._check_guards(message)
            answer = self._dispatch(message, now)
        except Refuse as refusal:
            metrics.REFUSED.labels(refusal.code).inc()
            answer = refused(refusal)
        except Halted:
            turn.answer(message, refused(_INTERNAL), now)
            raise
        turn.answer(message, answer, now)

    def _answered_before(self, message: Message, turn: Turn) -> bool:
        assert message.key is not None
        # It may not be durable yet: this turn leaves after the one that it was answered in.
        answer = turn.session.answers.get(message.key)
        if answer is None:
            return False
        metrics.DUPLICATES.inc()
        turn.answers.append((None, message.waiter, answer))
        return True

    def _check_guards(self, message: Message) -> None:
        if message.sender.role is Role.BACKEND or self._session is None:
            return
        for plugin in self._session.plugins.values():
            refusal = plugin.refuses(message.sender, message.kind)
            if refusal is not None:
                raise refusal

    def _dispatch(self, message: Message, now: int) -> Answered:
        turn = self._turn
        assert turn is not None
        if message.kind == "sync":
            return self._sync(message)
        if message.kind == "chat":
            line = said_command(message.payload, self._settings.commands.prefix)
            if line is not None:
                return self._command(line, message, now)
        found = self._handlers.get(message.kind)
        if found is None:
            return ACKED  # unknown types are legal and nobody here wants this one
        name, handler = found
        body = decode_body(handler.decoder, message.payload)
        context = TurnContext(turn, name, message.sender, now, message.message_id, message.audience, message.private)
        plugin = turn.session.plugins[name]
        result = self._call(name, lambda: getattr(plugin, handler.method)(body, context))
        return ACKED if result is None else Answered(result=msgspec.to_builtins(result))

    def _command(self, line: str, message: Message, now: int) -> Answered:
        turn = self._turn
        assert turn is not None

        def context(name: str) -> TurnContext:
            return TurnContext(turn, name, message.sender, now, message.message_id, None, True)

        try:
            said = run_command(
                line,
                self._settings.commands.prefix,
                message.sender,
                turn.session.plugins,
                self._services.plugins,
                context,
                self._call,
            )
        except Refuse as refusal:
            context("").notice(refusal.message, to=message.sender.identity)
            raise
        if said:
            context("").notice(said, to=message.sender.identity)
        return ACKED if not said else Answered(result={"notice": said})

    def _call(self, plugin: str, function: Callable[[], Any]) -> Any:
        """Call into a plugin: whatever goes wrong there costs this message, or this hall a restart."""
        turn = self._turn
        assert turn is not None
        events, outgoing = len(turn.events), len(turn.outgoing)
        watchdog = self._services.watchdog
        watchdog.enter()
        try:
            return function()
        except Refuse as refusal:
            self._undo(turn, events, outgoing, refusal)
            raise
        except (Exception, HandlerHung) as error:
            metrics.HANDLER_FAILURES.labels(plugin).inc()
            log.exception("plugin.failed", hall=self.name, plugin=plugin)
            self._undo(turn, events, outgoing, error)
            raise _INTERNAL from None
        finally:
            took = watchdog.leave()
            if took > _SLOW_SECONDS:
                log.warning("plugin.slow", hall=self.name, plugin=plugin, seconds=round(took, 3))

    def _undo(self, turn: Turn, events: int, outgoing: int, cause: BaseException) -> None:
        del turn.outgoing[outgoing:]
        if len(turn.events) > events:
            # The state has moved on with what must not be kept: only the journal knows the right one now.
            del turn.events[events:]
            raise Halted from cause

    def _restart(self, cause: str) -> None:
        """Commit what was decided before, then open the session anew from the journal."""
        metrics.HALL_RESTARTS.labels(cause).inc()
        log.warning("hall.restarts", hall=self.name, cause=cause)
        turn, self._turn = self._turn, None
        self._failed = True
        if turn is not None:
            turn.latest.clear()  # made from a state that is wrong now
            self._queue_submit(turn)

    # -- backends ----------------------------------------------------------------------------------------------------

    def _backend_message(self, item: BackendMessage) -> None:
        turn = self._turn
        assert turn is not None
        now = now_ms()
        name = ""
        if item.sender_id:
            person = self._people.get(item.sender_id)
            name = person.name if person else ""
        sender = Sender(item.sender_id or "", name, Role.BACKEND)
        message = Message(
            item.kind, item.payload, sender, item.waiter, stamp=item.stamp, key=item.key,
            audience=item.audience, private=True,
        )  # fmt: skip
        turn.messages += 1
        if item.key is not None and self._repeated_request(item, turn):
            return
        before = len(turn.outgoing)
        try:
            answer = self._dispatch(message, now)
            if not any(sent.kind == item.kind for sent in turn.outgoing[before:]):
                self._forward(item, turn, now)
        except Refuse as refusal:
            answer = refused(refusal)
        except Halted:
            turn.answer(message, refused(_INTERNAL), now)
            raise
        if answer.error is None:
            sent: dict[str, Any] = {
                "sent": True,
                "type": item.kind,
                "broadcast": item.audience is None,
                "recipient_count": None if item.audience is None else len(item.audience),
                "timestamp": iso(now),
            }
            if answer.result is not None:
                sent["result"] = answer.result
            answer = Answered(result=sent, digest=item.digest)
        else:
            answer = Answered(error=answer.error, digest=item.digest)
        turn.answer(message, answer, now)

    def _forward(self, item: BackendMessage, turn: Turn, now: int) -> None:
        """Send the interaction on as it is: no plugin has said it in its own words."""
        if item.audience is None or item.audience:
            context = TurnContext(turn, "", THE_BACKEND, now)
            context.publish(item.kind, msgspec.json.decode(item.payload), to=item.audience, sender_id=item.sender_id)

    def _repeated_request(self, item: BackendMessage | RouteCall, turn: Turn) -> bool:
        assert item.key is not None
        answer = turn.session.answers.get(item.key)
        if answer is None:
            return False
        metrics.DUPLICATES.inc()
        if answer.digest != item.digest:
            answer = refused(Refuse("malformed", "this Idempotency-Key came with another body before"))
        turn.answers.append((None, item.waiter, answer))
        return True

    def _route_call(self, item: RouteCall) -> None:
        turn = self._turn
        assert turn is not None
        now = now_ms()
        turn.messages += 1
        if item.key is not None and self._repeated_request(item, turn):
            return
        message = Message(item.plugin, msgspec.Raw(b"{}"), THE_BACKEND, item.waiter, stamp=item.stamp, key=item.key)
        context = TurnContext(turn, item.plugin, THE_BACKEND, now, private=True)
        plugin = turn.session.plugins[item.plugin]
        try:
            result = self._call(item.plugin, lambda: getattr(plugin, item.route.method)(item.request, context))
            answer = Answered(result=result, digest=item.digest)
        except Refuse as refusal:
            answer = Answered(error=refusal.payload(None), digest=item.digest)
        except Halted:
            turn.answer(message, refused(_INTERNAL), now)
            raise
        turn.answer(message, answer, now)

    # -- who is here ------------------------------------------------------------------------------------------------

    def _joined(self, item: Joined) -> None:
        presence = item.presence
        identity = presence.identity
        was_here = self._people.get(identity) is not None
        before, after = self._people.put(presence, item.stamp)
        self._gate.forget(identity)
        if self._absent is not None:
            self._absent.discard(identity)
        if presence.hidden:
            self._release_held(identity)
            return
        if not was_here:
            metrics.PARTICIPANTS.inc()
            self._each_plugin(lambda plugin, context: plugin.joined(after, context))
        elif before != after and before is not None:
            self._each_plugin(lambda plugin, context: plugin.changed(before, after, context))
        if presence.active:
            self._greetings[identity] = None
        self._release_held(identity)

    def _release_held(self, identity: str) -> None:
        now = time.monotonic()
        sender = self._gate.sender(identity)
        for read in self._gate.strangers.take(identity):
            self._admit(read, sender or self._gate.unlisted(identity), now)
        for read in self._gate.nameless.take(identity):
            self._admit(read, self._gate.inferred(identity), now)

    def _changed(self, presence: Presence) -> None:
        before, after = self._people.put(presence)
        self._gate.forget(presence.identity)
        if presence.hidden:
            return
        if before != after and before is not None:
            self._each_plugin(lambda plugin, context: plugin.changed(before, after, context))
        if presence.active:
            self._greetings.setdefault(presence.identity, None)

    def _left(self, identity: str) -> None:
        person = self._people.remove(identity)
        self._gate.forget(identity)
        self._greetings.pop(identity, None)
        self._greeted.discard(identity)
        if person is not None:
            metrics.PARTICIPANTS.dec()
            self._each_plugin(lambda plugin, context: plugin.left(person, context))

    def _seated(self, item: Seated) -> None:
        self._outbox.seated(item.seat)
        self.status = "live"
        self.room_sid = item.seat.sid or self.room_sid
        absent, self._absent = self._absent or set(), None
        for identity in absent:
            self._left(identity)
        log.info("hall.live", hall=self.name, participants=len(self._people))

    def _unseated(self, reason: Reason) -> None:
        self._outbox.seated(None)
        if reason is Reason.DUPLICATE:
            self._ending = Ending.STOOD_BACK
        elif reason is Reason.ROOM_ENDED:
            self._ending = Ending.ENDED
        else:
            self._ending = Ending.GONE

    def _end_turn(self) -> None:
        """Let plugins finish when the session ends for good."""
        if self._ending is Ending.ENDED and self._turn is not None:
            with contextlib.suppress(Halted):
                self._each_plugin(lambda plugin, context: plugin.ended(context))
        self._submit()

    def _each_plugin(self, function: Callable[[Any, TurnContext], None]) -> None:
        turn = self._turn
        assert turn is not None
        now = now_ms()
        for name, plugin in turn.session.plugins.items():
            context = TurnContext(turn, name, THE_BACKEND, now)
            with contextlib.suppress(Refuse):  # nobody asked, so nobody hears it; a failure is logged

                def call(plugin: Any = plugin, context: TurnContext = context) -> None:
                    function(plugin, context)

                self._call(name, call)

    # -- unknown senders ----------------------------------------------------------------------------------------------

    def _look_up(self) -> None:
        if self._lookup is None or self._lookup.done():
            self._lookup = asyncio.create_task(self._ask_who(), name=f"lookup {self.name}")

    async def _ask_who(self) -> None:
        """Ask the server API who is here, at most ten times a second, while messages wait for it."""
        while len(self._gate.strangers):
            try:
                presences = await self._services.rooms.presences(self.name)
            except EffectFailed as error:
                log.warning("hall.lookup_failed", hall=self.name, error=str(error))
            else:
                self._mailbox.put(_Looked(presences))
            await asyncio.sleep(_LOOKUP_SECONDS)

    def _looked(self, presences: list[Presence]) -> None:
        roles = {presence.identity: role_of(presence, self._settings.roles) for presence in presences}
        now = time.monotonic()
        for identity in self._gate.looked(presences, roles):
            sender = self._gate.sender(identity) or self._gate.unlisted(identity)
            for read in self._gate.strangers.take(identity):
                self._admit(read, sender, now)

    def _expire(self, now: float) -> None:
        for _, read in self._gate.nameless.expired(now):
            self._gate.refuse_claim(read, now)
        for identity, read in self._gate.strangers.expired(now):
            self._admit(read, self._gate.unlisted(identity), now)

    # -- timers, effects, greetings -------------------------------------------------------------------------------------

    def _fire_timers(self) -> None:
        session, turn = self._session, self._turn
        if session is None or turn is None or not session.core.timers or self._failed:
            return
        now = now_ms()
        for name, method, key in session.core.due(now):
            turn.events.append(session.record(core.NAMESPACE, core.TimerCleared(name, method, key), now))
            plugin = session.plugins.get(name)
            if plugin is None or method not in self._services.plugins[name].spec.timers:
                log.warning("hall.timer_without_plugin", hall=self.name, plugin=name, timer=method)
                continue
            context = TurnContext(turn, name, THE_BACKEND, now)
            try:
                with contextlib.suppress(Refuse):
                    self._call(name, lambda m=method, k=key, p=plugin, c=context: getattr(p, m)(k, c))
            except Halted:
                self._restart("timer")
                return

    def _debt_settled(self, note: DebtSettled) -> None:
        turn = self._turn
        assert turn is not None
        now = now_ms()
        settled = core.EffectSettled(note.plugin, note.key, note.owed.seq, note.error)
        turn.events.append(turn.session.record(core.NAMESPACE, settled, now))
        plugin = turn.session.plugins.get(note.plugin)
        if plugin is not None:
            context = TurnContext(turn, note.plugin, THE_BACKEND, now)
            with contextlib.suppress(Refuse):
                self._call(note.plugin, lambda: plugin.effect_settled(note.owed.effect, note.error, context))

    def _sync(self, message: Message) -> Answered:
        turn = self._turn
        assert turn is not None
        person = self._people.get(message.sender.identity) or Participant(
            message.sender.identity, message.sender.name, message.sender.role
        )
        state = hall_state(turn.session, self, person)
        if message.private:
            return Answered(result=state)
        TurnContext(turn, "", THE_BACKEND, now_ms()).publish("hall_state", state, to=(person.identity,))
        return ACKED

    def _greet(self) -> None:
        """Give the state of the hall to those who have come: one packet for all whose state is the same."""
        turn = self._turn
        if not self._greetings or turn is None or self._failed or self.status != "live":
            return
        alike: dict[bytes, tuple[Any, list[str]]] = {}
        for identity in self._greetings:
            person = self._people.get(identity)
            if person is not None and identity not in self._greeted:
                self._greeted.add(identity)
                state = hall_state(turn.session, self, person)
                alike.setdefault(msgspec.json.encode(state), (state, []))[1].append(identity)
        self._greetings.clear()
        context = TurnContext(turn, "", THE_BACKEND, now_ms())
        for state, identities in alike.values():
            context.publish("hall_state", state, to=identities)

    # -- committing ------------------------------------------------------------------------------------------------------

    def _submit(self) -> None:
        """Hand the turn to the journal, if it holds anything and none is under way."""
        turn = self._turn
        if turn is None or self._in_flight is not None or turn.is_empty():
            return
        self._turn = Turn(turn.session)
        self._send_turn(turn)

    def _queue_submit(self, turn: Turn) -> None:
        """Submit a last turn behind the one under way."""
        if self._in_flight is None:
            self._send_turn(turn)
        else:
            self._last_turn = turn

    def _send_turn(self, turn: Turn) -> None:
        turn.now = now_ms()
        snapshots = turn.seal()
        self._in_flight = turn
        if not turn.events and not turn.answer_rows:
            self._committed(turn, snapshots, None)
            return
        batch = Batch(turn.session.info, lambda error: self._committed(turn, snapshots, error))
        batch.events = turn.events
        batch.answers = turn.answer_rows
        batch.secrets = turn.secrets
        batch.forgotten = turn.forgotten
        if not self._failed:
            batch.snapshots = turn.session.snapshots_due()
        self._services.journal.submit(batch)

    def _committed(
        self, turn: Turn, snapshots: list[tuple[tuple[str, ...], Outgoing | None]], error: JournalError | None
    ) -> None:
        """Hear from the journal. Kept: all that the turn caused may leave. Not kept: none of it does."""
        self._in_flight = None
        if error is None:
            self._release(turn, snapshots)
            last, self._last_turn = self._last_turn, None
            if last is not None:
                self._send_turn(last)
        else:
            self._not_kept(turn, error)
        self._mailbox.wake()

    def _not_kept(self, turn: Turn, error: JournalError) -> None:
        log.error("hall.not_kept", hall=self.name, error=str(error), messages=turn.messages)
        groups = AckGroups()
        for lost in (turn, self._last_turn, self._turn):
            if lost is not None:
                self._answer_all(lost, groups, refused(_BUSY))
        groups.flush()
        self._outbox.put(groups.packets)
        self._turn = self._last_turn = None
        self._failed = True
        if isinstance(error, Fenced):
            self._ending = Ending.STOOD_BACK
        else:
            self.status = "degraded"
            metrics.HALL_RESTARTS.labels("journal").inc()

    def _answer_all(self, turn: Turn, groups: AckGroups, instead: Answered | None = None) -> None:
        now = time.monotonic()
        for message, waiter, answer in turn.answers:
            told = instead or answer
            waiter.answer(told, groups)
            if message is not None:
                metrics.ANSWER_SECONDS.observe(now - message.stamp)

    def _release(self, turn: Turn, snapshots: list[tuple[tuple[str, ...], Outgoing | None]]) -> None:
        groups = AckGroups()
        groups.expect(self._ids_under_way())
        self._answer_all(turn, groups)
        groups.flush()
        self._outbox.put(groups.packets)
        for sent in turn.outgoing:
            self._outbox.put(self._packets(sent))
        for key, sent in snapshots:
            if sent is None:
                self._outbox.drop_snapshot(key)
                continue
            for made in self._packets(sent):
                self._outbox.put_snapshot(key, made)
        if turn.owes:
            self._debtor.owe(turn.session.core.debts())

    def _ids_under_way(self) -> dict[str, int]:
        """Count the ids of messages that are decided but not answered: none of them may be acked to a stranger."""
        counts: dict[str, int] = {}
        for message, _, _ in self._turn.answers if self._turn else ():
            if message is not None and message.message_id is not None:
                counts[message.message_id] = counts.get(message.message_id, 0) + 1
        return counts

    def _packets(self, sent: Outgoing) -> list[Packet]:
        to = sent.to
        if isinstance(to, Role):
            to = tuple(self._people.at_least(to))
        if to is not None and not to:
            return []  # an empty list would be everybody, to LiveKit
        receivers = to or ()
        made = [Packet(sent.data, receivers)]
        speaker = (sent.sender_id or self.bot_identity, self._settings.bot.name)
        for name in self._gate.heard_dialects:
            said = dialects.say(name, sent.kind, sent.payload, sender=speaker, at_ms=now_ms())
            if said is not None:
                made.append(Packet(said, receivers))
        return made

    def _refuse_full(self, frame: Frame) -> None:
        """Answer a frame for which there is no room, or no journal, with `busy`."""
        self._gate.refuse(frame, _BUSY, self._gate.id_of(frame))


_BUSY: Final = Refuse("busy", "the hall can't take messages now; send again", retry_after_ms=2000)
_INTERNAL: Final = Refuse("internal", "something went wrong here; it has been logged")
