"""Time zones of workspaces."""

from alembic import op

revision = "0035"
down_revision = "0034"

_WITH_TIME_ZONE = """
    CREATE FUNCTION memberships_of(account uuid) RETURNS TABLE(
        workspace_id uuid, slug varchar, name varchar, role varchar, second_factor_required boolean,
        single_sign_on_required boolean, time_zone varchar)
        LANGUAGE sql STABLE SECURITY DEFINER
        SET search_path = pg_catalog, public
        AS $$
            SELECT w.id, w.slug, w.name, m.role, w.second_factor_required,
                EXISTS (
                    SELECT FROM identity_providers p WHERE p.workspace_id = w.id AND p.is_required AND (
                        m.provider_domain IS NOT NULL
                        OR EXISTS (
                            SELECT FROM email_domains d
                            JOIN accounts a ON d.domain = lower(split_part(a.email, '@', -1))
                            WHERE d.workspace_id = w.id AND d.verified_at IS NOT NULL AND a.id = m.account_id))),
                w.time_zone
            FROM memberships m JOIN workspaces w ON w.id = m.workspace_id
            WHERE m.account_id = account ORDER BY lower(w.name), w.slug
        $$;
    REVOKE ALL ON FUNCTION memberships_of FROM PUBLIC
"""
_BEFORE = """
    CREATE FUNCTION memberships_of(account uuid) RETURNS TABLE(
        workspace_id uuid, slug varchar, name varchar, role varchar, second_factor_required boolean,
        single_sign_on_required boolean)
        LANGUAGE sql STABLE SECURITY DEFINER
        SET search_path = pg_catalog, public
        AS $$
            SELECT w.id, w.slug, w.name, m.role, w.second_factor_required,
                EXISTS (
                    SELECT FROM identity_providers p WHERE p.workspace_id = w.id AND p.is_required AND (
                        m.provider_domain IS NOT NULL
                        OR EXISTS (
                            SELECT FROM email_domains d
                            JOIN accounts a ON d.domain = lower(split_part(a.email, '@', -1))
                            WHERE d.workspace_id = w.id AND d.verified_at IS NOT NULL AND a.id = m.account_id)))
            FROM memberships m JOIN workspaces w ON w.id = m.workspace_id
            WHERE m.account_id = account ORDER BY lower(w.name), w.slug
        $$;
    REVOKE ALL ON FUNCTION memberships_of FROM PUBLIC
"""


def upgrade() -> None:
    op.execute("ALTER TABLE workspaces ADD COLUMN time_zone VARCHAR DEFAULT 'UTC' NOT NULL")
    op.execute("DROP FUNCTION memberships_of")
    op.execute(_WITH_TIME_ZONE)


def downgrade() -> None:
    op.execute("DROP FUNCTION memberships_of")
    op.execute(_BEFORE)
    op.execute("ALTER TABLE workspaces DROP COLUMN time_zone")
