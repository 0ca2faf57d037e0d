"""Outgoing webhooks: what happened is told to customers' programs, signed as in Standard Webhooks.

An event is written down in the transaction that it is about, once for each webhook that wants it, with a job that sends
it (https://www.standardwebhooks.com: `webhook-id`, `webhook-timestamp`, `webhook-signature`). It is sent again for
three days, by the specification's own schedule; whoever answers 410 is asked no more. The secrets are derived from the
installation's signing secret, so they are stored nowhere; while one is replaced, messages carry a signature of each.
"""

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from procrastinate.types import JSONDict
from pydantic import AfterValidator, Field
from pydantic_core import to_json
from sqlalchemy import insert, select, text
from sqlalchemy.orm import Session
from standardwebhooks.webhooks import Webhook as Signer
from uuid_utils.compat import uuid7

from cwz_web.crypto import derive
from cwz_web.db.session import Database, raw_connection
from cwz_web.jobs import app
from cwz_web.net.client import Fetcher, FetchError, BlockedRequestError, check_url
from cwz_web.notify.models import WebhookDelivery, Webhook
from cwz_web.notify.slack import enqueue_slack_posts

QUEUE = "webhooks"
# Seconds before each further attempt; together three days.
RETRY_DELAYS = (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
SEND_SECONDS = 10.0
MAX_WEBHOOKS = 20
PAGE = 50
GONE = 410
SWITCHED_OFF = "It answered 410 Gone, so nothing is sent to it any more"
_SIGNING = text("SELECT signing_oldest, signing_number FROM workspaces WHERE id = :workspace")


class Event(StrEnum):
    """What can happen."""

    RUN_FINISHED = "run.finished"
    RUN_FAILED = "run.failed"
    IMAGE_CREATED = "image.created"
    IMAGE_FAILED = "image.failed"
    FEED_FAILED = "feed.failed"
    QUOTA_REACHED = "cap.reached"


EVENT_LABELS = {
    Event.RUN_FINISHED: "A run ended, and every image is there",
    Event.RUN_FAILED: "A run ended, and images are missing",
    Event.IMAGE_CREATED: "An image was put into storage",
    Event.IMAGE_FAILED: "An image that was ordered could not be made",
    Event.FEED_FAILED: "A feed could not be fetched or brought in",
    Event.QUOTA_REACHED: "80 % or all of a month's images were made",
}


def _may_be_asked(url: str) -> str:
    try:
        check_url(url)
    except BlockedRequestError:
        raise ValueError("Use a public address that begins with https://") from None
    return url


# An address that we may send to; where it leads is looked at when something is sent.
WebhookUrl = Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(_may_be_asked)]


class WebhookDeliveryError(Exception):
    """The message has to be sent again."""


def emit(
    db: Session, workspace_id: UUID, event: Event, *happened: Mapping[str, Any], webhook: str | None = None
) -> None:
    """Tell the workspace's webhooks and Slack, in the caller's transaction, of what happened, once for each `happened`.

    Arguments:
        webhook: another address, that a request named, that is told as well.
    """
    enqueue_slack_posts(db, workspace_id, event, happened)
    wanting = select(Webhook.id, Webhook.url).where(
        Webhook.workspace_id == workspace_id, Webhook.active, Webhook.events.contains([event])
    )
    places: list[tuple[UUID | None, str]] = [(row.id, row.url) for row in db.execute(wanting)]
    if webhook:
        places.append((None, webhook))
    if not (places and happened):
        return
    now = datetime.now(UTC)
    bodies = [to_json({"type": event, "timestamp": now, "data": dict(each)}).decode() for each in happened]
    rows: list[dict[str, Any]] = [
        {"workspace_id": workspace_id, "id": uuid7(), "webhook_id": id_, "url": url, "event": event, "body": body}
        for body in bodies
        for id_, url in places
    ]
    db.execute(insert(WebhookDelivery), rows)
    _enqueue(db, workspace_id, (row["id"] for row in rows))


def emit_test_event(db: Session, webhook: Webhook) -> None:
    """Send a message that says nothing, to see whether it arrives."""
    body = to_json({"type": "test", "timestamp": datetime.now(UTC), "data": {}}).decode()
    delivery = WebhookDelivery(
        workspace_id=webhook.workspace_id, id=uuid7(), webhook_id=webhook.id, url=webhook.url, event="test", body=body
    )
    db.add(delivery)
    db.flush()
    _enqueue(db, webhook.workspace_id, [delivery.id])


def resend_delivery(db: Session, delivery: WebhookDelivery) -> None:
    """Send a message again that was delivered, or given up, under the same id."""
    delivery.state, delivery.attempts = "pending", 0
    db.flush()
    _enqueue(db, delivery.workspace_id, [delivery.id])


