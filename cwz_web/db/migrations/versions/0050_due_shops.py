"""Shops are planned again when the day changes, and enqueued only if there is something to do."""

from alembic import op

revision = "0050"
down_revision = "0049"

FUNCTION = """
    CREATE OR REPLACE FUNCTION find_due_shops() RETURNS TABLE(workspace_id uuid, shop_id uuid)
        LANGUAGE sql STABLE SECURITY DEFINER
        SET search_path = pg_catalog, public
        AS $$ {query} LIMIT 1000 $$
"""
DUE = """
    SELECT s.workspace_id, s.id FROM shops s
    JOIN campaigns c ON c.workspace_id = s.workspace_id AND c.id = s.campaign_id
    JOIN feeds f ON f.workspace_id = c.workspace_id AND f.id = c.feed_id
    CROSS JOIN LATERAL (SELECT CASE
        WHEN s.retry_at IS NOT NULL OR s.error_message IS NOT NULL THEN s.retry_at
        WHEN s.is_enabled OR s.is_restoring THEN least(
            CASE WHEN s.is_enabled THEN s.replan_at END,
            (SELECT min(p.next_at) FROM shop_products p
             WHERE p.workspace_id = s.workspace_id AND p.shop_id = s.id AND p.next_at IS NOT NULL))
        END AS at) due
    WHERE due.at <= now()
        AND (s.is_restoring OR (c.deleted_at IS NULL AND f.deleted_at IS NULL AND c.public_id IS NOT NULL))
    ORDER BY due.at
"""
FORMER = """
    SELECT s.workspace_id, s.id FROM shops s
    JOIN campaigns c ON c.workspace_id = s.workspace_id AND c.id = s.campaign_id
    WHERE (s.is_restoring OR c.deleted_at IS NULL) AND (s.retry_at <= now() OR (
        s.retry_at IS NULL AND s.error_message IS NULL AND (s.is_enabled OR s.is_restoring) AND EXISTS (
            SELECT FROM shop_products p
            WHERE p.workspace_id = s.workspace_id AND p.shop_id = s.id AND p.next_at <= now())))
"""


def upgrade() -> None:
    op.execute("ALTER TABLE shops ADD COLUMN replan_at TIMESTAMP WITH TIME ZONE")
    op.execute("CREATE POLICY cross_workspace ON feeds FOR SELECT TO CURRENT_USER USING (true)")
    op.execute(FUNCTION.format(query=DUE))


def downgrade() -> None:
    op.execute(FUNCTION.format(query=FORMER))
    op.execute("DROP POLICY cross_workspace ON feeds")
    op.execute("ALTER TABLE shops DROP COLUMN replan_at")
