"""Row-level security, the second wall of tenancy: statements for migrations.

Each table with a `workspace_id` shows only the rows of the workspace that the transaction has entered
(`session.enter_workspace`); without one it reads as empty. FORCE binds the tables' owner as well. The few reads that
must cross workspaces go through SECURITY DEFINER functions; a table that one of them reads has the policy
`crossing`, which opens it, for SELECT, to the owner alone.
"""

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
