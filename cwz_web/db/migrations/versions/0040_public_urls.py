"""Public base URLs of storage connections."""

from alembic import op

revision = "0040"
down_revision = "0039"


def upgrade() -> None:
    op.execute("""
        ALTER TABLE connections
            ADD COLUMN public_base_url VARCHAR DEFAULT '' NOT NULL,
            ADD COLUMN proven_base_url VARCHAR DEFAULT '' NOT NULL
    """)


def downgrade() -> None:
    op.execute("ALTER TABLE connections DROP COLUMN public_base_url, DROP COLUMN proven_base_url")
