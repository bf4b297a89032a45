"""The journal's tables, and bringing a database to them.

`migrations/` holds the way from each schema to the next; this module says what the newest one is.
"""

from pathlib import Path
from typing import Any

import alembic.command
import alembic.config
import alembic.migration
import alembic.script
import sqlalchemy as sa
from sqlalchemy.event import listen

metadata = sa.MetaData()

sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("hall", sa.Text, nullable=False, index=True),
    sa.Column("room_sid", sa.Text, nullable=False),
    sa.Column("epoch", sa.Integer, nullable=False),  # raised by each owner: an older one's commits are refused
    sa.Column("started_at", sa.BigInteger, nullable=False),
    sa.Column("seen_at", sa.BigInteger, nullable=False),  # when an owner last took it up or gave it back
    sa.Column("ended_at", sa.BigInteger),
    sa.Column("closing_at", sa.BigInteger),  # when its room was found gone for good: no other room takes it up
)

events = sa.Table(
    "events",
    metadata,
    sa.Column("session", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),  # <plugin>.<event>
    sa.Column("body", sa.LargeBinary, nullable=False),  # JSON
    sqlite_with_rowid=False,
)

answers = sa.Table(
    "answers",
    metadata,
    sa.Column("session", sa.Integer, primary_key=True, autoincrement=False),
    # No event is named, and of the time and the order the lot alone: an answer must not lead from an anonymous
    # vote to its voter. The lot comes first so that what is written together lies together.
    sa.Column("lot", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("key", sa.LargeBinary, primary_key=True),  # a hash of the sender and the id that they chose
    sa.Column("answer", sa.LargeBinary, nullable=False),  # enciphered, see `hall/answers.py`
    sqlite_with_rowid=False,
)

snapshots = sa.Table(
    "snapshots",
    metadata,
    sa.Column("session", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("plugin", sa.Text, primary_key=True),
    sa.Column("seq", sa.Integer, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("state", sa.LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

secrets = sa.Table(
    "secrets",
    metadata,
    # Keys of keyed hashes; destroying one cuts the way back from an anonymous vote to its voter.
    sa.Column("session", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

shelved = sa.Table(
    "shelved",
    metadata,
    # What plugins keep beyond halls and sessions, by name; no retention: it goes when it is deleted.
    sa.Column("shelf", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),  # JSON
    sqlite_with_rowid=False,
)

declared = sa.Table(
    "declared",
    metadata,
    # How people are erased from what plugins kept, for those that are not here any more: `journal.erasing.Rule`.
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("rule", sa.LargeBinary, nullable=False),  # JSON
    sqlite_with_rowid=False,
)


class SchemaError(Exception):
    """The database can't be brought to this program's schema; the text says why and what to do."""


def migrate(engine: sa.Engine) -> None:
    """Bring the database to the newest schema; raises `SchemaError` where a newer program wrote it."""
    config = alembic.config.Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    known = {script.revision for script in alembic.script.ScriptDirectory.from_config(config).walk_revisions()}
    if engine.dialect.name == "sqlite":
        listen(engine, "connect", _begin_by_hand)
        listen(engine, "begin", _begin_immediate)
    with engine.begin() as connection:
        current = alembic.migration.MigrationContext.configure(connection).get_current_revision()
        if current is not None and current not in known:
            raise SchemaError(
                f"the database has schema {current}, written by a newer relay-bot; "
                "run that version, or point storage.url to another database"
            )
        config.attributes["connection"] = connection
        alembic.command.upgrade(config, "head")


def _begin_by_hand(connection: Any, _: Any) -> None:
    connection.isolation_level = None
    connection.execute("PRAGMA secure_delete=ON")  # what a migration takes out does not linger in free pages


def _begin_immediate(connection: sa.Connection) -> None:
    """Lock the database before looking: of two bots that start on a new one together, one makes the schema.

    Python's driver would begin a transaction before data is changed only, and so not for a schema.
    """
    connection.exec_driver_sql("BEGIN IMMEDIATE")
