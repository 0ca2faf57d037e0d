"""Runs keep the document whose layers their request has overridden."""

from alembic import op

revision = "0047"
down_revision = "0046"


def upgrade() -> None:
    op.execute("ALTER TABLE runs ADD COLUMN document JSONB")


def downgrade() -> None:
    op.execute("ALTER TABLE runs DROP COLUMN document")
