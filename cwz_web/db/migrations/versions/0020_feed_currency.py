"""The currency of a feed's prices."""

from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    op.execute("ALTER TABLE feeds ADD COLUMN currency VARCHAR")


def downgrade() -> None:
    op.execute("ALTER TABLE feeds DROP COLUMN currency")
