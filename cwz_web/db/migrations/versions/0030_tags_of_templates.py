"""The tags of a template, by which the list of templates is filtered."""

from alembic import op

revision = "0030"
down_revision = "0029"


def upgrade() -> None:
    op.execute("ALTER TABLE templates ADD COLUMN tags TEXT[] DEFAULT '{}' NOT NULL")


def downgrade() -> None:
    op.execute("ALTER TABLE templates DROP COLUMN tags")
