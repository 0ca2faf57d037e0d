"""Keeping what we know of a workspace's subscription equal to what Stripe knows, and who hears of a change.

An event says only whom to ask about; how things are is asked of Stripe and written down whole. So events may come twice
or in any order, and a lost one is made up for at night. Nothing is ever deleted because somebody did not pay: after the
days of grace the workspace can be looked at, and no more.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import delete, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from cwz_web.billing.models import BillingRecord, StripeEvent, Subscription
from cwz_web.billing.stripe_api import GOOD, UNPAID, Bill, Event, State, Stripe
from cwz_web.db.session import Database, raw_connection
from cwz_web.jobs import BILLING_QUEUE, app
from cwz_web.notify.emails import EmailMessage
from cwz_web.settings import FREE, Settings
from cwz_web.workspaces.members import email_admins
from cwz_web.workspaces.models import Workspace

log = structlog.get_logger()

EVENTS_KEPT = text("now() - interval '400 days'")
_CUSTOMERS = text("SELECT workspace_id, customer FROM customers(:customer)")


@dataclass(frozen=True)
class BillingService:
    """What the jobs of billing need."""

    stripe: Stripe
    settings: Settings

    @classmethod
    def of(cls, settings: Settings) -> "BillingService | None":
        """The one that the settings describe, where there is billing."""
        return cls(Stripe(settings), settings) if settings.billing else None


def take_event(db: Session, event: Event) -> None:
    """Write an event down, and have somebody look at what it is about; once, however often it comes."""
    about = event.charge or event.customer
    row = insert(StripeEvent).values(id=event.id, type=event.type, about=about)
    if about is None or not db.scalar(row.on_conflict_do_nothing().returning(StripeEvent.id)):
        return
    if event.charge:
        _defer(db, "billing.look_at_charge", about, charge=about)
    else:
        queue_customer_sync(db, about)


def subscription_of(db: Session, workspace_id: UUID) -> Subscription | None:
    """What we know of a workspace's subscription."""
    return db.get(Subscription, workspace_id)


def bills_of(db: Session, workspace_id: UUID, limit: int = 100) -> list[BillingRecord]:
    """The newest invoices and disputes."""
    mine = select(BillingRecord).where(BillingRecord.workspace_id == workspace_id)
    return list(db.scalars(mine.order_by(BillingRecord.at.desc(), BillingRecord.id).limit(limit)))


def customer_for(database: Database, stripe: Stripe, workspace_id: UUID, email: str) -> str:
    """The workspace's customer in Stripe, made now if it has none. Raises StripeUnavailableError."""
    with database.transaction(workspace_id) as db:
        name = db.get_one(Workspace, workspace_id).name
        known = subscription_of(db, workspace_id)
        # After a customer that was deleted, another one: the number is in the name of the request.
        number = int(known.looked_at.timestamp()) if known and known.looked_at else 0
    if known is not None and known.customer is not None:
        return known.customer
    customer = stripe.new_customer(workspace_id, name, email, number)
    with database.transaction(workspace_id) as db:
        row = insert(Subscription).values(workspace_id=workspace_id, customer=customer)
        kept = func.coalesce(Subscription.customer, row.excluded.customer)
        row = row.on_conflict_do_update(index_elements=["workspace_id"], set_={"customer": kept})
        return str(db.scalar(row.returning(Subscription.customer)))


def queue_customer_sync(db: Session, customer: str) -> None:
    """Look again at a customer, once the transaction has committed."""
    _defer(db, "billing.look_again", customer, customer=customer)


def sync_customer(database: Database, billing: BillingService, customer: str) -> None:
    """Ask Stripe how things are with a customer, and write it down. Raises StripeUnavailableError."""
    with database.transaction() as db:
        found = db.execute(_CUSTOMERS, {"customer": customer}).one_or_none()
    if found is None:
        log.info("nobody's customer", customer=customer)
        return
    state = billing.stripe.state_of(customer)
    # Of a deleted workspace as well: the books want its last bill, and it may be brought back.
    with database.transaction(found.workspace_id, deleted=True) as db:
        _write(db, billing.settings, found.workspace_id, state)


def all_customers(db: Session) -> list[str]:
    """Every customer that a workspace has."""
    return [row.customer for row in db.execute(_CUSTOMERS, {"customer": None})]


