"""Billing: the plan, its usage and invoices. Payment happens on Stripe's own pages."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from time import time

import structlog
from pyramid.httpexceptions import HTTPSeeOther, HTTPUnprocessableEntity
from pyramid.renderers import render_to_response
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.billing.models import BillingRecord, Subscription
from cwz_web.billing.plans import count_usage, find_plan
from cwz_web.billing.stripe_api import GOOD, UNPAID, Price, PriceNotFoundError, StripeUnavailableError
from cwz_web.billing.subscriptions import (
    enqueue_customer_sync,
    ensure_customer,
    find_subscription,
    list_billing_entries,
)
from cwz_web.db.session import enter_workspace
from cwz_web.generation.usage import month_of, monthly_usage, next_month
from cwz_web.i18n import gettext, gettext_noop, long_date, money
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import BillingResource
from cwz_web.settings import Plan
from cwz_web.views.plan_features import list_plan_features
from cwz_web.views.usage_chart import DayUsage, find_day_usage
from cwz_web.views.usage_meters import Meter, list_meters
from cwz_web.web.forms import Form, read_form
from cwz_web.web.rendering import template_values
from cwz_web.web.request import Request
from cwz_web.web.transactions import release_connection
from cwz_web.workspaces.audit import record
from cwz_web.workspaces.models import Workspace

log = structlog.get_logger()

# How long the page polls for Stripe's events after the user returns.
POLL_SECONDS = 60
PAGE = "billing/page.jinja2"
STRIPE_UNAVAILABLE = gettext_noop("Stripe is not reachable at the moment. Nothing was changed. Try again in a minute")
PRICE_UNAVAILABLE = gettext_noop(
    "This plan is not available at the moment. Nothing was changed; the operator has been notified"
)

# Stripe's statuses of invoices, then of disputes; `warning_*` is an inquiry that may become a dispute.
STATUS_LABELS = {
    "open": gettext_noop("Open"),
    "paid": gettext_noop("Paid"),
    "uncollectible": gettext_noop("Uncollectible"),
    "void": gettext_noop("Void"),
    "warning_needs_response": gettext_noop("Inquiry needs response"),
    "warning_under_review": gettext_noop("Inquiry under review"),
    "warning_closed": gettext_noop("Inquiry closed"),
    "needs_response": gettext_noop("Needs response"),
    "under_review": gettext_noop("Under review"),
    "won": gettext_noop("Won"),
    "lost": gettext_noop("Lost"),
    "prevented": gettext_noop("Prevented"),
    "appeal_needs_response": gettext_noop("Appeal needs response"),
    "appeal_under_review": gettext_noop("Appeal under review"),
}


@dataclass(frozen=True)
class PlanPanel:
    """The workspace's plan and the state of its subscription.

    Attributes:
        since: The Unix time of the return from Stripe, while its events are awaited; else 0.
        status_text: What the subscription's state means for the user.
        is_paying: Whether a subscription is active, in trial or past due.
    """

    plan: Plan
    subscription: Subscription | None
    since: int
    status_text: str
    is_paying: bool
    is_unpaid: bool


@dataclass(frozen=True)
class PlanFragment:
    """The view model of billing/_plan.jinja2."""

    panel: PlanPanel


@dataclass(frozen=True)
class BillingRow:
    """An invoice or a dispute in the table of invoices."""

    record: BillingRecord
    label: str


@dataclass(frozen=True)
class Offer:
    """A paid plan: its name, what it includes, and its prices by lookup key."""

    label: str
    features: list[str]
    prices: dict[str, str]


@dataclass(frozen=True)
class BillingPage:
    """The view model of billing/page.jinja2."""

    panel: PlanPanel
    meters: list[Meter]
    resets_on: date
    days: list[DayUsage]
    entries: list[BillingRow]
    offers: list[Offer]
    error_message: str | None = None


class SubscribeForm(Form):
    """The lookup key of the chosen price."""

    price: str


@view_config(context=BillingResource, request_method="GET", renderer=PAGE, permission=Permission.BILLING_MANAGE)
def billing_page(context: BillingResource, request: Request) -> BillingPage:
    """Show plan, usage and invoices; after a return from Stripe, synchronize first."""
    subscription = find_subscription(request.db, request.workspace.workspace_id)
    since = 0
    if subscription and subscription.customer and request.GET.get("back"):
        with request.services.database.transaction() as db:
            enqueue_customer_sync(db, subscription.customer)
        since = int(time())
    return _page(request, since)


@view_config(
    context=BillingResource,
    name="plan",
    request_method="GET",
    renderer="billing/_plan.jinja2",
    permission=Permission.BILLING_MANAGE,
)
def plan_panel(context: BillingResource, request: Request) -> PlanFragment:
    """Return the plan's panel, for the page that polls for Stripe's events."""
    return PlanFragment(_panel(request, _parse_timestamp(request.GET.get("since", ""))))


@view_config(
    context=BillingResource,
    request_method="POST",
    renderer=PAGE,
    permission=Permission.BILLING_MANAGE,
    rate_limit="billing",
    requires_recent_auth=True,
)
def subscribe(context: BillingResource, request: Request) -> Response:
    """Redirect to Stripe Checkout; a paying workspace changes its plan in the Customer Portal instead."""
    stripe = request.billing.stripe
    form = read_form(SubscribeForm, request.POST)
    subscription = find_subscription(request.db, request.workspace.workspace_id)
    plans = request.services.settings.plan.values()
    if form.value is None or not any(form.value.price in plan.prices for plan in plans):
        raise HTTPUnprocessableEntity(gettext("Choose one of the plans"))
    if subscription is not None and subscription.status in (*GOOD, *UNPAID):
        raise HTTPUnprocessableEntity(gettext("This workspace already has a plan. Use “Change plan”"))
    price, return_url = form.value.price, _return_url(request)
    return _redirect_to_stripe(
        request, lambda customer: stripe.create_checkout_url(customer, price, return_url), "billing.checkout", price
    )


@view_config(
    context=BillingResource,
    name="portal",
    request_method="POST",
    renderer=PAGE,
    permission=Permission.BILLING_MANAGE,
    rate_limit="billing",
    requires_recent_auth=True,
)
def portal(context: BillingResource, request: Request) -> Response:
    """Redirect to the Stripe Customer Portal."""
    stripe, return_url = request.billing.stripe, _return_url(request)
    return _redirect_to_stripe(
        request, lambda customer: stripe.create_portal_url(customer, return_url), "billing.portal", "Stripe"
    )


def _redirect_to_stripe(request: Request, create_url: Callable[[str], str], action: str, target: str) -> Response:
    """Redirect to a page of Stripe for the workspace's customer. Stripe is called outside of any transaction."""
    services, workspace_id = request.services, request.workspace.workspace_id
    email = request.user.account.email
    release_connection(request)
    try:
        with services.outbound.slot():
            url = create_url(ensure_customer(services.database, request.billing.stripe, workspace_id, email))
    except (StripeUnavailableError, PriceNotFoundError) as error:
        log.error("stripe request failed", reason=str(error), type=type(error).__name__)
        enter_workspace(request.db, workspace_id)
        request.response.status = 503
        message = PRICE_UNAVAILABLE if isinstance(error, PriceNotFoundError) else STRIPE_UNAVAILABLE
        return render_to_response(
            PAGE,
            template_values(_page(request, error_message=gettext(message))),
            request=request,
            response=request.response,
        )
    with services.database.transaction(workspace_id) as db:
        record(db, workspace_id, request.actor, action, target, {})
    return HTTPSeeOther(url)


