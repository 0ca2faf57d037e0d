"""Brands: the colors, fonts, logos and text styles of each workspace."""

from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE brands (
            workspace_id UUID NOT NULL,
            document JSON NOT NULL,
            revision INTEGER NOT NULL,
            changed_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
            CONSTRAINT pk_brands PRIMARY KEY (workspace_id),
            CONSTRAINT fk_brands_workspace_id_workspaces
                FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
        );
        ALTER TABLE brands ENABLE ROW LEVEL SECURITY;
        ALTER TABLE brands FORCE ROW LEVEL SECURITY;
        CREATE POLICY tenant ON brands
            USING (workspace_id = nullif(current_setting('cwz.workspace_id', true), '')::uuid)
            WITH CHECK (workspace_id = nullif(current_setting('cwz.workspace_id', true), '')::uuid)
    """)


def downgrade() -> None:
    op.execute("DROP TABLE brands")
