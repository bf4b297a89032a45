"""The journal on SQLite, below SQLAlchemy: one statement for each group, because each step of a statement
gives Python's lock away and may wait 5 ms to get it back (359 µs a row with `executemany` beside a busy loop).
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog

from relay_bot.journal.batch import (
    OF_THE_PROCESS,
    Batch,
    EventRow,
    Fenced,
    JournalError,
    Lots,
    Redaction,
    SessionInfo,
    ShelfRow,
    SnapshotRow,
    Unavailable,
    Unfinished,
)
from relay_bot.journal.erasing import Rule, Rules
from relay_bot.journal.finding import Named, Scope, find
from relay_bot.journal.pseudonyms import KEY_NAME

log = structlog.get_logger("journal")

_ROWS_A_STATEMENT: Final = 1000  # times 5 columns: well under SQLite's limit of 32,766 parameters
_KEYS_A_STATEMENT: Final = 30_000
_BUSY_SECONDS: Final = 2.0
_LONGEST_PURGE_PAUSE: Final = 5.0
_MANY_PURGES: Final = 12
"""About 30 seconds of trying."""
_A_HALLS: Final = chr(ord(OF_THE_PROCESS) + 1)
"""From here on the names of sessions are halls'."""


def close_to_others(path: Path) -> None:
    """Make the database's file if there is none, and let nobody but this user read it and what lies beside it.

    A file that is there is not opened: closing it would drop every lock that this process has on it, SQLite's too.
    Then whoever else closed the database would be the last for SQLite, and take the log away that we write.
    """
    if not path.exists():
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    for each in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
        with contextlib.suppress(OSError):  # it isn't there, or is another user's, who chose its mode
            if each.stat().st_mode & 0o077:
                each.chmod(0o600)


