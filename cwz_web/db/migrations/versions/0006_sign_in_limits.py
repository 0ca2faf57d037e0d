"""The creators of API keys, and the workspace of a slug, whose log gets refused attempts of outsiders."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.execute("""
        ALTER TABLE api_keys ADD COLUMN created_by UUID
            CONSTRAINT fk_api_keys_created_by_accounts REFERENCES accounts (id) ON DELETE SET NULL;
        CREATE FUNCTION workspace_of_slug(requested varchar) RETURNS uuid
            LANGUAGE sql STABLE SECURITY DEFINER
            SET search_path = pg_catalog, public
            AS $$ SELECT w.id FROM workspaces w WHERE w.slug = requested $$;
        REVOKE ALL ON FUNCTION workspace_of_slug FROM PUBLIC
    """)


def downgrade() -> None:
    op.execute("""
        DROP FUNCTION workspace_of_slug;
        ALTER TABLE api_keys DROP COLUMN created_by
    """)
