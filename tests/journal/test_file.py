"""The database's file: for this user alone, really written by the probe, and missed when it is gone."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from pathlib import Path

import pytest

from relay_bot.journal.batch import Unavailable
from relay_bot.journal.writer import Journal
from tests.support.halls import open_journal


def only(folder: Path, name: str) -> Path:
    (found,) = folder.glob(name)
    return found


def files(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.glob("*.db*")}


async def test_nobody_else_can_read_it(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        async with open_journal(tmp_path) as journal:
            await journal.probe()
            assert len(files(tmp_path)) == 3
            assert set(files(tmp_path).values()) == {0o600}
        only(tmp_path, "*.db").chmod(0o644)
        async with open_journal(tmp_path) as journal:
            await journal.probe()
            assert set(files(tmp_path).values()) == {0o600}, "one of an older version, too"
    finally:
        os.umask(before)


async def test_the_probe_writes(tmp_path: Path) -> None:
    async with open_journal(tmp_path) as journal:
        await journal.probe()
        log = only(tmp_path, "*.db-wal")
        before = log.read_bytes()
        await journal.probe()
        assert log.read_bytes() != before


@pytest.mark.parametrize("replaced", [False, True])
async def test_a_file_that_is_taken_away_is_missed(tmp_path: Path, *, replaced: bool) -> None:
    async with open_journal(tmp_path) as journal:
        await journal.probe()
        file = only(tmp_path, "*.db")
        file.rename(tmp_path / "elsewhere")
        if replaced:
            file.write_bytes((tmp_path / "elsewhere").read_bytes())
        with pytest.raises(Unavailable, match="replaced" if replaced else "gone"):
            await journal.probe()
        file.unlink(missing_ok=True)
        (tmp_path / "elsewhere").rename(file)
        await journal.probe()


async def test_who_else_opens_and_closes_the_database_takes_nothing_away(tmp_path: Path) -> None:
    """SQLite deletes the log when the last one closes it: a bot that holds no lock would write on into nothing."""
    path = tmp_path / "relay.db"

    async def others_count() -> int:
        """Read the database as a backup or a person at a terminal does: in another process."""
        code = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1])"
        code += "; print(c.execute('SELECT count(*) FROM sessions').fetchone()[0]); c.close()"
        made = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, str(path), stdout=asyncio.subprocess.PIPE
        )
        out, _ = await made.communicate()
        return int(out)

    for kept in (0, 2):  # a new database, and one that was there
        journal = Journal(f"sqlite:///{path}")
        await journal.start()
        try:
            assert await others_count() == kept
            await journal.claim(f"hall-{kept}", "RM_a", 1, 1)
            assert await others_count() == kept + 1
            await journal.claim(f"hall-{kept}-b", "RM_b", 1, 1)
            assert await others_count() == kept + 2
        finally:
            await journal.stop()
