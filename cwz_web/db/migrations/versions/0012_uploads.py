"""Uploads: images and fonts in one table, and the uploads that each document refers to."""

from alembic import op

revision = "0012"
down_revision = "0011"

_UPLOADS = """
    CREATE TABLE uploads (
        kind VARCHAR NOT NULL,
        name VARCHAR NOT NULL,
        content_type VARCHAR NOT NULL,
        size INTEGER NOT NULL,
        width INTEGER,
        height INTEGER,
        digest VARCHAR NOT NULL,
        thumbnail BYTEA,
        created_by UUID,
        deleted_at TIMESTAMP WITH TIME ZONE,
        is_purging BOOLEAN DEFAULT false NOT NULL,
        workspace_id UUID NOT NULL,
        id UUID NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        CONSTRAINT pk_uploads PRIMARY KEY (workspace_id, id),
        CONSTRAINT uq_uploads_workspace_id_digest UNIQUE (workspace_id, digest),
        CONSTRAINT ck_uploads_kind CHECK (kind IN ('image', 'font')),
        CONSTRAINT fk_uploads_created_by_accounts
            FOREIGN KEY(created_by) REFERENCES accounts (id) ON DELETE SET NULL,
        CONSTRAINT fk_uploads_workspace_id_workspaces
            FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
    );
    -- Forced row-level security would hide the fonts of all workspaces from their owner.
    ALTER TABLE fonts NO FORCE ROW LEVEL SECURITY;
    INSERT INTO uploads (workspace_id, id, created_at, kind, name, content_type, size, digest)
        SELECT workspace_id, id, created_at, 'font', family || ' ' || style, 'font/sfnt', size, digest FROM fonts;
    DROP TABLE fonts;
"""
_PROTECT = """
    ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
    ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
    CREATE POLICY tenant ON {table}
        USING (workspace_id = nullif(current_setting('cwz.workspace_id', true), '')::uuid)
        WITH CHECK (workspace_id = nullif(current_setting('cwz.workspace_id', true), '')::uuid);
"""
# Documents of the first version call an upload an original.
_USES = """
    CREATE FUNCTION upload_digests(document jsonb) RETURNS text[]
        LANGUAGE sql IMMUTABLE PARALLEL SAFE
        SET search_path = pg_catalog
        AS $$
            SELECT coalesce(array_agg(DISTINCT found[1]), ARRAY[]::text[])
            FROM regexp_matches(document::text, '(?:upload|original):([0-9a-f]{64})', 'g') found
        $$;
    ALTER TABLE template_versions
        ADD COLUMN uploads TEXT[] GENERATED ALWAYS AS (upload_digests(document)) STORED;
    ALTER TABLE template_steps
        ADD COLUMN uploads TEXT[] GENERATED ALWAYS AS (upload_digests(document)) STORED;
"""
_BEFORE = """
    ALTER TABLE template_steps DROP COLUMN uploads;
    ALTER TABLE template_versions DROP COLUMN uploads;
    DROP FUNCTION upload_digests;
    CREATE TABLE fonts (
        digest VARCHAR NOT NULL,
        family VARCHAR NOT NULL,
        style VARCHAR NOT NULL,
        size INTEGER NOT NULL,
        workspace_id UUID NOT NULL,
        id UUID NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        CONSTRAINT pk_fonts PRIMARY KEY (workspace_id, id),
        CONSTRAINT uq_fonts_workspace_id_digest UNIQUE (workspace_id, digest),
        CONSTRAINT fk_fonts_workspace_id_workspaces
            FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
    );
    ALTER TABLE uploads NO FORCE ROW LEVEL SECURITY;
    INSERT INTO fonts (workspace_id, id, created_at, family, style, size, digest)
        SELECT workspace_id, id, created_at, name, '', size, digest FROM uploads
        WHERE kind = 'font' AND deleted_at IS NULL;
    DROP TABLE uploads;
"""


def upgrade() -> None:
    for script in (_UPLOADS, _PROTECT.format(table="uploads"), _USES):
        op.get_bind().exec_driver_sql(script)


def downgrade() -> None:
    for script in (_BEFORE, _PROTECT.format(table="fonts")):
        op.get_bind().exec_driver_sql(script)
