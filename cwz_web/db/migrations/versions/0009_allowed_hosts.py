"""Hosts that the URL of a feed may redirect to."""

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.execute("ALTER TABLE feed_sources ADD COLUMN allowed_hosts JSONB DEFAULT '[]' NOT NULL")


def downgrade() -> None:
    op.execute("ALTER TABLE feed_sources DROP COLUMN allowed_hosts")
