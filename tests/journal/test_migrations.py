"""The schema: made, kept, and not touched where a newer program wrote it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import alembic.command
import alembic.config
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from relay_bot.journal import schema
from relay_bot.journal.batch import JournalError, Lots
from relay_bot.journal.schema import SchemaError, metadata, migrate
from relay_bot.journal.sqlite import SqliteStore
from relay_bot.journal.writer import Journal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "relay.db"


def with_engine(path: Path) -> sa.Engine:
    return sa.create_engine(f"sqlite:///{path}", poolclass=sa.NullPool)


def schema_of(path: Path) -> list[tuple[str, str]]:
    with with_engine(path).connect() as connection:
        rows = connection.execute(sa.text("SELECT name, sql FROM sqlite_master ORDER BY name")).all()
        version = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one()
    return [*((name, sql) for name, sql in rows), ("version", version)]


def test_a_fresh_database_gets_every_table(path: Path) -> None:
    migrate(with_engine(path))
    with with_engine(path).connect() as connection:
        assert set(sa.inspect(connection).get_table_names()) == {*metadata.tables, "alembic_version"}


def test_the_migrations_lead_to_the_model(path: Path) -> None:
    migrate(with_engine(path))
    with with_engine(path).connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata) == []


def test_migrating_again_changes_nothing(path: Path) -> None:
    migrate(with_engine(path))
    before = schema_of(path)
    with with_engine(path).begin() as connection:
        connection.execute(sa.text("INSERT INTO secrets VALUES (1, 'a', x'00')"))
    migrate(with_engine(path))
    assert schema_of(path) == before
    with with_engine(path).connect() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM secrets")).scalar_one() == 1


def test_answers_that_were_kept_by_the_minute_are_found_in_lots(path: Path) -> None:
    engine = with_engine(path)
    migrate(engine)
    config = alembic.config.Config()
    config.set_main_option("script_location", str(Path(schema.__file__).with_name("migrations")))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        alembic.command.downgrade(config, "0001")
        for minute, key in ((29_000_001, b"b"), (29_000_000, b"a")):
            connection.execute(
                sa.text("INSERT INTO answers VALUES (7, :minute, :key, x'00')"), {"minute": minute, "key": key}
            )
    migrate(engine)
    assert [key for key, _ in SqliteStore(path).answers(7, 10)] == [b"a", b"b"]
    with engine.connect() as connection:
        (newest,) = connection.execute(sa.text("SELECT max(lot) FROM answers")).one()
    assert Lots().next(29_000_001 * 60_000) == newest


def of_a_newer_program(path: Path) -> None:
    migrate(with_engine(path))
    with with_engine(path).begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))


def test_a_newer_schema_is_refused_and_left_alone(path: Path) -> None:
    of_a_newer_program(path)
    before = schema_of(path)
    with pytest.raises(SchemaError, match="has schema 9999, written by a newer relay-bot; run that version, or point"):
        migrate(with_engine(path))
    assert schema_of(path) == before


async def test_the_journal_says_so_in_one_line(path: Path) -> None:
    of_a_newer_program(path)
    with pytest.raises(JournalError) as error:
        await Journal(f"sqlite:///{path}").start()
    assert str(error.value).startswith("storage.url: the database has schema 9999")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("nonsense", "expected something like sqlite:///relay.db, got 'nonsense'"),
        ("sqlite://", "expected sqlite:///<a file>"),
        ("sqlite:///:memory:", "expected sqlite:///<a file>"),
        ("mysql://root:secret@db/x", "expected sqlite:///<a file>"),
        ("sqlite:////nowhere/at/all/relay.db", "/nowhere/at/all/relay.db can't be opened"),
    ],
)
async def test_a_url_that_cannot_be_used_is_named_with_its_key(url: str, text: str) -> None:
    with pytest.raises(JournalError) as error:
        await Journal(url).start()
    assert str(error.value).startswith("storage.url: ")
    assert text in str(error.value)
    assert "secret" not in str(error.value)


def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.write_bytes(b"not a database " * 100)
    with pytest.raises(JournalError, match="can't be opened"):
        asyncio.run(Journal(f"sqlite:///{path}").start())
    assert path.read_bytes() == b"not a database " * 100
