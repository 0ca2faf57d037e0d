"""One image is counted in one question instead of a transaction of five."""

from alembic import op

revision = "0019"
down_revision = "0018"

# With the rights of whoever asks, and inside the workspace. The cap that is reached is what the error says.
COUNT = """
    CREATE FUNCTION count_image(this_month date, workspace uuid, key uuid, cap bigint, key_cap bigint) RETURNS bigint
    LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
    DECLARE
        total bigint;
        keys_total bigint;
    BEGIN
        PERFORM set_config('cwz.workspace_id', workspace::text, true);
        INSERT INTO usage AS u (workspace_id, subject_id, month, used) VALUES (workspace, workspace, this_month, 1)
        ON CONFLICT (workspace_id, subject_id, month) DO UPDATE SET used = u.used + 1
        WHERE cap IS NULL OR u.used < cap RETURNING u.used INTO total;
        IF total IS NULL THEN
            RAISE EXCEPTION USING ERRCODE = 'P0402', MESSAGE = 'workspace';
        END IF;
        IF key IS NOT NULL THEN
            INSERT INTO usage AS u (workspace_id, subject_id, month, used) VALUES (workspace, key, this_month, 1)
            ON CONFLICT (workspace_id, subject_id, month) DO UPDATE SET used = u.used + 1
            WHERE key_cap IS NULL OR u.used < key_cap RETURNING u.used INTO keys_total;
            IF keys_total IS NULL THEN
                RAISE EXCEPTION USING ERRCODE = 'P0402', MESSAGE = 'key';
            END IF;
        END IF;
        RETURN total;
    END $$
"""
SIGNATURE = "count_image(date, uuid, uuid, bigint, bigint)"


def upgrade() -> None:
    op.execute(COUNT)
    op.execute(f"REVOKE ALL ON FUNCTION {SIGNATURE} FROM PUBLIC")


def downgrade() -> None:
    op.execute(f"DROP FUNCTION {SIGNATURE}")
