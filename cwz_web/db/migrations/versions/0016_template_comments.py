"""Comments on the layers of templates."""

from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE template_comments (
            template_id UUID NOT NULL,
            layer VARCHAR NOT NULL,
            text VARCHAR NOT NULL,
            author_id UUID,
            resolved_at TIMESTAMP WITH TIME ZONE,
            resolved_by UUID,
            workspace_id UUID NOT NULL,
            id UUID NOT NULL,
            created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
            CONSTRAINT pk_template_comments PRIMARY KEY (workspace_id, id),
            CONSTRAINT fk_template_comments_workspace_id_template_id_templates
                FOREIGN KEY(workspace_id, template_id) REFERENCES templates (workspace_id, id) ON DELETE CASCADE,
            CONSTRAINT fk_template_comments_author_id_accounts
                FOREIGN KEY(author_id) REFERENCES accounts (id) ON DELETE SET NULL,
            CONSTRAINT fk_template_comments_resolved_by_accounts
                FOREIGN KEY(resolved_by) REFERENCES accounts (id) ON DELETE SET NULL,
            CONSTRAINT fk_template_comments_workspace_id_workspaces
                FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
        );
        CREATE INDEX ix_template_comments_workspace_id_template_id ON template_comments (workspace_id, template_id);
        ALTER TABLE template_comments ENABLE ROW LEVEL SECURITY;
        ALTER TABLE template_comments FORCE ROW LEVEL SECURITY;
        CREATE POLICY tenant ON template_comments
            USING (workspace_id = nullif(current_setting('cwz.workspace_id', true), '')::uuid)
            WITH CHECK (workspace_id = nullif(current_setting('cwz.workspace_id', true), '')::uuid)
    """)


def downgrade() -> None:
    op.execute("DROP TABLE template_comments")
