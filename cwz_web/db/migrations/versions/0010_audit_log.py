"""The audit log of a workspace. The application's role may read and add; migrate.py gives it nothing more."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from cwz_web.db.row_security import wall

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_table(
        "audit_entries",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=True),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("details", postgresql.JSONB(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id"],
            ["workspaces.id"],
            name=op.f("fk_audit_entries_workspace_id_workspaces"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("workspace_id", "number", name=op.f("pk_audit_entries")),
    )
    op.create_index("ix_audit_entries_actor", "audit_entries", ["workspace_id", "actor_id", "number"], unique=False)
    op.create_index("ix_audit_entries_action", "audit_entries", ["workspace_id", "action", "number"], unique=False)
    for statement in wall("audit_entries"):
        op.execute(statement)


def downgrade() -> None:
    op.drop_table("audit_entries")
