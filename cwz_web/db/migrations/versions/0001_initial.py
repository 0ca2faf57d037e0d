"""Create the schema of the first release: Procrastinate's job queue, then ours (0001_initial.sql)."""

from importlib.resources import files

from alembic import op
from procrastinate.schema import SchemaManager

revision = "0001"
down_revision = None

# Drop every table, function and type but Alembic's own table.
_DROP_EVERYTHING = """
    DO $$
    DECLARE found record;
    BEGIN
        FOR found IN SELECT c.oid::regclass AS name FROM pg_class c
            WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace AND c.relname <> 'alembic_version'
        LOOP EXECUTE 'DROP TABLE ' || found.name || ' CASCADE'; END LOOP;
        FOR found IN SELECT p.oid::regprocedure AS name FROM pg_proc p
            WHERE p.pronamespace = current_schema()::regnamespace
        LOOP EXECUTE 'DROP FUNCTION ' || found.name || ' CASCADE'; END LOOP;
        FOR found IN SELECT t.oid::regtype AS name FROM pg_type t
            WHERE t.typtype IN ('e', 'c') AND t.typnamespace = current_schema()::regnamespace
            AND t.typname <> 'alembic_version'
        LOOP EXECUTE 'DROP TYPE ' || found.name || ' CASCADE'; END LOOP;
    END $$
"""


def upgrade() -> None:
    schema = files("cwz_web.db.migrations.versions").joinpath("0001_initial.sql").read_text()
    for script in (SchemaManager.get_schema(), schema):
        op.get_bind().exec_driver_sql(script.replace("%", "%%"))


def downgrade() -> None:
    op.execute(_DROP_EVERYTHING)
