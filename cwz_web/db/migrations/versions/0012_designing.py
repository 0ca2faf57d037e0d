"""Templates are designed step by step, and can be deleted; versions know who published them; workspaces bring fonts."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from cwz_web.db.row_security import definer, wall

revision = "0012"
down_revision = "0011"

OWNER = "SELECT t.workspace_id FROM templates t WHERE t.id = template"


def upgrade() -> None:
    op.add_column("templates", sa.Column("step", sa.Integer(), server_default="0", nullable=False))
    op.add_column("templates", sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("template_versions", sa.Column("published_by", sa.Uuid(), nullable=True))
    op.create_foreign_key(
        op.f("fk_template_versions_published_by_accounts"),
        "template_versions",
        "accounts",
        ["published_by"],
        ["id"],
        ondelete="SET NULL",
    )
    op.create_table(
        "template_steps",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("template_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("document", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id", "template_id"],
            ["templates.workspace_id", "templates.id"],
            name=op.f("fk_template_steps_workspace_id_template_id_templates"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("workspace_id", "template_id", "number", name=op.f("pk_template_steps")),
    )
    op.create_table(
        "fonts",
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("family", sa.String(), nullable=False),
        sa.Column("style", sa.String(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_fonts_workspace_id_workspaces"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("workspace_id", "id", name=op.f("pk_fonts")),
        sa.UniqueConstraint("workspace_id", "digest", name=op.f("uq_fonts_workspace_id_digest")),
    )
    for statement in [
        *wall("template_steps"),
        *wall("fonts"),
        "DROP FUNCTION workspace_of_template(uuid)",
        *definer("workspace_of_template(template uuid)", "uuid", f"{OWNER} AND t.deleted_at IS NULL"),
    ]:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP FUNCTION workspace_of_template(uuid)")
    for statement in definer("workspace_of_template(template uuid)", "uuid", OWNER):
        op.execute(statement)
    op.drop_table("fonts")
    op.drop_table("template_steps")
    op.drop_constraint(op.f("fk_template_versions_published_by_accounts"), "template_versions")
    op.drop_column("template_versions", "published_by")
    op.drop_column("templates", "deleted_at")
    op.drop_column("templates", "step")
