"""A large run is prepared by a job: until then it has no items. `trouble` says why it could not begin.

The release before writes down a run with its items, so what it begins is prepared.
"""

import sqlalchemy as sa
from alembic import op

from cwz_web.db.row_security import definer

revision = "0028"
down_revision = "0027"

# Runs that nobody will prepare any more: their job is gone, or was given up.
LOST = """
    SELECT r.workspace_id, r.id FROM runs r
    WHERE r.finished_at IS NULL AND NOT r.prepared AND NOT EXISTS (
        SELECT FROM procrastinate_jobs j
        WHERE j.task_name = 'runs.prepare' AND j.status IN ('todo', 'doing') AND j.args ->> 'run_id' = r.id::text
    )
    LIMIT 1000
"""


def upgrade() -> None:
    op.add_column("runs", sa.Column("prepared", sa.Boolean(), server_default=sa.true(), nullable=False))
    op.add_column("runs", sa.Column("trouble", sa.String(), nullable=True))
    for statement in definer("lost_runs()", "TABLE (workspace_id uuid, run_id uuid)", LOST):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP FUNCTION lost_runs()")
    op.drop_column("runs", "trouble")
    op.drop_column("runs", "prepared")
