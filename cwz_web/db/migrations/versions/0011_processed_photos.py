"""Photos that image processors have changed, each counted once; and what each image of a run reserves for them."""

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE processed_photos (
            workspace_id UUID NOT NULL,
            digest VARCHAR NOT NULL,
            cost INTEGER NOT NULL,
            CONSTRAINT pk_processed_photos PRIMARY KEY (workspace_id, digest),
            CONSTRAINT ck_processed_photos_cost CHECK (cost > 0),
            CONSTRAINT fk_processed_photos_workspace_id_workspaces
                FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
        );
        ALTER TABLE processed_photos ENABLE ROW LEVEL SECURITY;
        ALTER TABLE processed_photos FORCE ROW LEVEL SECURITY;
        CREATE POLICY tenant ON processed_photos
            USING (workspace_id = nullif(current_setting('cwz.workspace_id', true), '')::uuid)
            WITH CHECK (workspace_id = nullif(current_setting('cwz.workspace_id', true), '')::uuid);
        ALTER TABLE runs ADD COLUMN processing_cost INTEGER DEFAULT 0 NOT NULL
    """)


def downgrade() -> None:
    op.execute("""
        ALTER TABLE runs DROP COLUMN processing_cost;
        DROP TABLE processed_photos
    """)
