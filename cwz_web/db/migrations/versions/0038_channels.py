"""Channels of campaigns, and who fetched their feeds."""

from alembic import op

revision = "0038"
down_revision = "0037"

_TABLES = ("channels", "feed_fetches")


def upgrade() -> None:
    op.execute("""
        CREATE TABLE channels (
            campaign_id UUID NOT NULL,
            name VARCHAR NOT NULL,
            preset VARCHAR NOT NULL,
            format VARCHAR NOT NULL,
            is_gzipped BOOLEAN DEFAULT false NOT NULL,
            fields JSONB NOT NULL,
            on_missing VARCHAR DEFAULT 'last' NOT NULL,
            connection_id UUID,
            slug VARCHAR NOT NULL,
            token VARCHAR NOT NULL,
            attempt INTEGER DEFAULT 0 NOT NULL,
            version VARCHAR,
            publication_id UUID,
            report JSONB,
            digest VARCHAR,
            size BIGINT DEFAULT 0 NOT NULL,
            stored_size BIGINT DEFAULT 0 NOT NULL,
            object_key VARCHAR,
            object_connection_id UUID,
            delivered_key VARCHAR,
            written_at TIMESTAMP WITH TIME ZONE,
            error_message VARCHAR,
            deleted_at TIMESTAMP WITH TIME ZONE,
            workspace_id UUID NOT NULL,
            id UUID NOT NULL,
            created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
            CONSTRAINT pk_channels PRIMARY KEY (workspace_id, id),
            CONSTRAINT fk_channels_workspace_id_campaign_id_campaigns
                FOREIGN KEY(workspace_id, campaign_id) REFERENCES campaigns (workspace_id, id) ON DELETE CASCADE,
            CONSTRAINT fk_channels_workspace_id_connection_id_connections
                FOREIGN KEY(workspace_id, connection_id) REFERENCES connections (workspace_id, id),
            CONSTRAINT ck_channels_on_missing CHECK (on_missing IN ('hold', 'photo', 'last')),
            CONSTRAINT fk_channels_workspace_id_workspaces
                FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
        );
        CREATE INDEX ix_channels_campaign ON channels (workspace_id, campaign_id);
        CREATE TABLE feed_fetches (
            workspace_id UUID NOT NULL,
            source_id UUID NOT NULL,
            minute TIMESTAMP WITH TIME ZONE NOT NULL,
            family VARCHAR NOT NULL,
            campaign_id UUID NOT NULL,
            fetches INTEGER DEFAULT 1 NOT NULL,
            unchanged INTEGER DEFAULT 0 NOT NULL,
            failed INTEGER DEFAULT 0 NOT NULL,
            size BIGINT DEFAULT 0 NOT NULL,
            CONSTRAINT pk_feed_fetches PRIMARY KEY (workspace_id, source_id, minute, family),
            CONSTRAINT fk_feed_fetches_workspace_id_campaign_id_campaigns
                FOREIGN KEY(workspace_id, campaign_id) REFERENCES campaigns (workspace_id, id) ON DELETE CASCADE,
            CONSTRAINT fk_feed_fetches_workspace_id_workspaces
                FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
        );
        CREATE INDEX ix_feed_fetches_campaign ON feed_fetches (workspace_id, campaign_id, minute)
    """)
    for table in _TABLES:
        op.execute(f"""
            ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
            ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
            CREATE POLICY tenant ON {table}
                USING (workspace_id = nullif(current_setting('cwz.workspace_id', true), '')::uuid)
                WITH CHECK (workspace_id = nullif(current_setting('cwz.workspace_id', true), '')::uuid)
        """)


def downgrade() -> None:
    op.execute("DROP TABLE feed_fetches, channels")
