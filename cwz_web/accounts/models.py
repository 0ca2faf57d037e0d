"""Tables of people. They belong to no workspace, so row-level security does not apply to them."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ColumnElement, ForeignKey, Index, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship
from uuid_utils.compat import uuid7

from cwz_web.db.base import Base, Timestamped


class Account(Timestamped, Base):
    """A person. `epoch` grows when every session must end; `password_hash` is NULL for one without a password.

    `sign_up_browser` is a digest of the cookie of the browser that chose the password, until the address is proved.
    `muted` are the topics (notify/topics.py) that the person wants no mail about.
    """

    __tablename__ = "accounts"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    email: Mapped[str]
    name: Mapped[str]
    password_hash: Mapped[str | None]
    sign_up_browser: Mapped[str | None]
    epoch: Mapped[int] = mapped_column(default=0)
    verified_at: Mapped[datetime | None]
    signed_in_at: Mapped[datetime | None]
    totp_envelope: Mapped[bytes | None]
    totp_confirmed_at: Mapped[datetime | None]
    totp_last_step: Mapped[int | None]
    delete_at: Mapped[datetime | None] = mapped_column(index=True)
    muted: Mapped[list[str]] = mapped_column(JSONB, default=lambda: ["runs"], server_default='["runs"]')

    @property
    def has_second_factor(self) -> bool:
        """Whether a code is asked for at sign-in."""
        return self.totp_confirmed_at is not None


Index("uq_accounts_email_lower", func.lower(Account.email), unique=True)


def has_email(email: str) -> ColumnElement[bool]:
    """The condition that finds the account of an address, whatever its case."""
    return func.lower(Account.email) == email.lower()


class SignIn(Timestamped, Base):
    """A signed-in browser. Its id is the `jti` of the session cookie; `proved_at` is when its person last proved who
    they are, by password or by Google."""

    __tablename__ = "sign_ins"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
    last_seen_at: Mapped[datetime] = mapped_column(server_default=func.now())
    proved_at: Mapped[datetime] = mapped_column(server_default=func.now())
    ended_at: Mapped[datetime | None]
    address: Mapped[str]
    user_agent: Mapped[str]

    account: Mapped[Account] = relationship(lazy="joined", innerjoin=True)


class Token(Timestamped, Base):
    """A link in a mail, once. Only the SHA-256 of what the link holds is kept.

    `state` is a digest of what the token depends on: when that changes, the token is dead. `email` is a new address to
    be confirmed.
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
    def is_alive(self) -> bool:
        return datetime.now(UTC) < self.expires_at


class OutsideIdentity(Timestamped, Base):
    """A person as an OpenID provider knows them: by issuer and subject, never by email address."""

    __tablename__ = "outside_identities"

    issuer: Mapped[str] = mapped_column(primary_key=True)
    subject: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
    email: Mapped[str]


class RecoveryCode(Base):
    """A code that stands in for the second factor, once."""

    __tablename__ = "recovery_codes"

    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True)
    digest: Mapped[str] = mapped_column(primary_key=True)


def account_columns(account: Account) -> dict[str, Any]:
    """What a person may see of their own row: no hash, no secret."""
    shown = ("id", "email", "name", "created_at", "verified_at", "signed_in_at", "totp_confirmed_at", "delete_at")
    return {name: getattr(account, name) for name in shown}
