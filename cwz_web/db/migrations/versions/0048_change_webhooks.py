"""Webhooks of shops, which say that rows of a feed have changed."""

from alembic import op

revision = "0048"
down_revision = "0047"

FUNCTION = """
    CREATE OR REPLACE FUNCTION feed_sources_with_secrets() RETURNS TABLE(workspace_id uuid, feed_id uuid)
        LANGUAGE sql STABLE SECURITY DEFINER
        SET search_path = pg_catalog, public
        AS $$
            SELECT s.workspace_id, s.feed_id FROM feed_sources s
            WHERE {condition} ORDER BY s.workspace_id, s.feed_id
        $$
"""


def upgrade() -> None:
    op.execute(
        """
        ALTER TABLE feed_sources
            ADD COLUMN encrypted_webhook_secret BYTEA,
            ADD COLUMN webhook_called_at TIMESTAMP WITH TIME ZONE
        """
    )
    condition = "s.encrypted_secret IS NOT NULL OR s.encrypted_webhook_secret IS NOT NULL"
    op.execute(FUNCTION.format(condition=condition))


def downgrade() -> None:
    op.execute(FUNCTION.format(condition="s.encrypted_secret IS NOT NULL"))
    op.execute("ALTER TABLE feed_sources DROP COLUMN encrypted_webhook_secret, DROP COLUMN webhook_called_at")
