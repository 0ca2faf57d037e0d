"""A large run is prepared by a job: until then none of it is rendered. `trouble` says why it could not begin.

What nobody will render is found by sets: looked up one by one, the chunks of a run of 300,000 images took minutes. The
release before writes down a run with its items, so what it begins is prepared.
"""

import sqlalchemy as sa
from alembic import op

from cwz_web.db.row_security import definer

revision = "0028"
down_revision = "0027"

CHUNKS = "TABLE (workspace_id uuid, run_id uuid, chunk int)"
# Chunks that nobody will render any more, and runs that nobody will prepare: their job is gone, or was given up.
LOST_CHUNKS = """
    SELECT r.workspace_id, r.id, i.chunk
    FROM runs r JOIN run_items i ON i.workspace_id = r.workspace_id AND i.run_id = r.id AND i.state = 'pending'
    WHERE r.finished_at IS NULL AND r.prepared
    EXCEPT
    SELECT (args ->> 'workspace_id')::uuid, (args ->> 'run_id')::uuid, (args ->> 'chunk')::int
    FROM procrastinate_jobs WHERE task_name = 'runs.render_chunk' AND status IN ('todo', 'doing')
    LIMIT 1000
"""
LOST_RUNS = """
    SELECT workspace_id, id FROM runs WHERE finished_at IS NULL AND NOT prepared
    EXCEPT
    SELECT (args ->> 'workspace_id')::uuid, (args ->> 'run_id')::uuid
    FROM procrastinate_jobs WHERE task_name = 'runs.prepare' AND status IN ('todo', 'doing')
    LIMIT 1000
"""
# As in migration 0017.
ONE_BY_ONE = """
    SELECT DISTINCT i.workspace_id, i.run_id, i.chunk
    FROM runs r JOIN run_items i ON i.workspace_id = r.workspace_id AND i.run_id = r.id AND i.state = 'pending'
    WHERE r.finished_at IS NULL AND NOT EXISTS (
        SELECT FROM procrastinate_jobs j
        WHERE j.task_name = 'runs.render_chunk' AND j.status IN ('todo', 'doing')
          AND j.args ->> 'run_id' = r.id::text AND (j.args ->> 'chunk')::int = i.chunk
    )
    LIMIT 1000
"""


def upgrade() -> None:
    op.add_column("runs", sa.Column("prepared", sa.Boolean(), server_default=sa.true(), nullable=False))
    op.add_column("runs", sa.Column("trouble", sa.String(), nullable=True))
    op.execute("DROP FUNCTION lost_chunks()")
    for statement in [
        *definer("lost_chunks()", CHUNKS, LOST_CHUNKS),
        *definer("lost_runs()", "TABLE (workspace_id uuid, run_id uuid)", LOST_RUNS),
    ]:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP FUNCTION lost_runs()")
    op.execute("DROP FUNCTION lost_chunks()")
    for statement in definer("lost_chunks()", CHUNKS, ONE_BY_ONE):
        op.execute(statement)
    op.drop_column("runs", "trouble")
    op.drop_column("runs", "prepared")
