"""Tables of billing."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, func
from sqlalchemy.orm import Mapped, mapped_column

from cwz_web.db.base import Base


class Subscription(Base):
    """What Stripe last said about a workspace: its customer, and the subscription that counts, if there is one.

    `unpaid_since` is when the oldest invoice that is not paid was due, `ends_at` when a subscription that was given up
    is over. The plan itself, and from when a workspace is read-only, stand in `workspaces`.
    """

    __tablename__ = "subscriptions"

    workspace_id: Mapped[UUID] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"), primary_key=True)
    customer: Mapped[str | None] = mapped_column(unique=True)
    subscription: Mapped[str | None]
    status: Mapped[str] = mapped_column(default="none", server_default="none")
    unpaid_since: Mapped[datetime | None]
    period_ends_at: Mapped[datetime | None]
    ends_at: Mapped[datetime | None]
    looked_at: Mapped[datetime | None]


class BillingRecord(Base):
    """An invoice or a dispute: what the books need, and nothing about people.

    It is kept for seven years, also when the workspace is gone, so `workspace_id` refers to nothing. Amounts are in the
    smallest unit of the currency.
    """

    __tablename__ = "billing_records"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    number: Mapped[str | None]
    status: Mapped[str]
    amount: Mapped[int] = mapped_column(BigInteger)
    paid: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str]
    at: Mapped[datetime] = mapped_column(index=True)

    __table_args__ = (CheckConstraint("kind IN ('invoice', 'dispute')", name="kind"),)


class StripeEvent(Base):
    """An event that Stripe told us, once. What it says is asked of Stripe again, so only what it is about is kept."""

    __tablename__ = "stripe_events"

    id: Mapped[str] = mapped_column(primary_key=True)
    type: Mapped[str]
    about: Mapped[str | None]
    came_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)
