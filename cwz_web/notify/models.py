"""Tables of outgoing webhooks, and of Slack."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from cwz_web.db.base import Base, Timestamped, WorkspaceOwned


class Webhook(WorkspaceOwned, Base):
    """An address of a customer's that is told of events. `secret_oldest` to `secret_number` are the secrets that its
    messages are signed with. `trouble` says why it is switched off, or what was given up."""

    __tablename__ = "webhooks"

    url: Mapped[str]
    events: Mapped[list[str]] = mapped_column(JSONB)
    active: Mapped[bool] = mapped_column(default=True, server_default="true")
    trouble: Mapped[str | None]
    secret_number: Mapped[int] = mapped_column(default=1, server_default="1")
    secret_oldest: Mapped[int] = mapped_column(default=1, server_default="1")

    @property
    def place(self) -> str:
        """The address without its parameters, in which there may be a secret; for everybody, and for logs."""
        return self.url.partition("?")[0]

    @property
    def secret_numbers(self) -> range:
        """The secrets that its messages are signed with."""
        return range(self.secret_oldest, self.secret_number + 1)


class SlackLink(Timestamped, Base):
    """A workspace's Slack: the team, the bot's token (sealed), the channel that is told, and of which events. `trouble`
    says why nothing is posted any more."""

    __tablename__ = "slack_links"

    workspace_id: Mapped[UUID] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"), primary_key=True)
    team: Mapped[str]
    team_id: Mapped[str]
    sealed: Mapped[bytes]
    channel_id: Mapped[str | None]
    channel: Mapped[str | None]
    events: Mapped[list[str]] = mapped_column(JSONB)
    trouble: Mapped[str | None]


class WebhookDelivery(WorkspaceOwned, Base):
    """A message to a webhook, or, without one, to an address that a request named. `answer` is what came of the last
    attempt, `status` its HTTP status, if there was one."""

    __tablename__ = "deliveries"

    webhook_id: Mapped[UUID | None]
    url: Mapped[str]
    event: Mapped[str]
    body: Mapped[str]
    state: Mapped[str] = mapped_column(default="pending", server_default="pending")
    attempts: Mapped[int] = mapped_column(default=0, server_default="0")
    status: Mapped[int | None]
    answer: Mapped[str | None]
    tried_at: Mapped[datetime | None]

    __table_args__ = (
        ForeignKeyConstraint(
            ["workspace_id", "webhook_id"], ["webhooks.workspace_id", "webhooks.id"], ondelete="CASCADE"
        ),
        CheckConstraint("state IN ('pending', 'delivered', 'dead')", name="state"),
        Index("ix_deliveries_webhook", "workspace_id", "webhook_id", "id"),
        Index("ix_deliveries_created_at", "workspace_id", "created_at"),
    )
