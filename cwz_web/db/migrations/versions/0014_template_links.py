"""Links that show a template to people without an account."""

from alembic import op

revision = "0014"
down_revision = "0013"

_TABLE = """
    CREATE TABLE template_links (
        template_id UUID NOT NULL,
        version INTEGER,
        sample VARCHAR NOT NULL,
        "values" JSONB NOT NULL,
        digest VARCHAR NOT NULL,
        created_by UUID,
        expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
        workspace_id UUID NOT NULL,
        id UUID NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        CONSTRAINT pk_template_links PRIMARY KEY (workspace_id, id),
        CONSTRAINT uq_template_links_digest UNIQUE (digest),
        CONSTRAINT fk_template_links_workspace_id_template_id_templates
            FOREIGN KEY(workspace_id, template_id) REFERENCES templates (workspace_id, id) ON DELETE CASCADE,
        CONSTRAINT fk_template_links_created_by_accounts
            FOREIGN KEY(created_by) REFERENCES accounts (id) ON DELETE SET NULL,
        CONSTRAINT fk_template_links_workspace_id_workspaces
            FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
    );
    CREATE INDEX ix_template_links_workspace_id_template_id ON template_links (workspace_id, template_id);
    ALTER TABLE template_links ENABLE ROW LEVEL SECURITY;
    ALTER TABLE template_links FORCE ROW LEVEL SECURITY;
    CREATE POLICY tenant ON template_links
        USING (workspace_id = nullif(current_setting('cwz.workspace_id', true), '')::uuid)
        WITH CHECK (workspace_id = nullif(current_setting('cwz.workspace_id', true), '')::uuid);
    CREATE POLICY cross_workspace ON template_links FOR SELECT TO CURRENT_USER USING (true);
    CREATE FUNCTION workspace_of_template_link(link_digest varchar) RETURNS TABLE(workspace_id uuid, id uuid)
        LANGUAGE sql STABLE SECURITY DEFINER
        SET search_path = pg_catalog, public
        AS $$ SELECT l.workspace_id, l.id FROM template_links l WHERE l.digest = link_digest $$;
    REVOKE ALL ON FUNCTION workspace_of_template_link FROM PUBLIC;
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(_TABLE)


def downgrade() -> None:
    op.execute("DROP FUNCTION workspace_of_template_link")
    op.execute("DROP TABLE template_links")
