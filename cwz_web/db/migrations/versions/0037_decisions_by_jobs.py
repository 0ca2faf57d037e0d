"""Publications: decisions about more rows than a request can change, which a job applies."""

from alembic import op

revision = "0037"
down_revision = "0036"

_STATES = "'held', 'scheduled', 'published', 'discarded'"


def upgrade() -> None:
    op.execute("ALTER TABLE publications ADD COLUMN decision JSONB")
    _set_states(f"'preparing', 'deciding', {_STATES}")


def downgrade() -> None:
    op.execute("ALTER TABLE publications NO FORCE ROW LEVEL SECURITY")
    op.execute("UPDATE publications SET state = 'held' WHERE state = 'deciding'")
    op.execute("ALTER TABLE publications FORCE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE publications DROP COLUMN decision")
    _set_states(f"'preparing', {_STATES}")


def _set_states(states: str) -> None:
    op.execute("ALTER TABLE publications DROP CONSTRAINT ck_publications_state")
    op.execute(f"ALTER TABLE publications ADD CONSTRAINT ck_publications_state CHECK (state IN ({states}))")