def list_webhooks(db: Session, workspace_id: UUID) -> list[Webhook]:
    """The workspace's webhooks, oldest first."""
    return list(db.scalars(select(Webhook).where(Webhook.workspace_id == workspace_id).order_by(Webhook.id)))


def list_deliveries(db: Session, webhook: Webhook, before: UUID | None = None, limit: int = PAGE) -> list[WebhookDelivery]:
    """What was sent to a webhook, newest first, from before an id."""
    mine = select(WebhookDelivery).where(WebhookDelivery.workspace_id == webhook.workspace_id, WebhookDelivery.webhook_id == webhook.id)
    mine = mine if before is None else mine.where(WebhookDelivery.id < before)
    return list(db.scalars(mine.order_by(WebhookDelivery.id.desc()).limit(limit)))


def rotate_secret(webhook: Webhook) -> None:
    """Begin with another secret; until the old one is retired, messages are signed with both."""
    webhook.secret_oldest, webhook.secret_number = webhook.secret_number, webhook.secret_number + 1


@dataclass(frozen=True)
class WebhookSender:
    """Secrets, and the sending itself.

    Arguments:
        secret: the installation's signing secret.
    """

    secret: str
    fetcher: Fetcher

    def secrets_for(self, owner_id: UUID, numbers: range) -> list[str]:
        """The secrets of a webhook, or of a workspace for addresses that its requests name, newest first."""
        keys = [derive(self.secret, f"webhook/{number}/".encode() + owner_id.bytes) for number in reversed(numbers)]
        return ["whsec_" + base64.b64encode(key).decode() for key in keys]

    def deliver(self, database: Database, workspace_id: UUID, delivery_id: UUID, *, last_try: bool) -> None:
        """Send a message once. Raises WebhookDeliveryError when it has to be sent again."""
        with database.transaction(workspace_id) as db:
            delivery = db.get(WebhookDelivery, (workspace_id, delivery_id))
            if delivery is None or delivery.state != "pending":
                return
            webhook = db.get(Webhook, (workspace_id, delivery.webhook_id)) if delivery.webhook_id else None
            secrets = self._secrets(db, workspace_id, webhook)
        status, answer = 0, ""
        if webhook is not None and not webhook.active:
            last_try, answer = True, "The webhook is switched off"
        else:
            status, answer = self._send(delivery, secrets)
        delivered = 200 <= status < 300
        dead = not delivered and (last_try or status == GONE)
        with database.transaction(workspace_id) as db:
            delivery = db.get(WebhookDelivery, (workspace_id, delivery_id), with_for_update=True)
            if delivery is None:
                return
            delivery.attempts += 1
            delivery.status, delivery.answer, delivery.tried_at = status or None, answer, datetime.now(UTC)
            delivery.state = "delivered" if delivered else "dead" if dead else "pending"
            webhook = db.get(Webhook, (workspace_id, delivery.webhook_id)) if delivery.webhook_id else None
            if webhook is not None and status == GONE:
                webhook.active, webhook.trouble = False, SWITCHED_OFF
        if not delivered and not dead:
            raise WebhookDeliveryError(answer)

    def _secrets(self, db: Session, workspace_id: UUID, webhook: Webhook | None) -> list[str]:
        if webhook is not None:
            return self.secrets_for(webhook.id, webhook.secret_numbers)
        # Not by its model: workspaces stand on this package.
        oldest, newest = db.execute(_SIGNING, {"workspace": workspace_id}).one()
        return self.secrets_for(workspace_id, range(oldest, newest + 1))

    def _send(self, delivery: WebhookDelivery, secrets: list[str]) -> tuple[int, str]:
        """The status of the answer, 0 for none, and in words what came of it."""
        identity, now = f"msg_{delivery.id.hex}", datetime.now(UTC)
        headers = {
            "Content-Type": "application/json",
            "webhook-id": identity,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(Signer(secret).sign(identity, now, delivery.body) for secret in secrets),
        }
        try:
            status = self.fetcher.post(delivery.url, delivery.body.encode(), headers, seconds=SEND_SECONDS)
        except FetchError as error:
            return 0, str(error)
        return status, f"It answered with status {status}"


def _enqueue(db: Session, workspace_id: UUID, deliveries: Iterable[UUID]) -> None:
    task = app.configure_task("notify.deliver", queue=QUEUE, connection=raw_connection(db))
    jobs: list[JSONDict] = [{"workspace_id": str(workspace_id), "delivery_id": str(each)} for each in deliveries]
    task.batch_defer(*jobs)
