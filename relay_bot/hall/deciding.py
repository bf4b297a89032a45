"""Deciding: a message comes in, a plugin is called, and what it wants gathers in the turn."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NoReturn, TypeVar

import msgspec
import structlog

from relay_bot.hall import core
from relay_bot.hall.answers import ANSWER_GONE, ANSWER_GONE_TEXT
from relay_bot.hall.calling import PluginCalls, as_json, internal, place_in_plugin
from relay_bot.hall.commands import is_known, only_reads, ordered_command, run_command, said_command
from relay_bot.hall.debts import DebtSettled
from relay_bot.hall.greeting import hall_state
from relay_bot.hall.held import DECIDE, HELD, decide_decoder, expired, hold, released, told
from relay_bot.hall.interactions import Leaving, answer_to
from relay_bot.hall.judges import Judges, OnHold
from relay_bot.hall.listening import Listening
from relay_bot.hall.message import (
    ACKED,
    READ,
    Answered,
    Asked,
    BackendMessage,
    CommandCall,
    Message,
    RetryEffect,
    RouteCall,
    refused,
)
from relay_bot.hall.services import Services
from relay_bot.hall.session import Session
from relay_bot.hall.timers import TimerRetries
from relay_bot.hall.turn import THE_BACKEND, Halted, Outgoing, Turn, TurnContext, outgoing
from relay_bot.journal.events import State
from relay_bot.judging import Shape
from relay_bot.observe import metrics
from relay_bot.plugin import Context, HallView, Handler, Participant, Plugin, Role, Sender
from relay_bot.wire.body import decode_body
from relay_bot.wire.clock import now_ms
from relay_bot.wire.refusal import Refuse, unknown_type

T = TypeVar("T")
B = TypeVar("B", bound=msgspec.Struct)
log = structlog.get_logger("hall")


class Decider:
    """Decides for one session in memory. When `Halted` leaves it, the session must be opened again."""

    def __init__(
        self, hall: HallView, services: Services, session: Session, calls: PluginCalls, timers: TimerRetries
    ) -> None:
        self._hall = hall
        self._services = services
        self.session = session
        self.turn = Turn(session, services, calls)
        self._calls = calls
        self._timers = timers
        self._halted = False
        self._handlers: dict[str, tuple[str, Handler]] = {
            kind: (name, handler)
            for name, loaded in services.plugins.items()
            for kind, handler in loaded.spec.handlers.items()
        }
        self._listening = Listening(services.plugins)
        self._judges = Judges(session, calls)
        self._has_judges = bool(self._judges)

    def take_turn(self) -> Turn:
        """Give what has been decided and begin the next turn."""
        turn, self.turn = self.turn, Turn(self.session, self._services, self._calls)
        return turn

    # -- messages of participants -------------------------------------------------------------------

    def decide(self, message: Message) -> None:
        """Let the plugins decide a message, once; a repetition gets the answer that it got."""
        turn = self.turn
        turn.messages += 1
        if message.key is not None and self._answered_before(message):
            return
        now = now_ms()
        try:
            self._pass_guards(message)
            answer = self._dispatch_or_hold(message, now)
        except Refuse as refusal:
            metrics.REFUSED.labels(refusal.code).inc()
            answer = refused(refusal)
        except Halted:
            turn.answer(message, refused(internal()), now)
            raise
        turn.answer(message, answer, now)
        self.check()

    def has_answered(self, key: bytes) -> bool:
        """Tell whether a message with this key was answered."""
        return self.session.answers.get(key) is not None

    def _pass_guards(self, message: Message) -> None:
        """Raise the `Refuse` of a plugin that refuses the sender. Only hosts pass where one that judges is left out."""
        session = self.session
        if session.closed and message.kind != "sync" and message.sender.role < Role.HOST:
            raise Refuse("internal", "the hall can't tell who may speak now: only hosts are let through")
        for name, plugin in session.guards:
            refusal = self._calls(name, partial(plugin.refuses, message.sender, message.kind))
            if refusal is not None:
                raise refusal.with_traceback(None)  # it may be the same one each time

    def _answered_before(self, message: Message) -> bool:
        assert message.key is not None
        # It may not be durable yet: this turn leaves after the one that it was answered in.
        answer = self.session.answers.get(message.key)
        if answer is None:
            return False
        metrics.DUPLICATES.inc()
        self.turn.answers.append((None, message.waiter, answer))
        return True

    def _dispatch(self, message: Message, now: int) -> Answered:
        if message.kind == "sync":
            return self._sync(message, now)
        if message.kind == DECIDE:
            return self._decide_held(message, now)
        if message.kind == "chat" and message.provided is None:  # an interaction's text is never a command
            line = said_command(message.payload, self._services.settings.commands.prefix)
            if line is not None and not (message.heard is True and not is_known(line, self._services.plugins)):
                return self._command(line, message, now)
        found = self._handlers.get(message.kind)
        if found is None:
            if message.heard is False and message.provided is None:
                raise unknown_type(message.kind, (*self._handlers, "sync"))  # nobody else hears it
            return ACKED  # unknown types are legal and nobody here wants this one
        name, handler = found
        plugin = self.session.plugins.get(name)
        if plugin is None:
            raise not_working(name)
        body = decode_body(handler.decoder, message.payload)
        context = TurnContext(
            self.turn, name, message.sender, now, message.message_id, message.audience, message.private,
            message.claimed, message.provided, message.heard, message.addressed,
        )  # fmt: skip
        judged = self._judged(body, handler.public, message.kind, "payload", context)
        if judged is not body:
            message.payload, body = _payload_of(judged, message.payload), judged
        if message.provided is not None:
            context.extra = (message.kind, _unknown(handler, message.provided))
        method = getattr(plugin, handler.method)
        # Inside: what it returns may not be JSON.
        result = self._call(name, context, lambda: as_json(method(body, context)), for_message=True)
        if result is None:
            return READ if handler.reads else ACKED
        return Answered(result=result, kept=not handler.reads)

    def _judged(self, body: B, shape: Shape | None, kind: str, root: str, context: TurnContext) -> B:
        """Have what others will see of it judged; raises `Refuse`, and `OnHold`."""
        if shape is None or not self._has_judges or not shape.is_filled(body):
            return body
        return self._judges.body(body, shape, kind, root, context.for_judging, released=self.turn.released)

    def _command(self, line: str, message: Message, now: int) -> Answered:
        try:
            said = self._run(line, message, now)
        except OnHold:
            raise
        except Refuse as refusal:
            self._notice(refusal.message, message.sender, now)
            raise
        if not said:
            return ACKED
        self._notice(said, message.sender, now)
        return Answered(result={"notice": said}, kept=not only_reads(line, self._services.plugins))

    def _run(self, line: str, message: Message, now: int) -> str | None:
        """Run a command line; gives what to tell the issuer. Raises `Refuse`."""

        def call(name: str, function: Callable[[Context], Any]) -> Any:
            context = TurnContext(self.turn, name, message.sender, now, message.message_id, private=True, heard=False)
            return self._call(name, context, partial(function, context), for_message=True)

        prefix, plugins = self._services.settings.commands.prefix, self._services.plugins
        return run_command(line, prefix, message.sender, self.session.plugins, plugins, self._calls, call)

    def _notice(self, text: str, to: Sender, now: int) -> None:
        context = TurnContext(self.turn, "", THE_BACKEND, now)
        context.notice(text, to=to.identity)
        self.turn.merge(context.staged)

    def _sync(self, message: Message, now: int) -> Answered:
        sender = message.sender
        person = self._hall.roster.get(sender.identity)
        state = self._state_for(person or Participant(sender.identity, sender.name, sender.role))
        if message.private:
            return Answered(result=state, kept=False)
        self._say("hall_state", state, [sender.identity], now)
        return READ

    # -- what waits for a moderator -----------------------------------------------------------------

    def _dispatch_or_hold(self, message: Message, now: int) -> Answered:
        try:
            return self._dispatch(message, now)
        except OnHold as why:
            event = hold(message, why, self.session.core.held, self._services.settings.gate, now)
            self._record(event, now)
            self._say("message_held", told(self.session.core.held[event.held_id]), Role.MODERATOR, now)
            return HELD

    def _decide_held(self, message: Message, now: int) -> Answered:
        message.sender.require(Role.MODERATOR)
        body = decode_body(decide_decoder, message.payload)
        held = self.session.core.held.get(body.held_id)
        if held is None:
            raise Refuse("not_found", "nothing that is held has this id", field="payload.held_id")
        if body.approved:
            self._release(held, now)
        self._end_held(held, body.approved, message.sender.identity, now)
        return Answered(result={"held_id": held.held_id, "approved": body.approved})

    def _release(self, held: core.Held, now: int) -> None:
        """Dispatch a held message as its sender's; raises what refuses it now, and it stays held then."""
        message = released(held, 0.0)
        self._pass_guards(message)
        self.turn.released = True
        try:
            self._dispatch(message, now)
        finally:
            self.turn.released = False

    def _end_held(self, held: core.Held, approved: bool, by: str, now: int) -> None:
        self._record(core.HeldDecided(held.held_id, approved, by), now)
        said = {"held_id": held.held_id, "id": held.message_id, "approved": approved}
        self._say("held_decided", said, [held.identity], now)
        self._say("held_decided", said | {"participant_id": held.identity}, Role.MODERATOR, now)

    def reject_expired(self) -> None:
        """Reject the held messages that nobody has decided in time."""
        if self.session.core.held:
            now = now_ms()
            for held in expired(self.session.core.held, self._services.settings.gate, now):
                self._end_held(held, False, "", now)

    def _say(self, kind: str, payload: dict[str, Any], to: Sequence[str] | Role, now: int) -> None:
        context = TurnContext(self.turn, "", THE_BACKEND, now)
        context.publish(kind, payload, to=to)
        self.turn.merge(context.staged)

    # -- backends -----------------------------------------------------------------------------------

    def backend_message(self, item: BackendMessage) -> None:
        """Decide an interaction, and send it on as it is if no plugin has said it in its own words."""
        turn, now = self.turn, now_ms()
        turn.messages += 1
        if self._repeated(item):
            return
        message = Message(
            item.kind,
            item.payload,
            self._relayed(item.sender_id) if item.sender_id else THE_BACKEND,
            item.waiter,
            stamp=item.stamp,
            key=item.key,
            audience=item.audience,
            private=True,
            provided=msgspec.json.decode(item.payload),
            heard=False,
        )
        leaving = Leaving(turn, self._hall.roster)
        try:
            if message.sender.relayed:
                self._check_relayed(message)
            forward = self._forwarded(item, now)  # first: what is too large to be sent on is not decided either
            answer = self._dispatch_or_hold(message, now)
            if answer is HELD:
                forward = None
            elif forward is not None and message.payload is not item.payload:  # a judge has replaced something
                forward = self._forwarded(msgspec.structs.replace(item, payload=message.payload), now)
            if forward is not None and not any(said.kind == item.kind for said in leaving.said()):
                turn.outgoing.append(forward)
        except Refuse as refusal:
            answer = refused(refusal)
        except Halted:
            turn.answer(message, refused(internal()), now)
            raise
        if answer.error is None:
            result = answer_to(item, answer.result, leaving, self._hall.roster, now)
            answer = Answered(result=result, kept=answer.kept)
        turn.answer(message, msgspec.structs.replace(answer, digest=item.digest), now)
        self.check()

    def _relayed(self, identity: str) -> Sender:
        """Give the sender of a message that a backend passes on: it has their rights, and none of the backend's."""
        person = self._hall.roster.get(identity)
        if person is None:
            return Sender(identity, "", Role.VIEWER, relayed=True)
        return Sender(identity, person.name, person.role, relayed=True)

    def _check_relayed(self, message: Message) -> None:
        """Refuse what would be refused if the participant said it themselves, and what is said in the bot's name."""
        if message.sender.identity == self._hall.bot_identity:
            raise Refuse("malformed", "this is the bot's identity: leave sender_id out", field="sender_id")
        self._pass_guards(message)

    def _forwarded(self, item: BackendMessage, now: int) -> Outgoing | None:
        """Make the envelope that goes to the participants; `None` for orders to a plugin, and for nobody in `to`."""
        found = self._handlers.get(item.kind)
        if item.audience == () or item.kind == DECIDE or (found is not None and not found[1].forward):
            return None
        payload = msgspec.json.decode(item.payload)
        sent = outgoing(item.kind, payload, item.audience, item.sender_id, now)
        return sent if found is None else msgspec.structs.replace(sent, extra=_unknown(found[1], payload))

    def route_call(self, item: RouteCall) -> None:
        """Decide a request on a plugin's route."""
        turn, now = self.turn, now_ms()
        turn.messages += 1
        if self._repeated(item):
            return
        message = Message(item.plugin, msgspec.Raw(b"{}"), THE_BACKEND, item.waiter, stamp=item.stamp, key=item.key)
        context = TurnContext(turn, item.plugin, THE_BACKEND, now, private=True, heard=False)
        plugin = self.session.plugins.get(item.plugin)
        try:
            if self.session.is_left_out(item.plugin):
                raise not_working(item.plugin)
            if plugin is None:  # routes are those of the start, a hall's plugins those of the last reload
                raise Refuse("not_found", f"the plugin {item.plugin} is not enabled in this hall")
            request = self._judged(item.request, item.route.public, item.plugin, "", context)
            run = partial(getattr(plugin, item.route.method), request, context)
            # An answer that is kept must be JSON; of the others that is seen when they are sent.
            called = run if item.key is None else lambda: as_json(run())
            result = self._call(item.plugin, context, called, for_message=True)
            answer = Answered(result=result, digest=item.digest)
        except Refuse as refusal:
            answer = Answered(error=refusal.payload(None), digest=item.digest)
        except Halted:
            turn.answer(message, refused(internal()), now)
            raise
        turn.answer(message, answer, now)
        self.check()

    def command_call(self, item: CommandCall) -> None:
        """Decide a backend's command; what an issuer would be told is its answer."""
        turn, now = self.turn, now_ms()
        turn.messages += 1
        if self._repeated(item):
            return
        message = Message("chat", msgspec.Raw(b"{}"), THE_BACKEND, item.waiter, stamp=item.stamp, key=item.key)
        try:
            line = ordered_command(item.text, self._services.settings.commands.prefix)
            said, kept = self._run(line, message, now), not only_reads(line, self._services.plugins)
            answer = Answered(result={"notice": said or ""}, digest=item.digest, kept=kept)
        except Refuse as refusal:
            answer = Answered(error=refusal.payload(None), digest=item.digest)
        except Halted:
            turn.answer(message, refused(internal()), now)
            raise
        turn.answer(message, answer, now)
        self.check()

    def _repeated(self, item: Asked) -> bool:
        answer = None if item.key is None else self.session.answers.get(item.key)
        if answer is None:
            return False
        metrics.DUPLICATES.inc()
        if answer is ANSWER_GONE:
            answer = refused(Refuse("not_found", ANSWER_GONE_TEXT))
        elif answer.digest != item.digest:
            answer = refused(Refuse("malformed", "this Idempotency-Key came with another body before"))
        self.turn.answers.append((None, item.waiter, answer))
        return True

    # -- what the hall itself has to say to plugins -----------------------------------------------------

    def inherit(self, earlier: Mapping[str, State]) -> None:
        """Let plugins take over what outlives the session before this one."""
        now = now_ms()
        for name, state in earlier.items():
            if name not in self.session.plugins:
                continue
            context = TurnContext(self.turn, name, THE_BACKEND, now)
            with contextlib.suppress(Refuse):
                self._call(name, context, partial(self.session.plugins[name].inherit, state, context))
        self.check()

    def tell(self, function: Callable[[Plugin[Any, Any], TurnContext], None]) -> None:
        """Tell every plugin of something, whatever becomes of the others; nobody asked, so nobody hears a refusal."""
        self.tell_some(list(self.session.plugins), function)
        self.check()

    def tell_some(
        self, names: Sequence[str], function: Callable[[Plugin[Any, Any], TurnContext], None], not_before: int = 0
    ) -> list[str]:
        """Tell some plugins of something; gives those that heard it. `check` is to be called when all is told."""
        now, heard = max(now_ms(), not_before), list[str]()
        for name in names:
            plugin = self.session.plugins.get(name)
            if plugin is None:  # given up on meanwhile
                continue
            context = TurnContext(self.turn, name, THE_BACKEND, now)
            try:
                self._call(name, context, partial(function, plugin, context))
            except Halted:
                self._halted = True
                self.session.leave_out(name)  # what it has in memory is wrong: no other plugin shall ask it
                continue
            except Refuse as refusal:
                if refusal.code == "internal":
                    continue
            heard.append(name)
        return heard

    def record_told(self, event: core.Told) -> None:
        """Record what plugins were told."""
        self._record(event, now_ms())

    def check(self) -> None:
        """Raise `Halted` where a plugin that was told of something, or heard an event, failed after it had recorded."""
        if self._halted:
            raise Halted

    def say_again(self) -> None:
        """Have plugins say what the process before may not have said; see `relay_bot.hall.saying`."""
        now, session = now_ms(), self.session
        for row in session.unsaid.take(now):
            name, event = row[3].partition(".")[0], session.read(row)
            if event is not None and name in session.plugins:
                context = TurnContext(self.turn, name, THE_BACKEND, now)
                with contextlib.suppress(Refuse):
                    self._call(name, context, partial(session.plugins[name].say_again, event, context))
        self.check()

    def fire_timers(self) -> None:
        """Call what has fallen due; no handler is told an earlier time than its timer's.

        A timer is over when its handler has ended well; one that failed is tried again.
        """
        timers, clock = self.session.core.timers, now_ms()
        for name in self._timers.due(timers, clock, self.session.left_out):
            plugin, method, key = core.three(name)
            if name not in timers:  # called off by one before it
                continue
            now = max(clock, timers[name])
            if plugin not in self.session.plugins or method not in self._services.plugins[plugin].spec.timers:
                log.warning("hall.timer_without_plugin", hall=self._hall.name, plugin=plugin, timer=method)
                self._record(core.TimerCleared(plugin, method, key), now)
                continue
            self._fire(name, now)
            self.check()

    def _fire(self, name: str, now: int) -> None:
        plugin, method, key = core.three(name)
        over = core.TimerCleared(plugin, method, key)
        context = TurnContext(self.turn, plugin, THE_BACKEND, now)
        called = getattr(self.session.plugins[plugin], method)

        def run() -> None:
            called(key, context)
            if name not in (context.staged.timers or ()):  # else the handler has set it again, or cleared it itself
                context.record_core(over)

        try:
            self._call(plugin, context, run)
        except Halted:
            self._timers.failed(name)
            raise
        except Refuse as refusal:
            if refusal.code == "internal":
                self._timers.failed(name)
                return
            log.info("timer.refused", hall=self._hall.name, plugin=plugin, timer=method, code=refusal.code)
            self._record(over, now)
        self._timers.done(name)

    def debt_settled(self, note: DebtSettled) -> None:
        """Write off an effect, and tell the plugin that owed it; once, though it may be done and noted twice."""
        if not self.session.core.owes(note.plugin, note.key, note.owed.seq):
            return
        now = now_ms()
        if note.attempts:
            died = core.EffectDied(note.plugin, note.key, note.owed.seq, note.error or "", note.attempts, now)
            self._record(died, now)
        else:
            self._record(core.EffectSettled(note.plugin, note.key, note.owed.seq, note.error), now)
        plugin, effect = self.session.plugins.get(note.plugin), note.effect
        if plugin is not None and effect is not None:
            context = TurnContext(self.turn, note.plugin, THE_BACKEND, now)
            with contextlib.suppress(Refuse):
                call = partial(plugin.effect_settled, effect, note.error, context)
                self._call(note.plugin, context, call)
        self.check()

    def retry_effect(self, item: RetryEffect) -> None:
        """Owe an effect again that was given up; answers with its new id."""
        turn, now = self.turn, now_ms()
        turn.messages += 1
        if self._repeated(item):
            return
        found = [each for each in self.session.core.given_up() if each[2].seq == item.id]
        answer = refused(Refuse("not_found", "no effect that was given up has this id"))
        for plugin, key, dead in found:
            again = self.session.seq + 1
            self._record(core.EffectRetried(plugin, key, dead.seq, again, now), now)
            turn.owes = True
            answer = Answered(result={"id": again})
        message = Message("", msgspec.Raw(b"{}"), THE_BACKEND, item.waiter, stamp=item.stamp, key=item.key)
        turn.answer(message, msgspec.structs.replace(answer, digest=item.digest), now)

    def greet(self, people: Sequence[Participant]) -> None:
        """Give the state of the hall to those who have come: one packet for all whose state is the same.

        Then plugins may greet them too, all in one packet.
        """
        alike: dict[bytes, tuple[dict[str, Any], list[str]]] = {}
        for person in people:
            state = self._state_for(person)
            alike.setdefault(msgspec.json.encode(state), (state, []))[1].append(person.identity)
        now = now_ms()
        for state, identities in alike.values():
            self._say("hall_state", state, identities, now)
            said = self.turn.outgoing.pop()
            self.turn.outgoing.append(msgspec.structs.replace(said, greets=True))
        if people:
            self.tell(lambda plugin, context: plugin.greet(people, context))

    def _state_for(self, person: Participant) -> dict[str, Any]:
        return hall_state(self.session, self._hall, person, self._calls)

    def distrust(self, identity: str, name: str) -> None:
        """Keep that somebody's words about themselves are their own, for the whole session."""
        if identity not in self.session.core.distrusted:
            self._record(core.WordsDistrusted(identity, name), now_ms())

    # -- calling plugins ----------------------------------------------------------------------------------

    def _record(self, event: core.CoreEvent, now: int) -> None:
        context = TurnContext(self.turn, core.NAMESPACE, THE_BACKEND, now)
        context.record_core(event)
        self.turn.merge(context.staged)

    def _call(self, plugin: str, context: TurnContext, function: Callable[[], T], *, for_message: bool = False) -> T:
        """Call into a plugin, as one transaction: what it asks for joins the turn where it ends well.

        Raises its `Refuse`, or one with `internal` for anything else: then nothing of it is left. Raises `Halted`
        where it had recorded by then.
        """
        staged, quarantine = context.staged, self._calls.quarantine
        try:
            result = self._calls(plugin, function, for_message=for_message)
            if staged.torn:  # it has caught what applying its event raised
                raise internal()
        except Refuse as refusal:
            if staged.applied:
                self._halt(plugin, context, refusal, counted=refusal.code == "internal" and not for_message)
            if for_message and refusal.code == "internal":
                quarantine.failed_message(plugin, self._calls.reason)
            raise
        if for_message:
            quarantine.message_went_well(plugin)
        self.turn.merge(staged)
        if staged.events:
            self._listening.recorded(staged.events, self._tell_listener)
        return result

    def _tell_listener(
        self, name: str, function: Callable[[Plugin[Any, Any], TurnContext], None], not_before: int
    ) -> None:
        self.tell_some([name], function, not_before)

    def _halt(self, plugin: str, context: TurnContext, refusal: Refuse, *, counted: bool) -> NoReturn:
        reason = self._calls.reason
        if refusal.code != "internal":
            reason = f"refused after recording at {place_in_plugin(refusal)}"
            log.error(
                "plugin.refused_after_recording",
                hall=self._hall.name,
                plugin=plugin,
                place=place_in_plugin(refusal),
                advice="refuse before you record: the session had to be opened again",
            )
        if not counted:
            self._calls.quarantine.failed(plugin, reason)
        self.session.drop(context.staged)
        raise Halted from refusal


def not_working(plugin: str) -> Refuse:
    """Make the refusal for what a plugin would do that is in quarantine."""
    text = f"the plugin {plugin} is not working in this hall: an operator finds why in the log, mends it and reloads"
    return Refuse("internal", text)


def _payload_of(body: msgspec.Struct, payload: msgspec.Raw) -> msgspec.Raw:
    """Give a payload with the fields that it has as they are in the body now; those that nobody knows stay."""
    before: dict[str, Any] = msgspec.json.decode(payload)
    after: dict[str, Any] = msgspec.to_builtins(body)
    return msgspec.Raw(msgspec.json.encode({name: after.get(name, value) for name, value in before.items()}))


def _unknown(handler: Handler, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Pick the fields of a payload that its type doesn't have."""
    known = handler.body_type.__struct_encode_fields__
    return {name: value for name, value in payload.items() if name not in known}
