"""What was answered is enciphered from now on: of answers in the clear stays that there was one."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Forget what answers in the clear say: they quote others, and votes."""
    op.execute("UPDATE answers SET answer = x'00' WHERE substr(answer, 1, 1) = x'7b'")


def downgrade() -> None:
    """Forget what older programs can't read."""
    op.execute("DELETE FROM answers WHERE length(answer) > 0")
