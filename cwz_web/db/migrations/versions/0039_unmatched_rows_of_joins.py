"""The rows of campaigns that joined feeds do not have; campaigns with joined feeds are planned again."""

from alembic import op

revision = "0039"
down_revision = "0038"


def upgrade() -> None:
    op.execute("ALTER TABLE campaigns ADD COLUMN unmatched JSONB DEFAULT '{}' NOT NULL")
    op.execute("ALTER TABLE campaign_rows ADD COLUMN unmatched SMALLINT[]")
    op.execute("ALTER TABLE campaigns NO FORCE ROW LEVEL SECURITY")
    op.execute("UPDATE campaigns SET planned_revision = -1 WHERE joins <> '[]'")
    op.execute("ALTER TABLE campaigns FORCE ROW LEVEL SECURITY")


def downgrade() -> None:
    op.execute("ALTER TABLE campaigns DROP COLUMN unmatched")
    op.execute("ALTER TABLE campaign_rows DROP COLUMN unmatched")
