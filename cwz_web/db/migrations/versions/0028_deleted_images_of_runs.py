"""An index of the deleted images of a run, which the page of the run counts."""

from alembic import op

revision = "0028"
down_revision = "0027"


def upgrade() -> None:
    op.execute("""
        CREATE INDEX ix_run_items_deleted_of_run ON run_items (workspace_id, run_id) WHERE deleted_image_id IS NOT NULL
    """)


def downgrade() -> None:
    op.execute("DROP INDEX ix_run_items_deleted_of_run")
