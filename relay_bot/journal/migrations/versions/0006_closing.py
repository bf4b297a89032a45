"""A session whose room is gone may still have something to do before it has ended."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add when a session's room was found to be gone for good."""
    op.add_column("sessions", sa.Column("closing_at", sa.BigInteger))


def downgrade() -> None:
    """Take such a session for one that is open."""
    op.drop_column("sessions", "closing_at")
