"""Feeds that are not fetched on their schedule for a while."""

from alembic import op

revision = "0027"
down_revision = "0026"


def upgrade() -> None:
    op.execute("ALTER TABLE feed_sources ADD COLUMN paused_at TIMESTAMP WITH TIME ZONE")


def downgrade() -> None:
    op.execute("ALTER TABLE feed_sources DROP COLUMN paused_at")
