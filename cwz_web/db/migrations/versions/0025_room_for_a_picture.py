"""How much of a month is used is one question, too: it is asked before each picture of whoever has a cap."""

from alembic import op

revision = "0025"
down_revision = "0024"

# With the rights of whoever asks, and inside the workspace, as count_picture().
USED = """
    CREATE FUNCTION pictures_used(this_month date, workspace uuid, key uuid, OUT used bigint, OUT key_used bigint)
    LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
    BEGIN
        PERFORM set_config('cwz.workspace_id', workspace::text, true);
        used := (SELECT u.used FROM usage u
                 WHERE u.workspace_id = workspace AND u.subject_id = workspace AND u.month = this_month);
        key_used := (SELECT u.used FROM usage u
                     WHERE u.workspace_id = workspace AND u.subject_id = key AND u.month = this_month);
    END $$
"""
SIGNATURE = "pictures_used(date, uuid, uuid)"


def upgrade() -> None:
    op.execute(USED)
    op.execute(f"REVOKE ALL ON FUNCTION {SIGNATURE} FROM PUBLIC")


def downgrade() -> None:
    op.execute(f"DROP FUNCTION {SIGNATURE}")
