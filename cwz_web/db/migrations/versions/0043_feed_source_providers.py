"""Feeds whose rows a provider fetches, such as a shop."""

from alembic import op

revision = "0043"
down_revision = "0042"


def upgrade() -> None:
    op.execute(
        """
        ALTER TABLE feed_sources
            ADD COLUMN provider VARCHAR DEFAULT '' NOT NULL,
            ADD COLUMN settings JSONB DEFAULT '{}' NOT NULL,
            ADD COLUMN complete_at TIMESTAMP WITH TIME ZONE,
            ADD COLUMN changes_since TIMESTAMP WITH TIME ZONE
        """
    )


def downgrade() -> None:
    op.execute(
        """
        ALTER TABLE feed_sources
            DROP COLUMN provider, DROP COLUMN settings, DROP COLUMN complete_at, DROP COLUMN changes_since
        """
    )
