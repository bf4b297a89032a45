"""Committing: hands turns to the journal one after the other, and lets their effects leave once they are kept."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Final

import structlog

from relay_bot.hall import translating
from relay_bot.hall.debts import Debtor
from relay_bot.hall.feed import Feed
from relay_bot.hall.gate import Gate
from relay_bot.hall.message import Answered, refused
from relay_bot.hall.outbox import AckGroups, Outbox, Packet
from relay_bot.hall.roster import HallRoster
from relay_bot.hall.turn import Outgoing, Turn
from relay_bot.journal.batch import Batch, EventRow, JournalError, SnapshotRow
from relay_bot.journal.writer import Journal
from relay_bot.observe import metrics
from relay_bot.plugin import Role
from relay_bot.settings import BotSettings
from relay_bot.wire.clock import now_ms
from relay_bot.wire.refusal import Refuse

log = structlog.get_logger("hall")

BUSY: Final = Refuse("busy", "the hall can't take messages now; send again", retry_after_ms=2000)

Snapshots = list[tuple[tuple[str, ...], Outgoing | None]]


class Committer:
    """One turn is under way at a time; what is decided meanwhile gathers in the next.

    `waiting_ids` gives the ids of messages that are decided but not answered: an ack that goes to several
    senders must not hold one of them. `failed` is called when the journal did not keep a turn: that turn's
    messages have been answered `busy`, and the session in memory is no longer what its journal says.
    """

    def __init__(
        self,
        hall: str,
        bot: BotSettings,
        journal: Journal,
        outbox: Outbox,
        feed: Feed,
        debtor: Debtor,
        gate: Gate,
        roster: HallRoster,
        failed: Callable[[JournalError], None],
        wake: Callable[[], None],
        waiting_ids: Callable[[], set[str]],
        link: str = "",
        said: Callable[[], list[SnapshotRow]] = list,
    ) -> None:
        self._hall = hall
        self._bot = bot
        self._journal = journal
        self._outbox = outbox
        self._feed = feed
        self._debtor = debtor
        self._gate = gate
        self._roster = roster
        self._failed = failed
        self._wake = wake
        self._waiting_ids = waiting_ids
        self._link = link
        self._said = said
        self._under_way: Turn | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._next: tuple[Turn, Snapshots] | None = None

    @property
    def busy(self) -> bool:
        """Tell whether a turn is under way."""
        return self._under_way is not None

    def events(self) -> list[EventRow]:
        """List the events that are decided and handed over, and not known to be durable."""
        turns = [self._under_way, self._next[0] if self._next is not None else None]
        return [row for turn in turns if turn is not None for row in turn.events]

    async def idle(self) -> None:
        """Wait until no turn is under way."""
        await self._idle.wait()

    def submit(self, turn: Turn, *, wrong_state: bool = False) -> None:
        """Commit a turn: now, or after the one under way.

        `wrong_state`: a handler failed after this turn, so no snapshot may be made of the states in memory.
        """
        turn.now = now_ms()
        if wrong_state:
            turn.latest.clear()
        snapshots = turn.seal()
        turn.redactions = turn.session.redactions(turn.events)
        if not wrong_state:
            turn.states = turn.session.snapshots_due(lost=bool(turn.redactions))
            turn.debts = turn.session.core.debts() if turn.owes else None
        if self._under_way is None:
            self._send(turn, snapshots)
        else:
            self._next = turn, snapshots

    def _send(self, turn: Turn, snapshots: Snapshots) -> None:
        self._under_way = turn
        self._idle.clear()
        if not turn.must_be_kept():
            self._done(turn, snapshots, None)
            return
        batch = Batch(turn.session.info, lambda error: self._done(turn, snapshots, error))
        batch.events = turn.events
        batch.answers = turn.answer_rows
        batch.evicted = turn.session.answers.take_evicted()
        batch.secrets = turn.secrets
        batch.forgotten = turn.forgotten
        batch.shelved = turn.shelved
        batch.snapshots = turn.states + self._said()
        batch.redactions = turn.redactions
        self._journal.submit(batch)

    def _done(self, turn: Turn, snapshots: Snapshots, error: JournalError | None) -> None:
        """Hear from the journal. Kept: all that the turn caused may leave. Not kept: none of it does."""
        self._under_way = None
        following, self._next = self._next, None
        if error is None:
            self._release(turn, snapshots, following[0].waiting_ids if following else set())
            if following is not None:
                self._send(*following)
        else:
            log.error("hall.not_kept", hall=self._hall, error=str(error), messages=turn.messages)
            self.refuse(turn, refused(BUSY))
            if following is not None:
                self.refuse(following[0], refused(BUSY))
            self._failed(error)
        if self._under_way is None:
            self._idle.set()
        self._wake()

    # -- releasing ------------------------------------------------------------------------------------

    def refuse(self, turn: Turn, answer: Answered) -> None:
        """Give everyone who waits for a turn's answers this one instead."""
        groups = AckGroups(self._link)
        self._answer(turn, groups, answer)
        self._outbox.put(groups.packets)

    def abandon(self, answer: Answered) -> None:
        """Answer those whose turns were under way when the hall ended."""
        waiting = [self._under_way, self._next[0] if self._next else None]
        for turn in waiting:
            if turn is not None:
                self.refuse(turn, answer)

    def _answer(self, turn: Turn, groups: AckGroups, instead: Answered | None = None) -> None:
        for _, waiter, answer in turn.answers:
            try:
                waiter.answer(instead or answer, groups)
            except Exception:  # one who can't be answered keeps nobody else waiting
                log.exception("hall.not_answered", hall=self._hall)
        now = time.monotonic()
        metrics.ANSWER_SECONDS.observe_all(
            [now - message.stamp for message, _, _ in turn.answers if message is not None]
        )
        groups.flush()

    def _release(self, turn: Turn, snapshots: Snapshots, following: set[str]) -> None:
        """Let out what a turn caused, each kind by itself: it is kept, so what fails must not take the rest with it."""
        self._step("shelf", lambda: turn.services.shelf.settle(turn.shelved))
        self._step("answers", lambda: self._answer_all(turn, following))
        for sent in turn.outgoing:
            self._step("packets", partial(self._say, sent))
        for key, sent in snapshots:
            self._step("snapshots", partial(self._say_latest, key, sent))
        if turn.events:
            self._outbox.mark(turn.events[-1][1])
        self._step("feed", lambda: self._feed.publish(turn.events))
        debts = turn.debts
        if debts is not None:
            self._step("effects", lambda: self._debtor.owe(debts))

    def _step(self, part: str, function: Callable[[], None]) -> None:
        try:
            function()
        except Exception:
            metrics.HELPER_FAILURES.labels(part).inc()
            log.exception("hall.not_released", hall=self._hall, part=part)

    def _answer_all(self, turn: Turn, following: set[str]) -> None:
        groups = AckGroups(self._link)
        groups.expect(self._waiting_ids() | following)
        self._answer(turn, groups)
        self._outbox.put(groups.packets)

    def _say(self, sent: Outgoing) -> None:
        self._outbox.put(self._packets(sent))

    def _say_latest(self, key: tuple[str, ...], sent: Outgoing | None) -> None:
        if sent is None:
            self._outbox.drop_snapshot(key)
            return
        for packet in self._packets(sent):
            self._outbox.put_snapshot(key, packet)

    def _packets(self, sent: Outgoing) -> list[Packet]:
        to, receivers = sent.to, None
        if isinstance(to, Role):
            to = tuple(self._roster.at_least(to))
        if to == ():
            return []  # an empty list would be everybody, to LiveKit
        if callable(to):
            to, receivers = (), to
        gate, speaker = self._gate, self._speaker(sent)
        said = [*translating.packets(sent, speaker, gate.enabled_dialects, gate.heard_dialects, now_ms())]
        if sent.greets:
            said += translating.history(sent.payload, self._own_name, gate.heard_dialects, self._name_of)
        return [Packet(data, to or (), topic, receivers=receivers) for data, topic in said]

    def _speaker(self, sent: Outgoing) -> tuple[str, str]:
        """Give the identity and the name that a dialect tells for the sender."""
        named: str | None = sent.payload.get("display_name") if sent.kind == "chat" else None
        if sent.sender_id is None:
            return self._bot.identity, named or self._bot.name
        return sent.sender_id, named or self._name_of(sent.sender_id)

    @property
    def _own_name(self) -> tuple[str, str]:
        return self._bot.identity, self._bot.name

    def _name_of(self, identity: str) -> str:
        person = self._roster.get(identity)
        return person.display_name if person else identity
