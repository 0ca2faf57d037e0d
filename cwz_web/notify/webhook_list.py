"""The lists of webhooks, each with its last delivery, and of the deliveries of one."""

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, literal_column, select, true
from sqlalchemy.orm import Session, aliased

from cwz_web.db.pagination import Page, Sort, fetch_page, first_id
from cwz_web.i18n import gettext_noop
from cwz_web.notify.models import DELIVERY_STATE_LABELS, DeliveryState, Webhook, WebhookDelivery

DELIVERY_PAGE = 50
NEWEST = Sort(gettext_noop("Newest first"))
FAILURE_DAYS = 7
MAX_FAILURES = 1000
# Constants and no parameters: PostgreSQL uses the index of other states than “delivered” only if it can prove its
# condition.
DELIVERY_STATES: dict[str, tuple[str, ColumnElement[bool]]] = {
    state: (DELIVERY_STATE_LABELS[state], literal_column(f"webhook_deliveries.state = '{state}'"))
    for state in (DeliveryState.FAILED, DeliveryState.PENDING, DeliveryState.DELIVERED)
}
_message_id = re.compile(r"(?:msg_)?([0-9a-f]{32})")


@dataclass(frozen=True)
class ListedWebhook:
    """A webhook, its last delivery, and how many failed in FAILURE_DAYS, at most MAX_FAILURES."""

    webhook: Webhook
    last: WebhookDelivery | None
    failures: int


def list_webhook_states(db: Session, workspace_id: UUID) -> list[ListedWebhook]:
    """Return the workspace's webhooks with their deliveries, oldest first, with one query."""
    own = and_(WebhookDelivery.workspace_id == Webhook.workspace_id, WebhookDelivery.webhook_id == Webhook.id)
    last = aliased(
        WebhookDelivery, select(WebhookDelivery).where(own).order_by(WebhookDelivery.id.desc()).limit(1).lateral()
    )
    since = first_id(datetime.now(UTC) - timedelta(days=FAILURE_DAYS))
    failed = select(WebhookDelivery.id).where(own, DELIVERY_STATES["failed"][1], WebhookDelivery.id >= since)
    bounded = failed.limit(MAX_FAILURES).correlate(Webhook).subquery()
    failures = select(func.count().label("failures")).select_from(bounded).lateral()
    query = select(Webhook, last, failures.c.failures).select_from(Webhook)
    rows = db.execute(
        query.outerjoin(last, true())
        .join(failures, true())
        .where(Webhook.workspace_id == workspace_id)
        .order_by(Webhook.id)
    )
    return [ListedWebhook(webhook, delivery, count) for webhook, delivery, count in rows]


def find_deliveries(
    db: Session, webhook: Webhook, *, search: str = "", state: str = "", after: UUID | None = None
) -> Page[WebhookDelivery]:
    """Return a page of a webhook's deliveries, newest first.

    Args:
        db: A transaction in the workspace.
        webhook: The webhook.
        search: Only the delivery of the message with this id.
        state: Only deliveries in this state, one of DELIVERY_STATES.
        after: Where the page begins.
    """
    workspace_id = webhook.workspace_id
    conditions = [WebhookDelivery.workspace_id == workspace_id, WebhookDelivery.webhook_id == webhook.id]
    if search:
        found = _message_id.fullmatch(search.lower())
        conditions.append(WebhookDelivery.id == (UUID(found[1]) if found else None))
    if state:
        conditions.append(DELIVERY_STATES[state][1])
    query = select(WebhookDelivery).where(*conditions)
    page = fetch_page(
        db, query, WebhookDelivery, workspace_id=workspace_id, sort=NEWEST, after=after, size=DELIVERY_PAGE
    )
    return replace(page, rows=[row[0] for row in page.rows])
