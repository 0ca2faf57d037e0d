"""What were transactions are one question each: how much of a month is used, and which template a slug names."""

from alembic import op

revision = "0025"
down_revision = "0024"

# With the rights of whoever asks, and inside the workspace, as count_image().
FUNCTIONS = {
    "images_used(date, uuid, uuid)": """
        CREATE FUNCTION images_used(this_month date, workspace uuid, key uuid, OUT used bigint, OUT key_used bigint)
        LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
        BEGIN
            PERFORM set_config('cwz.workspace_id', workspace::text, true);
            used := (SELECT u.used FROM usage u
                     WHERE u.workspace_id = workspace AND u.subject_id = workspace AND u.month = this_month);
            key_used := (SELECT u.used FROM usage u
                         WHERE u.workspace_id = workspace AND u.subject_id = key AND u.month = this_month);
        END $$
    """,
    "template_of(uuid, text)": """
        CREATE FUNCTION template_of(workspace uuid, named text, OUT id uuid)
        LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
        BEGIN
            PERFORM set_config('cwz.workspace_id', workspace::text, true);
            id := (SELECT t.id FROM templates t
                   WHERE t.workspace_id = workspace AND t.slug = named AND t.deleted_at IS NULL);
        END $$
    """,
}


def upgrade() -> None:
    for signature, function in FUNCTIONS.items():
        op.execute(function)
        op.execute(f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")


def downgrade() -> None:
    for signature in FUNCTIONS:
        op.execute(f"DROP FUNCTION {signature}")
