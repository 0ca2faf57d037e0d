"""Row-level security: the policies that isolate tenants in the database.

A table with a `workspace_id` shows only the rows of the workspace that the transaction has entered
(`session.enter_workspace`), by its policy `tenant`; without a workspace it is empty. FORCE applies the policy to the
tables' owner as well. The few queries across workspaces are SECURITY DEFINER functions; a table that such a function
reads has the policy `cross_workspace`, which lets the owner alone SELECT all rows.
"""

# The owner creates backups and is bound by row-level security as well. This policy lets it read all rows in sessions
# with cwz.backup_session = on. It is created for every table that lacks it, so a backup also works before a migration.
CREATE_BACKUP_POLICIES = """
    DO $$
    DECLARE protected regclass;
    BEGIN
        FOR protected IN SELECT c.oid FROM pg_class c WHERE c.relforcerowsecurity AND c.relowner = CURRENT_USER::regrole
            AND NOT EXISTS (SELECT 1 FROM pg_policy p WHERE p.polrelid = c.oid AND p.polname = 'backup')
        LOOP
            EXECUTE format('CREATE POLICY backup ON %s FOR SELECT TO CURRENT_USER USING '
                           '(current_setting(''cwz.backup_session'', true) = ''on'')', protected);
        END LOOP;
    END $$
"""
