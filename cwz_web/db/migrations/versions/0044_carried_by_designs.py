"""What people say that the designs of a campaign show beside the photo."""

from alembic import op

revision = "0044"
down_revision = "0043"


def upgrade() -> None:
    op.execute("ALTER TABLE campaigns ADD COLUMN carried JSONB DEFAULT '{}' NOT NULL")


def downgrade() -> None:
    op.execute("ALTER TABLE campaigns DROP COLUMN carried")
