"""What a restart reads: snapshots, events, secrets; and what it leaves as it is."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay_bot.hall import session as module
from relay_bot.hall.saying import SAID
from relay_bot.journal.writer import Journal
from relay_bot.testing import HallKit
from tests.support.halls import open_hall, open_journal, unlimited


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncGenerator[Journal]:
    async with open_journal(tmp_path) as made:
        yield made


def database(folder: Path, statement: str, *parameters: Any) -> list[Any]:
    with sqlite3.connect(folder / "relay.db", timeout=5) as connection:
        rows = connection.execute(statement, parameters).fetchall()
    connection.close()
    return rows


def snapshots(folder: Path) -> dict[str, int]:
    return dict(database(folder, "SELECT plugin, seq FROM snapshots"))


async def recorded(kit: HallKit) -> int:
    return (await kit.call("tally", "all_votes"))["recorded"]


async def voted(kit: HallKit, count: int) -> None:
    ann = kit.room.guests.get("ann") or await kit.join("ann")
    for number in range(count):
        ann.send("vote", {"option": str(number)})
    await kit.settle()


# -- snapshots ----------------------------------------------------------------------------------------


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=st.integers(0, 20), after=st.integers(0, 20), again=st.booleans())
async def test_a_restart_from_a_snapshot_is_a_full_replay(
    tmp_path_factory: Any, before: int, after: int, again: bool
) -> None:
    folder = tmp_path_factory.mktemp("snapshot")
    async with open_journal(folder) as journal, open_hall(folder, "tally", "errands", journal=journal) as kit:
        await voted(kit, before)
        await kit.stop()
        assert set(snapshots(folder)) - {SAID} == {"tally", "errands", "hall"}
        await kit.start()
        await voted(kit, after)
        if again:
            await kit.restart()
        from_snapshot = await kit.replayed()
        database(folder, "DELETE FROM snapshots")
        assert await kit.replayed() == from_snapshot == kit.fingerprints()
        assert await recorded(kit) == before + after


async def test_snapshots_are_written_as_events_gather(
    tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SNAPSHOT_EVERY", 50)
    async with open_hall(tmp_path, journal=journal) as kit:
        await voted(kit, 49)
        assert snapshots(tmp_path) == {}
        await voted(kit, 1)
        assert snapshots(tmp_path)["tally"] == 50
        await kit.restart()
        assert await recorded(kit) == 50


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE snapshots SET version = version + 1, state = CAST('{}' AS BLOB)",
        "UPDATE snapshots SET state = x'7b' WHERE plugin = 'tally'",
        "UPDATE snapshots SET state = CAST('{\"votes\":7}' AS BLOB) WHERE plugin = 'tally'",
        "UPDATE snapshots SET state = x'ff' WHERE plugin = 'hall'",
        "DELETE FROM snapshots WHERE plugin = 'tally'",
        "INSERT INTO snapshots SELECT session, 'gone', seq, version, state FROM snapshots WHERE plugin = 'tally'",
    ],
)
async def test_a_snapshot_that_cannot_be_used_is_left_and_the_journal_replayed(
    tmp_path: Path, journal: Journal, damage: str
) -> None:
    async with open_hall(tmp_path, journal=journal) as kit:
        await voted(kit, 5)
        before = kit.fingerprints()
        await kit.stop()
        database(tmp_path, damage)
        await kit.start()
        assert kit.fingerprints() == before
        await voted(kit, 1)
        assert await recorded(kit) == 6


# -- events of a plugin that is gone ------------------------------------------------------------------


async def test_events_of_a_plugin_that_is_gone_are_left_out_and_kept(tmp_path: Path, journal: Journal) -> None:
    async with open_hall(tmp_path, "tally", "desk", journal=journal) as kit:
        ann = await kit.join("ann")
        await ann.ask("chat", {"text": "kept"})
        await voted(kit, 3)
        async with open_hall(tmp_path, "tally", journal=journal) as without:
            without.take_over(kit)
            await without.restart()
            assert await recorded(without) == 3
            await voted(without, 1)
        assert len(database(tmp_path, "SELECT seq FROM events WHERE kind = 'desk.noted'")) == 1
        async with open_hall(tmp_path, "tally", "desk", journal=journal) as again:
            again.take_over(kit)
            await again.restart()
            assert again.fingerprints()["desk"] == b'{"lines":["kept"]}'
            assert await recorded(again) == 4


async def test_an_event_that_its_plugin_no_longer_knows_is_left_out(tmp_path: Path, journal: Journal) -> None:
    async with open_hall(tmp_path, journal=journal) as kit:
        await voted(kit, 2)
        await kit.stop()
        database(tmp_path, "DELETE FROM snapshots")
        database(tmp_path, "UPDATE events SET kind = 'tally.forgotten' WHERE seq = 1")
        await kit.start()
        assert await recorded(kit) == 1
        assert kit.hall.seq == 2


async def test_a_timer_of_a_plugin_that_is_gone_does_no_harm(tmp_path: Path, journal: Journal) -> None:
    async with open_hall(tmp_path, "tally", "errands", journal=journal) as kit:
        ann = await kit.join("ann")
        await ann.ask("remind", {"key": "tea", "in_ms": 60_000})
        await ann.ask("remind", {"key": "now", "in_ms": 0})
        async with open_hall(tmp_path, "tally", journal=journal) as without:
            without.take_over(kit)
            await without.restart()
            session = without.hall.session
            assert session is not None
            await voted(without, 1)
            assert "errands\nring\ntea" in session.core.timers, "it waits for its plugin"


# -- secrets ------------------------------------------------------------------------------------------


def bytes_on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.glob("relay.db*")))


async def test_a_secret_survives_a_restart_and_is_nowhere_in_the_events(tmp_path: Path, journal: Journal) -> None:
    async with open_hall(tmp_path, "errands", journal=journal) as kit:
        ann = await kit.join("ann")
        first = (await ann.ask("seal", {"name": "a"}))["secret"]
        assert len(bytes.fromhex(first)) == 32
        assert (await ann.ask("seal", {"name": "a"}))["secret"] == first
        assert (await ann.ask("seal", {"name": "b"}))["secret"] != first
        await kit.restart()
        assert (await ann.ask("seal", {"name": "a"}))["secret"] == first
        assert all(bytes.fromhex(first) not in body for (body,) in database(tmp_path, "SELECT body FROM events"))


async def test_a_destroyed_secret_is_gone_from_every_byte_on_the_disk(tmp_path: Path, journal: Journal) -> None:
    async with open_hall(tmp_path, "errands", journal=journal) as kit:
        ann = await kit.join("ann")
        # Without an id, so that the answer, which holds it here, is not remembered.
        await kit.backend("seal", {"name": "a"})
        secret = bytes.fromhex((await kit.backend("seal", {"name": "a"}))["result"]["secret"])
        assert secret in bytes_on_disk(tmp_path)
        await ann.ask("seal", {"name": "a", "destroy": True})
        assert secret not in bytes_on_disk(tmp_path)
        await kit.restart()
        assert (await kit.backend("seal", {"name": "a"}))["result"]["secret"] != secret.hex()


async def test_a_secret_made_and_destroyed_in_one_turn_is_never_written(tmp_path: Path, journal: Journal) -> None:
    async with open_hall(tmp_path, "errands", journal=journal) as kit:
        ann = await kit.join("ann")
        ann.send("seal", {"name": "a"})
        ann.send("seal", {"name": "a", "destroy": True})
        await kit.settle()
        assert database(tmp_path, "SELECT * FROM secrets") == []


async def test_a_secret_of_a_turn_that_was_not_kept_is_made_anew(
    tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was hashed with it is not kept either."""
    from relay_bot.journal.batch import Unavailable

    async with open_hall(tmp_path, "errands", journal=journal, settings=unlimited()) as kit:
        ann = await kit.join("ann")
        with monkeypatch.context() as broken:
            broken.setattr(journal._store, "commit", lambda group: [Unavailable("full")] * len(group))  # type: ignore[misc]
            ann.send("seal", {"name": "a"}, "m1")
            await ann.wait("error")
        await kit.until(lambda: kit.hall.status == "live")
        secret = bytes.fromhex((await ann.ask("seal", {"name": "a"}))["secret"])
        assert [value for (value,) in database(tmp_path, "SELECT value FROM secrets")] == [secret]
