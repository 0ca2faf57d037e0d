"""Tables of outgoing webhooks and of Slack."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from cwz_web.db.base import Base, Timestamped, WorkspaceOwned
from cwz_web.i18n import gettext_noop


class DeliveryState(StrEnum):
    """The state of a webhook delivery."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


DELIVERY_STATE_LABELS = {
    DeliveryState.PENDING: gettext_noop("Queued"),
    DeliveryState.DELIVERED: gettext_noop("Delivered"),
    DeliveryState.FAILED: gettext_noop("Failed"),
}


class Webhook(WorkspaceOwned, Base):
    """A customer's endpoint that receives events.

    Messages are signed with the secrets numbered `oldest_secret_number` to `secret_number`. `error_message` says why
    it was disabled.
    """

    __tablename__ = "webhooks"

    url: Mapped[str]
    events: Mapped[list[str]] = mapped_column(JSONB)
    active: Mapped[bool] = mapped_column(default=True, server_default="true")
    error_message: Mapped[str | None]
    secret_number: Mapped[int] = mapped_column(default=1, server_default="1")
    oldest_secret_number: Mapped[int] = mapped_column(default=1, server_default="1")

    @property
    def display_url(self) -> str:
        """The URL without its query, which may contain a secret; for pages and logs."""
        return self.url.partition("?")[0]

    @property
    def secret_numbers(self) -> range:
        """The numbers of the secrets that messages are signed with."""
        return range(self.oldest_secret_number, self.secret_number + 1)


class SlackLink(Timestamped, Base):
    """A workspace's link to Slack: the team, the bot's encrypted token, the channel, and which events are posted.

    `error_message` says why posting stopped.
    """

    __tablename__ = "slack_links"

    workspace_id: Mapped[UUID] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"), primary_key=True)
    team: Mapped[str]
    team_id: Mapped[str]
    encrypted_token: Mapped[bytes]
    channel_id: Mapped[str | None]
    channel: Mapped[str | None]
    events: Mapped[list[str]] = mapped_column(JSONB)
    error_message: Mapped[str | None]


class WebhookDelivery(WorkspaceOwned, Base):
    """A message to a webhook or, without one, to a URL named in an API request.

    `last_response` describes the outcome of the last attempt; `status` is its HTTP status, if there was a response,
    after so many `milliseconds`.
    """

    __tablename__ = "webhook_deliveries"

    webhook_id: Mapped[UUID | None]
    url: Mapped[str]
    event: Mapped[str]
    body: Mapped[str]
    state: Mapped[str] = mapped_column(default=DeliveryState.PENDING, server_default="pending")
    attempts: Mapped[int] = mapped_column(default=0, server_default="0")
    status: Mapped[int | None]
    last_response: Mapped[str | None]
    milliseconds: Mapped[int | None]
    attempted_at: Mapped[datetime | None]

    __table_args__ = (
        ForeignKeyConstraint(
            ["workspace_id", "webhook_id"], ["webhooks.workspace_id", "webhooks.id"], ondelete="CASCADE"
        ),
        CheckConstraint("state IN ('pending', 'delivered', 'failed')", name="state"),
        Index("ix_webhook_deliveries_webhook", "workspace_id", "webhook_id", "id"),
        Index("ix_webhook_deliveries_created_at", "workspace_id", "created_at"),
        Index(
            "ix_webhook_deliveries_undelivered",
            "workspace_id",
            "webhook_id",
            "state",
            "id",
            postgresql_where=text("state <> 'delivered'"),
        ),
    )
