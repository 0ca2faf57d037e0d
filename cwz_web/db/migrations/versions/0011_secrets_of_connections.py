"""Connections keep secrets in an envelope, and remember what their last test found; templates may name one."""

import sqlalchemy as sa
from alembic import op

from cwz_web.db.row_security import crossing, definer

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.add_column("connections", sa.Column("sealed", sa.LargeBinary(), nullable=True))
    op.add_column("connections", sa.Column("checked_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("connections", sa.Column("trouble", sa.String(), nullable=True))
    op.add_column("templates", sa.Column("connection_id", sa.Uuid(), nullable=True))
    op.create_foreign_key(
        op.f("fk_templates_workspace_id_connection_id_connections"),
        "templates",
        "connections",
        ["workspace_id", "connection_id"],
        ["workspace_id", "id"],
    )
    op.create_index("ix_images_connection", "images", ["workspace_id", "connection_id", "size"], unique=False)
    for statement in [
        crossing("connections"),
        *definer(
            "all_connections()",
            "TABLE (workspace_id uuid, id uuid)",
            "SELECT c.workspace_id, c.id FROM connections c ORDER BY c.workspace_id, c.id",
        ),
    ]:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP FUNCTION all_connections()")
    op.execute("DROP POLICY crossing ON connections")
    op.drop_index("ix_images_connection", "images")
    op.drop_constraint(op.f("fk_templates_workspace_id_connection_id_connections"), "templates")
    op.drop_column("templates", "connection_id")
    for column in ("trouble", "checked_at", "sealed"):
        op.drop_column("connections", column)
