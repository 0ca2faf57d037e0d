"""What channels would write of a publication, and how often they failed."""

from alembic import op

revision = "0041"
down_revision = "0040"


def upgrade() -> None:
    op.execute("""
        ALTER TABLE publications ADD COLUMN channel_checks JSONB;
        ALTER TABLE channels ADD COLUMN failures INTEGER DEFAULT 0 NOT NULL
    """)


def downgrade() -> None:
    op.execute("""
        ALTER TABLE channels DROP COLUMN failures;
        ALTER TABLE publications DROP COLUMN channel_checks
    """)
