"""Feeds come from addresses by themselves, with a secret and a schedule."""

import sqlalchemy as sa
from alembic import op

from cwz_web.db.row_security import crossing, definer, wall

revision = "0014"
down_revision = "0013"

SOURCES = "SELECT s.workspace_id, s.feed_id FROM feed_sources s"


def upgrade() -> None:
    op.create_table(
        "feed_sources",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("feed_id", sa.Uuid(), nullable=False),
        sa.Column("url", sa.String(), nullable=False),
        sa.Column("username", sa.String(), nullable=False),
        sa.Column("header", sa.String(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.Column("every", sa.Integer(), nullable=True),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("etag", sa.String(), nullable=True),
        sa.Column("last_modified", sa.String(), nullable=True),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("fetched_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("trouble", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["workspace_id", "feed_id"],
            ["feeds.workspace_id", "feeds.id"],
            name=op.f("fk_feed_sources_workspace_id_feed_id_feeds"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("workspace_id", "feed_id", name=op.f("pk_feed_sources")),
    )
    op.create_index("ix_feed_sources_next_at", "feed_sources", ["next_at"], unique=False)
    for statement in [
        *wall("feed_sources"),
        crossing("feed_sources"),
        *definer(
            "due_feeds()",
            "TABLE (workspace_id uuid, feed_id uuid)",
            f"{SOURCES} WHERE s.next_at <= now() ORDER BY s.next_at LIMIT 1000",
        ),
        *definer(
            "sealed_feeds()",
            "TABLE (workspace_id uuid, feed_id uuid)",
            f"{SOURCES} WHERE s.sealed IS NOT NULL ORDER BY s.workspace_id, s.feed_id",
        ),
    ]:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP FUNCTION due_feeds()")
    op.execute("DROP FUNCTION sealed_feeds()")
    op.drop_table("feed_sources")