def _return_url(request: Request) -> str:
    return f"{request.services.settings.url}{request.path_in('billing')}"


def _page(request: Request, since: int = 0, error_message: str | None = None) -> BillingPage:
    workspace_id = request.workspace.workspace_id
    # Forms redirect to Stripe's pages, which the Content-Security-Policy has to name.
    request.form_targets = request.services.settings.billing.stripe_pages
    panel = _panel(request, since)
    images = monthly_usage(request.db, workspace_id, workspace_id)
    counts = count_usage(request.db, workspace_id)
    days = find_day_usage(request.db, workspace_id)
    entries = list_billing_entries(request.db, workspace_id)
    # Stripe is called outside of any transaction, so last.
    release_connection(request)
    return BillingPage(
        panel=panel,
        meters=list_meters(images, panel.plan.images, counts, panel.plan),
        resets_on=next_month(month_of()),
        days=days,
        entries=[_billing_row(entry) for entry in entries],
        offers=[] if panel.is_paying else _offers(request),
        error_message=error_message,
    )


def _billing_row(entry: BillingRecord) -> BillingRow:
    # Stripe adds statuses now and then.
    label = STATUS_LABELS.get(entry.status)
    return BillingRow(entry, gettext(label) if label else entry.status.replace("_", " ").capitalize())


