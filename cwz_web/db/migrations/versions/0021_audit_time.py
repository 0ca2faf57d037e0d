"""An index of the activity log by time, for its filter by date."""

from alembic import op

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    op.execute("CREATE INDEX ix_audit_entries_at ON audit_entries (workspace_id, at)")


def downgrade() -> None:
    op.execute("DROP INDEX ix_audit_entries_at")
