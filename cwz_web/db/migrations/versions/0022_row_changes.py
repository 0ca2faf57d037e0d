"""Indexes of what an import has changed, and of the rows with findings, in their order."""

from alembic import op

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    op.execute("""
        CREATE INDEX ix_item_versions_revision ON item_versions (workspace_id, feed_id, revision, removed, key);
        DROP INDEX ix_item_versions_workspace_id_feed_id_revision;
        DROP INDEX ix_run_items_findings;
        CREATE INDEX ix_run_items_findings ON run_items (workspace_id, run_id, position) WHERE findings IS NOT NULL;
    """)


def downgrade() -> None:
    op.execute("""
        CREATE INDEX ix_item_versions_workspace_id_feed_id_revision ON item_versions (workspace_id, feed_id, revision);
        DROP INDEX ix_item_versions_revision;
        DROP INDEX ix_run_items_findings;
        CREATE INDEX ix_run_items_findings ON run_items (workspace_id, run_id) WHERE findings IS NOT NULL;
    """)
