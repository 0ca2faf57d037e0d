"""Deleted images, which can be restored for a while."""

from alembic import op

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE deleted_images (
            workspace_id UUID NOT NULL,
            id UUID NOT NULL,
            batch_id UUID NOT NULL,
            digest VARCHAR NOT NULL,
            connection_id UUID NOT NULL,
            key VARCHAR NOT NULL,
            image JSONB NOT NULL,
            is_purging BOOLEAN DEFAULT false NOT NULL,
            created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
            CONSTRAINT pk_deleted_images PRIMARY KEY (workspace_id, id),
            CONSTRAINT fk_deleted_images_workspace_id_connection_id_connections
                FOREIGN KEY(workspace_id, connection_id) REFERENCES connections (workspace_id, id),
            CONSTRAINT fk_deleted_images_workspace_id_workspaces
                FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
        );
        CREATE INDEX ix_deleted_images_workspace_id_batch_id ON deleted_images (workspace_id, batch_id);
        ALTER TABLE deleted_images ENABLE ROW LEVEL SECURITY;
        ALTER TABLE deleted_images FORCE ROW LEVEL SECURITY;
        CREATE POLICY tenant ON deleted_images
            USING (workspace_id = nullif(current_setting('cwz.workspace_id', true), '')::uuid)
            WITH CHECK (workspace_id = nullif(current_setting('cwz.workspace_id', true), '')::uuid);
        ALTER TABLE run_items ADD COLUMN deleted_image_id UUID;
        CREATE INDEX ix_run_items_deleted ON run_items (workspace_id, deleted_image_id)
            WHERE deleted_image_id IS NOT NULL
    """)


def downgrade() -> None:
    op.execute("""
        ALTER TABLE run_items DROP COLUMN deleted_image_id;
        DROP TABLE deleted_images
    """)
