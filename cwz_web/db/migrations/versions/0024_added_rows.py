"""The keys of the rows that an import has added."""

from alembic import op

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE added_rows (
            workspace_id UUID NOT NULL,
            import_id UUID NOT NULL,
            key VARCHAR NOT NULL,
            CONSTRAINT pk_added_rows PRIMARY KEY (workspace_id, import_id, key),
            CONSTRAINT fk_added_rows_workspace_id_import_id_feed_imports
                FOREIGN KEY(workspace_id, import_id) REFERENCES feed_imports (workspace_id, id) ON DELETE CASCADE
        );
        ALTER TABLE added_rows ENABLE ROW LEVEL SECURITY;
        ALTER TABLE added_rows FORCE ROW LEVEL SECURITY;
        CREATE POLICY tenant ON added_rows
            USING (workspace_id = nullif(current_setting('cwz.workspace_id', true), '')::uuid)
            WITH CHECK (workspace_id = nullif(current_setting('cwz.workspace_id', true), '')::uuid)
    """)


def downgrade() -> None:
    op.execute("DROP TABLE added_rows")
