"""A run renders each row in several sizes and formats; one image can be a run without a feed; how fast workers are."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from cwz_web.db.row_security import crossing, definer

revision = "0017"
down_revision = "0016"

# Chunks that nobody will render any more: their job is gone, or was given up.
LOST = """
    SELECT DISTINCT i.workspace_id, i.run_id, i.chunk
    FROM runs r JOIN run_items i ON i.workspace_id = r.workspace_id AND i.run_id = r.id AND i.state = 'pending'
    WHERE r.finished_at IS NULL AND NOT EXISTS (
        SELECT FROM procrastinate_jobs j
        WHERE j.task_name = 'runs.render_chunk' AND j.status IN ('todo', 'doing')
          AND j.args ->> 'run_id' = r.id::text AND (j.args ->> 'chunk')::int = i.chunk
    )
    LIMIT 1000
"""


TO_MANY = 'UPDATE {} SET outputs = jsonb_build_array(output || \'{{"size": "default"}}\')'
TO_ONE = "UPDATE {} SET output = (outputs -> 0) - 'size'"


def for_all(table: str, *statements: str) -> None:
    """Run statements over the rows of every workspace: FORCE binds the owner as well, except for this moment."""
    op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
    for statement in statements:
        op.execute(statement)
    op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")


def upgrade() -> None:
    for table in ("runs", "auto_runs"):
        op.add_column(table, sa.Column("outputs", JSONB, nullable=True))
        for_all(table, TO_MANY.format(table))
        op.alter_column(table, "outputs", nullable=False)
        op.drop_column(table, "output")
    op.add_column("run_items", sa.Column("output", sa.Integer(), server_default="0", nullable=False))
    op.add_column("runs", sa.Column("rendering_seconds", sa.Float(), server_default="0", nullable=False))
    op.add_column("runs", sa.Column("webhook", sa.String(), nullable=True))
    op.alter_column("runs", "feed_id", nullable=True)
    op.create_index(
        "ix_runs_unfinished", "runs", ["workspace_id", "id"], postgresql_where=sa.text("finished_at IS NULL")
    )
    op.create_index("ix_runs_template", "runs", ["workspace_id", "template_id", "id"])
    for table in ("runs", "run_items"):
        op.execute(crossing(table))
    for statement in definer("lost_chunks()", "TABLE (workspace_id uuid, run_id uuid, chunk int)", LOST):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP FUNCTION lost_chunks()")
    for table in ("runs", "run_items"):
        op.execute(f"DROP POLICY crossing ON {table}")
    op.drop_index("ix_runs_template", "runs")
    op.drop_index("ix_runs_unfinished", "runs")
    for_all("runs", "DELETE FROM runs WHERE feed_id IS NULL")
    op.alter_column("runs", "feed_id", nullable=False)
    op.drop_column("runs", "webhook")
    op.drop_column("runs", "rendering_seconds")
    op.drop_column("run_items", "output")
    for table in ("runs", "auto_runs"):
        op.add_column(table, sa.Column("output", JSONB, nullable=True))
        for_all(table, TO_ONE.format(table))
        op.alter_column(table, "output", nullable=False)
        op.drop_column(table, "outputs")
