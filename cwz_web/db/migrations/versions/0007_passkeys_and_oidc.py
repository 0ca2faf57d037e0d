"""Passkeys of accounts, and sign-in through a workspace's identity provider."""

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Filled by the next change."""


def downgrade() -> None:
    """Filled by the next change."""
