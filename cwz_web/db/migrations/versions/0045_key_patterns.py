"""Patterns of the keys of images."""

from alembic import op

revision = "0045"
down_revision = "0044"


def upgrade() -> None:
    op.execute("ALTER TABLE connections ADD COLUMN key_pattern VARCHAR DEFAULT '' NOT NULL")


def downgrade() -> None:
    op.execute("ALTER TABLE connections DROP COLUMN key_pattern")
