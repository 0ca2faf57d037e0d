"""The log of API requests; how long a webhook took to respond, and an index of those not delivered."""

from alembic import op

revision = "0026"
down_revision = "0025"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE api_requests (
            key_id UUID NOT NULL,
            method VARCHAR NOT NULL,
            path VARCHAR NOT NULL,
            status INTEGER NOT NULL,
            milliseconds INTEGER NOT NULL,
            response_bytes INTEGER,
            code VARCHAR,
            detail VARCHAR,
            errors JSONB,
            workspace_id UUID NOT NULL,
            id UUID NOT NULL,
            created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
            CONSTRAINT pk_api_requests PRIMARY KEY (workspace_id, id),
            CONSTRAINT fk_api_requests_workspace_id_key_id_api_keys
                FOREIGN KEY(workspace_id, key_id) REFERENCES api_keys (workspace_id, id) ON DELETE CASCADE,
            CONSTRAINT fk_api_requests_workspace_id_workspaces
                FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
        );
        CREATE INDEX ix_api_requests_key ON api_requests (workspace_id, key_id, id);
        CREATE INDEX ix_api_requests_errors ON api_requests (workspace_id, id) WHERE status >= 400;
        ALTER TABLE api_requests ENABLE ROW LEVEL SECURITY;
        ALTER TABLE api_requests FORCE ROW LEVEL SECURITY;
        CREATE POLICY tenant ON api_requests
            USING (workspace_id = nullif(current_setting('cwz.workspace_id', true), '')::uuid)
            WITH CHECK (workspace_id = nullif(current_setting('cwz.workspace_id', true), '')::uuid);
        ALTER TABLE webhook_deliveries ADD COLUMN milliseconds INTEGER;
        CREATE INDEX ix_webhook_deliveries_undelivered ON webhook_deliveries (workspace_id, webhook_id, state, id)
            WHERE state <> 'delivered'
    """)


def downgrade() -> None:
    op.execute("""
        DROP INDEX ix_webhook_deliveries_undelivered;
        ALTER TABLE webhook_deliveries DROP COLUMN milliseconds;
        DROP TABLE api_requests
    """)