def forget_old(db: Session) -> None:
    """Drop records after seven years, and events when Stripe will not send them again."""
    db.execute(text("SELECT forget_billing_records()"))
    db.execute(delete(StripeEvent).where(StripeEvent.came_at < EVENTS_KEPT))


def _defer(db: Session, task: str, about: str, **given: str) -> None:
    # One at a time: whoever asked Stripe first must not write last.
    place: Any = {"connection": raw_connection(db)}
    app.configure_task(task, queue=BILLING_QUEUE, lock=f"stripe/{about}", **place).defer(**given)


def _write(db: Session, settings: Settings, workspace_id: UUID, state: State) -> None:
    workspace = db.get(Workspace, workspace_id, with_for_update=True)
    known = db.get(Subscription, workspace_id, with_for_update=True)
    if workspace is None or known is None:
        return
    fresh_disputes = _keep(db, workspace_id, state.bills)
    before = workspace.plan, known.status
    known.status, known.subscription = state.status, state.subscription
    known.period_ends_at, known.ends_at = state.period_ends_at, state.ends_at
    known.looked_at = datetime.now(UTC)
    if not state.exists:
        known.customer = None
    if state.status not in (*GOOD, *UNPAID):
        workspace.plan = FREE
    elif state.plan is not None:
        workspace.plan = state.plan
    else:
        # What is paid for is not taken away because nobody knows its name.
        log.error("a price of no plan", workspace=str(workspace_id), subscription=state.subscription)
    if state.status in UNPAID:
        known.unpaid_since = state.unpaid_since or known.unpaid_since or datetime.now(UTC)
        workspace.read_only_from = known.unpaid_since + timedelta(days=settings.grace_days)
    else:
        known.unpaid_since = workspace.read_only_from = None
    db.flush()
    _tell(db, settings, workspace, known, before, fresh_disputes)


def _keep(db: Session, workspace_id: UUID, bills: tuple[Bill, ...]) -> list[str]:
    """Write bills down as they are now. Returns the ids of disputes that are new."""
    mine = select(BillingRecord.id).where(
        BillingRecord.workspace_id == workspace_id, BillingRecord.id.in_([bill.id for bill in bills])
    )
    known = set(db.scalars(mine))
    if bills:
        rows = insert(BillingRecord).values([{"workspace_id": workspace_id, **vars(bill)} for bill in bills])
        changing = {name: rows.excluded[name] for name in ("number", "status", "amount", "paid")}
        db.execute(rows.on_conflict_do_update(index_elements=["workspace_id", "id"], set_=changing))
    return [bill.id for bill in bills if bill.kind == "dispute" and bill.id not in known]


def _tell(
    db: Session,
    settings: Settings,
    workspace: Workspace,
    known: Subscription,
    before: tuple[str, str],
    disputes: list[str],
) -> None:
    """Write to the admins about what is different now, once."""
    plan, status = before
    label = settings.plan[workspace.plan].label if workspace.plan in settings.plan else workspace.plan
    link = ("Open billing", f"{settings.url}/w/{workspace.slug}/billing")
    reason = f"You get this mail because you are an admin of {workspace.name}."
    said: tuple[str, ...]
    if known.status in UNPAID and status not in UNPAID and workspace.read_only_from:
        day = f"{workspace.read_only_from:%-d %B %Y}"
        said = (
            f"The payment for the plan {label} of {workspace.name} did not arrive.",
            f"Everything works on until {day}. After that the workspace can only be looked at until it is paid;"
            " nothing is deleted.",
        )
        email_admins(db, workspace.id, EmailMessage(f"{workspace.name}: a payment failed", said, link, reason))
    elif workspace.plan != plan:
        said = (f"{workspace.name} has the plan {label} from now on.",)
        if workspace.plan == FREE:
            said += ("What goes beyond it stays as it is and can be used; nothing is deleted.",)
        email_admins(db, workspace.id, EmailMessage(f"{workspace.name}: the plan is {label}", said, link, reason))
    elif status in UNPAID and known.status in GOOD:
        said = (f"The payment for {workspace.name} arrived. Thank you.",)
        email_admins(db, workspace.id, EmailMessage(f"{workspace.name}: paid", said, link, reason))
    for dispute in disputes:
        log.error("a payment is disputed", workspace=str(workspace.id), dispute=dispute)
        said = (f"A payment for {workspace.name} was disputed with the bank. If that is a mistake, tell the bank.",)
        email_admins(db, workspace.id, EmailMessage(f"{workspace.name}: a payment is disputed", said, link, reason))
