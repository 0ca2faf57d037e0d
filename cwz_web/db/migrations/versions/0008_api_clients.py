"""Idempotency keys of a caller: an API key and those that replace it; the metadata of API requests."""

from alembic import op

revision = "0008"
down_revision = "0007"

_FIND_KEY = """
    DROP FUNCTION find_api_key;
    CREATE FUNCTION find_api_key(key_digest varchar) RETURNS TABLE(
        id uuid, {lineage_type} workspace_id uuid, name varchar, prefix varchar, scopes jsonb, templates jsonb,
        origins jsonb, requests_per_minute integer, images_per_month integer, last_used_at timestamptz, plan varchar,
        unpaid boolean, read_only boolean)
        LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 1
        SET search_path = pg_catalog, public
        AS $$
            BEGIN
                RETURN QUERY SELECT k.id, {lineage} k.workspace_id, k.name, k.prefix, k.scopes, k.templates, k.origins,
                    k.requests_per_minute, k.images_per_month, k.last_used_at,
                    w.plan, w.read_only_from IS NOT NULL, coalesce(w.read_only_from <= now(), false)
                FROM api_keys k JOIN workspaces w ON w.id = k.workspace_id
                WHERE k.digest = key_digest AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now());
            END $$;
    REVOKE ALL ON FUNCTION find_api_key FROM PUBLIC
"""


def upgrade() -> None:
    # Stored responses are kept for a day; the caller of those that exist is unknown.
    op.execute("""
        ALTER TABLE api_keys ADD COLUMN lineage_id UUID;
        TRUNCATE idempotency_keys;
        ALTER TABLE idempotency_keys ADD COLUMN lineage_id UUID NOT NULL,
            DROP CONSTRAINT pk_idempotency_keys,
            ADD CONSTRAINT pk_idempotency_keys PRIMARY KEY (workspace_id, lineage_id, key);
        CREATE INDEX ix_idempotency_keys_large ON idempotency_keys (workspace_id, started_at)
            WHERE octet_length(body) > 65536;
        ALTER TABLE runs ADD COLUMN metadata JSONB DEFAULT '{}' NOT NULL;
    """)
    op.execute(_FIND_KEY.format(lineage_type="lineage_id uuid,", lineage="coalesce(k.lineage_id, k.id),"))


def downgrade() -> None:
    op.execute(_FIND_KEY.format(lineage_type="", lineage=""))
    op.execute("""
        ALTER TABLE runs DROP COLUMN metadata;
        TRUNCATE idempotency_keys;
        DROP INDEX ix_idempotency_keys_large;
        ALTER TABLE idempotency_keys DROP CONSTRAINT pk_idempotency_keys,
            DROP COLUMN lineage_id,
            ADD CONSTRAINT pk_idempotency_keys PRIMARY KEY (workspace_id, key);
        ALTER TABLE api_keys DROP COLUMN lineage_id
    """)
