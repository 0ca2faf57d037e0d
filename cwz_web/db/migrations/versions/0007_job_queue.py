"""The job queue: Procrastinate's own schema, in the version that the constraints file pins."""

from alembic import op
from procrastinate.schema import SchemaManager

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.get_bind().exec_driver_sql(SchemaManager.get_schema().replace("%", "%%"))


def downgrade() -> None:
    op.execute(
        """
        DO $$
        DECLARE found record;
        BEGIN
            FOR found IN SELECT oid::regprocedure AS name FROM pg_proc
                WHERE proname LIKE 'procrastinate%' AND pronamespace = current_schema()::regnamespace
            LOOP EXECUTE 'DROP FUNCTION ' || found.name || ' CASCADE'; END LOOP;
            FOR found IN SELECT oid::regclass AS name FROM pg_class
                WHERE relname LIKE 'procrastinate%' AND relkind = 'r' AND relnamespace = current_schema()::regnamespace
            LOOP EXECUTE 'DROP TABLE ' || found.name || ' CASCADE'; END LOOP;
            FOR found IN SELECT oid::regtype AS name FROM pg_type
                WHERE typname LIKE 'procrastinate%' AND typtype IN ('e', 'c')
                AND typnamespace = current_schema()::regnamespace
            LOOP EXECUTE 'DROP TYPE ' || found.name || ' CASCADE'; END LOOP;
        END $$
        """
    )
