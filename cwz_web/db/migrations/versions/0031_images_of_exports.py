"""How many images the zip of a run has: a run that is retried has others."""

from alembic import op

revision = "0031"
down_revision = "0030"


def upgrade() -> None:
    op.execute("ALTER TABLE exports ADD COLUMN images INTEGER")


def downgrade() -> None:
    op.execute("ALTER TABLE exports DROP COLUMN images")
