"""Usage by month, with caps; API keys that end, are bounded and rotated; idempotency; signing keys; exact runs."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from cwz_web.db.row_security import definer, wall

revision = "0016"
down_revision = "0015"


def key_columns() -> list[sa.Column[Any]]:
    """What API keys get."""
    return [
        sa.Column("minute_cap", sa.Integer(), nullable=True),
        sa.Column("month_cap", sa.Integer(), nullable=True),
        sa.Column("templates", JSONB, server_default="[]", nullable=False),
        sa.Column("origins", JSONB, server_default="[]", nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
    ]


def run_columns() -> list[sa.Column[Any]]:
    """What runs get."""
    this_month = sa.text("date_trunc('month', now())::date")
    return [
        sa.Column("unchanged", sa.Integer(), server_default="0", nullable=False),
        sa.Column("key_id", sa.Uuid(), nullable=True),
        sa.Column("counted_in", sa.Date(), server_default=this_month, nullable=False),
        sa.Column("cancelled_at", sa.DateTime(timezone=True), nullable=True),
    ]


def upgrade() -> None:
    for column in key_columns():
        op.add_column("api_keys", column)
    op.execute("DROP FUNCTION api_key_owner(varchar)")
    for statement in definer(
        "api_key_owner(key_digest varchar)",
        "SETOF api_keys",
        "SELECT * FROM api_keys WHERE digest = key_digest AND revoked_at IS NULL"
        " AND (expires_at IS NULL OR expires_at > now())",
    ):
        op.execute(statement)
    op.create_table(
        "usage",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("used >= 0", name=op.f("ck_usage_used")),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_usage_workspace_id_workspaces"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("workspace_id", "subject_id", "month", name=op.f("pk_usage")),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("headers", JSONB, nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("begun_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id"],
            ["workspaces.id"],
            name=op.f("fk_idempotency_keys_workspace_id_workspaces"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("workspace_id", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_index("ix_idempotency_keys_workspace_id_begun_at", "idempotency_keys", ["workspace_id", "begun_at"])
    for table in ("usage", "idempotency_keys"):
        for statement in wall(table):
            op.execute(statement)
    for name in ("signing_number", "signing_oldest"):
        op.add_column("workspaces", sa.Column(name, sa.Integer(), server_default="1", nullable=False))
    for column in run_columns():
        op.add_column("runs", column)
    op.add_column("templates", sa.Column("open_parameters", JSONB, nullable=True))
    op.create_index("ix_templates_id", "templates", ["id"])
    op.execute("DROP FUNCTION workspace_of_template(uuid)")
    for statement in definer(
        "image_state(template uuid)",
        "TABLE (workspace_id uuid, version int, open_parameters jsonb, signing_oldest int, signing_number int,"
        " connections text)",
        "SELECT t.workspace_id, t.version, t.open_parameters, w.signing_oldest, w.signing_number,"
        " (SELECT md5(string_agg(c::text, '' ORDER BY c.id) || coalesce(t.connection_id::text, ''))"
        "  FROM connections c WHERE c.workspace_id = t.workspace_id)"
        " FROM templates t JOIN workspaces w ON w.id = t.workspace_id WHERE t.id = template AND t.deleted_at IS NULL",
    ):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP FUNCTION image_state(uuid)")
    for statement in definer(
        "workspace_of_template(template uuid)",
        "uuid",
        "SELECT t.workspace_id FROM templates t WHERE t.id = template AND t.deleted_at IS NULL",
    ):
        op.execute(statement)
    op.drop_index("ix_templates_id", "templates")
    op.drop_column("templates", "open_parameters")
    for column in run_columns():
        op.drop_column("runs", column.name)
    for name in ("signing_oldest", "signing_number"):
        op.drop_column("workspaces", name)
    op.drop_table("idempotency_keys")
    op.drop_table("usage")
    op.execute("DROP FUNCTION api_key_owner(varchar)")
    for column in key_columns():
        op.drop_column("api_keys", column.name)
    for statement in definer(
        "api_key_owner(key_digest varchar)",
        "TABLE (id uuid, workspace_id uuid, name varchar, prefix varchar, scopes jsonb)",
        "SELECT id, workspace_id, name, prefix, scopes FROM api_keys WHERE digest = key_digest AND revoked_at IS NULL",
    ):
        op.execute(statement)
