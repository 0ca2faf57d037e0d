"""Background jobs of billing."""

import structlog
from procrastinate import JobContext

from cwz_web.billing.subscriptions import (
    BillingService,
    delete_expired_records,
    enqueue_customer_sync,
    list_customers,
    sync_customer,
)
from cwz_web.jobs import BILLING_QUEUE, LongRetry, app

log = structlog.get_logger()

RETRY = LongRetry()


@app.task(name="billing.sync_customer", queue=BILLING_QUEUE, retry=RETRY, pass_context=True)
def sync_customer_job(context: JobContext, customer: str) -> None:
    """Synchronize a customer."""
    if billing := _billing(context):
        sync_customer(context.additional_context["database"], billing, customer)


@app.task(name="billing.sync_charge", queue=BILLING_QUEUE, retry=RETRY, pass_context=True)
def sync_charge(context: JobContext, charge: str) -> None:
    """Enqueue the synchronization of the customer who paid a charge."""
    billing = _billing(context)
    customer = billing.stripe.fetch_charge_customer(charge) if billing else None
    if customer:
        with context.additional_context["database"].transaction() as db:
            enqueue_customer_sync(db, customer)


@app.task(name="billing.cancel_subscription", queue=BILLING_QUEUE, retry=RETRY, pass_context=True)
def cancel_subscription(context: JobContext, subscription: str) -> None:
    """Cancel the subscription of a purged workspace."""
    if billing := _billing(context):
        billing.stripe.cancel_subscription(subscription)


@app.periodic(cron="23 3 * * *")
@app.task(name="billing.reconcile", queue=BILLING_QUEUE, queueing_lock="reconcile", pass_context=True)
def reconcile(context: JobContext, timestamp: int) -> None:
    """Synchronize every customer once a night, in case events were lost, and delete expired records."""
    with context.additional_context["database"].transaction() as db:
        delete_expired_records(db)
        for customer in list_customers(db) if _billing(context) else ():
            enqueue_customer_sync(db, customer)


def _billing(context: JobContext) -> BillingService | None:
    """Return the billing service, or None if the installation has no billing."""
    billing: BillingService | None = context.additional_context["billing"]
    return billing
