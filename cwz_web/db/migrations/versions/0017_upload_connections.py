"""The connection that each upload is stored in."""

from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    op.execute("""
        ALTER TABLE uploads ADD COLUMN connection_id UUID,
            ADD CONSTRAINT fk_uploads_workspace_id_connection_id_connections
                FOREIGN KEY(workspace_id, connection_id) REFERENCES connections (workspace_id, id);
        -- Forced row-level security would hide the rows of all workspaces from their owner.
        ALTER TABLE uploads NO FORCE ROW LEVEL SECURITY;
        ALTER TABLE connections NO FORCE ROW LEVEL SECURITY;
        -- With several connections, it is not known which one an upload is stored in.
        UPDATE uploads u SET connection_id = c.id FROM connections c
            WHERE c.workspace_id = u.workspace_id
                AND (SELECT count(*) FROM connections o WHERE o.workspace_id = u.workspace_id) = 1;
        ALTER TABLE connections FORCE ROW LEVEL SECURITY;
        ALTER TABLE uploads FORCE ROW LEVEL SECURITY
    """)


def downgrade() -> None:
    op.execute("ALTER TABLE uploads DROP COLUMN connection_id")
