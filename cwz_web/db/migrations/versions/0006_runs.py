"""Runs, their items, and the messages of workers."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from cwz_web.db.row_security import wall

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "render_messages",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_render_messages")),
    )
    op.create_index(op.f("ix_render_messages_received_at"), "render_messages", ["received_at"], unique=False)
    op.create_table(
        "runs",
        sa.Column("feed_id", sa.Uuid(), nullable=False),
        sa.Column("template_id", sa.Uuid(), nullable=False),
        sa.Column("template_version", sa.Integer(), nullable=False),
        sa.Column("connection_id", sa.Uuid(), nullable=False),
        sa.Column("mapping", postgresql.JSONB(), nullable=False),
        sa.Column("output", postgresql.JSONB(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("started_by", sa.Uuid(), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("done + failed <= total", name=op.f("ck_runs_counts")),
        sa.ForeignKeyConstraint(
            ["started_by"], ["accounts.id"], name=op.f("fk_runs_started_by_accounts"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id", "connection_id"],
            ["connections.workspace_id", "connections.id"],
            name=op.f("fk_runs_workspace_id_connection_id_connections"),
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id", "feed_id"],
            ["feeds.workspace_id", "feeds.id"],
            name=op.f("fk_runs_workspace_id_feed_id_feeds"),
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id", "template_id"],
            ["templates.workspace_id", "templates.id"],
            name=op.f("fk_runs_workspace_id_template_id_templates"),
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_runs_workspace_id_workspaces"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("workspace_id", "id", name=op.f("pk_runs")),
    )
    op.create_table(
        "run_items",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("chunk", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("data", postgresql.JSONB(), nullable=False),
        sa.Column("state", sa.String(), server_default="pending", nullable=False),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column("note", sa.String(), nullable=True),
        sa.Column("image_id", sa.Uuid(), nullable=True),
        sa.CheckConstraint("state IN ('pending', 'done', 'failed')", name=op.f("ck_run_items_state")),
        sa.ForeignKeyConstraint(
            ["workspace_id", "image_id"],
            ["images.workspace_id", "images.id"],
            name=op.f("fk_run_items_workspace_id_image_id_images"),
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id", "run_id"],
            ["runs.workspace_id", "runs.id"],
            name=op.f("fk_run_items_workspace_id_run_id_runs"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("workspace_id", "run_id", "position", name=op.f("pk_run_items")),
    )
    op.create_index(op.f("ix_run_items_workspace_id_image_id"), "run_items", ["workspace_id", "image_id"], unique=False)
    op.create_index(
        op.f("ix_run_items_workspace_id_run_id_chunk"), "run_items", ["workspace_id", "run_id", "chunk"], unique=False
    )
    for statement in [*wall("runs"), *wall("run_items")]:
        op.execute(statement)


def downgrade() -> None:
    op.drop_index(op.f("ix_run_items_workspace_id_run_id_chunk"), table_name="run_items")
    op.drop_index(op.f("ix_run_items_workspace_id_image_id"), table_name="run_items")
    op.drop_table("run_items")
    op.drop_table("runs")
    op.drop_index(op.f("ix_render_messages_received_at"), table_name="render_messages")
    op.drop_table("render_messages")
