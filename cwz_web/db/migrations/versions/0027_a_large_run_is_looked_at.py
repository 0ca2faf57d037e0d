"""Indexes for what the page of a run asks every second while it goes on: what failed, and what images lack."""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"


def upgrade() -> None:
    failed, noted = sa.text("state = 'failed'"), sa.text("note IS NOT NULL")
    op.create_index("ix_run_items_failed", "run_items", ["workspace_id", "run_id", "position"], postgresql_where=failed)
    op.create_index("ix_run_items_noted", "run_items", ["workspace_id", "run_id"], postgresql_where=noted)


def downgrade() -> None:
    op.drop_index("ix_run_items_noted", "run_items")
    op.drop_index("ix_run_items_failed", "run_items")
