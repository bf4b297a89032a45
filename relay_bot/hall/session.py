"""A hall session in memory: what its journal says, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import msgspec
import structlog

from relay_bot.hall import core
from relay_bot.hall.answers import DEFAULT_BYTES, AnswerMemory
from relay_bot.hall.saying import SAID, Unsaid
from relay_bot.hall.staged import Staged
from relay_bot.hall.supervisor import place_of
from relay_bot.journal.batch import EventRow, Kept, Lots, Redaction, SessionInfo, SnapshotRow
from relay_bot.journal.events import Event, EventRefused, EventTable, State
from relay_bot.journal.pseudonyms import KEY_NAME, pseudonyms
from relay_bot.journal.writer import Journal
from relay_bot.plugin import HallView, Plugin, PluginSpec, own_methods

log = structlog.get_logger("session")

GUARDING: Final = frozenset({"refuses", "refuses_text", "refuses_join", "judge"})
"""A plugin with one of these methods is a guard: without it nobody could say who may speak."""
WATCHING: Final = frozenset({"joined", "left", "changed"})

_ROWS_A_READ: Final = 5_000
SNAPSHOT_EVERY: Final = 20_000
"""Events after which a session's states are put into the journal, so that a restart replays no more."""


class Loaded(msgspec.Struct, frozen=True):
    """A plugin as the host has loaded it, with its settings."""

    spec: PluginSpec
    settings: msgspec.Struct
    required: bool = False


class Session:
    """The plugins of one hall session with their states, and the core's."""

    def __init__(
        self,
        info: SessionInfo,
        loaded: Mapping[str, Loaded],
        view: HallView,
        answers_bytes: int = DEFAULT_BYTES,
        without: Collection[str] = (),
    ) -> None:
        self.info = info
        self.seq = 0
        self.core = core.CoreState()
        self.answers = AnswerMemory(answers_bytes)
        self.lots = Lots()
        self.secrets: dict[str, bytes] = {}
        self.plugins: dict[str, Plugin[Any, Any]] = {}
        """Those that work. The dictionary is replaced where one is left out, and never changed."""
        self.faults: dict[str, str] = {}
        """Plugins that could not be made, or whose events could not be read: why."""
        self._tables: dict[str, EventTable[Any]] = {name: each.spec.events for name, each in loaded.items()}
        self._left_out: set[str] = set()
        self._closed = False
        for name, each in loaded.items():
            try:
                self.plugins[name] = each.spec.create(each.settings, view)
            except Exception as error:
                self._fault(name, error, "it could not be made")
        for name in {*without, *self.faults} & loaded.keys():
            self.leave_out(name, loaded[name].spec.plugin_type)
        self._find_roles()
        self._tables[core.NAMESPACE] = core.TABLE
        self._redacting = frozenset(kind for table in self._tables.values() for kind in table.redacting())
        self._snapshot_seq = 0
        self.unsaid = Unsaid(self.plugins)

    # -- without some ---------------------------------------------------------------------------------

    def leave_out(self, name: str, kind: type[Plugin[Any, Any]] | None = None) -> None:
        """Go on without a plugin: its state may be anything. What it guarded is closed."""
        plugin = self.plugins.get(name)
        kind = kind or (type(plugin) if plugin is not None else None)
        self.plugins = {other: each for other, each in self.plugins.items() if other != name}
        self._tables.pop(name, None)
        self._left_out.add(name)
        self._closed = self._closed or (kind is not None and bool(GUARDING & own_methods(kind)))
        self._find_roles()

    def _find_roles(self) -> None:
        # Most plugins refuse nobody, and not all look who is here: only those that do are asked for each message.
        methods = {name: own_methods(type(plugin)) for name, plugin in self.plugins.items()}
        self.guards = [(name, plugin) for name, plugin in self.plugins.items() if "refuses" in methods[name]]
        self.watching = [name for name in self.plugins if WATCHING & methods[name]]

    def _fault(self, name: str, error: Exception, what: str) -> None:
        log.exception("session.plugin_unreadable", session=self.info.id, plugin=name, what=what)
        self.faults[name] = f"{what}: {type(error).__name__} at {place_of(error)}"

    @property
    def left_out(self) -> Collection[str]:
        """The plugins that are loaded and don't work here."""
        return self._left_out

    def is_left_out(self, name: str) -> bool:
        """Tell whether a plugin is loaded and doesn't work here."""
        return name in self._left_out

    @property
    def closed(self) -> bool:
        """Tell whether a plugin that judges who may speak or stay is left out: then only hosts are let through."""
        return self._closed

    def erased_as(self, identity: str) -> tuple[str, ...]:
        """See `HallView.erased_as`."""
        secret = self.secrets.get(KEY_NAME)
        return () if secret is None else pseudonyms(secret, identity)

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
        return {name: plugin.state for name, plugin in self.plugins.items()}  # without those that could not be read

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
            if namespace not in self._left_out:
                strangers.add(kind)
            return
        if seq > reached[namespace]:
            table = self._tables[namespace]
            try:
                event = table.decode(kind, body)
            except KeyError:
                strangers.add(kind)
                return
            except msgspec.DecodeError as error:
                self._unreplayable(namespace, seq, kind, error)
                return
            try:
                table.apply(self._state(namespace), event)
            except Exception as error:
                self._unreplayable(namespace, seq, kind, error)

    def _unreplayable(self, namespace: str, seq: int, kind: str, error: Exception) -> None:
        if namespace == core.NAMESPACE:
            raise error
        self._fault(namespace, error, f"its event {kind} ({seq}) can't be replayed")
        self.leave_out(namespace)
