"""Incomplete images and findings of runs."""

from alembic import op

revision = "0005"
down_revision = "0004"

_UPGRADE = """
    ALTER TABLE runs
        ADD COLUMN incomplete INTEGER DEFAULT '0' NOT NULL,
        ADD COLUMN findings INTEGER DEFAULT '0' NOT NULL,
        ADD COLUMN force BOOLEAN DEFAULT false NOT NULL,
        ADD COLUMN refresh_photos BOOLEAN DEFAULT false NOT NULL,
        ADD COLUMN on_missing_photo VARCHAR DEFAULT 'keep' NOT NULL,
        ADD COLUMN design_digests JSONB DEFAULT '[]' NOT NULL,
        ADD COLUMN retries INTEGER DEFAULT '0' NOT NULL,
        DROP CONSTRAINT ck_runs_counts,
        ADD CONSTRAINT ck_runs_counts CHECK (done + incomplete + failed <= total),
        ADD CONSTRAINT ck_runs_on_missing_photo CHECK (on_missing_photo IN ('keep', 'replace', 'fail'));
    ALTER TABLE auto_runs
        ADD COLUMN on_missing_photo VARCHAR DEFAULT 'keep' NOT NULL,
        ADD CONSTRAINT ck_auto_runs_on_missing_photo CHECK (on_missing_photo IN ('keep', 'replace', 'fail'));
    ALTER TABLE run_items
        ADD COLUMN findings JSONB,
        ADD COLUMN photos JSONB,
        ADD COLUMN attempts INTEGER DEFAULT '0' NOT NULL,
        ADD COLUMN retry_at TIMESTAMP WITH TIME ZONE,
        ADD COLUMN counted BOOLEAN DEFAULT false NOT NULL,
        DROP CONSTRAINT ck_run_items_state,
        ADD CONSTRAINT ck_run_items_state CHECK (state IN ('pending', 'done', 'incomplete', 'failed'));
"""
# Outputs are compared as they are stored, so those of earlier runs get the options that new ones have.
_OUTPUTS = """
    ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY;
    UPDATE {table} SET outputs = (
        SELECT jsonb_agg({converted} ORDER BY number)
        FROM jsonb_array_elements(outputs) WITH ORDINALITY AS each (output, number)
    )
    WHERE jsonb_array_length(outputs) > 0;
    ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
"""
_ADD_OPTIONS = """'{"chroma": "auto", "lossless": false, "progressive": false, "optimize": false, "palette": false,
    "max_bytes": null}'::jsonb || output"""
_REMOVE_OPTIONS = "output - ARRAY['chroma', 'lossless', 'progressive', 'optimize', 'palette', 'max_bytes']"
# Warnings were about missing photos. Their images must not be reused by later runs.
_MIGRATE_WARNINGS = """
    ALTER TABLE run_items NO FORCE ROW LEVEL SECURITY;
    ALTER TABLE runs NO FORCE ROW LEVEL SECURITY;
    UPDATE run_items SET counted = true,
        state = CASE state WHEN 'done' THEN 'incomplete' ELSE state END,
        findings = jsonb_build_array(jsonb_build_object('code', 'photo_missing', 'message', warning, 'layer', ''))
    WHERE warning IS NOT NULL;
    UPDATE runs SET incomplete = found.images, findings = found.images, done = runs.done - found.images,
        unchanged = least(runs.unchanged, runs.done - found.images)
    FROM (
        SELECT workspace_id, run_id, count(*) AS images FROM run_items
        WHERE warning IS NOT NULL AND state = 'incomplete' GROUP BY workspace_id, run_id
    ) AS found
    WHERE runs.workspace_id = found.workspace_id AND runs.id = found.run_id;
    ALTER TABLE runs FORCE ROW LEVEL SECURITY;
    ALTER TABLE run_items FORCE ROW LEVEL SECURITY;
"""
_REPLACE_INDEXES = """
    ALTER TABLE run_items DROP COLUMN warning;
    DROP INDEX ix_run_items_failed;
    CREATE INDEX ix_run_items_unsuccessful ON run_items (workspace_id, run_id, position)
        WHERE state IN ('failed', 'incomplete');
    CREATE INDEX ix_run_items_findings ON run_items (workspace_id, run_id) WHERE findings IS NOT NULL;
    CREATE INDEX ix_run_items_retry_at ON run_items (workspace_id, run_id) WHERE retry_at IS NOT NULL;
"""
_DOWNGRADE = """
    ALTER TABLE run_items NO FORCE ROW LEVEL SECURITY;
    ALTER TABLE runs NO FORCE ROW LEVEL SECURITY;
    ALTER TABLE run_items ADD COLUMN warning VARCHAR;
    UPDATE run_items SET warning = findings -> 0 ->> 'message',
        state = CASE state WHEN 'incomplete' THEN 'done' ELSE state END
    WHERE findings IS NOT NULL;
    UPDATE runs SET done = done + incomplete, incomplete = 0 WHERE incomplete > 0;
    ALTER TABLE runs FORCE ROW LEVEL SECURITY;
    ALTER TABLE run_items FORCE ROW LEVEL SECURITY;
    DROP INDEX ix_run_items_unsuccessful, ix_run_items_findings, ix_run_items_retry_at;
    CREATE INDEX ix_run_items_failed ON run_items (workspace_id, run_id, position) WHERE state = 'failed';
    CREATE INDEX ix_run_items_warnings ON run_items (workspace_id, run_id) WHERE warning IS NOT NULL;
    ALTER TABLE run_items
        DROP COLUMN findings, DROP COLUMN photos, DROP COLUMN attempts, DROP COLUMN retry_at, DROP COLUMN counted,
        DROP CONSTRAINT ck_run_items_state,
        ADD CONSTRAINT ck_run_items_state CHECK (state IN ('pending', 'done', 'failed'));
    ALTER TABLE auto_runs DROP COLUMN on_missing_photo;
    ALTER TABLE runs
        DROP CONSTRAINT ck_runs_counts,
        DROP COLUMN incomplete, DROP COLUMN findings, DROP COLUMN force, DROP COLUMN refresh_photos,
        DROP COLUMN on_missing_photo, DROP COLUMN design_digests, DROP COLUMN retries,
        ADD CONSTRAINT ck_runs_counts CHECK (done + failed <= total);
"""


def upgrade() -> None:
    for script in (_UPGRADE, _MIGRATE_WARNINGS, _REPLACE_INDEXES, *_convert_outputs(_ADD_OPTIONS)):
        op.get_bind().exec_driver_sql(script)


def downgrade() -> None:
    for script in (_DOWNGRADE, *_convert_outputs(_REMOVE_OPTIONS)):
        op.get_bind().exec_driver_sql(script)


def _convert_outputs(converted: str) -> list[str]:
    return [_OUTPUTS.format(table=table, converted=converted) for table in ("runs", "auto_runs")]