def _panel(request: Request, since: int) -> PlanPanel:
    """Return the plan's panel; it polls until Stripe's state is newer than `since`, for POLL_SECONDS at most."""
    workspace = request.db.get_one(Workspace, request.workspace.workspace_id)
    subscription = find_subscription(request.db, workspace.id)
    is_synced = subscription is None or (
        subscription.synced_at is not None and subscription.synced_at.timestamp() >= since
    )
    return PlanPanel(
        plan=find_plan(request.services.settings, workspace.plan),
        subscription=subscription,
        since=since if since and not is_synced and time() < since + POLL_SECONDS else 0,
        status_text=_describe_status(subscription, workspace.read_only_from),
        is_paying=subscription is not None and subscription.status in (*GOOD, *UNPAID),
        is_unpaid=subscription is not None and subscription.status in UNPAID,
    )


def _describe_status(subscription: Subscription | None, read_only_from: datetime | None) -> str:
    if subscription is None or subscription.status not in (*GOOD, *UNPAID):
        return gettext("Free of charge.")
    if subscription.status in UNPAID:
        if read_only_from is None:
            return gettext(
                "The last payment failed. Until it is paid, the workspace can become read-only. Nothing is deleted."
            )
        if read_only_from <= datetime.now(UTC):
            return gettext(
                "The last payment failed, so the workspace has been read-only since %(day)s. Nothing is deleted.",
                day=long_date(read_only_from),
            )
        return gettext(
            "The last payment failed. Everything keeps working until %(day)s. After that, the workspace is read-only."
            " Nothing is deleted.",
            day=long_date(read_only_from),
        )
    period_ends_on = long_date(subscription.period_ends_at) if subscription.period_ends_at else None
    if subscription.status == "trialing":
        return gettext("Free trial until %(day)s.", day=period_ends_on) if period_ends_on else gettext("Free trial.")
    if subscription.ends_at:
        return gettext(
            "Ends on %(day)s; then the workspace is on the free plan. Nothing is deleted.",
            day=long_date(subscription.ends_at),
        )
    return gettext("Renews on %(day)s.", day=period_ends_on) if period_ends_on else ""


def _offers(request: Request) -> list[Offer]:
    """Return the paid plans with their prices; without prices while Stripe does not respond."""
    try:
        prices = request.billing.stripe.list_prices()
    except StripeUnavailableError as error:
        log.warning("stripe prices unavailable", reason=str(error))
        prices = {}
    settings = request.services.settings
    plans = [plan for plan in settings.plan.values() if plan.prices]
    return [
        Offer(
            plan.label,
            list_plan_features(plan, settings.retention.history_days),
            {key: _price_text(prices[key]) for key in plan.prices if key in prices},
        )
        for plan in plans
    ]


def _price_text(price: Price) -> str:
    amount = money(price.amount, price.currency)
    match price.interval:
        case "day":
            return gettext("%(amount)s a day", amount=amount)
        case "week":
            return gettext("%(amount)s a week", amount=amount)
        case "month":
            return gettext("%(amount)s a month", amount=amount)
        case "year":
            return gettext("%(amount)s a year", amount=amount)
    return amount


def _parse_timestamp(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 12 else 0