class SqliteStore:
    """One connection that writes, used by the journal's thread alone; reads open their own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._inode = 0
        self._connection = self._open()
        self._broken = False
        self._probes = 0
        self._purge_at: float | None = 0.0
        """When the log is to be truncated (monotonic seconds): at once, because who ran before may have been killed."""
        self._purge_tries = 0

    def _open(self) -> sqlite3.Connection:
        close_to_others(self._path)  # SQLite gives its log and its index the mode of the file
        connection = sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        self._inode = self._inode or self._path.stat().st_ino
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA wal_autocheckpoint=4000")  # pages: fewer, larger checkpoints
        connection.execute("PRAGMA secure_delete=ON")  # what is erased does not linger in free pages
        return connection

    def close(self) -> None:
        """Close the connection; committed rows are in the file or its log."""
        if self._purge_at is not None:
            self.purge()
        self._connection.close()

    def _execute(self, statement: str, parameters: Sequence[Any] = ()) -> sqlite3.Cursor:
        return self._connection.execute(statement, parameters)

    @contextmanager
    def _transaction(self) -> Generator[None]:
        """Commit what is done inside, or nothing of it; raises `Unavailable` for whatever SQLite says.

        After a failure the next transaction opens the file anew: what was damaged may have been put right.
        """
        self._check_in_place()
        try:
            if self._broken:
                self._connection.close()
                self._connection = self._open()
                self._broken = False
            self._execute("BEGIN IMMEDIATE")
            try:
                yield
                self._execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            self._broken = True
            raise Unavailable(f"the journal can't be written: {error}") from error

    def _check_in_place(self) -> None:
        """Raise `Unavailable` where the file was taken away or replaced: what is written would be lost, unnoticed."""
        try:
            inode = self._path.stat().st_ino
        except OSError as error:
            raise Unavailable(f"the database file is gone ({error.strerror}): put it back, and restart") from error
        if inode != self._inode:
            raise Unavailable("the database file was replaced under the running bot: restart it")

    # -- writing, on the journal's thread --------------------------------------------------------

    def commit(self, group: Sequence[Batch]) -> list[JournalError | None]:
        """Write a group of batches in one transaction; gives each one's error, or `None`.

        A batch whose session has another owner by now is `Fenced` and leaves the others alone. If the
        transaction itself fails, all are `Unavailable` and nothing of any was kept.
        """
        try:
            with self._transaction():
                results = self._write(group)
        except Unavailable as error:
            return [error] * len(group)
        if any(batch.forgotten or batch.redactions for batch in group):
            self._purge_soon()
            self.purge()  # who hears that it is destroyed may rely on that, unless somebody reads
        return results

    # -- the write-ahead log, which keeps what was deleted -----------------------------------------

    def _purge_soon(self) -> None:
        if self._purge_at is None:
            self._purge_at, self._purge_tries = time.monotonic(), 0

    def purge_wait(self) -> float | None:
        """Give the seconds until `purge` is to be called; `None` where there is nothing to purge."""
        return None if self._purge_at is None else max(0.0, self._purge_at - time.monotonic())

    def purge(self) -> None:
        """Take what was deleted out of the write-ahead log as well, without waiting for anybody.

        While somebody reads (a backup) it can't be done, and is tried again: each time later, up to five seconds.
        """
        busy: Any = True
        with contextlib.suppress(sqlite3.Error):
            self._execute("PRAGMA busy_timeout=0")
            try:
                busy, _, _ = self._execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            finally:
                self._execute(f"PRAGMA busy_timeout={int(_BUSY_SECONDS * 1000)}")
        if not busy:
            self._purge_at = None
            return
        self._purge_tries += 1
        self._purge_at = time.monotonic() + min(_LONGEST_PURGE_PAUSE, 0.02 * 2**self._purge_tries)
        if self._purge_tries == _MANY_PURGES:
            log.warning(
                "journal.log_not_truncated", reason="somebody reads the database; what was deleted is in its log"
            )

    def _write(self, group: Sequence[Batch]) -> list[JournalError | None]:
        """Write all batches together, which costs many halls little more than one; one by one if that fails."""
        if len({batch.session for batch in group}) == len(group):
            try:
                errors = self._fenced(group)
                self._insert_all([batch for batch, error in zip(group, errors, strict=True) if error is None])
                return errors
            except sqlite3.IntegrityError:
                self._execute("ROLLBACK")
                self._execute("BEGIN IMMEDIATE")
        return [self._write_alone(batch) for batch in group]

    def _write_alone(self, batch: Batch) -> JournalError | None:
        (error,) = self._fenced([batch])
        if error is None:
            try:
                with self._savepoint():
                    self._insert_all([batch])
            except sqlite3.IntegrityError:
                return Fenced("another bot has written to this hall's sequence")
        return error

    def _fenced(self, group: Sequence[Batch]) -> list[JournalError | None]:
        """Tell of each batch whether its session has another owner by now, or is over."""
        places = ",".join("?" * len(group))
        owners = dict(
            self._execute(
                f"SELECT id, epoch FROM sessions WHERE ended_at IS NULL AND id IN ({places})",  # noqa: S608  (places alone)
                [batch.session for batch in group],
            )
        )
        return [
            None if owners.get(batch.session) == batch.epoch else Fenced("another bot has taken this hall over")
            for batch in group
        ]

    def _insert_all(self, batches: Sequence[Batch]) -> None:
        self._insert("events", 5, [row for batch in batches for row in batch.events])
        for batch in batches:
            for redaction in batch.redactions:
                self._redact(batch.session, redaction)
        self._insert("answers", 4, [row for batch in batches for row in batch.answers], "OR REPLACE")
        self._insert("snapshots", 5, [row for batch in batches for row in batch.snapshots], "OR REPLACE")
        self._insert("secrets", 3, [row for batch in batches for row in batch.secrets], "OR REPLACE")
        self._insert("shelved", 4, [row for batch in batches for row in batch.shelved], "OR REPLACE")
        for batch in batches:
            self._delete_answers(batch.session, batch.evicted)
            for name in batch.forgotten:
                self._execute("DELETE FROM secrets WHERE session = ? AND name = ?", (batch.session, name))

    def _redact(self, session: int, redaction: Redaction) -> None:
        """Take the words out of events, and out of the snapshots that were made of them."""
        found = self._execute(
            "SELECT seq, body FROM events WHERE session = ? AND kind = ? AND json_extract(CAST(body AS TEXT), ?) = ?",
            (session, redaction.kind, f'$."{redaction.field}"', redaction.value),
        ).fetchall()
        for seq, body in found:
            emptied = msgspec.json.encode(msgspec.json.decode(body) | redaction.empty)
            self._execute("UPDATE events SET body = ? WHERE session = ? AND seq = ?", (emptied, session, seq))
        plugin = redaction.kind.partition(".")[0]
        self._execute("DELETE FROM snapshots WHERE session = ? AND plugin = ?", (session, plugin))

    def _delete_answers(self, session: int, keys: Sequence[bytes]) -> None:
        for start in range(0, len(keys), _KEYS_A_STATEMENT):  # each statement reads all of the session's answers
            part = keys[start : start + _KEYS_A_STATEMENT]
            places = ",".join("?" * len(part))
            self._execute(
                f"DELETE FROM answers WHERE session = ? AND key IN ({places})",  # noqa: S608  (places alone)
                (session, *part),
            )

    @contextmanager
    def _savepoint(self) -> Generator[None]:
        """Undo what is done inside if it fails, and leave the rest of the transaction as it is."""
        self._execute("SAVEPOINT batch")
        try:
            yield
        except sqlite3.IntegrityError:
            self._execute("ROLLBACK TO batch")
            raise
        finally:
            self._execute("RELEASE batch")

    def _insert(self, table: str, columns: int, rows: Sequence[tuple[Any, ...]], or_what: str = "") -> None:
        place = "(" + ",".join("?" * columns) + ")"
        for start in range(0, len(rows), _ROWS_A_STATEMENT):
            part = rows[start : start + _ROWS_A_STATEMENT]
            values = ",".join([place] * len(part))
            self._execute(
                f"INSERT {or_what} INTO {table} VALUES {values}",  # noqa: S608  (names of ours alone)
                list(chain.from_iterable(part)),
            )

    def claim(self, hall: str, room_sid: str, now: int, resume_ms: int) -> SessionInfo:
        """Take over the hall's open session, or begin one; raises the epoch, which fences older owners.

        A session is the same one if the room's sid is, or if it was seen within `resume_ms`: then the
        SFU was restarted under it. Otherwise the old one is to be closed and a new one begins.
        """
        with self._transaction():
            found = self._execute(
                "SELECT id, room_sid, epoch, seen_at FROM sessions"
                " WHERE hall = ? AND ended_at IS NULL AND closing_at IS NULL ORDER BY id DESC LIMIT 1",
                (hall,),
            ).fetchone()
            if found and (found[1] == room_sid or now - found[3] <= resume_ms):
                self._execute(
                    "UPDATE sessions SET epoch = epoch + 1, room_sid = ?, seen_at = ? WHERE id = ?",
                    (room_sid, now, found[0]),
                )
                return SessionInfo(found[0], found[2] + 1)
            self._execute(  # its plugins are told by whoever closes it
                "UPDATE sessions SET closing_at = ?, epoch = epoch + 1"
                " WHERE hall = ? AND ended_at IS NULL AND closing_at IS NULL",
                (now, hall),
            )
            made = self._execute(
                "INSERT INTO sessions (hall, room_sid, epoch, started_at, seen_at) VALUES (?, ?, 1, ?, ?)",
                (hall, room_sid, now, now),
            )
            return SessionInfo(made.lastrowid or 0, 1)

    def claim_closing(self, session: int, now: int, unseen: int, stale: int, ours: int) -> SessionInfo | None:
        """Take a session over to close it, unless somebody holds it; it is never taken up by a room again.

        It is held if it was seen since `unseen`, or, where it is being closed already, since `stale`; not so by the
        owner with the epoch `ours`, who gives it over.
        """
        with self._transaction():
            changed = self._execute(
                "UPDATE sessions SET epoch = epoch + 1, closing_at = coalesce(closing_at, ?), seen_at = ?"
                " WHERE id = ? AND ended_at IS NULL"
                " AND (seen_at < ? OR (closing_at IS NOT NULL AND (seen_at < ? OR epoch = ?)))",
                (now, now, session, unseen, stale, ours),
            ).rowcount
            if not changed:
                return None
            epoch = self._execute("SELECT epoch FROM sessions WHERE id = ?", (session,)).fetchone()[0]
            return SessionInfo(session, epoch)

    def release(
        self, session: int, epoch: int, now: int, *, ended: bool, room_sid: str = "", closing: bool = False
    ) -> bool:
        """Say when the owner last held the session, under which room; end it if the room is gone for good.

        `closing`: the room is gone for good, but something is still owed. `False`: somebody else has it, or it is over;
        nothing is changed.
        """
        with self._transaction():
            changed = self._execute(
                "UPDATE sessions SET seen_at = ?, ended_at = CASE WHEN ? THEN ? ELSE ended_at END,"
                " closing_at = CASE WHEN ? THEN coalesce(closing_at, ?) ELSE closing_at END,"
                " room_sid = CASE WHEN ? = '' THEN room_sid ELSE ? END WHERE id = ? AND epoch = ? AND ended_at IS NULL",
                (now, ended, now, closing, now, room_sid, room_sid, session, epoch),
            ).rowcount
            if changed and ended:
                self._destroy_secrets("session = ?", (session,))
        return changed > 0

    def _destroy_secrets(self, where: str, parameters: tuple[Any, ...]) -> None:
        """Destroy the keys of sessions that are over: nothing is hashed with them any more."""
        gone = self._execute(f"DELETE FROM secrets WHERE {where}", parameters)  # noqa: S608  (names of ours alone)
        if gone.rowcount:
            self._purge_soon()

    def rewrite(self, named: Named) -> int:
        """Put what was found in the place of what names somebody, where that is as it was read; gives how many were.

        Snapshots are made anew from the events. Of what a session that names them has answered stays that it was done:
        nobody can tell any more what it said, not even whom it named.
        """
        count = 0
        with self._transaction():
            overtaken = {session for session, (old, new) in named.secrets.items() if not self._keyed(session, old, new)}
            for each in named.events:
                if each.session in overtaken:
                    continue  # it is found again, and gets another pseudonym
                count += self._execute(
                    "UPDATE events SET kind = ?, body = ? WHERE session = ? AND seq = ? AND CAST(body AS BLOB) = ?",
                    (each.kind, each.body, each.session, each.seq, each.old),
                ).rowcount
            for session in {each.session for each in named.events} - overtaken:
                self._execute("DELETE FROM snapshots WHERE session = ?", (session,))
                self._execute("DELETE FROM answers WHERE session = ? AND substr(answer, 1, 1) = x'02'", (session,))
                self._execute("UPDATE answers SET answer = x'00' WHERE session = ? AND length(answer) > 1", (session,))
            for document in named.documents:
                count += self._execute(
                    "UPDATE shelved SET body = ? WHERE shelf = ? AND name = ? AND CAST(body AS BLOB) = ?",
                    (document.body, document.shelf, document.name, document.old),
                ).rowcount
        self._purge_soon()
        self.purge()
        return count

    def _keyed(self, session: int, old: bytes, new: bytes) -> bool:
        """Put the key of a session's pseudonyms in its place, see `Pseudonyms`; tells whether the old one was there.

        Nothing is put where the session has ended meanwhile: its key would be destroyed now.
        """
        if self._execute("SELECT 1 FROM sessions WHERE id = ? AND ended_at IS NULL", (session,)).fetchone() is None:
            return True
        row = self._execute("SELECT value FROM secrets WHERE session = ? AND name = ?", (session, KEY_NAME)).fetchone()
        if (row[0] if row else b"") != old:
            return False
        if new != old:
            self._insert("secrets", 3, [(session, KEY_NAME, new)], "OR REPLACE")
        return True

    def declare(self, rules: Rules) -> None:
        """Keep what plugins declare of their events; what was declared before stays, for what was kept then."""
        known = self.declared()
        with self._transaction():
            for name, rule in rules.items():
                if known.get(name) != rule:
                    self._execute("INSERT OR REPLACE INTO declared VALUES (?, ?)", (name, msgspec.json.encode(rule)))

    def shelve(self, row: ShelfRow) -> None:
        """Keep something under its name, in the place of what was there."""
        with self._transaction():
            self._insert("shelved", 4, [row], "OR REPLACE")

    def unshelve(self, shelf: str, name: str) -> None:
        """Delete what is kept under a name, if there is something."""
        with self._transaction():
            self._execute("DELETE FROM shelved WHERE shelf = ? AND name = ?", (shelf, name))
        self._purge_soon()
        self.purge()

    def shelved(self) -> list[ShelfRow]:
        """Read everything that is shelved."""
        return self._read("SELECT shelf, name, at, body FROM shelved", ())

    def forget_sessions(self, before: int, living: Sequence[int]) -> int:
        """Delete what is kept of sessions that were over before a time (ms); gives how many."""
        with self._transaction():
            old = [
                row[0]
                for row in self._execute(
                    "SELECT id FROM sessions WHERE coalesce(ended_at, seen_at) < ? AND hall >= ?", (before, _A_HALLS)
                )
                if row[0] not in living
            ]
            for session in old:
                for table in ("events", "answers", "snapshots", "secrets"):
                    self._execute(f"DELETE FROM {table} WHERE session = ?", (session,))  # noqa: S608  (names of ours alone)
                self._execute("DELETE FROM sessions WHERE id = ?", (session,))
        if old:
            self._purge_soon()
        return len(old)

    def forget_answers(self, before: int) -> int:
        """Delete the answers of the process's own sessions that are older than a time (ms); gives how many."""
        with self._transaction():
            gone = self._execute(
                "DELETE FROM answers WHERE lot < ? AND session IN (SELECT id FROM sessions WHERE hall < ?)",
                (Lots.first(before), _A_HALLS),
            ).rowcount
        if gone:
            self._purge_soon()
        return gone

    def probe(self) -> None:
        """Write to the database and see it on the disk; raises `Unavailable`. The number means nothing."""
        self._probes = (self._probes + 1) % 1_000_000
        with self._transaction():
            self._execute(f"PRAGMA user_version = {self._probes}")

    # -- reading, on any thread --------------------------------------------------------------------

    def _reader(self) -> sqlite3.Connection:
        uri = f"{self._path.absolute().as_uri()}?mode=ro"
        return sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS)

    def declared(self) -> dict[str, Rule]:
        """Read what plugins have declared, see `declare`."""
        rows = self._read("SELECT name, rule FROM declared", ())
        return {name: msgspec.json.decode(rule, type=Rule) for name, rule in rows}

    def find(self, identity: str, rules: Rules, scope: Scope) -> Named:
        """See `relay_bot.journal.finding.find`."""
        try:
            with contextlib.closing(self._reader()) as reader:
                return find(reader, identity, rules, scope)
        except sqlite3.Error as error:
            raise Unavailable(f"the journal can't be read: {error}") from error

    def snapshots(self, session: int) -> list[SnapshotRow]:
        """Read the session's newest snapshots, one for each plugin."""
        return self._read("SELECT session, plugin, seq, version, state FROM snapshots WHERE session = ?", (session,))

    def last_session(self, hall: str) -> int | None:
        """Find the last session of a hall, if it has ended or is about to."""
        rows = self._read(
            "SELECT id, coalesce(ended_at, closing_at) FROM sessions WHERE hall = ? ORDER BY id DESC LIMIT 1", (hall,)
        )
        return rows[0][0] if rows and rows[0][1] is not None else None

    def latest_session(self, hall: str) -> tuple[int, bool] | None:
        """Find the last session of a hall, and whether it has ended; `None` where it had none."""
        rows = self._read("SELECT id, ended_at FROM sessions WHERE hall = ? ORDER BY id DESC LIMIT 1", (hall,))
        return (rows[0][0], rows[0][1] is not None) if rows else None

    def answers(self, session: int, limit: int) -> list[tuple[bytes, bytes]]:
        """Read the newest answers, newest last."""
        rows = self._read(
            "SELECT key, answer FROM answers WHERE session = ? ORDER BY lot DESC LIMIT ?", (session, limit)
        )
        return rows[::-1]

    def last_lot(self, session: int) -> int:
        """Give the lot of the newest answer; 0 without any."""
        [(last,)] = self._read("SELECT max(lot) FROM answers WHERE session = ?", (session,))
        return last or 0

    def unfinished(self, unseen: int) -> list[Unfinished]:
        """Find the halls' sessions that are being closed, or that nobody has said to hold since a time (ms)."""
        rows = self._read(
            "SELECT id, hall, closing_at FROM sessions"
            " WHERE ended_at IS NULL AND hall >= ? AND (closing_at IS NOT NULL OR seen_at < ?) ORDER BY id",
            (_A_HALLS, unseen),
        )
        return [Unfinished(session, hall, closing is not None) for session, hall, closing in rows]

    def epochs(self, sessions: Sequence[int]) -> dict[int, int]:
        """Read the epochs of those of these sessions that are not over."""
        places = ",".join("?" * len(sessions))
        query = f"SELECT id, epoch FROM sessions WHERE ended_at IS NULL AND id IN ({places})"  # noqa: S608  (places alone)
        return dict(self._read(query, tuple(sessions)))

    def before(self, session: int) -> int | None:
        """Find the session that the same hall had before this one."""
        rows = self._read(
            "SELECT id FROM sessions WHERE hall = (SELECT hall FROM sessions WHERE id = ?) AND id < ?"
            " ORDER BY id DESC LIMIT 1",
            (session, session),
        )
        return rows[0][0] if rows else None

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
