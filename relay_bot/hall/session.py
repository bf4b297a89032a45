"""A hall session in memory: what its journal says, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import structlog

from relay_bot.hall import core
from relay_bot.hall.answers import DEFAULT_BYTES, AnswerMemory
from relay_bot.hall.saying import SAID, Unsaid
from relay_bot.hall.staged import Staged
from relay_bot.journal.batch import EventRow, Kept, Lots, Redaction, SessionInfo, SnapshotRow
from relay_bot.journal.events import Event, EventRefused, EventTable, State
from relay_bot.journal.writer import Journal
from relay_bot.plugin import HallView, Plugin, PluginSpec

log = structlog.get_logger("session")

_ROWS_A_READ: Final = 5_000
SNAPSHOT_EVERY: Final = 20_000
"""Events after which a session's states are put into the journal, so that a restart replays no more."""


class Loaded(msgspec.Struct, frozen=True):
    """A plugin as the host has loaded it, with its settings."""

    spec: PluginSpec
    settings: msgspec.Struct


class Session:
    """The plugins of one hall session with their states, and the core's."""

    def __init__(
        self, info: SessionInfo, loaded: Mapping[str, Loaded], view: HallView, answers_bytes: int = DEFAULT_BYTES
    ) -> None:
        self.info = info
        self.seq = 0
        self.core = core.CoreState()
        self.answers = AnswerMemory(answers_bytes)
        self.lots = Lots()
        self.secrets: dict[str, bytes] = {}
        self.plugins: dict[str, Plugin[Any, Any]] = {
            name: each.spec.create(each.settings, view) for name, each in loaded.items()
        }
        self._tables: dict[str, EventTable[Any]] = {name: each.spec.events for name, each in loaded.items()}
        self._tables[core.NAMESPACE] = core.TABLE
        self._redacting = frozenset(kind for table in self._tables.values() for kind in table.redacting())
        self._snapshot_seq = 0
        self.unsaid = Unsaid(self.plugins)

    # -- recording ----------------------------------------------------------------------------------

    def record(self, namespace: str, event: Event, at: int, staged: Staged) -> None:
        """Apply an event at once, as it will be read back, and stage the row that the journal is to keep.

        Raises what `EventTable.checked` does before anything is applied; after that `staged.applied` is true, and what
        is raised means that the state in memory is wrong.
        """
        table = self._tables[namespace]
        try:
            kind, body, found = table.checked(event)
        except EventRefused as error:
            log.error(
                "event.refused",
                plugin=namespace,
                refused=type(event).__name__,
                field=error.field,
                problem=error.problem,
            )
            raise
        staged.torn = True
        table.apply(self._state(namespace), found)
        self.seq += 1
        staged.events.append((self.info.id, self.seq, at, kind, body))
        staged.torn = False

    def drop(self, staged: Staged) -> None:
        """Forget the numbers of events that nobody will hear of. The states have moved on with them all the same."""
        self.seq -= len(staged.events)

    def read(self, row: EventRow) -> Event | None:
        """Decode a row of the journal; `None` where its kind is not known."""
        kind, body = row[3:]
        try:
            return self._tables[kind.partition(".")[0]].decode(kind, body)
        except KeyError:
            return None

    def _state(self, namespace: str) -> State:
        return self.core if namespace == core.NAMESPACE else self.plugins[namespace].state

    def _set_state(self, namespace: str, state: State) -> None:
        if namespace == core.NAMESPACE:
            assert isinstance(state, core.CoreState)
            self.core = state
        else:
            self.plugins[namespace].state = state

    # -- snapshots ------------------------------------------------------------------------------------

    def snapshots_due(self, *, lost: bool = False) -> list[SnapshotRow]:
        """Give snapshots of every state, if enough has happened since the last ones, or these are `lost`."""
        due = self.seq - self._snapshot_seq >= SNAPSHOT_EVERY or (lost and self._snapshot_seq > 0)
        return self.take_snapshots() if due else []

    def redactions(self, rows: Sequence[EventRow]) -> list[Redaction]:
        """Give what these events take out of the journal."""
        found: list[Redaction] = []
        for _, _, _, kind, body in rows:
            if kind in self._redacting:
                table = self._tables[kind.partition(".")[0]]
                found.append(table.redaction(table.decode(kind, body)))
        return found

    def take_snapshots(self) -> list[SnapshotRow]:
        """Give snapshots of every state as it is now."""
        self._snapshot_seq = self.seq
        return [
            (self.info.id, name, self.seq, self._version(name), table.snapshot(self._state(name)))
            for name, table in self._tables.items()
        ]

    def _version(self, namespace: str) -> int:
        return 1 if namespace == core.NAMESPACE else self.plugins[namespace].state_version

    def fingerprints(self) -> dict[str, bytes]:
        """Encode every state: two sessions with equal states give equal bytes."""
        return {name: table.fingerprint(self._state(name)) for name, table in self._tables.items()}

    # -- replay ---------------------------------------------------------------------------------------

    async def replay(self, journal: Journal) -> None:
        """Bring an empty session to what the journal says; raises `Unavailable`, or what a plugin raises."""
        kept = await journal.load(self.info.id, self.answers.most)
        for key, answer in kept.answers:
            self.answers.put(key, answer)
        self.lots.begin(kept.last_lot)
        self.secrets = kept.secrets
        strangers = await self._replay(journal, kept)
        if strangers:
            log.warning("session.events_left_out", session=self.info.id, kinds=sorted(strangers)[:20])

    async def recall(self, journal: Journal) -> dict[str, State]:
        """Give the states of a session that is over, of the plugins that this one was made with."""
        await self._replay(journal, await journal.load(self.info.id, 0))
        return {name: plugin.state for name, plugin in self.plugins.items()}

    async def _replay(self, journal: Journal, kept: Kept) -> set[str]:
        """Apply snapshots and events; gives the kinds of events that nobody here knows."""
        reached = self._restore(kept.snapshots)
        after = min(reached.values())
        if self.unsaid.noted is not None:
            after = min(after, self.unsaid.noted)
        strangers: set[str] = set()
        while rows := await journal.read_events(self.info.id, after, _ROWS_A_READ):
            for row in rows:
                self.replay_row(row, reached, strangers)
            after = rows[-1][1]
            await asyncio.sleep(0)  # other halls go on meanwhile
        self.seq = max(after, self.seq)
        return strangers

    def _restore(self, snapshots: list[SnapshotRow]) -> dict[str, int]:
        """Restore the states that have a usable snapshot; gives the seq that each state has reached."""
        reached = dict.fromkeys(self._tables, 0)
        for _, name, seq, version, state in snapshots:
            if name == SAID:
                self.unsaid.noted = seq
            if name not in self._tables or version != self._version(name):
                continue
            try:
                self._set_state(name, self._tables[name].restore(state))
            except msgspec.DecodeError as error:
                log.warning("session.snapshot_unusable", plugin=name, error=str(error))
                continue
            reached[name] = seq
        self._snapshot_seq = min(reached.values())
        return reached

    def replay_row(self, row: EventRow, reached: Mapping[str, int], strangers: set[str]) -> None:
        """Apply one row of the journal, unless the state's snapshot has it already."""
        _, seq, _, kind, body = row
        self.seq = seq
        self.unsaid.see(row)
        namespace = kind.partition(".")[0]
        if namespace not in self._tables:
            strangers.add(kind)
            return
        if seq > reached[namespace]:
            table = self._tables[namespace]
            try:
                event = table.decode(kind, body)
            except KeyError:
                strangers.add(kind)
                return
            table.apply(self._state(namespace), event)
