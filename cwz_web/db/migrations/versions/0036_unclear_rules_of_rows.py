"""The rules of a campaign that could not be decided, by row; they are planned again."""

from alembic import op

revision = "0036"
down_revision = "0035"


def upgrade() -> None:
    op.execute("ALTER TABLE campaign_rows ADD COLUMN unclear SMALLINT[]")
    op.execute("ALTER TABLE campaigns NO FORCE ROW LEVEL SECURITY")
    op.execute("UPDATE campaigns SET planned_revision = -1")
    op.execute("ALTER TABLE campaigns FORCE ROW LEVEL SECURITY")


def downgrade() -> None:
    op.execute("ALTER TABLE campaign_rows DROP COLUMN unclear")
