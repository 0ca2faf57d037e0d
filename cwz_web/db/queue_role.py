"""The database role of `cwz render-worker`: it may run the jobs of the render queue, and nothing else.

It has no right to a table of a tenant or to a function of ours. It sees Procrastinate's jobs through a view that has
those of the render queue only: a render worker cannot enqueue jobs, nor read those of other queues, whose arguments
may hold an email. The view is in a schema of its own, which comes first in the worker's search path, so that
Procrastinate's queries and functions, which run with their caller's rights, use it in place of the table. A job of the
view cannot be given another task or a lock, with which it would hold up the jobs of other queues.

Row-level security would be simpler, but PostgreSQL then leaves the key out of the errors of unique indexes, by which
Procrastinate recognizes that a job with the same queueing lock exists.
"""

from sqlalchemy import Connection, text

RENDER_QUEUE = "render"
RENDER_TASK = "runs.render_chunk"
SCHEMA = "render_queue"
SEARCH_PATH = f"{SCHEMA},public"

# Triggers record events, and unlink a deleted job from procrastinate_periodic_defers.
_STATEMENTS = f"""
    REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {{role}};
    REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM {{role}};
    REVOKE ALL ON ALL FUNCTIONS IN SCHEMA public FROM {{role}};
    CREATE SCHEMA IF NOT EXISTS {SCHEMA};
    CREATE OR REPLACE VIEW {SCHEMA}.procrastinate_jobs WITH (security_barrier) AS
        SELECT * FROM public.procrastinate_jobs
        WHERE queue_name = '{RENDER_QUEUE}' AND task_name = '{RENDER_TASK}' AND lock IS NULL AND queueing_lock IS NULL
        WITH CHECK OPTION;
    GRANT USAGE ON SCHEMA public, {SCHEMA} TO {{role}};
    GRANT SELECT, UPDATE, DELETE ON {SCHEMA}.procrastinate_jobs TO {{role}};
    GRANT INSERT ON procrastinate_events TO {{role}};
    GRANT SELECT, INSERT, UPDATE, DELETE ON procrastinate_workers TO {{role}};
    GRANT SELECT (job_id), UPDATE (job_id) ON procrastinate_periodic_defers TO {{role}};
    GRANT USAGE ON SEQUENCE procrastinate_events_id_seq, procrastinate_workers_id_seq TO {{role}}
"""  # noqa: S608 - composed of constants
_FUNCTIONS = text("""
    SELECT oid::regprocedure::text FROM pg_proc
    WHERE pronamespace = 'public'::regnamespace AND starts_with(proname, 'procrastinate_') AND NOT prosecdef
""")
# What the current role can do beyond the render queue.
_EXCESS = text("""
    SELECT oid::regclass::text FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm')
        AND relname NOT IN ('procrastinate_workers', 'procrastinate_events', 'procrastinate_periodic_defers')
        AND (has_any_column_privilege(oid, 'SELECT, INSERT, UPDATE') OR has_table_privilege(oid, 'DELETE, TRUNCATE'))
    UNION ALL
    SELECT oid::regprocedure::text FROM pg_proc
    WHERE pronamespace = 'public'::regnamespace AND has_function_privilege(oid, 'EXECUTE')
        AND (prosecdef OR NOT starts_with(proname, 'procrastinate_'))
    ORDER BY 1
""")


def excess_rights(connection: Connection) -> list[str]:
    """Return the tables and functions that the connection's role can use, and a render worker should not."""
    return list(connection.scalars(_EXCESS))


def grant_render_queue(connection: Connection, role: str) -> None:
    """Grant a role the use of the render queue, and revoke everything else.

    Args:
        connection: of the tables' owner.
        role: the role's name, quoted.
    """
    for statement in _STATEMENTS.format(role=role).split(";"):
        connection.exec_driver_sql(statement)
    for function in connection.scalars(_FUNCTIONS).all():
        connection.exec_driver_sql(f"GRANT EXECUTE ON FUNCTION {function} TO {role}")
