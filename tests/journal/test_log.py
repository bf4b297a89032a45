"""What was destroyed goes from the write-ahead log too, and nobody waits for that."""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from relay_bot.journal.batch import Batch, JournalError, SessionInfo, settle
from relay_bot.journal.writer import Journal
from tests.journal.test_privacy import everything

SECRET = secrets.token_bytes(32)


@asynccontextmanager
async def opened(folder: Path) -> AsyncGenerator[Journal]:
    journal = Journal(f"sqlite:///{folder / 'relay.db'}")
    await journal.start()
    try:
        yield journal
    finally:
        await journal.stop()


async def commit(journal: Journal, session: SessionInfo, seq: int, *, forgets: bool = False) -> None:
    done: asyncio.Future[JournalError | None] = asyncio.get_running_loop().create_future()
    batch = Batch(session, settle(done))
    batch.events = [(session.id, seq, 0, "x.y", b"{}")]
    if forgets:
        batch.forgotten = ["key"]
    elif seq == 1:
        batch.secrets = [(session.id, "key", SECRET)]
    journal.submit(batch)
    assert await done is None


async def until_purged(folder: Path) -> None:
    async with asyncio.timeout(30):
        while SECRET in everything(folder):  # noqa: ASYNC110  (a file has no event of its own)
            await asyncio.sleep(0.01)


async def test_a_reader_makes_no_commit_wait_and_the_secret_goes_when_it_leaves(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        session = await journal.claim("hall", "RM", 0, 0)
        await commit(journal, session, 1)
        reader = sqlite3.connect(tmp_path / "relay.db", isolation_level=None)
        try:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM events").fetchone()
            commits = 0
            async with asyncio.timeout(20):  # each of them took two seconds
                for seq in range(2, 202):
                    await commit(journal, session, seq, forgets=seq == 2)
                    commits += 1
            assert commits == 200
            assert SECRET in everything(tmp_path), "the reader sees what it saw"
        finally:
            reader.execute("COMMIT")
            reader.close()
        await until_purged(tmp_path)


async def test_a_busy_journal_truncates_its_log_between_two_commits(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        session = await journal.claim("hall", "RM", 0, 0)
        await commit(journal, session, 1)
        await commit(journal, session, 2, forgets=True)
        seq = 2
        async with asyncio.timeout(30):
            while SECRET in everything(tmp_path):
                seq += 1
                await commit(journal, session, seq)


async def test_what_one_who_was_killed_left_in_the_log_goes_at_the_next_start(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "relay.db", isolation_level=None)
    try:
        async with opened(tmp_path) as journal:
            session = await journal.claim("hall", "RM", 0, 0)
            await commit(journal, session, 1)
        other.execute("PRAGMA secure_delete=ON")
        other.execute("DELETE FROM secrets")
        other.execute("BEGIN")  # it still reads: its log stays
        other.execute("SELECT count(*) FROM events").fetchone()
        assert SECRET in everything(tmp_path)
        async with opened(tmp_path):
            other.execute("COMMIT")
            await until_purged(tmp_path)
    finally:
        other.close()
