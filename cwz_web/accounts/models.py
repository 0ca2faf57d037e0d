"""Tables of people. They belong to no workspace, so row-level security does not apply to them."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, func
from sqlalchemy.orm import Mapped, mapped_column, relationship
from uuid_utils.compat import uuid7

from cwz_web.db.base import Base, Timestamped


class Account(Timestamped, Base):
    """A person. `epoch` grows when every session must end; `password_hash` is NULL for one without a password."""

    __tablename__ = "accounts"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    email: Mapped[str]
    name: Mapped[str]
    password_hash: Mapped[str | None]
    epoch: Mapped[int] = mapped_column(default=0)


Index("uq_accounts_email_lower", func.lower(Account.email), unique=True)


class SignIn(Timestamped, Base):
    """A signed-in browser. Its id is the `jti` of the session cookie."""

    __tablename__ = "sign_ins"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
    last_seen_at: Mapped[datetime] = mapped_column(server_default=func.now())
    ended_at: Mapped[datetime | None]
    address: Mapped[str]
    user_agent: Mapped[str]

    account: Mapped[Account] = relationship(lazy="joined", innerjoin=True)
