"""Invariant 1: `kill -9` at any moment loses nothing that was acked, and counts nothing twice."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path

from tests.support.halls import open_hall, open_journal

ROOT = Path(__file__).parents[2]
AGAIN = 60
"""How many that were acked, or may have been kept, each next run sends again."""


def run_until_killed(folder: Path, first: int, acks: int) -> list[str]:
    """Let the voter vote, and kill it after so many acks; gives all that it has printed."""
    command = [sys.executable, "-m", "tests.journal.voter", str(folder), str(first)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            printed = [process.stdout.readline().strip() for _ in range(acks)]
        finally:
            process.kill()
        printed += [line.strip() for line in process.stdout if line.endswith("\n")]
    assert process.returncode == -9, "it ended by itself"
    return printed


def kept(folder: Path) -> Counter[str]:
    connection = sqlite3.connect(folder / "relay.db")
    try:
        query = "SELECT json_extract(CAST(body AS TEXT), '$.option') FROM events WHERE kind = 'tally.voted'"
        return Counter(option for (option,) in connection.execute(query))
    finally:
        connection.close()


async def test_every_ack_is_kept_and_every_vote_counted_once(tmp_path: Path) -> None:
    acked: set[str] = set()
    first = 0
    for _ in range(5):
        printed = run_until_killed(tmp_path, first, random.randint(1, 300))
        assert "" not in printed
        acked |= set(printed)
        assert acked <= kept(tmp_path).keys()
        first = max(0, max(int(each.removeprefix("message-")) for each in acked) - AGAIN)
    assert set(kept(tmp_path).values()) == {1}
    async with open_journal(tmp_path) as journal, open_hall(tmp_path, journal=journal) as kit:
        kit._name = "kit-1"  # the hall of the processes that were killed
        await kit.restart()
        assert (await kit.call("tally", "all_votes"))["recorded"] == kept(tmp_path).total()
        assert kit.fingerprints() == await kit.replayed()
