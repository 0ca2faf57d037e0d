"""Models of accounts and sessions. They belong to no workspace, so row-level security does not apply to them."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ColumnElement, ForeignKey, Index, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship
from uuid_utils.compat import uuid7

from cwz_web.db.base import Base, Timestamped


class Account(Timestamped, Base):
    """A user's account.

    Attributes:
        password_hash: NULL for a user who signs in with Google only.
        sign_up_visitor_digest: Digest of the visitor cookie of the browser that signed up, until the email is verified.
        epoch: Part of every session token; incremented to end all sessions.
        delete_at: When the account will be deleted, if its owner has requested that.
        locale: The locale (i18n.py) of pages and emails; None: the browser's.
        unsubscribed_topics: The topics (notify/topics.py) that the user has unsubscribed from.
    """

    __tablename__ = "accounts"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    email: Mapped[str]
    name: Mapped[str]
    password_hash: Mapped[str | None]
    sign_up_visitor_digest: Mapped[str | None]
    epoch: Mapped[int] = mapped_column(default=0)
    verified_at: Mapped[datetime | None]
    signed_in_at: Mapped[datetime | None]
    encrypted_totp_secret: Mapped[bytes | None]
    totp_confirmed_at: Mapped[datetime | None]
    totp_last_step: Mapped[int | None]
    delete_at: Mapped[datetime | None] = mapped_column(index=True)
    locale: Mapped[str | None]
    unsubscribed_topics: Mapped[list[str]] = mapped_column(JSONB, default=lambda: ["runs"], server_default='["runs"]')

    @property
    def has_second_factor(self) -> bool:
        """Return whether signing in requires an authentication code."""
        return self.totp_confirmed_at is not None


Index("uq_accounts_email_lower", func.lower(Account.email), unique=True)


def has_email(email: str) -> ColumnElement[bool]:
    """Return the condition that matches an account by email address, ignoring case."""
    return func.lower(Account.email) == email.lower()


class Method(StrEnum):
    """How a user signed in."""

    PASSWORD = "password"  # noqa: S105 - not a password
    GOOGLE = "google"
    PASSKEY = "passkey"
    SINGLE_SIGN_ON = "sso"


class LoginSession(Timestamped, Base):
    """A signed-in browser.

    Attributes:
        id: The `jti` claim of the session cookie.
        method: How the user signed in.
        sso_workspace_id: The workspace whose identity provider has vouched for the user.
        passkey_id: The passkey that signed in, or replaced the code. If it is removed, the session ends.
        authenticated_at: When the user last authenticated, by any method.
        ip_address: IP address at sign-in.
    """

    __tablename__ = "login_sessions"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
    method: Mapped[str] = mapped_column(default=Method.PASSWORD, server_default=Method.PASSWORD)
    sso_workspace_id: Mapped[UUID | None] = mapped_column(ForeignKey("workspaces.id", ondelete="SET NULL"))
    passkey_id: Mapped[UUID | None] = mapped_column(ForeignKey("passkeys.id", ondelete="SET NULL"), index=True)
    last_seen_at: Mapped[datetime] = mapped_column(server_default=func.now())
    authenticated_at: Mapped[datetime] = mapped_column(server_default=func.now())
    ended_at: Mapped[datetime | None]
    ip_address: Mapped[str]
    user_agent: Mapped[str]

    account: Mapped[Account] = relationship(lazy="joined", innerjoin=True)

    __table_args__ = (CheckConstraint("method IN ('password', 'google', 'passkey', 'sso')", name="method"),)

    @property
    def is_own(self) -> bool:
        """Return whether the user proved to own the account; an identity provider vouches for its workspace only."""
        return self.method != Method.SINGLE_SIGN_ON

    def opens(self, workspace_id: UUID) -> bool:
        """Return whether the session can open a workspace of its account."""
        return self.is_own or self.sso_workspace_id == workspace_id

    @property
    def has_second_factor(self) -> bool:
        """Return whether the user proved two factors: a passkey is a device and what unlocks it."""
        return self.account.has_second_factor or self.method == Method.PASSKEY


class Token(Timestamped, Base):
    """A single-use token of a link in an email.

    Attributes:
        digest: SHA-256 of the token; the token itself is not stored.
        state: Digest of the account's state; a token is invalid once that state has changed.
        email: The new email address to confirm.
    """

    __tablename__ = "tokens"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"))
    purpose: Mapped[str]
    digest: Mapped[str] = mapped_column(unique=True)
    state: Mapped[str]
    email: Mapped[str | None]
    expires_at: Mapped[datetime]

    __table_args__ = (
        Index("uq_tokens_account_id_purpose", "account_id", "purpose", unique=True),
        CheckConstraint("purpose IN ('verify', 'reset', 'email')", name="purpose"),
    )

    @property
    def is_valid(self) -> bool:
        """Return whether the token has not expired."""
        return datetime.now(UTC) < self.expires_at


class ExternalIdentity(Timestamped, Base):
    """A user of an OpenID provider, identified by issuer and subject, never by email address."""

    __tablename__ = "external_identities"

    issuer: Mapped[str] = mapped_column(primary_key=True)
    subject: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
    email: Mapped[str]


class Passkey(Timestamped, Base):
    """A credential of the Web Authentication API.

    Attributes:
        credential_id: The authenticator's id of the credential.
        public_key: The public key in COSE format (RFC 9052).
        sign_count: The authenticator's count of signatures at its last use; always 0 for synchronized passkeys.
        name: The owner's name for it.
    """

    __tablename__ = "passkeys"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
    credential_id: Mapped[bytes] = mapped_column(unique=True)
    public_key: Mapped[bytes]
    sign_count: Mapped[int] = mapped_column(BigInteger)
    name: Mapped[str]
    last_used_at: Mapped[datetime | None]

    account: Mapped[Account] = relationship()


class UsedChallenge(Base):
    """A challenge that a passkey has answered, until it expires."""

    __tablename__ = "used_challenges"

    digest: Mapped[str] = mapped_column(primary_key=True)
    expires_at: Mapped[datetime]


class RecoveryCode(Base):
    """A single-use code that replaces the second factor."""

    __tablename__ = "recovery_codes"

    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True)
    digest: Mapped[str] = mapped_column(primary_key=True)


def account_columns(account: Account) -> dict[str, Any]:
    """Return the columns that a user may export: no hash and no secret."""
    names = (
        "id",
        "email",
        "name",
        "locale",
        "created_at",
        "verified_at",
        "signed_in_at",
        "totp_confirmed_at",
        "delete_at",
    )
    return {name: getattr(account, name) for name in names}
