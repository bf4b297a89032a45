"""The journal's thread: takes the batches of all halls and commits what has gathered in one transaction."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import sqlalchemy as sa
import structlog
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, OperationalError

from relay_bot.journal.batch import Batch, EventRow, JournalError, Kept, SessionInfo, ShelfRow, Unavailable, Unfinished
from relay_bot.journal.erasing import Rules
from relay_bot.journal.finding import Scope
from relay_bot.journal.owners import Owners
from relay_bot.journal.schema import SchemaError, migrate
from relay_bot.journal.sqlite import SqliteStore, close_to_others
from relay_bot.observe import metrics

T = TypeVar("T")
log = structlog.get_logger("journal")

_BATCHES_A_GROUP: Final = 256
_LOCKED_SECONDS: Final = 10.0
"""How long a database that another process has locked is tried at the start."""
_RESTART_SECONDS: Final = 1.0
_LONGEST_RESTART_SECONDS: Final = 30.0
_ERASING_ROUNDS: Final = 5


class _Call:
    """Work for the thread that is not a batch: it waits its turn behind the batches before it."""

    __slots__ = ("function", "future")

    def __init__(self, function: Callable[[], Any], future: asyncio.Future[Any]) -> None:
        self.function = function
        self.future = future


class Journal:
    """Where decisions are kept. All its methods are for the loop; the database work is on its own thread.

    Unbounded by itself: each hall has one batch under way at a time and a bounded mailbox before it.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._queue: queue.SimpleQueue[Batch | _Call | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._store: SqliteStore | None = None
        self._in_hand: Sequence[Batch | _Call] = ()
        self._deaths = 0
        self._dead: Unavailable | None = None
        """Why nothing can be written now: the thread has ended, and is not started again yet."""
        self._restart: asyncio.TimerHandle | None = None
        self._erasing = asyncio.Lock()
        self._owners = Owners(lambda sessions: self._opened().epochs(sessions))

    async def start(self) -> None:
        """Bring the schema up and start the thread; raises `JournalError` with what to do."""
        self._loop = asyncio.get_running_loop()
        self._store = await asyncio.to_thread(_open_store, self._url)
        self._begin()

    def _begin(self) -> None:
        self._dead = self._restart = None
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """Commit what was submitted, then end the thread."""
        if self._thread is not None:
            self._queue.put(None)
            await asyncio.to_thread(self._thread.join, 10.0)
            self._thread = None
            if self._restart is not None:
                self._restart.cancel()
            if self._dead is not None and self._store is not None:
                self._store.close()

    def submit(self, batch: Batch) -> None:
        """Hand a batch over; its `done` is called in the loop when it is durable or has failed."""
        self._put(batch)

    def _put(self, job: Batch | _Call) -> None:
        self._queue.put(job)
        if self._dead is not None:
            self._fail_waiting(self._dead)

    async def claim(self, hall: str, room_sid: str, now: int, resume_ms: int) -> SessionInfo:
        """See `SqliteStore.claim`."""
        return await self._call(lambda store: store.claim(hall, room_sid, now, resume_ms))

    async def holds(self, session: SessionInfo) -> bool:
        """Tell whether the owner with this epoch still has the session; raises `Unavailable`."""
        return await self._owners.hold(session)

    async def release(
        self, session: SessionInfo, now: int, *, ended: bool, room_sid: str = "", closing: bool = False
    ) -> bool:
        """See `SqliteStore.release`."""

        def release(store: SqliteStore) -> bool:
            return store.release(session.id, session.epoch, now, ended=ended, room_sid=room_sid, closing=closing)

        return await self._call(release)

    async def unfinished(self, unseen: int) -> list[Unfinished]:
        """See `SqliteStore.unfinished`."""
        return await asyncio.to_thread(self._opened().unfinished, unseen)

    async def claim_closing(self, session: int, now: int, unseen: int, stale: int, ours: int) -> SessionInfo | None:
        """See `SqliteStore.claim_closing`."""
        return await self._call(lambda store: store.claim_closing(session, now, unseen, stale, ours))

    async def erase(
        self,
        identity: str,
        rules: Rules,
        *,
        only: int | None = None,
        besides: Sequence[int] = (),
    ) -> int:
        """Erase a participant from one session, or from all `besides` some and from what is shelved.

        Gives how many events and shelved documents named them.
        """
        scope, count = Scope(only, tuple(besides)), 0
        async with self._erasing:
            everything = await self._with_declared(rules)
            for _ in range(_ERASING_ROUNDS):  # another process may erase somebody else from the same events
                found = await asyncio.to_thread(self._opened().find, identity, everything, scope)
                if not found:
                    break
                count += await self._call(lambda store, found=found: store.rewrite(found))
        return count

    async def names(self, session: int, identity: str, rules: Rules) -> bool:
        """Tell whether anything that is kept of a session names a participant; nobody waits for it who commits."""
        everything = await self._with_declared(rules)
        return bool(await asyncio.to_thread(self._opened().find, identity, everything, Scope(session)))

    async def _with_declared(self, rules: Rules) -> Rules:
        return {**await asyncio.to_thread(self._opened().declared), **rules}

    async def declare(self, rules: Rules) -> None:
        """Keep what plugins declare, so that people can be erased from what a plugin kept that is gone later."""
        await self._call(lambda store: store.declare(rules))

    async def forget_sessions(self, before: int, living: Sequence[int]) -> int:
        """See `SqliteStore.forget_sessions`."""
        return await self._call(lambda store: store.forget_sessions(before, living))

    async def forget_answers(self, before: int) -> int:
        """See `SqliteStore.forget_answers`."""
        return await self._call(lambda store: store.forget_answers(before))

    async def shelve(self, row: ShelfRow) -> None:
        """See `SqliteStore.shelve`."""
        await self._call(lambda store: store.shelve(row))

    async def unshelve(self, shelf: str, name: str) -> None:
        """See `SqliteStore.unshelve`."""
        await self._call(lambda store: store.unshelve(shelf, name))

    async def shelved(self) -> list[ShelfRow]:
        """Read everything that is shelved, with what was submitted before."""
        return await self._call(lambda store: store.shelved())

    async def probe(self) -> None:
        """Check that the database can be written; raises `Unavailable`."""
        await self._call(lambda store: store.probe())

    async def load(self, session: int, answers: int) -> Kept:
        """Read what is kept of a session beside its events, with the newest `answers` answers."""
        store = self._opened()
        return await asyncio.to_thread(
            lambda: Kept(
                store.snapshots(session),
                store.answers(session, answers),
                store.secrets(session),
                store.last_lot(session),
            )
        )

    async def before(self, session: int) -> int | None:
        """See `SqliteStore.before`."""
        return await asyncio.to_thread(self._opened().before, session)

    async def last_session(self, hall: str) -> int | None:
        """See `SqliteStore.last_session`."""
        return await asyncio.to_thread(self._opened().last_session, hall)

    async def latest_session(self, hall: str) -> tuple[int, bool] | None:
        """See `SqliteStore.latest_session`."""
        return await asyncio.to_thread(self._opened().latest_session, hall)

    async def read_events(self, session: int, after: int, limit: int) -> list[EventRow]:
        """Read up to `limit` events above `after`."""
        store = self._opened()

        def read() -> list[EventRow]:
            rows = store.events(session, after)
            return [row for row, _ in zip(rows, range(limit), strict=False)]

        return await asyncio.to_thread(read)

    def _opened(self) -> SqliteStore:
        if self._store is None:
            raise Unavailable("the journal is not open")
        return self._store

    async def _call(self, function: Callable[[SqliteStore], T]) -> T:
        store = self._opened()
        if self._thread is None:
            raise Unavailable("the journal is stopped")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._put(_Call(lambda: function(store), future))
        return await future

    # -- on the thread ------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._work(self._opened())
        except BaseException as error:  # whatever it was: nobody may wait for a thread that has ended
            self._died(error)

    def _died(self, error: BaseException) -> None:
        """Fail what is in hand and what waits, and have the thread started again, each time a little later."""
        self._deaths += 1
        metrics.HELPER_FAILURES.labels("journal").inc()
        log.critical("journal.thread_ended", error=type(error).__name__, times=self._deaths, exc_info=error)
        self._dead = Unavailable(f"the journal's thread ended ({type(error).__name__}); it is started again")
        self._fail(self._in_hand, self._dead)
        self._fail_waiting(self._dead)
        self._in_loop(self._begin_later)

    def _begin_later(self) -> None:
        assert self._loop is not None
        if self._thread is None:
            return  # it was stopped meanwhile
        pause = min(_LONGEST_RESTART_SECONDS, _RESTART_SECONDS * 2 ** (self._deaths - 1))
        self._restart = self._loop.call_later(pause, self._begin)

    def _fail_waiting(self, error: Unavailable) -> None:
        waiting: list[Batch | _Call] = []
        with contextlib.suppress(queue.Empty):
            while True:
                job = self._queue.get_nowait()
                waiting += [job] if job is not None else []
        self._fail(waiting, error)

    def _fail(self, jobs: Sequence[Batch | _Call], error: Unavailable) -> None:
        batches = [job for job in jobs if isinstance(job, Batch)]
        self._in_loop(lambda: _finish(batches, [error] * len(batches)))
        for job in jobs:
            if isinstance(job, _Call):
                self._in_loop(partial(_settle, job.future, error))

    def _work(self, store: SqliteStore) -> None:
        job = self._next(store)
        while job is not None:
            self._in_hand = (job,)
            if isinstance(job, _Call):
                self._answer(job)
                self._in_hand = ()
                job = self._next(store)
                continue
            group = [job]
            following: Batch | _Call | bool | None = False  # nothing is waiting
            while len(group) < _BATCHES_A_GROUP:
                try:
                    following = self._queue.get_nowait()
                except queue.Empty:
                    following = False
                    break
                if not isinstance(following, Batch):
                    break
                group.append(following)
                following = False
            self._in_hand = [*group, following] if isinstance(following, _Call) else group
            self._commit(store, group)
            self._in_hand = ()
            job = self._next(store) if following is False else following  # type: ignore[assignment]  (no flag but False)
        store.close()

    def _next(self, store: SqliteStore) -> Batch | _Call | None:
        """Wait for the next job; between two of them the store's log is truncated where that is due."""
        while True:
            wait = store.purge_wait()
            if wait == 0.0:
                store.purge()
                continue
            with contextlib.suppress(queue.Empty):
                return self._queue.get(timeout=wait)

    def _commit(self, store: SqliteStore, group: list[Batch]) -> None:
        started = time.perf_counter()
        results = _results(store, group)
        metrics.COMMIT_SECONDS.observe(time.perf_counter() - started)
        metrics.COMMIT_ROWS.observe(sum(map(len, group)))
        self._in_loop(lambda: _finish(group, results))

    def _answer(self, call: _Call) -> None:
        try:
            value = call.function()
        except Exception as error:
            found = error
            self._in_loop(lambda: call.future.done() or call.future.set_exception(found))
        else:
            self._in_loop(lambda: call.future.done() or call.future.set_result(value))

    def _in_loop(self, function: Callable[[], object]) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(function)
        except RuntimeError:  # the loop is closed: nobody is left to hear it
            log.warning("journal.nobody_listens")


def _settle(future: asyncio.Future[Any], error: Unavailable) -> None:
    if not future.done():
        future.set_exception(error)


def _results(store: SqliteStore, group: list[Batch]) -> list[JournalError | None]:
    """Commit a group; what SQLite can't even be given, such as half a character, costs its own hall alone."""
    try:
        return store.commit(group)
    except Exception as error:
        if len(group) > 1:
            return [result for batch in group for result in _results(store, [batch])]
        log.exception("journal.not_written", session=group[0].session)
        return [Unavailable(f"the journal can't be written: {type(error).__name__}")]


def _finish(group: list[Batch], results: list[JournalError | None]) -> None:
    for batch, error in zip(group, results, strict=True):
        if error is not None:
            metrics.COMMIT_FAILURES.inc()
        try:
            batch.done(error)
        except Exception:  # the other halls of the group wait for theirs
            log.exception("journal.not_heard", session=batch.session)


def _open_store(url: str) -> SqliteStore:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise JournalError(f"storage.url: expected something like sqlite:///relay.db, got {url!r}") from None
    if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database == ":memory:":
        raise JournalError("storage.url: expected sqlite:///<a file>; no other database is supported yet")
    engine = sa.create_engine(url)
    until = time.monotonic() + _LOCKED_SECONDS
    try:
        while True:
            try:
                close_to_others(Path(parsed.database))
                migrate(engine)
                return SqliteStore(Path(parsed.database))
            except (OperationalError, sqlite3.OperationalError) as error:
                # SQLite does not wait by itself where two make one file's log at once: another bot that starts.
                if "locked" not in str(error) or time.monotonic() > until:
                    raise
                time.sleep(0.05)
    except SchemaError as error:
        raise JournalError(f"storage.url: {error}") from error
    except Exception as error:
        raise JournalError(f"storage.url: {parsed.database} can't be opened: {error}") from error
    finally:
        engine.dispose()
