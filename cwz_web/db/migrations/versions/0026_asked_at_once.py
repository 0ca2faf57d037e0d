"""What every image asks is one function each: how things are with a template, and with a key and its template.

In PL/pgSQL, which keeps its plans: PostgreSQL before 18 plans a function in SQL anew in each query. They answer with
one row, of nothing but NULL when there is nothing. `api_key_owner`, `image_state` and `template_of` stay for the
release before this one.
"""

from alembic import op

revision = "0026"
down_revision = "0025"

# The template is asked for by its id, or by its slug in a workspace.
FUNCTIONS = {
    "template_state": """
        CREATE FUNCTION template_state(id_asked uuid, workspace uuid, slug_asked varchar,
            OUT workspace_id uuid, OUT template_id uuid, OUT version int, OUT open_parameters jsonb,
            OUT signing_oldest int, OUT signing_number int, OUT connections text,
            OUT plan varchar, OUT unpaid boolean, OUT read_only boolean)
        LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
        BEGIN
            SELECT t.workspace_id, t.id, t.version, t.open_parameters, w.signing_oldest, w.signing_number,
                (SELECT md5(string_agg(c::text, '' ORDER BY c.id) || coalesce(t.connection_id::text, ''))
                 FROM connections c WHERE c.workspace_id = t.workspace_id),
                w.plan, w.read_only_from IS NOT NULL, coalesce(w.read_only_from <= now(), false)
            INTO workspace_id, template_id, version, open_parameters, signing_oldest, signing_number, connections,
                plan, unpaid, read_only
            FROM templates t JOIN workspaces w ON w.id = t.workspace_id
            WHERE t.deleted_at IS NULL AND t.id = coalesce(id_asked, (
                SELECT n.id FROM templates n WHERE n.workspace_id = workspace AND n.slug = slug_asked));
        END $$
    """,
    "key_state": """
        CREATE FUNCTION key_state(key_digest varchar, id_asked uuid, slug_asked varchar,
            OUT id uuid, OUT workspace_id uuid, OUT name varchar, OUT prefix varchar,
            OUT scopes jsonb, OUT templates jsonb, OUT origins jsonb, OUT minute_cap int, OUT month_cap int,
            OUT last_used_at timestamptz, OUT plan varchar, OUT unpaid boolean, OUT read_only boolean,
            OUT template_id uuid, OUT version int, OUT open_parameters jsonb,
            OUT signing_oldest int, OUT signing_number int, OUT connections text)
        LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
        BEGIN
            SELECT k.id, k.workspace_id, k.name, k.prefix, k.scopes, k.templates, k.origins, k.minute_cap, k.month_cap,
                k.last_used_at, w.plan, w.read_only_from IS NOT NULL, coalesce(w.read_only_from <= now(), false),
                t.id, t.version, t.open_parameters, w.signing_oldest, w.signing_number,
                (SELECT md5(string_agg(c::text, '' ORDER BY c.id) || coalesce(t.connection_id::text, ''))
                 FROM connections c WHERE c.workspace_id = t.workspace_id)
            INTO id, workspace_id, name, prefix, scopes, templates, origins, minute_cap, month_cap,
                last_used_at, plan, unpaid, read_only,
                template_id, version, open_parameters, signing_oldest, signing_number, connections
            FROM api_keys k JOIN workspaces w ON w.id = k.workspace_id
            LEFT JOIN templates t ON t.workspace_id = k.workspace_id AND t.deleted_at IS NULL
                AND t.id = coalesce(id_asked, (
                    SELECT n.id FROM templates n WHERE n.workspace_id = k.workspace_id AND n.slug = slug_asked))
            WHERE k.digest = key_digest AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now());
        END $$
    """,
}


def upgrade() -> None:
    for name, function in FUNCTIONS.items():
        op.execute(function)
        op.execute(f"REVOKE ALL ON FUNCTION {name} FROM PUBLIC")


def downgrade() -> None:
    for name in FUNCTIONS:
        op.execute(f"DROP FUNCTION {name}")
