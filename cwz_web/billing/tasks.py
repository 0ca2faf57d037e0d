"""The jobs of billing."""

import structlog
from procrastinate import JobContext

from cwz_web.billing.subscriptions import BillingService, all_customers, forget_old, queue_customer_sync, sync_customer
from cwz_web.jobs import BILLING_QUEUE, LongRetry, app

log = structlog.get_logger()

RETRY = LongRetry()


@app.task(name="billing.look_again", queue=BILLING_QUEUE, retry=RETRY, pass_context=True)
def look(context: JobContext, customer: str) -> None:
    """See how things are with a customer."""
    if billing := _cashier(context):
        sync_customer(context.additional_context["database"], billing, customer)


@app.task(name="billing.look_at_charge", queue=BILLING_QUEUE, retry=RETRY, pass_context=True)
def sync_charge(context: JobContext, charge: str) -> None:
    """See how things are with whoever paid a charge."""
    billing = _cashier(context)
    customer = billing.stripe.customer_of(charge) if billing else None
    if customer:
        with context.additional_context["database"].transaction() as db:
            queue_customer_sync(db, customer)


@app.task(name="billing.cancel", queue=BILLING_QUEUE, retry=RETRY, pass_context=True)
def cancel(context: JobContext, subscription: str) -> None:
    """End the subscription of a workspace that is gone."""
    if billing := _cashier(context):
        billing.stripe.cancel(subscription)


@app.periodic(cron="23 3 * * *")
@app.task(name="billing.reconcile", queue=BILLING_QUEUE, queueing_lock="reconcile", pass_context=True)
def reconcile(context: JobContext, timestamp: int) -> None:
    """Look at every customer once a night, whatever events came or did not; and drop what is too old."""
    with context.additional_context["database"].transaction() as db:
        forget_old(db)
        for customer in all_customers(db) if _cashier(context) else ():
            queue_customer_sync(db, customer)


def _cashier(context: JobContext) -> BillingService | None:
    """None where there is no billing."""
    billing: BillingService | None = context.additional_context["cashier"]
    return billing
