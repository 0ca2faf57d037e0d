"""Remove columns of channels and of fetches of feeds that nothing reads."""

from alembic import op

revision = "0046"
down_revision = "0045"


def upgrade() -> None:
    op.execute("""
        ALTER TABLE channels DROP COLUMN delivered_key;
        ALTER TABLE feed_fetches DROP COLUMN unchanged
    """)


def downgrade() -> None:
    op.execute("""
        ALTER TABLE channels ADD COLUMN delivered_key VARCHAR;
        ALTER TABLE feed_fetches ADD COLUMN unchanged INTEGER DEFAULT 0 NOT NULL
    """)
