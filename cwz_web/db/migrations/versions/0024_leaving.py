"""Deleted workspaces and what is remembered of them, exports, the backups that there are, and an end to old history.

A workspace with a tombstone is deleted: nobody can enter it (db/session.py), and no function that crosses workspaces
finds it, for the owner does not see its row.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from cwz_web.db.row_security import crossing, definer, wall

revision = "0024"
down_revision = "0023"

ALIVE = "NOT EXISTS (SELECT 1 FROM tombstones t WHERE t.id = {column})"
# Tables that are only found when their workspace is not deleted.
HIDDEN = {"workspaces": "workspaces.id", "api_keys": "workspace_id", "runs": "workspace_id"}
DUE = """
    SELECT s.workspace_id, s.feed_id FROM feed_sources s {join} WHERE s.next_at <= now() ORDER BY s.next_at LIMIT 1000
"""

# Of the workspace that was entered. What is younger than ninety days stays whoever asks; so does the newest entry,
# which the next one follows. What the chain goes on from is kept.
FORGET_AUDIT = """
    CREATE FUNCTION forget_audit(before timestamptz) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
    DECLARE
        mine uuid := nullif(current_setting('cwz.workspace_id', true), '')::uuid;
        last audit_entries;
        dropped bigint;
    BEGIN
        SELECT * INTO last FROM audit_entries WHERE workspace_id = mine
            AND at < least(before, now() - interval '90 days')
            AND number < (SELECT max(number) FROM audit_entries WHERE workspace_id = mine)
            ORDER BY number DESC LIMIT 1;
        IF NOT FOUND THEN RETURN 0; END IF;
        UPDATE workspaces SET audit_dropped = last.number, audit_digest = last.digest WHERE id = mine;
        DELETE FROM audit_entries WHERE workspace_id = mine AND number <= last.number;
        GET DIAGNOSTICS dropped = ROW_COUNT;
        RETURN dropped;
    END $$
"""


def upgrade() -> None:
    op.create_table(
        "tombstones",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("with_images", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("purge_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("purged_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("report", postgresql.JSONB(), server_default="{}", nullable=False),
        sa.CheckConstraint("kind IN ('workspace', 'account')", name=op.f("ck_tombstones_kind")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tombstones")),
    )
    op.create_index("ix_tombstones_purge_at", "tombstones", ["purge_at"], postgresql_where=sa.text("purged_at IS NULL"))
    op.create_table(
        "backups",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("copied", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("verified_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("trouble", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_backups")),
    )
    op.create_table(
        "exports",
        sa.Column("asked_by", sa.Uuid(), nullable=True),
        sa.Column("with_images", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(), server_default="pending", nullable=False),
        sa.Column("percent", sa.Integer(), server_default="0", nullable=False),
        sa.Column("trouble", sa.String(), nullable=True),
        sa.Column("connection_id", sa.Uuid(), nullable=True),
        sa.Column("key", sa.String(), nullable=True),
        sa.Column("size", sa.BigInteger(), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("state IN ('pending', 'done', 'failed', 'gone')", name=op.f("ck_exports_state")),
        sa.ForeignKeyConstraint(
            ["asked_by"], ["accounts.id"], name=op.f("fk_exports_asked_by_accounts"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_exports_workspace_id_workspaces"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("workspace_id", "id", name=op.f("pk_exports")),
    )
    op.add_column("workspaces", sa.Column("audit_dropped", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("workspaces", sa.Column("audit_digest", sa.String(), nullable=True))
    for table, column in HIDDEN.items():
        op.execute(f"DROP POLICY crossing ON {table}")
        op.execute(crossing(table, ALIVE.format(column=column)))
    op.execute("DROP FUNCTION due_feeds()")
    for statement in [
        *due_feeds("JOIN workspaces w ON w.id = s.workspace_id"),
        *wall("exports"),
        FORGET_AUDIT,
        "REVOKE ALL ON FUNCTION forget_audit(timestamptz) FROM PUBLIC",
        *definer(
            "deletions_of(account uuid)",
            "SETOF tombstones",
            "SELECT t.* FROM tombstones t JOIN memberships m ON m.workspace_id = t.id"
            " WHERE m.account_id = account AND m.role = 'admin' AND t.purged_at IS NULL ORDER BY lower(t.name), t.id",
        ),
        *definer("all_workspaces()", "SETOF uuid", "SELECT w.id FROM workspaces w ORDER BY w.id"),
        *definer(
            "undone_exports(before timestamptz)",
            "TABLE (workspace_id uuid, id uuid)",
            "SELECT e.workspace_id, e.id FROM exports e WHERE e.created_at < before AND e.state <> 'gone'",
        ),
        crossing("exports"),
    ]:
        op.execute(statement)


def due_feeds(join: str) -> list[str]:
    return definer("due_feeds()", "TABLE (workspace_id uuid, feed_id uuid)", DUE.format(join=join))


def downgrade() -> None:
    op.execute("DROP FUNCTION due_feeds()")
    for statement in due_feeds(""):
        op.execute(statement)
    op.execute("DROP FUNCTION undone_exports(timestamptz)")
    op.execute("DROP FUNCTION all_workspaces()")
    op.execute("DROP FUNCTION deletions_of(uuid)")
    op.execute("DROP FUNCTION forget_audit(timestamptz)")
    for table in HIDDEN:
        op.execute(f"DROP POLICY crossing ON {table}")
        op.execute(crossing(table))
    op.drop_column("workspaces", "audit_digest")
    op.drop_column("workspaces", "audit_dropped")
    op.drop_table("exports")
    op.drop_table("backups")
    op.drop_table("tombstones")
