"""Outgoing webhooks, signed as in Standard Webhooks (https://www.standardwebhooks.com).

An event is stored in the transaction that causes it, once per subscribed webhook, with a job that sends it. Failed
deliveries are retried for three days on the specification's schedule; a webhook that responds 410 is disabled. Secrets
are derived from the installation's signing secret and stored nowhere; during a rotation messages carry both signatures.
"""

import base64
import time
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
from cwz_web.i18n import gettext, gettext_noop
from cwz_web.jobs import app
from cwz_web.net.client import INVALID_PORT, BlockedRequestError, Fetcher, FetchError, InvalidPortError, check_url
from cwz_web.notify.models import Webhook, WebhookDelivery
from cwz_web.notify.slack import enqueue_slack_posts

QUEUE = "webhooks"
# Seconds before each retry, three days in total.
RETRY_DELAYS = (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
SEND_SECONDS = 10.0
MAX_WEBHOOKS = 20
GONE = 410
DISABLED_BY_GONE = gettext_noop("The endpoint responded 410 Gone, so the webhook was disabled")
_SIGNING = text("SELECT oldest_signing_key_number, signing_key_number FROM workspaces WHERE id = :workspace")


class Event(StrEnum):
    """An event that a webhook can subscribe to."""

    RUN_FINISHED = "run.finished"
    RUN_FAILED = "run.failed"
    IMAGE_CREATED = "image.created"
    IMAGE_FAILED = "image.failed"
    FEED_FAILED = "feed.failed"
    QUOTA_REACHED = "quota.reached"
    PUBLICATION_READY = "publication.ready"
    PUBLICATION_HELD = "publication.held"
    PUBLICATION_PUBLISHED = "publication.published"
    CHANNEL_WRITTEN = "channel.written"
    CHANNEL_FAILED = "channel.failed"


EVENT_LABELS = {
    Event.RUN_FINISHED: gettext_noop("A run completed, perhaps with findings"),
    Event.RUN_FAILED: gettext_noop("A run ended with failed images"),
    Event.IMAGE_CREATED: gettext_noop("An image was stored"),
    Event.IMAGE_FAILED: gettext_noop("A requested image failed to render"),
    Event.FEED_FAILED: gettext_noop("A feed failed to fetch or import"),
    Event.QUOTA_REACHED: gettext_noop("80% or 100% of the monthly image quota is used"),
    Event.PUBLICATION_READY: gettext_noop("A publication of a campaign is ready"),
    Event.PUBLICATION_HELD: gettext_noop("A publication of a campaign waits for a decision"),
    Event.PUBLICATION_PUBLISHED: gettext_noop("A publication of a campaign was published"),
    Event.CHANNEL_WRITTEN: gettext_noop("The feed of a channel changed"),
    Event.CHANNEL_FAILED: gettext_noop("The feed of a channel could not be written"),
}


def _check_public_url(url: str) -> str:
    try:
        check_url(url)
    except InvalidPortError:
        raise ValueError(gettext(INVALID_PORT)) from None
    except BlockedRequestError:
        raise ValueError(gettext("Use a public URL that starts with https://")) from None
    return url


# The host is resolved and checked again when a message is sent.
WebhookUrl = Annotated[
    str,
    Field(min_length=1, max_length=2000, json_schema_extra={"format": "uri", "pattern": "^https://"}),
    AfterValidator(_check_public_url),
]


class WebhookDeliveryError(Exception):
    """The delivery failed and is to be retried."""


def emit(
    db: Session, workspace_id: UUID, event: Event, *payloads: Mapping[str, Any], webhook: str | None = None
) -> None:
    """Notify the workspace's webhooks and Slack of an event, in the caller's transaction.

    Args:
        db: The caller's transaction.
        workspace_id: The workspace.
        event: The event.
        payloads: The data of each occurrence; each is one message.
        webhook: An additional URL that an API request named.
    """
    enqueue_slack_posts(db, workspace_id, event, payloads)
    subscribed = select(Webhook.id, Webhook.url).where(
        Webhook.workspace_id == workspace_id, Webhook.active, Webhook.events.contains([event])
    )
    endpoints: list[tuple[UUID | None, str]] = [(row.id, row.url) for row in db.execute(subscribed)]
    if webhook:
        endpoints.append((None, webhook))
    if not (endpoints and payloads):
        return
    now = datetime.now(UTC)
    bodies = [to_json({"type": event, "timestamp": now, "data": dict(payload)}).decode() for payload in payloads]
    rows: list[dict[str, Any]] = [
        {"workspace_id": workspace_id, "id": uuid7(), "webhook_id": id_, "url": url, "event": event, "body": body}
        for body in bodies
        for id_, url in endpoints
    ]
    db.execute(insert(WebhookDelivery), rows)
    _enqueue(db, workspace_id, (row["id"] for row in rows))


def emit_test_event(db: Session, webhook: Webhook) -> WebhookDelivery:
    """Send an empty test event to a webhook, and return its delivery."""
    body = to_json({"type": "test", "timestamp": datetime.now(UTC), "data": {}}).decode()
    delivery = WebhookDelivery(
        workspace_id=webhook.workspace_id, id=uuid7(), webhook_id=webhook.id, url=webhook.url, event="test", body=body
    )
    db.add(delivery)
    db.flush()
    _enqueue(db, webhook.workspace_id, [delivery.id])
    return delivery


def resend_delivery(db: Session, delivery: WebhookDelivery) -> None:
    """Send a delivered or dead message again under the same id."""
    delivery.state, delivery.attempts = "pending", 0
    db.flush()
    _enqueue(db, delivery.workspace_id, [delivery.id])


def list_webhooks(db: Session, workspace_id: UUID) -> list[Webhook]:
    """Return the workspace's webhooks, oldest first."""
    return list(db.scalars(select(Webhook).where(Webhook.workspace_id == workspace_id).order_by(Webhook.id)))


def message_id(delivery: WebhookDelivery) -> str:
    """Return the id of a message, as in its header `webhook-id`."""
    return f"msg_{delivery.id.hex}"


def rotate_secret(webhook: Webhook) -> None:
    """Add a secret; messages are signed with both until the old one is retired."""
    webhook.oldest_secret_number, webhook.secret_number = webhook.secret_number, webhook.secret_number + 1


@dataclass(frozen=True)
class WebhookSender:
    """Signs and sends messages.

    Attributes:
        secret: The installation's signing secret.
    """

    secret: str
    fetcher: Fetcher

    def secrets_for(self, owner_id: UUID, numbers: range) -> list[str]:
        """Return the secrets of a webhook, or of a workspace for URLs named in requests, newest first."""
        keys = [derive(self.secret, f"webhook/{number}/".encode() + owner_id.bytes) for number in reversed(numbers)]
        return ["whsec_" + base64.b64encode(key).decode() for key in keys]

    def deliver(self, database: Database, workspace_id: UUID, delivery_id: UUID, *, last_try: bool) -> None:
        """Attempt a delivery and record the outcome.

        Args:
            last_try: Whether a failure is final.

        Raises:
            WebhookDeliveryError: The delivery is to be retried.
        """
        with database.transaction(workspace_id) as db:
            delivery = db.get(WebhookDelivery, (workspace_id, delivery_id))
            if delivery is None or delivery.state != "pending":
                return
            webhook = db.get(Webhook, (workspace_id, delivery.webhook_id)) if delivery.webhook_id else None
            secrets = self._secrets(db, workspace_id, webhook)
        status, outcome, milliseconds = 0, "", None
        if webhook is not None and not webhook.active:
            last_try, outcome = True, gettext("The webhook is disabled")
        else:
            started = time.perf_counter()
            status, outcome = self._send(delivery, secrets)
            milliseconds = round((time.perf_counter() - started) * 1000)
        delivered = 200 <= status < 300
        dead = not delivered and (last_try or status == GONE)
        with database.transaction(workspace_id) as db:
            delivery = db.get(WebhookDelivery, (workspace_id, delivery_id), with_for_update=True)
            if delivery is None:
                return
            delivery.attempts += 1
            delivery.status, delivery.last_response = status or None, outcome
            delivery.milliseconds, delivery.attempted_at = milliseconds, datetime.now(UTC)
            delivery.state = "delivered" if delivered else "failed" if dead else "pending"
            webhook = db.get(Webhook, (workspace_id, delivery.webhook_id)) if delivery.webhook_id else None
            if webhook is not None and status == GONE:
                webhook.active, webhook.error_message = False, DISABLED_BY_GONE
        if not delivered and not dead:
            raise WebhookDeliveryError(outcome)

    def _secrets(self, db: Session, workspace_id: UUID, webhook: Webhook | None) -> list[str]:
        if webhook is not None:
            return self.secrets_for(webhook.id, webhook.secret_numbers)
        # Not through the model: the package workspaces imports this one.
        oldest, newest = db.execute(_SIGNING, {"workspace": workspace_id}).one()
        return self.secrets_for(workspace_id, range(oldest, newest + 1))

    def _send(self, delivery: WebhookDelivery, secrets: list[str]) -> tuple[int, str]:
        """Send a message; return the HTTP status (0 without a response) and a description of the outcome."""
        identity, now = message_id(delivery), datetime.now(UTC)
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
        return status, gettext("Responded with status %(status)s", status=status)


def _enqueue(db: Session, workspace_id: UUID, deliveries: Iterable[UUID]) -> None:
    task = app.configure_task("notify.deliver_webhook", queue=QUEUE, connection=raw_connection(db))
    jobs: list[JSONDict] = [{"workspace_id": str(workspace_id), "delivery_id": str(each)} for each in deliveries]
    task.batch_defer(*jobs)
