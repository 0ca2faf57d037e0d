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


def crossing(table: str) -> str:
    """The statement that lets the owner's SECURITY DEFINER functions read a table across workspaces."""
    return f"CREATE POLICY crossing ON {table} FOR SELECT TO CURRENT_USER USING (true)"


def definer(signature: str, returns: str, query: str) -> list[str]:
    """The statements that make a function which reads with its owner's rights, for the application's use only."""
    return [
        f"CREATE FUNCTION {signature} RETURNS {returns} LANGUAGE sql STABLE SECURITY DEFINER "
        f"SET search_path = pg_catalog, public AS $$ {query} $$",
        f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC",
    ]
