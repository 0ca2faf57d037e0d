"""Billing: the plan, what was used of it, invoices; Stripe's own pages do the rest."""

from time import time
from typing import Any

import structlog
from pyramid.httpexceptions import HTTPSeeOther, HTTPUnprocessableEntity
from pyramid.view import view_config

from cwz_web.billing.plans import find_plan, count_usage
from cwz_web.billing.stripe_api import GOOD, UNPAID, Price, PriceNotFoundError, StripeUnavailableError
from cwz_web.billing.subscriptions import list_billing_entries, ensure_customer, enqueue_customer_sync, find_subscription
from cwz_web.db.session import enter_workspace
from cwz_web.generation.usage import month_of, next_month, usage_by_subject, usage_by_day
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import BillingResource
from cwz_web.settings import Plan
from cwz_web.web.forms import Form, read_form
from cwz_web.web.request import Request
from cwz_web.web.transactions import release_connection
from cwz_web.workspaces.audit import record
from cwz_web.workspaces.models import Workspace

log = structlog.get_logger()

WAIT_SECONDS = 60
PAGE = "billing/page.jinja2"
DOWN = "We cannot reach Stripe, which takes the payments, just now. Nothing was changed. Please try again in a minute"
NOT_FOR_SALE = "This plan cannot be bought just now. Nothing was changed; we have been told"


class SubscribeForm(Form):
    """The price that somebody wants to pay, by its lookup key."""

    price: str


@view_config(context=BillingResource, request_method="GET", renderer=PAGE, permission=Permission.BILLING_MANAGE)
def billing_page(context: BillingResource, request: Request) -> dict[str, Any]:
    """How things are. Whoever comes back from Stripe has its news looked at now."""
    known = find_subscription(request.db, request.workspace.workspace_id)
    since = 0
    if known and known.customer and request.GET.get("back"):
        with request.services.database.transaction() as db:
            enqueue_customer_sync(db, known.customer)
        since = int(time())
    return _page(request, since)


@view_config(
    context=BillingResource,
    name="standing",
    request_method="GET",
    renderer="billing/_standing.jinja2",
    permission=Permission.BILLING_MANAGE,
)
def standing_part(context: BillingResource, request: Request) -> dict[str, Any]:
    """The plan, for the page that waits for Stripe's news."""
    return _standing(request, _moment(request.GET.get("since", "")))


@view_config(
    context=BillingResource,
    request_method="POST",
    renderer=PAGE,
    permission=Permission.BILLING_MANAGE,
    rate_limit="billing",
)
def subscribe(context: BillingResource, request: Request) -> Any:
    """To Stripe's page on which a plan is paid for; whoever has one changes it there."""
    billing, settings = request.billing, request.services.settings
    form = read_form(SubscribeForm, request.POST)
    known = find_subscription(request.db, request.workspace.workspace_id)
    if form.value is None or not any(form.value.price in plan.prices for plan in settings.plan.values()):
        raise HTTPUnprocessableEntity("Choose one of the plans")
    if known is not None and known.status in (*GOOD, *UNPAID):
        raise HTTPUnprocessableEntity("There is a plan already: change it under “Change the plan”")
    price, back = form.value.price, _back(request)
    return _to_stripe(
        request, lambda customer: billing.stripe.create_checkout_url(customer, price, back), "billing.checkout", price
    )


@view_config(
    context=BillingResource,
    name="portal",
    request_method="POST",
    renderer=PAGE,
    permission=Permission.BILLING_MANAGE,
    rate_limit="billing",
)
def portal(context: BillingResource, request: Request) -> Any:
    """To Stripe's page on which the plan is changed and invoices are."""
    billing, back = request.billing, _back(request)
    return _to_stripe(request, lambda customer: billing.stripe.create_portal_url(customer, back), "billing.portal", "Stripe")


def _to_stripe(request: Request, page: Any, action: str, target: str) -> Any:
    """To one of Stripe's pages, for the workspace's customer. Stripe is asked outside of any transaction."""
    services, workspace_id = request.services, request.workspace.workspace_id
    email = request.user.account.email
    release_connection(request)
    try:
        customer = ensure_customer(services.database, request.billing.stripe, workspace_id, email)
        url = page(customer)
    except (StripeUnavailableError, PriceNotFoundError) as error:
        log.error("stripe", reason=str(error), kind=type(error).__name__)
        enter_workspace(request.db, workspace_id)
        request.response.status = 503
        return _page(request) | {"trouble": NOT_FOR_SALE if isinstance(error, PriceNotFoundError) else DOWN}
    with services.database.transaction(workspace_id) as db:
        record(db, workspace_id, request.actor, action, target, {})
    return HTTPSeeOther(url)


def _back(request: Request) -> str:
    return f"{request.services.settings.url}{request.path_in('billing')}"


def _page(request: Request, since: int = 0) -> dict[str, Any]:
    workspace_id = request.workspace.workspace_id
    # The forms' answers lead to Stripe's pages, which the browser has to know beforehand.
    request.form_targets = request.services.settings.billing.stripe_pages
    days = usage_by_day(request.db, workspace_id)
    most = max(used for _, used in days) or 1
    page = {
        **_standing(request, since),
        "used": usage_by_subject(request.db, workspace_id).get(workspace_id, 0),
        "things": count_usage(request.db, workspace_id),
        "resets": next_month(month_of()),
        "days": [(day, used, round(used * 100 / most)) for day, used in days],
        "bills": list_billing_entries(request.db, workspace_id),
        "trouble": None,
    }
    # Stripe is asked outside of any transaction, so last.
    release_connection(request)
    return page | {"prices": () if page["has_plan"] else _prices(request)}


def _standing(request: Request, since: int) -> dict[str, Any]:
    """How things are; the page waits for what Stripe says after the moment `since`, and not for ever."""
    workspace = request.db.get_one(Workspace, request.workspace.workspace_id)
    known = find_subscription(request.db, workspace.id)
    has_news = known is None or (known.synced_at is not None and known.synced_at.timestamp() >= since)
    return {
        "plan": find_plan(request.services.settings, workspace.plan),
        "known": known,
        "since": since if since and not has_news and time() < since + WAIT_SECONDS else 0,
        "has_plan": known is not None and known.status in (*GOOD, *UNPAID),
        "is_unpaid": known is not None and known.status in UNPAID,
        "read_only_from": workspace.read_only_from,
    }


def _prices(request: Request) -> list[tuple[Plan, list[Price]]]:
    """The plans that cost something, with their prices; without prices while Stripe does not answer."""
    try:
        known = request.billing.stripe.list_prices()
    except StripeUnavailableError as error:
        log.warning("no prices", reason=str(error))
        known = {}
    plans = [plan for plan in request.services.settings.plan.values() if plan.prices]
    return [(plan, [known[key] for key in plan.prices if key in known]) for plan in plans]


def _moment(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 12 else 0
