"""Tables of billing."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, func
from sqlalchemy.orm import Mapped, mapped_column

from cwz_web.db.base import Base


class Subscription(Base):
    """The state of a workspace's customer and subscription at the last synchronization with Stripe.

    `unpaid_since` is when the oldest unpaid invoice was due, `ends_at` when a canceled subscription ends. The plan and
    the time from which a workspace is read-only are columns of `workspaces`.
    """

    __tablename__ = "subscriptions"

    workspace_id: Mapped[UUID] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"), primary_key=True)
    customer: Mapped[str | None] = mapped_column(unique=True)
    subscription: Mapped[str | None]
    status: Mapped[str] = mapped_column(default="none", server_default="none")
    unpaid_since: Mapped[datetime | None]
    period_ends_at: Mapped[datetime | None]
    ends_at: Mapped[datetime | None]
    synced_at: Mapped[datetime | None]


class BillingRecord(Base):
    """An invoice or a dispute: what bookkeeping needs, and no personal data.

    Kept for seven years, even if the workspace is deleted: `workspace_id` is no foreign key. Amounts are in the
    smallest unit of the currency.
    """

    __tablename__ = "billing_records"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    type: Mapped[str]
    number: Mapped[str | None]
    status: Mapped[str]
    amount: Mapped[int] = mapped_column(BigInteger)
    paid: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str]
    issued_at: Mapped[datetime] = mapped_column(index=True)

    __table_args__ = (CheckConstraint("type IN ('invoice', 'dispute')", name="type"),)


class StripeEvent(Base):
    """An event received from Stripe, recorded once. `object_id` is the customer or charge that it concerns."""

    __tablename__ = "stripe_events"

    id: Mapped[str] = mapped_column(primary_key=True)
    type: Mapped[str]
    object_id: Mapped[str | None]
    received_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)
