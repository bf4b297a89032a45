"""Answers lie in lots: those of a minute, and of each thousand where a minute has more."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def _make(column: sa.Column[int]) -> None:
    op.create_table(
        "answers",
        sa.Column("session", sa.Integer, primary_key=True, autoincrement=False),
        column,
        sa.Column("key", sa.LargeBinary, primary_key=True),
        sa.Column("answer", sa.LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )


def upgrade() -> None:
    """A minute's answers become its first lot."""
    op.rename_table("answers", "answers_by_minute")
    _make(sa.Column("lot", sa.BigInteger, primary_key=True, autoincrement=False))
    op.execute("INSERT INTO answers SELECT session, minute * 1000, key, answer FROM answers_by_minute")
    op.drop_table("answers_by_minute")


def downgrade() -> None:
    """All lots of a minute become one; of equal keys one is kept."""
    op.rename_table("answers", "answers_by_lot")
    _make(sa.Column("minute", sa.Integer, primary_key=True, autoincrement=False))
    op.execute("INSERT OR REPLACE INTO answers SELECT session, lot / 1000, key, answer FROM answers_by_lot")
    op.drop_table("answers_by_lot")
