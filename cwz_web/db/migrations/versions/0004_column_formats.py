"""Locale, number format, currency and date order of feed columns."""

from alembic import op

revision = "0004"
down_revision = "0003"

# Returns `locale` and `currency` as well.
_FIND_TEMPLATE_STATE = """
    DROP FUNCTION find_template_state;
    CREATE FUNCTION find_template_state(by_id uuid, in_workspace uuid, by_slug varchar) RETURNS TABLE(
        workspace_id uuid, template_id uuid, version integer, unsigned_parameters jsonb,
        oldest_signing_key_number integer, signing_key_number integer, connections text, plan varchar, unpaid boolean,
        read_only boolean{columns})
        LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 1
        SET search_path = pg_catalog, public
        AS $$
            BEGIN
                RETURN QUERY SELECT t.workspace_id, t.id, t.version, t.unsigned_parameters,
                    w.oldest_signing_key_number, w.signing_key_number,
                    (SELECT md5(string_agg(c::text, '' ORDER BY c.id) || coalesce(t.connection_id::text, ''))
                     FROM connections c WHERE c.workspace_id = t.workspace_id),
                    w.plan, w.read_only_from IS NOT NULL, coalesce(w.read_only_from <= now(), false){values}
                FROM templates t JOIN workspaces w ON w.id = t.workspace_id
                WHERE t.deleted_at IS NULL AND (in_workspace IS NULL OR t.workspace_id = in_workspace)
                    AND t.id = coalesce(by_id, (
                        SELECT n.id FROM templates n WHERE n.workspace_id = in_workspace AND n.slug = by_slug));
            END $$;
    REVOKE ALL ON FUNCTION find_template_state FROM PUBLIC
"""


def upgrade() -> None:
    op.execute("""
        ALTER TABLE workspaces ADD COLUMN locale VARCHAR, ADD COLUMN currency VARCHAR;
        ALTER TABLE feeds ADD COLUMN column_formats JSONB DEFAULT '{}' NOT NULL;
        ALTER TABLE runs ADD COLUMN formats JSONB DEFAULT '{}' NOT NULL
    """)
    op.execute(
        _FIND_TEMPLATE_STATE.format(columns=", locale varchar, currency varchar", values=", w.locale, w.currency")
    )


def downgrade() -> None:
    op.execute(_FIND_TEMPLATE_STATE.format(columns="", values=""))
    op.execute("""
        ALTER TABLE runs DROP COLUMN formats;
        ALTER TABLE feeds DROP COLUMN column_formats;
        ALTER TABLE workspaces DROP COLUMN currency, DROP COLUMN locale
    """)
