"""What was committed but not said when the process died is said after the restart, where it still matters.

The outbox knows up to which event all has left. That is noted among the session's snapshots, with the next commit or a
second later: no row for each packet. After a restart the events behind the note are handed to `Plugin.say_again`,
each plugin its own, oldest first. What had left after all is said twice: ids make that harmless.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Any, Final

from relay_bot.hall.outbox import Outbox
from relay_bot.journal.batch import Batch, EventRow, JournalError, SessionInfo, SnapshotRow
from relay_bot.journal.writer import Journal
from relay_bot.plugin import Plugin, own_methods

SAID: Final = "~said"
"""Stands for a plugin's name in the row; none is called so."""
_NOTE_SECONDS: Final = 1.0
_MAX_UNSAID: Final = 1_000
_OLDEST_MS: Final = 600_000
"""What is older than this says nothing to anybody any more."""
_UNNOTED_MS: Final = 30_000
"""Where nothing was noted yet, so much before the session's last event is taken for unsaid."""


class Unsaid:
    """Gathers, while a session is replayed, the events that may not have been said."""

    def __init__(self, plugins: Mapping[str, Plugin[Any, Any]]) -> None:
        self._tellers = {name for name, plugin in plugins.items() if "say_again" in own_methods(type(plugin))}
        self._rows: deque[EventRow] = deque(maxlen=_MAX_UNSAID)
        self.noted: int | None = None
        """The event up to which all was said; `None` where nothing was noted."""

    def see(self, row: EventRow) -> None:
        """Take an event of the journal into account."""
        if (self.noted is None or row[1] > self.noted) and row[3].partition(".")[0] in self._tellers:
            self._rows.append(row)

    def take(self, now: int) -> list[EventRow]:
        """Give the events that are to be said again, oldest first, once."""
        rows, self._rows = list(self._rows), deque(maxlen=_MAX_UNSAID)
        oldest = now - _OLDEST_MS
        if self.noted is None and rows:
            oldest = max(oldest, rows[-1][2] - _UNNOTED_MS)
        return [row for row in rows if row[2] >= oldest]


class SaidNotes:
    """Notes in the journal how far a session has been said, soon after the outbox got there."""

    def __init__(self, journal: Journal, outbox: Outbox) -> None:
        self._journal = journal
        self._outbox = outbox
        self._session: SessionInfo | None = None
        self._noted = 0
        self._later: asyncio.TimerHandle | None = None
        outbox.on_said = self._plan

    def begin(self, session: SessionInfo) -> None:
        """Go on for a session that was opened."""
        if self._session is None or self._session.id != session.id:
            self._noted = self._outbox.said = 0
        self._session = session

    def row(self) -> list[SnapshotRow]:
        """Give the row for a batch that is to be committed anyway; none where there is nothing new to note."""
        said = self._outbox.said
        if self._session is None or said <= self._noted:
            return []
        self._noted = said
        return [(self._session.id, SAID, said, 1, b"{}")]

    def end(self) -> None:
        """Write nothing any more."""
        if self._later is not None:
            self._later.cancel()
        self._session = None

    def _plan(self) -> None:
        if self._later is None:
            self._later = asyncio.get_running_loop().call_later(_NOTE_SECONDS, self._note)

    def _note(self) -> None:
        self._later = None
        session, rows = self._session, self.row()
        if session is not None and rows:
            batch = Batch(session, _heard)
            batch.snapshots = rows
            self._journal.submit(batch)


def _heard(error: JournalError | None) -> None:
    """What was not noted is said again at worst."""
