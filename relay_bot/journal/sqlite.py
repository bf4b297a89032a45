"""The journal on SQLite, below SQLAlchemy: one statement for each group, because each step of a statement
gives Python's lock away and may wait 5 ms to get it back (359 µs a row with `executemany` beside a busy loop).
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Final

from relay_bot.journal.batch import (
    Batch,
    EventRow,
    Fenced,
    JournalError,
    SessionInfo,
    SnapshotRow,
    Unavailable,
)

_ROWS_A_STATEMENT: Final = 1000  # times 5 columns: well under SQLite's limit of 32,766 parameters
_BUSY_SECONDS: Final = 2.0


class SqliteStore:
    """One connection that writes, used by the journal's thread alone; reads open their own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = self._open()

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA wal_autocheckpoint=4000")  # pages: fewer, larger checkpoints
        connection.execute("PRAGMA secure_delete=ON")  # what is erased does not linger in free pages
        return connection

    def close(self) -> None:
        """Close the connection; committed rows are in the file or its log."""
        self._connection.close()

    # -- writing, on the journal's thread --------------------------------------------------------

    def commit(self, group: Sequence[Batch]) -> list[JournalError | None]:
        """Write a group of batches in one transaction; gives each one's error, or `None`.

        A batch whose session has another owner by now is `Fenced` and leaves the others alone. If the
        transaction itself fails, all are `Unavailable` and nothing of any was kept.
        """
        execute = self._connection.execute
        try:
            execute("BEGIN IMMEDIATE")
            try:
                results = [self._write(batch) for batch in group]
                execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            return [Unavailable(f"the journal can't be written: {error}")] * len(group)
        if any(batch.forgotten for batch in group):
            self._purge_log()
        return results

    def _purge_log(self) -> None:
        """Take destroyed secrets out of the write-ahead log as well; the next commit tries again if it can't now."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _write(self, batch: Batch) -> JournalError | None:
        execute = self._connection.execute
        row = execute("SELECT epoch, ended_at FROM sessions WHERE id = ?", (batch.session,)).fetchone()
        if row is None or row[0] != batch.epoch or row[1] is not None:
            return Fenced("another bot has taken this hall over")
        execute("SAVEPOINT batch")
        try:
            self._insert("events", 5, batch.events)
            self._insert("answers", 4, batch.answers, "OR REPLACE")
            self._insert("snapshots", 5, batch.snapshots, "OR REPLACE")
            self._insert("secrets", 3, batch.secrets, "OR REPLACE")
            for name in batch.forgotten:
                execute("DELETE FROM secrets WHERE session = ? AND name = ?", (batch.session, name))
        except sqlite3.IntegrityError:
            execute("ROLLBACK TO batch")
            return Fenced("another bot has written to this hall's sequence")
        finally:
            execute("RELEASE batch")
        return None

    def _insert(self, table: str, columns: int, rows: Sequence[tuple[Any, ...]], or_what: str = "") -> None:
        place = "(" + ",".join("?" * columns) + ")"
        for start in range(0, len(rows), _ROWS_A_STATEMENT):
            part = rows[start : start + _ROWS_A_STATEMENT]
            values = ",".join([place] * len(part))
            self._connection.execute(
                f"INSERT {or_what} INTO {table} VALUES {values}",  # noqa: S608  (names of ours alone)
                list(chain.from_iterable(part)),
            )

    def claim(self, hall: str, room_sid: str, now: int, resume_ms: int) -> SessionInfo:
        """Take over the hall's open session, or begin one; raises the epoch, which fences older owners.

        A session is the same one if the room's sid is, or if it was seen within `resume_ms`: then the
        SFU was restarted under it. Otherwise the old one is ended and a new one begins.
        """
        execute = self._connection.execute
        try:
            execute("BEGIN IMMEDIATE")
            try:
                found = execute(
                    "SELECT id, room_sid, epoch, seen_at FROM sessions"
                    " WHERE hall = ? AND ended_at IS NULL ORDER BY id DESC LIMIT 1",
                    (hall,),
                ).fetchone()
                if found and (found[1] == room_sid or now - found[3] <= resume_ms):
                    info = SessionInfo(found[0], found[2] + 1)
                    execute(
                        "UPDATE sessions SET epoch = ?, room_sid = ?, seen_at = ? WHERE id = ?",
                        (info.epoch, room_sid, now, info.id),
                    )
                else:
                    execute("UPDATE sessions SET ended_at = ? WHERE hall = ? AND ended_at IS NULL", (now, hall))
                    made = execute(
                        "INSERT INTO sessions (hall, room_sid, epoch, started_at, seen_at) VALUES (?, ?, 1, ?, ?)",
                        (hall, room_sid, now, now),
                    )
                    info = SessionInfo(made.lastrowid or 0, 1)
                execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise Unavailable(f"the journal can't be written: {error}") from error
        return info

    def release(self, session: int, epoch: int, now: int, *, ended: bool, room_sid: str = "") -> None:
        """Say when the owner last held the session, under which room; end it if the room is gone for good."""
        try:
            self._connection.execute(
                "UPDATE sessions SET seen_at = ?, ended_at = CASE WHEN ? THEN ? ELSE ended_at END,"
                " room_sid = CASE WHEN ? = '' THEN room_sid ELSE ? END WHERE id = ? AND epoch = ?",
                (now, ended, now, room_sid, room_sid, session, epoch),
            )
        except sqlite3.Error as error:
            raise Unavailable(f"the journal can't be written: {error}") from error

    def probe(self) -> None:
        """Check that the database can be written; raises `Unavailable`."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.execute("UPDATE sessions SET seen_at = seen_at WHERE id = -1")
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise Unavailable(f"the journal can't be written: {error}") from error

    # -- reading, on any thread --------------------------------------------------------------------

    def _reader(self) -> sqlite3.Connection:
        uri = f"{self._path.absolute().as_uri()}?mode=ro"
        return sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS)

    def snapshots(self, session: int) -> list[SnapshotRow]:
        """Read the session's newest snapshots, one for each plugin."""
        return self._read("SELECT session, plugin, seq, version, state FROM snapshots WHERE session = ?", (session,))

    def answers(self, session: int, limit: int) -> list[tuple[bytes, bytes]]:
        """Read the newest answers, newest last."""
        rows = self._read(
            "SELECT key, answer FROM answers WHERE session = ? ORDER BY minute DESC LIMIT ?", (session, limit)
        )
        return rows[::-1]

    def secrets(self, session: int) -> dict[str, bytes]:
        """Read the session's secrets by name."""
        return dict(self._read("SELECT name, value FROM secrets WHERE session = ?", (session,)))

    def events(self, session: int, after: int) -> Iterator[EventRow]:
        """Read the session's events with a `seq` above `after`, in order."""
        connection = self._reader()
        try:
            yield from connection.execute(
                "SELECT session, seq, at, kind, body FROM events WHERE session = ? AND seq > ? ORDER BY seq",
                (session, after),
            )
        except sqlite3.Error as error:
            raise Unavailable(f"the journal can't be read: {error}") from error
        finally:
            connection.close()

    def _read(self, query: str, parameters: tuple[Any, ...]) -> list[Any]:
        try:
            connection = self._reader()
            try:
                return connection.execute(query, parameters).fetchall()
            finally:
                connection.close()
        except sqlite3.Error as error:
            raise Unavailable(f"the journal can't be read: {error}") from error
