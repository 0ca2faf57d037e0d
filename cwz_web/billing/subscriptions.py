"""Synchronization of subscriptions with Stripe, and emails about changes.

An event only names the customer to synchronize; the whole state is then fetched from Stripe and stored. Events may
therefore arrive twice or in any order, and a nightly job makes up for lost ones. Nothing is deleted because of a missed
payment: after the grace period the workspace is read-only.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import delete, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from cwz_web.billing.models import BillingRecord, StripeEvent, Subscription
from cwz_web.billing.stripe_api import GOOD, UNPAID, BillingEntry, CustomerState, Event, Stripe
from cwz_web.db.session import Database, raw_connection
from cwz_web.i18n import gettext, long_date
from cwz_web.jobs import BILLING_QUEUE, app
from cwz_web.notify.emails import EmailMessage
from cwz_web.settings import FREE, Settings
from cwz_web.workspaces.members import admin_reason, email_admins
from cwz_web.workspaces.models import Workspace

log = structlog.get_logger()

# Stripe does not resend events after 30 days.
_EVENTS_EXPIRE = text("now() - interval '400 days'")
_CUSTOMERS = text("SELECT workspace_id, customer FROM find_stripe_customers(:customer)")


@dataclass(frozen=True)
class BillingService:
    """The Stripe client and the settings that billing needs."""

    stripe: Stripe
    settings: Settings

    @classmethod
    def of(cls, settings: Settings) -> "BillingService | None":
        """Return the service, or None if the installation has no billing."""
        return cls(Stripe(settings), settings) if settings.billing.enabled else None


def record_event(db: Session, event: Event) -> None:
    """Record an event and enqueue the synchronization of its customer; ignore a repeated event."""
    object_id = event.charge or event.customer
    row = insert(StripeEvent).values(id=event.id, type=event.type, object_id=object_id)
    if object_id is None or not db.scalar(row.on_conflict_do_nothing().returning(StripeEvent.id)):
        return
    if event.charge:
        _defer(db, "billing.sync_charge", object_id, charge=object_id)
    else:
        enqueue_customer_sync(db, object_id)


def find_subscription(db: Session, workspace_id: UUID) -> Subscription | None:
    """Return the subscription record of a workspace."""
    return db.get(Subscription, workspace_id)


def list_billing_entries(db: Session, workspace_id: UUID, limit: int = 100) -> list[BillingRecord]:
    """Return the newest invoices and disputes."""
    own = select(BillingRecord).where(BillingRecord.workspace_id == workspace_id)
    return list(db.scalars(own.order_by(BillingRecord.issued_at.desc(), BillingRecord.id).limit(limit)))


def ensure_customer(database: Database, stripe: Stripe, workspace_id: UUID, email: str) -> str:
    """Return the id of the workspace's customer in Stripe; create the customer if there is none.

    Args:
        database: The application's database.
        stripe: Stripe's API.
        workspace_id: The workspace.
        email: The email address of a new customer.

    Raises:
        StripeUnavailableError: Stripe does not respond.
    """
    with database.transaction(workspace_id) as db:
        name = db.get_one(Workspace, workspace_id).name
        subscription = find_subscription(db, workspace_id)
        # After a customer was deleted in Stripe, the idempotency key has to be another one.
        number = int(subscription.synced_at.timestamp()) if subscription and subscription.synced_at else 0
    if subscription is not None and subscription.customer is not None:
        return subscription.customer
    customer = stripe.create_customer(workspace_id, name, email, number)
    with database.transaction(workspace_id) as db:
        row = insert(Subscription).values(workspace_id=workspace_id, customer=customer)
        first = func.coalesce(Subscription.customer, row.excluded.customer)
        row = row.on_conflict_do_update(index_elements=["workspace_id"], set_={"customer": first})
        return str(db.scalar(row.returning(Subscription.customer)))


def enqueue_customer_sync(db: Session, customer: str) -> None:
    """Enqueue the synchronization of a customer in the current transaction."""
    _defer(db, "billing.sync_customer", customer, customer=customer)


def sync_customer(database: Database, billing: BillingService, customer: str) -> None:
    """Fetch a customer's state from Stripe and store it.

    Raises:
        StripeUnavailableError: Stripe does not respond.
    """
    with database.transaction() as db:
        row = db.execute(_CUSTOMERS, {"customer": customer}).one_or_none()
    if row is None:
        log.info("unknown Stripe customer", customer=customer)
        return
    state = billing.stripe.fetch_customer(customer)
    # Deleted workspaces too: bookkeeping needs the last invoice, and the workspace may be restored.
    with database.transaction(row.workspace_id, deleted=True) as db:
        _store_state(db, billing.settings, row.workspace_id, state)


def list_customers(db: Session) -> list[str]:
    """Return the customers of all workspaces."""
    return [row.customer for row in db.execute(_CUSTOMERS, {"customer": None})]


def delete_expired_records(db: Session) -> None:
    """Delete records after seven years, and events that Stripe will not send again."""
    db.execute(text("SELECT delete_old_billing_records()"))
    db.execute(delete(StripeEvent).where(StripeEvent.received_at < _EVENTS_EXPIRE))


def _defer(db: Session, task: str, object_id: str, **arguments: str) -> None:
    # One job per customer at a time: an older response from Stripe must not overwrite a newer one.
    options: Any = {"connection": raw_connection(db)}
    app.configure_task(task, queue=BILLING_QUEUE, lock=f"stripe/{object_id}", **options).defer(**arguments)


def _store_state(db: Session, settings: Settings, workspace_id: UUID, state: CustomerState) -> None:
    workspace = db.get(Workspace, workspace_id, with_for_update=True)
    subscription = db.get(Subscription, workspace_id, with_for_update=True)
    if workspace is None or subscription is None:
        return
    new_disputes = _store_entries(db, workspace_id, state.entries)
    previous = workspace.plan, subscription.status
    subscription.status, subscription.subscription = state.status, state.subscription
    subscription.period_ends_at, subscription.ends_at = state.period_ends_at, state.ends_at
    subscription.synced_at = datetime.now(UTC)
    if not state.exists:
        subscription.customer = None
    if state.status not in (*GOOD, *UNPAID):
        workspace.plan = FREE
    elif state.plan is not None:
        workspace.plan = state.plan
    else:
        # A paid plan is not withdrawn because its price is not configured.
        log.error(
            "subscription price has no plan",
            workspace=str(workspace_id),
            subscription=state.subscription,
        )
    if state.status in UNPAID:
        subscription.unpaid_since = state.unpaid_since or subscription.unpaid_since or datetime.now(UTC)
        workspace.read_only_from = subscription.unpaid_since + timedelta(days=settings.billing.grace_days)
    else:
        subscription.unpaid_since = workspace.read_only_from = None
    db.flush()
    _email_changes(db, settings, workspace, subscription, previous, new_disputes)


def _store_entries(db: Session, workspace_id: UUID, entries: tuple[BillingEntry, ...]) -> list[str]:
    """Insert or update invoices and disputes; return the ids of new disputes."""
    own = select(BillingRecord.id).where(
        BillingRecord.workspace_id == workspace_id, BillingRecord.id.in_([entry.id for entry in entries])
    )
    known = set(db.scalars(own))
    if entries:
        rows = insert(BillingRecord).values([{"workspace_id": workspace_id, **vars(entry)} for entry in entries])
        changes = {name: rows.excluded[name] for name in ("number", "status", "amount", "paid")}
        db.execute(rows.on_conflict_do_update(index_elements=["workspace_id", "id"], set_=changes))
    return [entry.id for entry in entries if entry.type == "dispute" and entry.id not in known]


def _email_changes(
    db: Session,
    settings: Settings,
    workspace: Workspace,
    subscription: Subscription,
    previous: tuple[str, str],
    disputes: list[str],
) -> None:
    """Email the admins about what changed since the previous synchronization.

    Args:
        previous: The plan and the subscription's status before.
        disputes: Ids of new disputes.
    """
    plan, status = previous
    label = settings.plan[workspace.plan].label if workspace.plan in settings.plan else workspace.plan
    url = f"{settings.url}/w/{workspace.slug}/billing"
    if subscription.status in UNPAID and status not in UNPAID and workspace.read_only_from:
        email_admins(db, workspace.id, partial(_payment_failed, workspace, label, url, workspace.read_only_from))
    elif workspace.plan != plan:
        email_admins(db, workspace.id, partial(_plan_changed, workspace, label, url))
    elif status in UNPAID and subscription.status in GOOD:
        email_admins(db, workspace.id, partial(_payment_received, workspace, url))
    for dispute in disputes:
        log.error("payment disputed", workspace=str(workspace.id), dispute=dispute)
        email_admins(db, workspace.id, partial(_payment_disputed, workspace, url))


def _payment_failed(workspace: Workspace, plan: str, url: str, read_only_from: datetime) -> EmailMessage:
    name = workspace.name
    text = (
        gettext("The payment for the %(plan)s plan of %(workspace)s failed.", plan=plan, workspace=name),
        gettext(
            "Everything keeps working until %(day)s. After that, the workspace is read-only until the invoice is paid."
            " Nothing is deleted.",
            day=long_date(read_only_from),
        ),
    )
    return _email(workspace, gettext("%(workspace)s: payment failed", workspace=name), text, url)


def _plan_changed(workspace: Workspace, plan: str, url: str) -> EmailMessage:
    name = workspace.name
    text = [gettext("%(workspace)s is now on the %(plan)s plan.", workspace=name, plan=plan)]
    if workspace.plan == FREE:
        text.append(gettext("What exceeds its limits stays usable. Nothing is deleted."))
    subject = gettext("%(workspace)s: plan changed to %(plan)s", workspace=name, plan=plan)
    return _email(workspace, subject, tuple(text), url)


def _payment_received(workspace: Workspace, url: str) -> EmailMessage:
    name = workspace.name
    text = (gettext("We received the payment for %(workspace)s. Thank you.", workspace=name),)
    return _email(workspace, gettext("%(workspace)s: payment received", workspace=name), text, url)


def _payment_disputed(workspace: Workspace, url: str) -> EmailMessage:
    name = workspace.name
    text = gettext(
        "A payment for %(workspace)s was disputed with the bank. If this is a mistake, contact the bank.",
        workspace=name,
    )
    return _email(workspace, gettext("%(workspace)s: payment disputed", workspace=name), (text,), url)


def _email(workspace: Workspace, subject: str, text: tuple[str, ...], url: str) -> EmailMessage:
    return EmailMessage(subject, text, (gettext("Open billing"), url), admin_reason(workspace.name))
