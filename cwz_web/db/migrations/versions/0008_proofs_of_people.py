"""How people prove who they are: verified addresses, links in mails, Google, a second factor."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("accounts", sa.Column("sign_up_browser", sa.String(), nullable=True))
    op.add_column("accounts", sa.Column("verified_at", MOMENT, nullable=True))
    op.add_column("accounts", sa.Column("signed_in_at", MOMENT, nullable=True))
    op.add_column("accounts", sa.Column("totp_envelope", sa.LargeBinary(), nullable=True))
    op.add_column("accounts", sa.Column("totp_confirmed_at", MOMENT, nullable=True))
    op.add_column("accounts", sa.Column("totp_last_step", sa.Integer(), nullable=True))
    op.add_column("accounts", sa.Column("delete_at", MOMENT, nullable=True))
    op.create_index(op.f("ix_accounts_delete_at"), "accounts", ["delete_at"], unique=False)
    op.execute("UPDATE accounts SET verified_at = created_at")  # until now an operator made every account
    op.add_column("sign_ins", sa.Column("proved_at", MOMENT, server_default=sa.text("now()"), nullable=False))
    op.create_table(
        "tokens",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("email", sa.String(), nullable=True),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("created_at", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("purpose IN ('verify', 'reset', 'email')", name=op.f("ck_tokens_purpose")),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_tokens_account_id_accounts"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tokens")),
        sa.UniqueConstraint("digest", name=op.f("uq_tokens_digest")),
    )
    op.create_index("uq_tokens_account_id_purpose", "tokens", ["account_id", "purpose"], unique=True)
    op.create_table(
        "outside_identities",
        sa.Column("issuer", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("created_at", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_outside_identities_account_id_accounts"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("issuer", "subject", name=op.f("pk_outside_identities")),
    )
    op.create_index(op.f("ix_outside_identities_account_id"), "outside_identities", ["account_id"], unique=False)
    op.create_table(
        "recovery_codes",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_recovery_codes_account_id_accounts"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account_id", "digest", name=op.f("pk_recovery_codes")),
    )


def downgrade() -> None:
    op.drop_table("recovery_codes")
    op.drop_table("outside_identities")
    op.drop_table("tokens")
    op.drop_column("sign_ins", "proved_at")
    for column in (
        "delete_at",
        "totp_last_step",
        "totp_confirmed_at",
        "totp_envelope",
        "signed_in_at",
        "verified_at",
        "sign_up_browser",
    ):
        op.drop_column("accounts", column)
