"""What plugins declare of people in what they keep, for when they are not here any more."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "declared",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("rule", sa.LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("declared")
