"""Steps of drafts that stay when the draft is published or discarded."""

from alembic import op

revision = "0010"
down_revision = "0009"

_TABLES = ("templates", "template_versions", "template_steps")
# The published document was step 0 of a draft without being stored.
_STORE_STEP_0 = """
    INSERT INTO template_steps (workspace_id, template_id, number, change, document, changed_at)
    SELECT t.workspace_id, t.id, 0, '', v.document, now()
    FROM templates t JOIN template_versions v ON v.template_id = t.id AND v.number = t.version
    WHERE t.step > 0
"""
_REMOVE_STEP_0 = """
    DELETE FROM template_steps s USING templates t WHERE t.id = s.template_id AND t.step = t.published_step;
    UPDATE templates SET step = 0 WHERE step = published_step;
    DELETE FROM template_steps WHERE number = 0;
"""


def upgrade() -> None:
    op.execute("ALTER TABLE templates ADD COLUMN published_step INTEGER DEFAULT 0 NOT NULL")
    _change_rows(_STORE_STEP_0)


def downgrade() -> None:
    _change_rows(_REMOVE_STEP_0)
    op.execute("ALTER TABLE templates DROP COLUMN published_step")


def _change_rows(statements: str) -> None:
    for table in _TABLES:
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
    op.execute(statements)
    for table in _TABLES:
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
