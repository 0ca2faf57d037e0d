"""Shops that campaigns put images into, and what is recorded of their products."""

from alembic import op

revision = "0049"
down_revision = "0048"

_TABLES = ("shops", "shop_products")


def upgrade() -> None:
    op.execute("""
        CREATE TABLE shops (
            campaign_id UUID NOT NULL,
            name VARCHAR NOT NULL,
            provider VARCHAR NOT NULL,
            settings JSONB NOT NULL,
            encrypted_credentials BYTEA NOT NULL,
            position VARCHAR NOT NULL,
            output INTEGER DEFAULT 0 NOT NULL,
            product_column VARCHAR NOT NULL,
            alt_column VARCHAR DEFAULT '' NOT NULL,
            condition VARCHAR DEFAULT '' NOT NULL,
            is_enabled BOOLEAN DEFAULT false NOT NULL,
            is_restoring BOOLEAN DEFAULT false NOT NULL,
            revision INTEGER DEFAULT 0 NOT NULL,
            attempt INTEGER DEFAULT 0 NOT NULL,
            plan INTEGER DEFAULT 0 NOT NULL,
            version VARCHAR,
            publication_id UUID,
            report JSONB,
            synced_at TIMESTAMP WITH TIME ZONE,
            failures INTEGER DEFAULT 0 NOT NULL,
            error_message VARCHAR,
            retry_at TIMESTAMP WITH TIME ZONE,
            workspace_id UUID NOT NULL,
            id UUID NOT NULL,
            created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
            CONSTRAINT pk_shops PRIMARY KEY (workspace_id, id),
            CONSTRAINT fk_shops_workspace_id_campaign_id_campaigns
                FOREIGN KEY(workspace_id, campaign_id) REFERENCES campaigns (workspace_id, id) ON DELETE CASCADE,
            CONSTRAINT ck_shops_position CHECK (position IN ('first', 'last')),
            CONSTRAINT ck_shops_state CHECK (NOT (is_enabled AND is_restoring)),
            CONSTRAINT fk_shops_workspace_id_workspaces
                FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
        );
        CREATE INDEX ix_shops_campaign ON shops (workspace_id, campaign_id);
        CREATE TABLE shop_products (
            workspace_id UUID NOT NULL,
            shop_id UUID NOT NULL,
            product_id VARCHAR NOT NULL,
            row_key VARCHAR NOT NULL,
            plan INTEGER NOT NULL,
            wanted JSONB,
            alt VARCHAR DEFAULT '' NOT NULL,
            shown VARCHAR,
            own JSONB DEFAULT '[]' NOT NULL,
            intent JSONB,
            snapshot JSONB,
            next_at TIMESTAMP WITH TIME ZONE,
            failures INTEGER DEFAULT 0 NOT NULL,
            problem VARCHAR DEFAULT '' NOT NULL,
            code VARCHAR DEFAULT '' NOT NULL,
            CONSTRAINT pk_shop_products PRIMARY KEY (workspace_id, shop_id, product_id),
            CONSTRAINT fk_shop_products_workspace_id_shop_id_shops
                FOREIGN KEY(workspace_id, shop_id) REFERENCES shops (workspace_id, id) ON DELETE CASCADE
        );
        CREATE INDEX ix_shop_products_next_at ON shop_products (workspace_id, shop_id, next_at)
            WHERE next_at IS NOT NULL;
        CREATE FUNCTION all_shops() RETURNS TABLE(workspace_id uuid, id uuid)
            LANGUAGE sql STABLE SECURITY DEFINER
            SET search_path = pg_catalog, public
            AS $$ SELECT s.workspace_id, s.id FROM shops s ORDER BY 1, 2 $$;
        REVOKE ALL ON FUNCTION all_shops FROM PUBLIC;
        CREATE FUNCTION find_due_shops() RETURNS TABLE(workspace_id uuid, shop_id uuid)
            LANGUAGE sql STABLE SECURITY DEFINER
            SET search_path = pg_catalog, public
            AS $$
                SELECT s.workspace_id, s.id FROM shops s
                JOIN campaigns c ON c.workspace_id = s.workspace_id AND c.id = s.campaign_id
                WHERE (s.is_restoring OR c.deleted_at IS NULL) AND (s.retry_at <= now() OR (
                    s.retry_at IS NULL AND s.error_message IS NULL AND (s.is_enabled OR s.is_restoring) AND EXISTS (
                        SELECT FROM shop_products p
                        WHERE p.workspace_id = s.workspace_id AND p.shop_id = s.id AND p.next_at <= now())))
                LIMIT 1000
            $$;
        REVOKE ALL ON FUNCTION find_due_shops FROM PUBLIC;
    """)
    for table in _TABLES:
        op.execute(f"""
            ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
            ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
            CREATE POLICY tenant ON {table}
                USING (workspace_id = nullif(current_setting('cwz.workspace_id', true), '')::uuid)
                WITH CHECK (workspace_id = nullif(current_setting('cwz.workspace_id', true), '')::uuid);
            CREATE POLICY cross_workspace ON {table} FOR SELECT TO CURRENT_USER USING (true)
        """)


def downgrade() -> None:
    op.execute("DROP FUNCTION all_shops, find_due_shops; DROP TABLE shop_products, shops")
