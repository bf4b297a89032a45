"""A pseudonym is a keyed hash of the identity, and the key lives as long as its session."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from relay_bot.journal.batch import SessionInfo
from relay_bot.journal.erasing import Rule
from relay_bot.journal.identities import Fields, Named
from relay_bot.journal.pseudonyms import KEY_NAME, pseudonyms
from relay_bot.journal.sqlite import SqliteStore
from relay_bot.journal.writer import Journal
from tests.support.halls import open_journal

RULES = {"test.event": Rule(Fields({"identity": Named()}))}
ANNAS = b'{"identity":"anna"}'


def put(folder: Path, session: SessionInfo, seq: int) -> None:
    with sqlite3.connect(folder / "relay.db") as other:
        other.execute("INSERT INTO events VALUES (?, ?, 0, 'test.event', ?)", (session.id, seq, ANNAS))
    other.close()


async def names(journal: Journal, session: SessionInfo) -> list[str]:
    rows = await journal.read_events(session.id, 0, 100)
    return [row[4].decode().removeprefix('{"identity":"').removesuffix('"}') for row in rows]


async def secret_of(journal: Journal, session: SessionInfo) -> bytes | None:
    return (await journal.load(session.id, 0)).secrets.get(KEY_NAME)


async def test_one_who_was_erased_is_known_again_in_that_session_alone(tmp_path: Path) -> None:
    async with open_journal(tmp_path) as journal:
        here, there = await journal.claim("here", "", 1, 0), await journal.claim("there", "", 1, 0)
        put(tmp_path, here, 1)
        assert await secret_of(journal, here) is None
        assert await journal.erase("anna", RULES, only=here.id) == 1
        assert await secret_of(journal, there) is None, "nobody was erased from it"
        put(tmp_path, there, 1)
        assert await journal.erase("anna", RULES) == 1
        for session, other in ((here, there), (there, here)):
            secret, others = await secret_of(journal, session), await secret_of(journal, other)
            assert secret is not None
            assert others is not None
            assert await names(journal, session) == list(pseudonyms(secret, "anna"))
            assert not set(await names(journal, session)) & set(pseudonyms(others, "anna"))
            assert not set(await names(journal, session)) & set(pseudonyms(secret, "ann"))


async def test_one_who_is_erased_again_gets_another_name(tmp_path: Path) -> None:
    async with open_journal(tmp_path) as journal:
        session = await journal.claim("here", "", 1, 0)
        for seq in (1, 2, 3):
            put(tmp_path, session, seq)
            assert await journal.erase("anna", RULES) == 1
        secret = await secret_of(journal, session)
        assert secret is not None
        assert await names(journal, session) == list(pseudonyms(secret, "anna"))
        assert len(set(pseudonyms(secret, "anna"))) == 3


async def test_the_key_goes_with_its_session(tmp_path: Path) -> None:
    async with open_journal(tmp_path) as journal:
        session = await journal.claim("here", "", 1, 0)
        put(tmp_path, session, 1)
        await journal.erase("anna", RULES)
        await journal.release(session, 2, ended=True)
        assert await secret_of(journal, session) is None
        put(tmp_path, session, 2)
        assert await journal.erase("anna", RULES) == 1
        assert await secret_of(journal, session) is None
        first, second = await names(journal, session)
        assert first != second
        assert second.startswith("erased-")


@pytest.mark.parametrize("meanwhile", ["erased", "ended"])
async def test_a_key_that_was_made_or_destroyed_meanwhile_is_minded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, meanwhile: str
) -> None:
    async with open_journal(tmp_path) as journal, open_journal(tmp_path) as another:
        session = await journal.claim("here", "", 1, 0)
        put(tmp_path, session, 1)
        find, told = SqliteStore.find, asyncio.get_running_loop()

        def slowly(store: SqliteStore, *arguments: object) -> object:
            found = find(store, *arguments)  # type: ignore[arg-type]
            monkeypatch.undo()
            if meanwhile == "ended":
                asyncio.run_coroutine_threadsafe(journal.release(session, 2, ended=True), told).result(10)
            else:
                with sqlite3.connect(tmp_path / "relay.db") as other:
                    other.execute(
                        "INSERT INTO events VALUES (?, 2, 0, 'test.event', ?)", (session.id, b'{"identity":"bob"}')
                    )
                other.close()
                asyncio.run_coroutine_threadsafe(another.erase("bob", RULES), told).result(10)
            return found

        monkeypatch.setattr(SqliteStore, "find", slowly)
        assert await journal.erase("anna", RULES) == 1
        secret = await secret_of(journal, session)
        if meanwhile == "ended":
            assert secret is None
        else:
            assert secret is not None
            found = await names(journal, session)
            assert found == [pseudonyms(secret, "anna")[0], pseudonyms(secret, "bob")[0]]
