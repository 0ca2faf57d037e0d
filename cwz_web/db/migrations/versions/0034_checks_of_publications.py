"""Publications: what was found in their images, and indexes of the most changed rows and of faulty rows."""

from alembic import op

revision = "0034"
down_revision = "0033"


def upgrade() -> None:
    op.execute("""
        ALTER TABLE publications ADD COLUMN checks JSONB;
        CREATE INDEX ix_publication_changes_difference ON publication_changes
            (workspace_id, publication_id, difference, position) WHERE difference IS NOT NULL;
        DROP INDEX ix_publication_rows_faulty;
        CREATE INDEX ix_publication_rows_faulty ON publication_rows (workspace_id, campaign_id, key) WHERE is_faulty
    """)


def downgrade() -> None:
    op.execute("""
        ALTER TABLE publications DROP COLUMN checks;
        DROP INDEX ix_publication_changes_difference;
        DROP INDEX ix_publication_rows_faulty;
        CREATE INDEX ix_publication_rows_faulty ON publication_rows (workspace_id, campaign_id)
            WHERE is_faulty AND until IS NULL
    """)
