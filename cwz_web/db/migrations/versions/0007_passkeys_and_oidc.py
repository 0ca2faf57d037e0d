"""Passkeys of accounts, and sign-in through a workspace's identity provider."""

from alembic import op

revision = "0007"
down_revision = "0006"

_PROVIDERS = """
    CREATE TABLE identity_providers (
        workspace_id UUID NOT NULL,
        issuer VARCHAR NOT NULL,
        client_id VARCHAR NOT NULL,
        encrypted_client_secret BYTEA NOT NULL,
        default_role VARCHAR NOT NULL,
        is_required BOOLEAN NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        CONSTRAINT pk_identity_providers PRIMARY KEY (workspace_id),
        CONSTRAINT ck_identity_providers_default_role CHECK (default_role IN ('support', 'user')),
        CONSTRAINT fk_identity_providers_workspace_id_workspaces
            FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
    );
    CREATE TABLE email_domains (
        domain VARCHAR NOT NULL,
        token VARCHAR NOT NULL,
        verified_at TIMESTAMP WITH TIME ZONE,
        workspace_id UUID NOT NULL,
        id UUID NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        CONSTRAINT pk_email_domains PRIMARY KEY (workspace_id, id),
        CONSTRAINT fk_email_domains_workspace_id_workspaces
            FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE
    );
    CREATE UNIQUE INDEX uq_email_domains_workspace_id_domain ON email_domains (workspace_id, domain);
    CREATE UNIQUE INDEX uq_email_domains_verified ON email_domains (domain) WHERE verified_at IS NOT NULL;
    CREATE TABLE provider_identities (
        workspace_id UUID NOT NULL,
        issuer VARCHAR NOT NULL,
        subject VARCHAR NOT NULL,
        account_id UUID NOT NULL,
        email VARCHAR NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        CONSTRAINT pk_provider_identities PRIMARY KEY (workspace_id, issuer, subject),
        CONSTRAINT fk_provider_identities_workspace_id_account_id_memberships
            FOREIGN KEY(workspace_id, account_id) REFERENCES memberships (workspace_id, account_id) ON DELETE CASCADE
    );
    CREATE INDEX ix_provider_identities_workspace_id_account_id ON provider_identities (workspace_id, account_id);
    CREATE TABLE removed_members (
        workspace_id UUID NOT NULL,
        email_digest VARCHAR NOT NULL,
        account_id UUID,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        CONSTRAINT pk_removed_members PRIMARY KEY (workspace_id, email_digest),
        CONSTRAINT fk_removed_members_workspace_id_workspaces
            FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE,
        CONSTRAINT fk_removed_members_account_id_accounts
            FOREIGN KEY(account_id) REFERENCES accounts (id) ON DELETE SET NULL
    );
    CREATE INDEX ix_removed_members_account_id ON removed_members (account_id);
    DO $$
    DECLARE protected text;
    BEGIN
        FOREACH protected IN ARRAY
            ARRAY['identity_providers', 'email_domains', 'provider_identities', 'removed_members'] LOOP
            EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', protected);
            EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', protected);
            EXECUTE format(
                'CREATE POLICY tenant ON %I'
                ' USING (workspace_id = nullif(current_setting(''cwz.workspace_id'', true), '''')::uuid)'
                ' WITH CHECK (workspace_id = nullif(current_setting(''cwz.workspace_id'', true), '''')::uuid)',
                protected);
        END LOOP;
    END $$;
    CREATE POLICY cross_workspace ON identity_providers FOR SELECT TO CURRENT_USER USING (true);
    CREATE POLICY cross_workspace ON email_domains FOR SELECT TO CURRENT_USER USING (true);
"""
# A deleted workspace keeps its domains until it is purged, since it can be restored. Its provider vouches for no user.
_FUNCTIONS = """
    CREATE FUNCTION all_identity_providers() RETURNS TABLE(workspace_id uuid)
        LANGUAGE sql STABLE SECURITY DEFINER
        SET search_path = pg_catalog, public
        AS $$ SELECT p.workspace_id FROM identity_providers p ORDER BY p.workspace_id $$;
    CREATE FUNCTION workspace_of_domain(requested varchar) RETURNS uuid
        LANGUAGE sql STABLE SECURITY DEFINER
        SET search_path = pg_catalog, public
        AS $$ SELECT d.workspace_id FROM email_domains d WHERE d.domain = requested AND d.verified_at IS NOT NULL $$;
    CREATE FUNCTION provider_workspace_of(requested varchar) RETURNS uuid
        LANGUAGE sql STABLE SECURITY DEFINER
        SET search_path = pg_catalog, public
        AS $$
            SELECT d.workspace_id FROM email_domains d JOIN identity_providers p ON p.workspace_id = d.workspace_id
            WHERE d.domain = requested AND d.verified_at IS NOT NULL
              AND NOT EXISTS (SELECT FROM tombstones t WHERE t.id = d.workspace_id)
        $$;
    DROP FUNCTION memberships_of;
    CREATE FUNCTION memberships_of(account uuid) RETURNS TABLE(
        workspace_id uuid, slug varchar, name varchar, role varchar, second_factor_required boolean,
        single_sign_on_required boolean)
        LANGUAGE sql STABLE SECURITY DEFINER
        SET search_path = pg_catalog, public
        AS $$
            SELECT w.id, w.slug, w.name, m.role, w.second_factor_required,
                EXISTS (
                    SELECT FROM identity_providers p WHERE p.workspace_id = w.id AND p.is_required AND (
                        m.provider_domain IS NOT NULL
                        OR EXISTS (
                            SELECT FROM email_domains d
                            JOIN accounts a ON d.domain = lower(split_part(a.email, '@', -1))
                            WHERE d.workspace_id = w.id AND d.verified_at IS NOT NULL AND a.id = m.account_id)))
            FROM memberships m JOIN workspaces w ON w.id = m.workspace_id
            WHERE m.account_id = account ORDER BY lower(w.name), w.slug
        $$;
    REVOKE ALL ON FUNCTION all_identity_providers, workspace_of_domain, provider_workspace_of, memberships_of
        FROM PUBLIC;
"""
_FUNCTIONS_BEFORE = """
    DROP FUNCTION all_identity_providers, workspace_of_domain, provider_workspace_of, memberships_of;
    CREATE FUNCTION memberships_of(account uuid) RETURNS TABLE(
        workspace_id uuid, slug varchar, name varchar, role varchar, second_factor_required boolean)
        LANGUAGE sql STABLE SECURITY DEFINER
        SET search_path = pg_catalog, public
        AS $$
            SELECT w.id, w.slug, w.name, m.role, w.second_factor_required
            FROM memberships m JOIN workspaces w ON w.id = m.workspace_id
            WHERE m.account_id = account ORDER BY lower(w.name), w.slug
        $$;
    REVOKE ALL ON FUNCTION memberships_of FROM PUBLIC;
"""


