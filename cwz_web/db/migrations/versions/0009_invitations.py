"""Invitations; a workspace may ask its members for a second factor; what becomes of workspaces when somebody leaves."""

import sqlalchemy as sa
from alembic import op

from cwz_web.db.row_security import crossing, definer, wall

revision = "0009"
down_revision = "0008"

MEMBERSHIPS = (
    "SELECT w.id, w.slug, w.name, m.role{more} FROM memberships m JOIN workspaces w ON w.id = m.workspace_id"
    " WHERE m.account_id = account ORDER BY lower(w.name), w.slug"
)


def upgrade() -> None:
    op.add_column(
        "workspaces",
        sa.Column("second_factor_required", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )
    op.create_table(
        "invitations",
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=True),
        sa.Column("invited_by", sa.Uuid(), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("role IN ('admin', 'support', 'user')", name=op.f("ck_invitations_role")),
        sa.ForeignKeyConstraint(
            ["invited_by"], ["accounts.id"], name=op.f("fk_invitations_invited_by_accounts"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_invitations_workspace_id_workspaces"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("workspace_id", "id", name=op.f("pk_invitations")),
        sa.UniqueConstraint("digest", name=op.f("uq_invitations_digest")),
    )
    op.create_index(
        "uq_invitations_open",
        "invitations",
        ["workspace_id", sa.literal_column("lower(email)")],
        unique=True,
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_index("ix_invitations_email", "invitations", [sa.literal_column("lower(email)")], unique=False)
    for statement in [
        *wall("invitations"),
        crossing("invitations"),
        "DROP FUNCTION memberships_of(uuid)",
        *definer(
            "memberships_of(account uuid)",
            "TABLE (workspace_id uuid, slug varchar, name varchar, role varchar, second_factor_required boolean)",
            MEMBERSHIPS.format(more=", w.second_factor_required"),
        ),
        *definer(
            "workspace_of_invitation(link_digest varchar)",
            "TABLE (workspace_id uuid, id uuid)",
            "SELECT i.workspace_id, i.id FROM invitations i WHERE i.digest = link_digest",
        ),
        *definer(
            "open_invitations_of(address varchar)",
            "TABLE (workspace_id uuid, id uuid, name varchar, role varchar)",
            "SELECT w.id, i.id, w.name, i.role FROM invitations i JOIN workspaces w ON w.id = i.workspace_id"
            " WHERE lower(i.email) = lower(address) AND i.ended_at IS NULL AND i.expires_at > now()"
            " ORDER BY lower(w.name), i.id",
        ),
        *definer(
            "fates_of(account uuid)",
            "TABLE (workspace_id uuid, slug varchar, name varchar, role varchar, other_admins bigint, others bigint)",
            "SELECT w.id, w.slug, w.name, m.role,"
            " (SELECT count(*) FROM memberships o WHERE o.workspace_id = w.id AND o.account_id <> account"
            "  AND o.role = 'admin'),"
            " (SELECT count(*) FROM memberships o WHERE o.workspace_id = w.id AND o.account_id <> account)"
            " FROM memberships m JOIN workspaces w ON w.id = m.workspace_id WHERE m.account_id = account"
            " ORDER BY lower(w.name), w.slug",
        ),
    ]:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP FUNCTION fates_of(uuid)")
    op.execute("DROP FUNCTION open_invitations_of(varchar)")
    op.execute("DROP FUNCTION workspace_of_invitation(varchar)")
    op.execute("DROP FUNCTION memberships_of(uuid)")
    for statement in definer(
        "memberships_of(account uuid)",
        "TABLE (workspace_id uuid, slug varchar, name varchar, role varchar)",
        MEMBERSHIPS.format(more=""),
    ):
        op.execute(statement)
    op.drop_table("invitations")
    op.drop_column("workspaces", "second_factor_required")
