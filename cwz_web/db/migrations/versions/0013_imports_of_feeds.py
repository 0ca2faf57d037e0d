"""Feeds are imported again and again, each time with a diff, held when it removes too much; feeds can be deleted."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from cwz_web.db.row_security import wall

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.add_column("feeds", sa.Column("import_number", sa.Integer(), server_default="0", nullable=False))
    op.add_column("feeds", sa.Column("guard_percent", sa.Integer(), server_default="50", nullable=False))
    op.add_column("feeds", sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("items", sa.Column("changed_at", sa.DateTime(timezone=True), nullable=True))
    # An item is known by its feed and its place: one index less for each of a million rows.
    op.drop_constraint("pk_items", "items")
    op.drop_constraint("fk_items_workspace_id_workspaces", "items")
    op.drop_index("ix_items_workspace_id_feed_id_position", "items")
    op.drop_column("items", "id")
    op.create_primary_key("pk_items", "items", ["workspace_id", "feed_id", "position"])
    op.create_table(
        "feed_imports",
        sa.Column("feed_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("file_name", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("columns", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("notes", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("added", sa.Integer(), nullable=False),
        sa.Column("changed", sa.Integer(), nullable=False),
        sa.Column("unchanged", sa.Integer(), nullable=False),
        sa.Column("removed", sa.Integer(), nullable=False),
        sa.Column("started_by", sa.Uuid(), nullable=True),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("state IN ('applied', 'held', 'discarded')", name=op.f("ck_feed_imports_state")),
        sa.ForeignKeyConstraint(
            ["started_by"], ["accounts.id"], name=op.f("fk_feed_imports_started_by_accounts"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id", "feed_id"],
            ["feeds.workspace_id", "feeds.id"],
            name=op.f("fk_feed_imports_workspace_id_feed_id_feeds"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"],
            ["workspaces.id"],
            name=op.f("fk_feed_imports_workspace_id_workspaces"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("workspace_id", "id", name=op.f("pk_feed_imports")),
        sa.UniqueConstraint(
            "workspace_id", "feed_id", "number", name=op.f("uq_feed_imports_workspace_id_feed_id_number")
        ),
    )
    op.create_table(
        "staged_items",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("import_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("data", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id", "import_id"],
            ["feed_imports.workspace_id", "feed_imports.id"],
            name=op.f("fk_staged_items_workspace_id_import_id_feed_imports"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("workspace_id", "import_id", "position", name=op.f("pk_staged_items")),
    )
    for table in ("feed_imports", "staged_items"):
        for statement in wall(table):
            op.execute(statement)


def downgrade() -> None:
    op.drop_table("staged_items")
    op.drop_table("feed_imports")
    op.drop_constraint("pk_items", "items")
    op.add_column("items", sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False))
    op.alter_column("items", "id", server_default=None)
    op.create_primary_key("pk_items", "items", ["workspace_id", "id"])
    op.create_index("ix_items_workspace_id_feed_id_position", "items", ["workspace_id", "feed_id", "position"])
    op.create_foreign_key(
        "fk_items_workspace_id_workspaces", "items", "workspaces", ["workspace_id"], ["id"], ondelete="CASCADE"
    )
    op.drop_column("items", "changed_at")
    for column in ("deleted_at", "guard_percent", "import_number"):
        op.drop_column("feeds", column)
