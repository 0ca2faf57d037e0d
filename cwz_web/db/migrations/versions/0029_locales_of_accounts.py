"""The locale that a user has chosen for the interface and for emails."""

from alembic import op

revision = "0029"
down_revision = "0028"


def upgrade() -> None:
    op.execute("ALTER TABLE accounts ADD COLUMN locale VARCHAR")


def downgrade() -> None:
    op.execute("ALTER TABLE accounts DROP COLUMN locale")
