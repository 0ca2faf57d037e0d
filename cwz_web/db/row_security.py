"""Row-level security, the second wall of tenancy: statements for migrations.

Each table with a `workspace_id` shows only the rows of the workspace that the transaction has entered
(`session.enter_workspace`); without one it reads as empty. FORCE binds the tables' owner as well. The few reads that
must cross workspaces go through SECURITY DEFINER functions; a table that one of them reads has the policy
`crossing`, which opens it, for SELECT, to the owner alone.
"""

CURRENT_WORKSPACE = "nullif(current_setting('cwz.workspace_id', true), '')::uuid"


def wall(table: str, column: str = "workspace_id") -> list[str]:
    """The statements that put a table behind the wall."""
    mine = f"{column} = {CURRENT_WORKSPACE}"
    return [
        f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
        f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
        f"CREATE POLICY tenant ON {table} USING ({mine}) WITH CHECK ({mine})",
    ]


def crossing(table: str, rows: str = "true") -> str:
    """The statement that lets the owner's SECURITY DEFINER functions read a table, or some rows of it, across
    workspaces."""
    return f"CREATE POLICY crossing ON {table} FOR SELECT TO CURRENT_USER USING ({rows})"


# A backup is made by the owner, who is bound as well: for that alone, in a session that says so, all rows are open to
# it. Made for whatever is behind the wall, also in a database that is about to be migrated.
OPEN_TO_BACKUPS = """
    DO $$
    DECLARE walled regclass;
    BEGIN
        FOR walled IN SELECT c.oid FROM pg_class c WHERE c.relforcerowsecurity AND c.relowner = CURRENT_USER::regrole
            AND NOT EXISTS (SELECT 1 FROM pg_policy p WHERE p.polrelid = c.oid AND p.polname = 'backing_up')
        LOOP
            EXECUTE format('CREATE POLICY backing_up ON %s FOR SELECT TO CURRENT_USER USING '
                           '(current_setting(''cwz.backing_up'', true) = ''on'')', walled);
        END LOOP;
    END $$
"""


def definer(signature: str, returns: str, query: str) -> list[str]:
    """The statements that make a function which reads with its owner's rights, for the application's use only."""
    return [
        f"CREATE FUNCTION {signature} RETURNS {returns} LANGUAGE sql STABLE SECURITY DEFINER "
        f"SET search_path = pg_catalog, public AS $$ {query} $$",
        f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC",
    ]
