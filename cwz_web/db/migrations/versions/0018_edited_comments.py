"""When a comment on a template was edited."""

from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    op.execute("ALTER TABLE template_comments ADD COLUMN edited_at TIMESTAMP WITH TIME ZONE")


def downgrade() -> None:
    op.execute("ALTER TABLE template_comments DROP COLUMN edited_at")
