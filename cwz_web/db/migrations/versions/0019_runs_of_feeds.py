"""An index of the runs of a feed, for the lists of runs and feeds."""

from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    op.execute("CREATE INDEX ix_runs_feed ON runs (workspace_id, feed_id, id)")


def downgrade() -> None:
    op.execute("DROP INDEX ix_runs_feed")
