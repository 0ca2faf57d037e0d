"""How a feed's file is read: encoding, delimiter, header row, sheet, row element."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute("""
        ALTER TABLE feeds ADD COLUMN reading JSONB DEFAULT '{}' NOT NULL;
        ALTER TABLE feed_imports ADD COLUMN reading JSONB DEFAULT '{}' NOT NULL
    """)


def downgrade() -> None:
    op.execute("""
        ALTER TABLE feed_imports DROP COLUMN reading;
        ALTER TABLE feeds DROP COLUMN reading
    """)