def upgrade() -> None:
    op.execute("""
        CREATE TABLE passkeys (
            id UUID NOT NULL,
            account_id UUID NOT NULL,
            credential_id BYTEA NOT NULL,
            public_key BYTEA NOT NULL,
            sign_count BIGINT NOT NULL,
            name VARCHAR NOT NULL,
            last_used_at TIMESTAMP WITH TIME ZONE,
            created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
            CONSTRAINT pk_passkeys PRIMARY KEY (id),
            CONSTRAINT uq_passkeys_credential_id UNIQUE (credential_id),
            CONSTRAINT fk_passkeys_account_id_accounts
                FOREIGN KEY(account_id) REFERENCES accounts (id) ON DELETE CASCADE
        );
        CREATE INDEX ix_passkeys_account_id ON passkeys (account_id);
        CREATE TABLE used_challenges (
            digest VARCHAR NOT NULL,
            expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
            CONSTRAINT pk_used_challenges PRIMARY KEY (digest)
        );
        ALTER TABLE login_sessions
            ADD COLUMN method VARCHAR DEFAULT 'password' NOT NULL,
            ADD COLUMN sso_workspace_id UUID
                CONSTRAINT fk_login_sessions_sso_workspace_id_workspaces REFERENCES workspaces (id) ON DELETE SET NULL,
            ADD COLUMN passkey_id UUID
                CONSTRAINT fk_login_sessions_passkey_id_passkeys REFERENCES passkeys (id) ON DELETE SET NULL,
            ADD CONSTRAINT ck_login_sessions_method CHECK (method IN ('password', 'google', 'passkey', 'sso'));
        CREATE INDEX ix_login_sessions_passkey_id ON login_sessions (passkey_id);
        ALTER TABLE memberships ADD COLUMN provider_domain VARCHAR
    """)
    for script in (_PROVIDERS, _FUNCTIONS):
        op.get_bind().exec_driver_sql(script.replace("%", "%%"))


def downgrade() -> None:
    op.get_bind().exec_driver_sql(_FUNCTIONS_BEFORE)
    # Without the column, a session of an identity provider would open everything.
    op.execute("""
        DELETE FROM login_sessions WHERE method = 'sso';
        DROP TABLE removed_members;
        DROP TABLE provider_identities;
        DROP TABLE email_domains;
        DROP TABLE identity_providers;
        ALTER TABLE memberships DROP COLUMN provider_domain;
        ALTER TABLE login_sessions DROP COLUMN method, DROP COLUMN sso_workspace_id, DROP COLUMN passkey_id;
        DROP TABLE used_challenges;
        DROP TABLE passkeys
    """)
