"""Passkeys of accounts, and sign-in through a workspace's identity provider."""

from alembic import op

revision = "0007"
down_revision = "0006"


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
            ADD CONSTRAINT ck_login_sessions_method CHECK (method IN ('password', 'google', 'passkey'))
    """)


def downgrade() -> None:
    op.execute("""
        ALTER TABLE login_sessions DROP COLUMN method;
        DROP TABLE used_challenges;
        DROP TABLE passkeys
    """)
