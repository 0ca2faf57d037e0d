"""Feeds have columns that people shape, imports that are jobs, rows with a history, cron schedules, and followers."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from cwz_web.db.row_security import definer, wall

revision = "0015"
down_revision = "0014"

JSONB = postgresql.JSONB(astext_type=sa.Text())
STATES = "'draft', 'queued', 'applied', 'unchanged', 'held', 'discarded', 'failed'"
# What hangs on a feed without a foreign key: checked once a statement, since once a row costs a third of an import.
HANGING = ("items", "item_versions", "item_orders")
FORGET = "DELETE FROM {table} t USING gone WHERE t.workspace_id = gone.workspace_id AND t.feed_id = gone.id;"
MINE = ("file_parts", "invalid_rows", "item_versions", "item_orders", "auto_runs")
EVERY = {"H * * * *": 60, "H */6 * * *": 360, "H 6 * * *": 1440, "H 6 * * 1": 10080}


def for_all(table: str, *statements: str) -> None:
    """Run statements over the rows of every workspace: FORCE binds the owner as well, except for this moment."""
    op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
    for statement in statements:
        op.execute(statement)
    op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")


def upgrade() -> None:
    op.add_column("feeds", sa.Column("shape", JSONB, server_default="{}", nullable=False))
    for_all(
        "feeds",
        "UPDATE feeds SET shape = jsonb_build_object('key', key_columns, 'group', CASE WHEN notes::text LIKE"
        " '%are variants of one product%' THEN key_columns -> 0 ELSE 'null'::jsonb END)",
    )
    op.drop_column("feeds", "key_columns")
    op.add_column("feeds", sa.Column("revision", sa.Integer(), server_default="0", nullable=False))
    op.alter_column("feeds", "imported_at", nullable=True, server_default=None)

    op.drop_table("staged_items")
    op.drop_constraint("ck_feed_imports_state", "feed_imports")
    op.create_check_constraint(op.f("ck_feed_imports_state"), "feed_imports", f"state IN ({STATES})")
    for name, type_, default in (
        ("fetched", sa.Boolean(), "false"),
        ("confirmed", sa.Boolean(), "false"),
        ("invalid", sa.Integer(), "0"),
        ("rows_read", sa.Integer(), "0"),
        ("percent", sa.Integer(), "0"),
    ):
        op.add_column("feed_imports", sa.Column(name, type_, server_default=default, nullable=False))
    op.add_column("feed_imports", sa.Column("trouble", sa.String(), nullable=True))
    op.add_column("feed_imports", sa.Column("revision", sa.Integer(), nullable=True))
    op.add_column("feed_imports", sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True))
    for_all(
        "feed_imports",
        "UPDATE feed_imports SET finished_at = created_at,"
        " state = CASE state WHEN 'held' THEN 'discarded' ELSE state END",
    )
    for name in ("added", "changed", "unchanged", "removed"):
        op.alter_column("feed_imports", name, server_default="0")

    op.create_table(
        "file_parts",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("import_id", sa.Uuid(), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id", "import_id"],
            ["feed_imports.workspace_id", "feed_imports.id"],
            name=op.f("fk_file_parts_workspace_id_import_id_feed_imports"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("workspace_id", "import_id", "part", name=op.f("pk_file_parts")),
    )
    op.execute("ALTER TABLE file_parts ALTER COLUMN data SET STORAGE EXTERNAL")  # it is compressed already
    op.create_table(
        "invalid_rows",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("import_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id", "import_id"],
            ["feed_imports.workspace_id", "feed_imports.id"],
            name=op.f("fk_invalid_rows_workspace_id_import_id_feed_imports"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("workspace_id", "import_id", "number", name=op.f("pk_invalid_rows")),
    )

    op.add_column("items", sa.Column("revision", sa.Integer(), server_default="0", nullable=False))
    op.create_table(
        "item_versions",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("feed_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("data", JSONB, nullable=False),
        sa.Column("removed", sa.Boolean(), nullable=False),
        sa.Column("replaced_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "feed_id", "key", "revision", name=op.f("pk_item_versions")),
    )
    op.create_index(
        op.f("ix_item_versions_workspace_id_feed_id_revision"), "item_versions", ["workspace_id", "feed_id", "revision"]
    )
    op.create_table(
        "item_orders",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("feed_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "feed_id", "name", "revision", "rank", name=op.f("pk_item_orders")),
    )
    op.drop_constraint("fk_items_workspace_id_feed_id_feeds", "items")
    op.execute("""
        CREATE FUNCTION check_feeds() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
        BEGIN
            IF EXISTS (SELECT FROM (SELECT DISTINCT workspace_id, feed_id FROM fresh) AS named
                       WHERE NOT EXISTS (SELECT FROM feeds f
                                         WHERE f.workspace_id = named.workspace_id AND f.id = named.feed_id)) THEN
                RAISE foreign_key_violation USING MESSAGE = 'no such feed (foreign key of ' || TG_TABLE_NAME || ')';
            END IF;
            RETURN NULL;
        END $$
    """)
    op.execute(f"""
        CREATE FUNCTION forget_feeds() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
        BEGIN
            {"".join(FORGET.format(table=table) for table in HANGING)}
            RETURN NULL;
        END $$
    """)
    op.execute(
        "CREATE TRIGGER forget AFTER DELETE ON feeds REFERENCING OLD TABLE AS gone"
        " FOR EACH STATEMENT EXECUTE FUNCTION forget_feeds()"
    )

    op.add_column("feed_sources", sa.Column("cron", sa.String(), nullable=True))
    op.add_column("feed_sources", sa.Column("time_zone", sa.String(), server_default="UTC", nullable=False))
    for_all(
        "feed_sources",
        *(f"UPDATE feed_sources SET cron = '{cron}' WHERE every = {every}" for cron, every in EVERY.items()),  # noqa: S608
    )
    op.drop_column("feed_sources", "every")

    op.create_table(
        "auto_runs",
        sa.Column("feed_id", sa.Uuid(), nullable=False),
        sa.Column("template_id", sa.Uuid(), nullable=False),
        sa.Column("connection_id", sa.Uuid(), nullable=True),
        sa.Column("mapping", JSONB, nullable=False),
        sa.Column("output", JSONB, nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("trouble", sa.String(), nullable=True),
        sa.Column("started_by", sa.Uuid(), nullable=True),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id", "feed_id"],
            ["feeds.workspace_id", "feeds.id"],
            name=op.f("fk_auto_runs_workspace_id_feed_id_feeds"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id", "template_id"],
            ["templates.workspace_id", "templates.id"],
            name=op.f("fk_auto_runs_workspace_id_template_id_templates"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id", "connection_id"],
            ["connections.workspace_id", "connections.id"],
            name=op.f("fk_auto_runs_workspace_id_connection_id_connections"),
        ),
        sa.ForeignKeyConstraint(
            ["started_by"], ["accounts.id"], name=op.f("fk_auto_runs_started_by_accounts"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_auto_runs_workspace_id_workspaces"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("workspace_id", "id", name=op.f("pk_auto_runs")),
        sa.UniqueConstraint(
            "workspace_id", "feed_id", "template_id", name=op.f("uq_auto_runs_workspace_id_feed_id_template_id")
        ),
    )
    op.create_index(op.f("ix_run_items_workspace_id_key_run_id"), "run_items", ["workspace_id", "key", "run_id"])
    op.add_column("api_keys", sa.Column("scopes", JSONB, server_default='["generate"]', nullable=False))
    op.execute("DROP FUNCTION api_key_owner(varchar)")
    for statement in definer(
        "api_key_owner(key_digest varchar)",
        "TABLE (id uuid, workspace_id uuid, name varchar, prefix varchar, scopes jsonb)",
        "SELECT id, workspace_id, name, prefix, scopes FROM api_keys WHERE digest = key_digest AND revoked_at IS NULL",
    ):
        op.execute(statement)
    for table in MINE:
        for statement in wall(table):
            op.execute(statement)
    for table in HANGING:
        op.execute(
            f"CREATE TRIGGER feed AFTER INSERT ON {table} REFERENCING NEW TABLE AS fresh"
            " FOR EACH STATEMENT EXECUTE FUNCTION check_feeds()"
        )


def downgrade() -> None:
    op.execute("DROP FUNCTION api_key_owner(varchar)")
    for statement in definer(
        "api_key_owner(key_digest varchar)",
        "TABLE (id uuid, workspace_id uuid)",
        "SELECT id, workspace_id FROM api_keys WHERE digest = key_digest AND revoked_at IS NULL",
    ):
        op.execute(statement)
    op.drop_column("api_keys", "scopes")
    op.drop_index("ix_run_items_workspace_id_key_run_id", "run_items")
    op.add_column("feed_sources", sa.Column("every", sa.Integer(), nullable=True))
    for_all(
        "feed_sources",
        *(f"UPDATE feed_sources SET every = {every} WHERE cron = '{cron}'" for cron, every in EVERY.items()),  # noqa: S608
    )
    for column in ("cron", "time_zone"):
        op.drop_column("feed_sources", column)
    op.execute("DROP TRIGGER forget ON feeds")
    op.execute("DROP TRIGGER feed ON items")
    for table in MINE:
        op.drop_table(table)
    op.execute("DROP FUNCTION forget_feeds()")
    op.execute("DROP FUNCTION check_feeds()")
    op.drop_column("items", "revision")
    op.create_foreign_key(
        "fk_items_workspace_id_feed_id_feeds",
        "items",
        "feeds",
        ["workspace_id", "feed_id"],
        ["workspace_id", "id"],
        ondelete="CASCADE",
    )
    for_all(
        "feed_imports", "DELETE FROM feed_imports WHERE state IN ('draft', 'queued', 'unchanged', 'failed', 'held')"
    )
    for column in ("fetched", "confirmed", "invalid", "rows_read", "percent", "trouble", "revision", "finished_at"):
        op.drop_column("feed_imports", column)
    for column in ("added", "changed", "unchanged", "removed"):
        op.alter_column("feed_imports", column, server_default=None)
    op.drop_constraint("ck_feed_imports_state", "feed_imports")
    op.create_check_constraint(
        op.f("ck_feed_imports_state"), "feed_imports", "state IN ('applied', 'held', 'discarded')"
    )
    op.create_table(
        "staged_items",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("import_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("data", JSONB, nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id", "import_id"],
            ["feed_imports.workspace_id", "feed_imports.id"],
            name=op.f("fk_staged_items_workspace_id_import_id_feed_imports"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("workspace_id", "import_id", "position", name=op.f("pk_staged_items")),
    )
    for statement in wall("staged_items"):
        op.execute(statement)
    op.add_column("feeds", sa.Column("key_columns", JSONB, server_default="[]", nullable=False))
    for_all(
        "feeds",
        "UPDATE feeds SET key_columns = coalesce(shape -> 'key', '[]'),"
        " imported_at = coalesce(imported_at, created_at)",
    )
    op.alter_column("feeds", "key_columns", server_default=None)
    op.alter_column("feeds", "imported_at", nullable=False, server_default=sa.text("now()"))
    for column in ("shape", "revision"):
        op.drop_column("feeds", column)
