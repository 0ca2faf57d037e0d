"""The database role of `cwz render-worker`: it may run the jobs of the render queue, and nothing else.

It has no right to a tenant's table and to a function of ours. Of Procrastinate's tables it may read and change only the
rows of its own queue (row-level security), and insert none: a render worker cannot enqueue jobs, nor read those of other
queues, whose arguments may hold an email. Procrastinate's functions run with their caller's rights.
"""

from sqlalchemy import Connection, text

RENDER_QUEUE = "render"

# The policy `every_queue` keeps the table open to the application's role; `own_queue` restricts the render worker's.
# UPDATE on procrastinate_periodic_defers is for a trigger, which unlinks a deleted job.
_STATEMENTS = f"""
    REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {{role}};
    REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM {{role}};
    REVOKE ALL ON ALL FUNCTIONS IN SCHEMA public FROM {{role}};
    GRANT USAGE ON SCHEMA public TO {{role}};
    GRANT SELECT, UPDATE, DELETE ON procrastinate_jobs TO {{role}};
    GRANT INSERT ON procrastinate_events TO {{role}};
    GRANT SELECT, INSERT, UPDATE, DELETE ON procrastinate_workers TO {{role}};
    GRANT SELECT (job_id), UPDATE (job_id) ON procrastinate_periodic_defers TO {{role}};
    GRANT USAGE ON SEQUENCE procrastinate_events_id_seq, procrastinate_workers_id_seq TO {{role}};
    ALTER TABLE procrastinate_jobs ENABLE ROW LEVEL SECURITY;
    DROP POLICY IF EXISTS every_queue ON procrastinate_jobs;
    CREATE POLICY every_queue ON procrastinate_jobs USING (true) WITH CHECK (true);
    DROP POLICY IF EXISTS own_queue ON procrastinate_jobs;
    CREATE POLICY own_queue ON procrastinate_jobs AS RESTRICTIVE TO {{role}}
        USING (queue_name = '{RENDER_QUEUE}') WITH CHECK (queue_name = '{RENDER_QUEUE}')
"""
_FUNCTIONS = text("""
    SELECT oid::regprocedure::text FROM pg_proc
    WHERE pronamespace = 'public'::regnamespace AND starts_with(proname, 'procrastinate_') AND NOT prosecdef
""")


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
