"""A workspace's Slack."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from cwz_web.db.row_security import crossing, definer, wall

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    op.create_table(
        "slack_links",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("team", sa.String(), nullable=False),
        sa.Column("team_id", sa.String(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("channel_id", sa.String(), nullable=True),
        sa.Column("channel", sa.String(), nullable=True),
        sa.Column("events", JSONB, nullable=False),
        sa.Column("trouble", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_slack_links_workspace_id_workspaces"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("workspace_id", name=op.f("pk_slack_links")),
    )
    for statement in [
        *wall("slack_links"),
        crossing("slack_links"),
        *definer(
            "sealed_slack_links()", "TABLE (workspace_id uuid)", "SELECT s.workspace_id FROM slack_links s ORDER BY 1"
        ),
    ]:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP FUNCTION sealed_slack_links()")
    op.drop_table("slack_links")
