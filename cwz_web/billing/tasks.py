"""The jobs of billing."""

import structlog
from procrastinate import JobContext

from cwz_web.billing.subscriptions import Cashier, all_customers, forget_old, look_again, queue_look
from cwz_web.jobs import BILLING_QUEUE, Patient, app

log = structlog.get_logger()

RETRY = Patient()


@app.task(name="billing.look_again", queue=BILLING_QUEUE, retry=RETRY, pass_context=True)
def look(context: JobContext, customer: str) -> None:
    """See how things are with a customer."""
    if cashier := _cashier(context):
        look_again(context.additional_context["database"], cashier, customer)


@app.task(name="billing.look_at_charge", queue=BILLING_QUEUE, retry=RETRY, pass_context=True)
def look_at_charge(context: JobContext, charge: str) -> None:
    """See how things are with whoever paid a charge."""
    cashier = _cashier(context)
    customer = cashier.stripe.customer_of(charge) if cashier else None
    if customer:
        with context.additional_context["database"].transaction() as db:
            queue_look(db, customer)


@app.task(name="billing.cancel", queue=BILLING_QUEUE, retry=RETRY, pass_context=True)
def cancel(context: JobContext, subscription: str) -> None:
    """End the subscription of a workspace that is gone."""
    if cashier := _cashier(context):
        cashier.stripe.cancel(subscription)


@app.periodic(cron="23 3 * * *")
@app.task(name="billing.reconcile", queue=BILLING_QUEUE, queueing_lock="reconcile", pass_context=True)
def reconcile(context: JobContext, timestamp: int) -> None:
    """Look at every customer once a night, whatever events came or did not; and drop what is too old."""
    with context.additional_context["database"].transaction() as db:
        forget_old(db)
        for customer in all_customers(db) if _cashier(context) else ():
            queue_look(db, customer)


def _cashier(context: JobContext) -> Cashier | None:
    """None where there is no billing."""
    cashier: Cashier | None = context.additional_context["cashier"]
    return cashier
