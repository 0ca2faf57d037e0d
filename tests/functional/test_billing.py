"""Plans and Stripe: an HTTP server that responds as documented, signed events, real jobs."""

import json
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pyramid.router import Router
from sqlalchemy import select, text
from webtest import TestApp

from cwz_web.billing import tasks as billing_tasks
from cwz_web.billing.models import BillingRecord, StripeEvent, Subscription
from cwz_web.billing.plans import PlanLimit, PlanLimitError, check_plan_limit
from cwz_web.billing.stripe_api import InvalidSignatureError, Stripe, StripeUnavailableError
from cwz_web.billing.subscriptions import ensure_customer
from cwz_web.db.session import raw_connection
from cwz_web.feeds import tasks as feed_tasks
from cwz_web.feeds.imports import create_feed
from cwz_web.generation.api_keys import Scope
from cwz_web.generation.uploads import reserve_upload
from cwz_web.imaging.uploads import prepare_upload
from cwz_web.jobs import BILLING_QUEUE
from cwz_web.settings import FREE, SettingsError
from cwz_web.storage.connections import get_default_connection
from cwz_web.web.services import Services
from cwz_web.workspaces.account_deletion import delete_due_accounts
from cwz_web.workspaces.invitations import invite
from cwz_web.workspaces.models import Role, Workspace
from tests.conftest import STRIPE_SECRETS, make_settings
from tests.factories import Factory, jpeg, sign_in
from tests.jobs import run_jobs
from tests.mailbox import Mailbox, text_of
from tests.stripe_server import PAGES, SECRET_KEY, WEBHOOK_SECRET, StripeServer, signed

NOW = datetime.now(UTC)


@pytest.fixture
def stripe(shared_stripe: StripeServer) -> Iterator[StripeServer]:
    """The Stripe server without customers, reset afterwards."""
    shared_stripe.reset()
    yield shared_stripe
    shared_stripe.reset()


@pytest.fixture
def paid(services: Services, shared_paid_services: Services) -> Services:
    """The services of an installation with billing, on the same empty database."""
    assert shared_paid_services.database is services.database
    return shared_paid_services


@pytest.fixture
def app(paid: Services, wsgi_paid: Router) -> TestApp:
    return TestApp(wsgi_paid)


@pytest.fixture
def make(paid: Services) -> Factory:
    return Factory(paid)


@pytest.fixture
def space(make: Factory) -> Workspace:
    return make.workspace()


@pytest.fixture
def subscriber(paid: Services, stripe: StripeServer, app: TestApp, space: Workspace, make: Factory) -> "StripeCustomer":
    return StripeCustomer(paid, stripe, app, space)


class StripeCustomer:
    """A workspace that is a customer in Stripe."""

    def __init__(self, services: Services, stripe: StripeServer, app: TestApp, space: Workspace) -> None:
        self.services, self.stripe, self.app, self.space = services, stripe, app, space
        assert services.billing is not None
        self.customer = ensure_customer(services.database, services.billing.stripe, space.id, "admin@example.org")
        self.number = 0

    def send(self, event_type: str = "customer.subscription.updated", about: Any = None, **how: Any) -> None:
        """Send an event as Stripe does."""
        self.number += 1
        about = about or {"object": "subscription", "customer": self.customer}
        body = self.stripe.event(event_type, about, how.pop("identity", f"evt_{self.number}"))
        self.app.post("/hooks/stripe", body, headers=signed(body, **how), status=204)

    def work(self, concurrency: int = 1) -> None:
        """Run the queued jobs."""
        context = {"database": self.services.database, "billing": self.services.billing}
        run_jobs(self.services.settings.database.url.get_secret_value(), BILLING_QUEUE, context, concurrency)

    def process(self, **how: Any) -> Workspace:
        """Send an event, run its job and return the workspace."""
        self.send(**how)
        self.work()
        return self.now()

    def now(self) -> Workspace:
        with self.services.database.transaction(self.space.id) as db:
            return db.get_one(Workspace, self.space.id)

    def known(self) -> Subscription:
        with self.services.database.transaction(self.space.id) as db:
            return db.get_one(Subscription, self.space.id)

    def records(self) -> dict[str, str]:
        with self.services.database.transaction(self.space.id, deleted=True) as db:
            return {record.id: record.status for record in db.scalars(select(BillingRecord))}


def plan_status(subscriber: StripeCustomer) -> tuple[Any, ...]:
    workspace, known = subscriber.now(), subscriber.known()
    return (
        workspace.plan,
        workspace.read_only_from,
        known.status,
        known.subscription,
        known.unpaid_since,
        subscriber.records(),
    )


def test_without_stripe_there_is_no_billing_and_no_limit(services: Services, wsgi: Any) -> None:
    app, make = TestApp(wsgi), Factory(services)
    space = make.workspace()
    sign_in(app, make.member(space))
    assert "Billing" not in app.get(f"/w/{space.slug}").text
    app.get(f"/w/{space.slug}/billing", status=404)
    app.post("/hooks/stripe", b"{}", headers=signed(b"{}"), status=404)
    with services.database.transaction(space.id) as db:
        for number in range(5):
            check_plan_limit(db, services.settings, space.id, PlanLimit.FEEDS)
            make.feed(space, name=f"Feed {number}")


@pytest.mark.parametrize(
    "given", [{"billing": {"stripe_secret_key": SECRET_KEY}}, {"plan": {"pro": {"images": -1}}}, {"plan": {"x": {}}}]
)
def test_billing_settings_are_validated(app_url: str, tmp_path: Path, given: dict[str, Any]) -> None:
    with pytest.raises((SettingsError, ValueError)):
        make_settings(app_url, tmp_path, **given)


def test_active_subscription_sets_plan(subscriber: StripeCustomer, make: Factory, mailbox: Mailbox) -> None:
    admin = make.member(subscriber.space)
    assert subscriber.now().plan == FREE
    subscriber.stripe.subscribe(subscriber.customer, "pro")
    assert subscriber.process().plan == "pro"
    assert "is now on the Pro plan" in text_of(mailbox.last(admin.email))
    subscriber.stripe.subscribe(subscriber.customer, "scale")
    assert subscriber.process().plan == "scale"
    subscriber.stripe.objects["subscriptions"]["sub_1"]["status"] = "canceled"
    assert subscriber.process(event_type="customer.subscription.deleted").plan == FREE
    assert len([mail for mail in mailbox.emails() if mail["To"] == admin.email]) == 3


@pytest.mark.parametrize("status", ["incomplete", "incomplete_expired", "paused", "canceled"])
def test_unpaid_subscription_sets_no_plan(subscriber: StripeCustomer, status: str) -> None:
    subscriber.stripe.subscribe(subscriber.customer, "pro", status=status)
    assert subscriber.process().plan == FREE


def test_older_price_is_matched_by_product(subscriber: StripeCustomer) -> None:
    subscription = subscriber.stripe.subscribe(subscriber.customer, "pro")
    subscription["items"]["data"][0]["price"] |= {"id": "price_older", "lookup_key": None}
    assert subscriber.process().plan == "pro"


def test_unknown_price_keeps_plan(subscriber: StripeCustomer) -> None:
    subscription = subscriber.stripe.subscribe(subscriber.customer, "pro")
    subscriber.process()
    subscription["items"]["data"][0]["price"] |= {"id": "price_x", "lookup_key": None, "product": "prod_x"}
    assert subscriber.process().plan == "pro"


def test_best_of_two_subscriptions_counts(subscriber: StripeCustomer) -> None:
    subscriber.stripe.subscribe(subscriber.customer, "pro", "sub_1", status="past_due")
    subscriber.stripe.subscribe(subscriber.customer, "scale", "sub_2", status="canceled", created=9)
    subscriber.stripe.subscribe(subscriber.customer, "pro", "sub_3")
    assert subscriber.process().plan == "pro"
    assert subscriber.known().subscription == "sub_3"


def test_failed_payment_makes_workspace_read_only_after_grace_period(
    subscriber: StripeCustomer, app: TestApp, make: Factory, mailbox: Mailbox
) -> None:
    admin = make.member(subscriber.space)
    feed = make.feed(subscriber.space)
    template = make.template(subscriber.space)
    key = make.key(subscriber.space, Scope.ADMIN)
    sign_in(app, admin)
    due = NOW - timedelta(days=2)
    subscriber.stripe.subscribe(subscriber.customer, status="past_due")
    subscriber.stripe.invoice(subscriber.customer, "in_1", "open", due)
    subscriber.stripe.invoice(subscriber.customer, "in_2", "open", NOW)
    subscriber.process(
        event_type="invoice.payment_failed", about={"object": "invoice", "customer": subscriber.customer}
    )
    deadline = subscriber.now().read_only_from
    assert deadline is not None
    assert abs(deadline - due - timedelta(days=7)) < timedelta(seconds=2)
    assert "The last payment failed" in app.get(f"/w/{subscriber.space.slug}").text
    assert "Nothing is deleted" in text_of(mailbox.last(admin.email))
    head = {"Authorization": f"Bearer {key}", "Accept": "image/png"}
    app.post_json("/v1/images", {"template": str(template.id)}, headers=head, status=200)

    subscriber.stripe.objects["invoices"]["in_1"]["created"] -= 6 * 86400
    subscriber.process()
    page = app.get(f"/w/{subscriber.space.slug}/feeds/{feed.id}")
    assert "read-only until it is paid" in page.text
    assert page.html.find("a", string="Open billing") is not None
    billing = app.get(f"/w/{subscriber.space.slug}/billing")
    assert "The last payment failed, so the workspace has been read-only since" in billing.text
    assert billing.html.find("a", string="Open billing") is None, "it is this page"
    assert app.get(f"/w/{subscriber.space.slug}/feeds/new", status=402).html.find("a", string="View plans")
    token = page.html.find("input", {"name": "csrf_token"})["value"]
    app.post(f"/w/{subscriber.space.slug}/feeds/{feed.id}/delete", {"csrf_token": token}, status=402)
    refused = app.post_json(
        "/v1/images", {"template": str(template.id), "data": {"title": "New"}}, headers=head, status=402
    )
    assert refused.json["code"] == "read_only"
    app.get("/v1/feeds", headers=head, status=200)
    signed_url = subscriber.services.signed_urls.on_demand_image(
        subscriber.space.id, template.id, "png", {"title": "Another"}
    )
    assert app.get(signed_url, status=402).json["code"] == "quota_exceeded"

    for invoice in subscriber.stripe.objects["invoices"].values():
        invoice |= {"status": "paid", "amount_paid": 2900}
    subscriber.stripe.objects["subscriptions"]["sub_1"]["status"] = "active"
    assert subscriber.process(event_type="invoice.paid").read_only_from is None
    app.get(signed_url, status=200)
    assert "received the payment" in text_of(mailbox.last(admin.email))
    assert subscriber.records() == {"in_1": "paid", "in_2": "paid"}


def test_feeds_of_read_only_workspace_are_not_fetched(subscriber: StripeCustomer, make: Factory, app_url: str) -> None:
    make.source(make.feed(subscriber.space), cron="* * * * *", next_at=NOW - timedelta(hours=1))
    context: dict[str, object] = {"database": subscriber.services.database, "quotas": subscriber.services.quotas}
    for unpaid_for, expected in ((30, 0), (None, 1)):
        with subscriber.services.database.transaction(subscriber.space.id) as db:
            space = db.get_one(Workspace, subscriber.space.id)
            space.read_only_from = NOW - timedelta(days=unpaid_for) if unpaid_for else None
        with subscriber.services.database.transaction() as db:
            feed_tasks.enqueue_due.configure(connection=raw_connection(db)).defer(timestamp=0)
        run_jobs(app_url, "default", context)
        with psycopg.connect(app_url) as connection:
            waiting = connection.execute(
                "SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'feeds.fetch'"
            ).fetchone()
        assert waiting == (expected,)


def test_only_admins_see_billing(subscriber: StripeCustomer, app: TestApp, make: Factory) -> None:
    for role, status in ((Role.USER, 403), (Role.SUPPORT, 403), (Role.ADMIN, 200)):
        other = TestApp(app.app)
        sign_in(other, make.member(subscriber.space, role))
        here = f"/w/{subscriber.space.slug}"
        other.get(f"{here}/billing", status=status)
        found = [link["href"] for link in other.get(f"{here}/search?q=").html.select(".search-results a")]
        assert (f"{here}/billing" in found) == (status == 200)
        assert (f"{here}/usage" in found) == (status != 200), "it is a part of billing"
        usage = other.get(f"{here}/usage", status=303 if status == 200 else 200)
        page = usage if status != 200 else usage.follow(status=200)
        assert [each["max"] for each in page.html.find_all("progress")][:1] == ["1"], "the images of the plan"
        assert bool(page.html.find("section", {"aria-labelledby": "plans"})) == (status == 200)
        link = f"{here}/{'billing' if status == 200 else 'usage'}"
        assert page.html.select_one(f'nav a[href="{link}"]')


@pytest.mark.parametrize("order", range(3))
def test_repeated_and_reordered_events_converge(subscriber: StripeCustomer, order: int) -> None:
    """Replay the events of a quarter, shuffled and doubled; the stored state equals Stripe's."""
    stripe = subscriber.stripe
    subscription = stripe.subscribe(subscriber.customer, "scale", status="past_due", latest_invoice="in_3")
    invoices = [stripe.invoice(subscriber.customer, f"in_{n}", "paid", NOW - timedelta(days=60 - n)) for n in (1, 2)]
    invoices.append(stripe.invoice(subscriber.customer, "in_3", "open", NOW - timedelta(days=3)))
    charge = stripe.add("charges", "charge", "ch_1", customer=subscriber.customer, disputed=True)
    dispute = stripe.add("disputes", "dispute", "dp_1", charge="ch_1")
    session = {"object": "checkout.session", "id": "cs_1", "customer": subscriber.customer}
    events: list[tuple[str, Any]] = [("checkout.session.completed", session), ("charge.dispute.created", dispute)]
    events += [(f"customer.subscription.{what}", subscription) for what in ("created", "updated", "updated")]
    events += [(kind, invoice) for invoice in invoices for kind in ("invoice.created", "invoice.paid")]
    events += [
        ("invoice.payment_failed", invoices[2]),
        ("customer.updated", stripe.objects["customers"][subscriber.customer]),
    ]
    events += [("charge.succeeded", charge), ("price.updated", {"object": "price", "id": "price_1"})]
    # Outdated payloads change nothing.
    events += [("customer.subscription.updated", subscription | {"status": "active", "items": {"data": []}})]
    bodies = [stripe.event(kind, about, f"evt_{number}") for number, (kind, about) in enumerate(events)] * 2
    shuffled = random.Random(order)
    shuffled.shuffle(bodies)
    for body in bodies:
        subscriber.app.post("/hooks/stripe", body, headers=signed(body), status=204)
        if shuffled.random() < 0.1:
            subscriber.work()
    subscriber.work()
    plan, read_only_from, status, identity, unpaid_since, records = plan_status(subscriber)
    assert (plan, status, identity) == ("scale", "past_due", "sub_1")
    assert read_only_from - unpaid_since == timedelta(days=7)
    assert records == {"in_1": "paid", "in_2": "paid", "in_3": "open", "dp_1": "warning_needs_response"}
    with subscriber.services.database.transaction() as db:
        assert len(db.scalars(select(StripeEvent.id)).all()) == len(events) - 1  # one concerns no customer


def test_older_response_does_not_overwrite_newer_one(subscriber: StripeCustomer) -> None:
    """Stripe's state changes while the first of several jobs reads it; the last job wins."""
    subscriber.stripe.subscribe(subscriber.customer, "pro")
    for _ in range(3):
        subscriber.send()

    def change(path: str) -> None:
        if path == "subscriptions":
            subscriber.stripe.before_answer = lambda path: None
            subscriber.stripe.subscribe(subscriber.customer, "scale")

    subscriber.stripe.before_answer = change
    subscriber.work(concurrency=3)
    subscriber.work()  # jobs held back by the lock
    assert subscriber.now().plan == "scale"


@pytest.mark.parametrize(
    "how",
    [
        {"secret": "whsec_wrong"},
        {"ago": timedelta(minutes=6)},
        {"ago": timedelta(minutes=-6)},
    ],
)
def test_forged_event_is_rejected(subscriber: StripeCustomer, how: dict[str, Any]) -> None:
    body = subscriber.stripe.event(
        "customer.subscription.updated", {"object": "subscription", "customer": subscriber.customer}, "evt_1"
    )
    assert (
        subscriber.app.post("/hooks/stripe", body, headers=signed(body, **how), status=401).json["code"]
        == "invalid_signature"
    )
    assert_no_events(subscriber)


@pytest.mark.parametrize(
    "header",
    ["", "t=1", "v1=abc", "t=x,v1=y", "t=1,v1=ü", "t=99999999999999999999,v1=00", "=,=", "t=1,v0=" + "0" * 64],
)
def test_malformed_signature_is_rejected(subscriber: StripeCustomer, header: str) -> None:
    body = subscriber.stripe.event("customer.updated", {"object": "customer", "id": subscriber.customer}, "evt_1")
    headers = {"Stripe-Signature": header.encode().decode("latin-1")}
    subscriber.app.post("/hooks/stripe", body, headers=headers, status=401)
    assert_no_events(subscriber)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff\xfe",
        b'{"id": "evt_1"}',
        b'{"id":"evt_1","type":"x","livemode":false,"data":{"object":[]}}',
    ],
)
def test_signed_body_that_is_no_event_is_rejected(subscriber: StripeCustomer, body: bytes) -> None:
    assert subscriber.services.billing is not None
    header = signed(body.decode("latin-1").encode()).get("Stripe-Signature", "")
    with pytest.raises(InvalidSignatureError):
        subscriber.services.billing.stripe.read_event(body, header)


def test_changed_body_and_live_mode_event_are_rejected(subscriber: StripeCustomer) -> None:
    body = subscriber.stripe.event("customer.updated", {"object": "customer", "id": subscriber.customer}, "evt_1")
    subscriber.app.post("/hooks/stripe", body.replace(b"evt_1", b"evt_2"), headers=signed(body), status=401)
    live = subscriber.stripe.event(
        "customer.updated", {"object": "customer", "id": subscriber.customer}, "evt_1", livemode=True
    )
    subscriber.app.post("/hooks/stripe", live, headers=signed(live), status=401)
    assert_no_events(subscriber)


def test_event_of_unknown_customer_is_ignored(subscriber: StripeCustomer) -> None:
    subscriber.stripe.add("customers", "customer", "cus_foreign")
    subscriber.stripe.subscribe("cus_foreign", "scale")
    assert subscriber.process(about={"object": "subscription", "customer": "cus_foreign"}).plan == FREE


def assert_no_events(subscriber: StripeCustomer) -> None:
    with subscriber.services.database.transaction() as db:
        assert not db.scalars(select(StripeEvent.id)).all()


def test_events_are_retried_while_stripe_is_unavailable(subscriber: StripeCustomer, app_url: str) -> None:
    subscriber.stripe.subscribe(subscriber.customer, "pro")
    subscriber.process()
    subscriber.stripe.broken = True
    subscriber.send()
    subscriber.work()
    assert subscriber.now().plan == "pro"
    subscriber.stripe.broken = False
    subscriber.stripe.subscribe(subscriber.customer, "scale")
    with psycopg.connect(app_url) as connection:
        connection.execute("UPDATE procrastinate_jobs SET scheduled_at = NULL WHERE status = 'todo'")
    subscriber.work()
    assert subscriber.now().plan == "scale"


def test_nightly_reconciliation_recovers_lost_event(subscriber: StripeCustomer) -> None:
    subscriber.stripe.subscribe(subscriber.customer, "pro")
    with subscriber.services.database.transaction() as db:
        billing_tasks.reconcile.configure(connection=raw_connection(db)).defer(timestamp=0)
    subscriber.work()
    assert subscriber.now().plan == "pro"


def test_deleted_customer_can_subscribe_again(subscriber: StripeCustomer) -> None:
    subscriber.stripe.subscribe(subscriber.customer, "pro")
    subscriber.process()
    subscriber.stripe.objects["customers"][subscriber.customer] = {
        "id": subscriber.customer,
        "object": "customer",
        "deleted": True,
    }
    assert (
        subscriber.process(event_type="customer.deleted", about={"object": "customer", "id": subscriber.customer}).plan
        == FREE
    )
    assert subscriber.known().customer is None
    assert subscriber.services.billing is not None
    fresh = ensure_customer(
        subscriber.services.database, subscriber.services.billing.stripe, subscriber.space.id, "admin@example.org"
    )
    assert fresh != subscriber.customer


def test_records_outlive_workspace_and_subscription_is_canceled(subscriber: StripeCustomer, make: Factory) -> None:
    admin = make.member(subscriber.space)
    subscriber.stripe.subscribe(subscriber.customer, "pro")
    subscriber.stripe.invoice(subscriber.customer, "in_1", "paid", NOW)
    subscriber.stripe.invoice(subscriber.customer, "in_old", "paid", NOW - timedelta(days=7 * 366))
    subscriber.process()
    with subscriber.services.database.transaction() as db:
        db.execute(text("UPDATE accounts SET delete_at = now() WHERE id = :id"), {"id": admin.id})
    with subscriber.services.database.transaction() as db:
        assert delete_due_accounts(db) == 1
    subscriber.work()
    assert subscriber.stripe.objects["subscriptions"]["sub_1"]["status"] == "canceled"
    assert set(subscriber.records()) == {"in_1", "in_old"}
    with subscriber.services.database.transaction() as db:
        db.execute(text("SELECT delete_old_billing_records()"))
    assert set(subscriber.records()) == {"in_1"}


def test_subscribing_through_checkout(subscriber: StripeCustomer, app: TestApp, make: Factory) -> None:
    sign_in(app, make.member(subscriber.space))
    url = f"/w/{subscriber.space.slug}/billing"
    page = app.get(url)
    assert "€" not in page.text
    assert "$29.00 a month" in page.text
    assert f"form-action 'self' {PAGES['checkout']}" in page.headers["Content-Security-Policy"]
    answer = next(form for form in page.forms.values() if "price" in form.fields).submit(status=303)
    assert answer.location == f"{PAGES['checkout']}/c/pay/{subscriber.customer}"
    [request] = [
        given for method, path, given in subscriber.stripe.asked if (method, path) == ("POST", "checkout/sessions")
    ]
    assert request["mode"] == "subscription"
    assert request["line_items[0][price]"] == "price_1"
    assert request["success_url"].startswith(f"http://localhost{url}")
    subscriber.stripe.subscribe(subscriber.customer, "pro")
    back = app.get(f"{url}?back=checkout")
    assert "Waiting for confirmation from Stripe" in back.text
    subscriber.work()
    part = app.get(back.html.find(id="plan-panel")["hx-get"])
    assert "Pro" in part.text
    assert "hx-get" not in part.text
    page = app.get(url)
    portal = next(form for form in page.forms.values() if form.action.endswith("/portal")).submit(status=303)
    assert portal.location.startswith(PAGES["portal"])


def test_only_newest_checkout_session_stays_open(subscriber: StripeCustomer, app: TestApp, make: Factory) -> None:
    sign_in(app, make.member(subscriber.space))
    tabs = [app.get(f"/w/{subscriber.space.slug}/billing") for _ in range(2)]
    for tab in tabs:
        next(form for form in tab.forms.values() if "price" in form.fields).submit(status=303)
    sessions = subscriber.stripe.objects["checkout/sessions"].values()
    assert [session["status"] for session in sessions] == ["expired", "open"]


def test_subscribed_customer_is_not_sent_to_checkout(subscriber: StripeCustomer, app: TestApp, make: Factory) -> None:
    sign_in(app, make.member(subscriber.space))
    page = app.get(f"/w/{subscriber.space.slug}/billing")
    subscriber.stripe.subscribe(subscriber.customer, "pro")
    answer = next(form for form in page.forms.values() if "price" in form.fields).submit(status=303)
    assert answer.location.endswith(f"/w/{subscriber.space.slug}/billing?back=checkout")
    assert not subscriber.stripe.objects["checkout/sessions"]


def test_trial_is_granted_once(subscriber: StripeCustomer, app_url: str, shared_stripe: StripeServer) -> None:
    folder = subscriber.services.settings.var
    billing = {"stripe_api": shared_stripe.url, "trial_days": 14, **STRIPE_SECRETS}
    settings = make_settings(app_url, folder, billing=billing)
    stripe = Stripe(settings)
    for before in (None, "canceled"):
        if before:
            subscriber.stripe.subscribe(subscriber.customer, "pro", status=before)
        stripe.create_checkout_url(subscriber.customer, "connectwyze_pro_monthly", "http://localhost/w/x/billing")
    stripe.close()
    requests = [
        given for method, path, given in subscriber.stripe.asked if (method, path) == ("POST", "checkout/sessions")
    ]
    assert [given.get("subscription_data[trial_period_days]") for given in requests] == ["14", None]


def test_no_transaction_is_open_during_stripe_requests(
    subscriber: StripeCustomer, app: TestApp, make: Factory, app_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign_in(app, make.member(subscriber.space))
    assert subscriber.services.billing is not None
    monkeypatch.setattr(subscriber.services.billing.stripe, "_prices_expire_at", 0.0)
    seen = []

    def look(path: str) -> None:
        with psycopg.connect(app_url) as connection:
            query = (
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND state = 'idle in transaction' AND pid <> pg_backend_pid()"
            )
            seen.append((path, connection.execute(query).fetchone()))

    subscriber.stripe.before_answer = look
    assert "$29.00 a month" in app.get(f"/w/{subscriber.space.slug}/billing").text
    assert seen == [("prices", (0,))]


def test_expired_invitation_is_not_renewed_beyond_plan_limit(
    subscriber: StripeCustomer, app: TestApp, make: Factory
) -> None:
    admin = make.member(subscriber.space)
    sign_in(app, admin)
    with make.database.transaction(subscriber.space.id) as db:
        old = invite(db, subscriber.space.id, email="late@example.org", role=Role.USER, invited_by=admin)
    page = app.get(f"/w/{subscriber.space.slug}/members")
    resend = next(form for form in page.forms.values() if form.action.endswith("/resend"))
    resend.submit(status=303)
    with make.database.transaction(subscriber.space.id) as db:
        db.execute(text("UPDATE invitations SET expires_at = now() - interval '1 day' WHERE ended_at IS NULL"))
    make.member(subscriber.space)
    token = page.html.find("input", {"name": "csrf_token"})["value"]
    with make.database.transaction(subscriber.space.id) as db:
        newest = db.scalars(text("SELECT id FROM invitations WHERE ended_at IS NULL")).one()
    answer = app.post(f"/w/{subscriber.space.slug}/invitations/{newest}/resend", {"csrf_token": token}, status=402)
    assert "allows 2 members" in answer.text
    assert old.email == "late@example.org"


@pytest.mark.parametrize(("price", "status"), [("", 422), ("connectwyze_free", 422), ("connectwyze_pro_yearly", 503)])
def test_unavailable_price_shows_error(
    subscriber: StripeCustomer, app: TestApp, make: Factory, price: str, status: int
) -> None:
    sign_in(app, make.member(subscriber.space))
    token = app.get(f"/w/{subscriber.space.slug}/billing").html.find("input", {"name": "csrf_token"})["value"]
    app.post(f"/w/{subscriber.space.slug}/billing", {"price": price, "csrf_token": token}, status=status)


def test_page_and_images_work_while_stripe_is_unavailable(
    subscriber: StripeCustomer, app: TestApp, make: Factory
) -> None:
    sign_in(app, make.member(subscriber.space))
    page = app.get(f"/w/{subscriber.space.slug}/billing")
    subscriber.stripe.broken = True
    form = next(form for form in page.forms.values() if "price" in form.fields)
    assert "Stripe is not reachable" in form.submit(status=503).text
    key, template = make.key(subscriber.space), make.template(subscriber.space)
    app.post_json("/v1/images", {"template": str(template.id)}, headers={"Authorization": f"Bearer {key}"}, status="2*")


def test_redirect_to_foreign_host_is_rejected(subscriber: StripeCustomer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert subscriber.services.billing is not None
    monkeypatch.setitem(subscriber.stripe.pages, "portal", "https://evil.test")
    with pytest.raises(StripeUnavailableError):
        subscriber.services.billing.stripe.create_portal_url(subscriber.customer, "http://localhost/w/x/billing")


def test_image_quota_follows_current_plan(subscriber: StripeCustomer, app: TestApp, make: Factory) -> None:
    key, template = make.key(subscriber.space, Scope.ADMIN), make.template(subscriber.space)
    head = {"Authorization": f"Bearer {key}", "Accept": "image/png"}

    def image(title: str) -> int:
        body = {"template": str(template.id), "data": {"title": title}}
        return int(app.post_json("/v1/images", body, headers=head, status="*").status_int)

    assert [image("a"), image("b")] == [200, 402]
    assert app.get("/v1/usage", headers=head).json["limit"] == 1
    subscriber.stripe.subscribe(subscriber.customer, "pro")
    subscriber.process()
    assert [image("b"), image("c"), image("d")] == [200, 200, 402]
    subscriber.stripe.objects["subscriptions"]["sub_1"]["status"] = "canceled"
    subscriber.process()
    assert image("e") == 402


def test_plan_limits_members_feeds_and_connections(subscriber: StripeCustomer, app: TestApp, make: Factory) -> None:
    sign_in(app, make.member(subscriber.space))
    base = f"/w/{subscriber.space.slug}"
    for email, status in (("one@example.org", 303), ("two@example.org", 422)):
        form = next(form for form in app.get(f"{base}/members").forms.values() if "email" in form.fields)
        form["email"] = email
        answer = form.submit(status=status)
    assert "The Free plan allows 2 members" in answer.text
    key = make.key(subscriber.space, Scope.ADMIN)
    head = {"Authorization": f"Bearer {key}"}
    app.post_json("/v1/feeds", {"name": "One"}, headers=head, status=201)
    refused = app.post_json("/v1/feeds", {"name": "Two"}, headers=head, status=402)
    assert (refused.json["code"], "allows 1 feed." in refused.json["detail"]) == ("plan_limit_reached", True)
    assert "allows 1 connection" in app.get(f"{base}/storage/new", status=402).text


def test_concurrent_requests_do_not_exceed_plan_limit(subscriber: StripeCustomer) -> None:
    started = threading.Barrier(4)

    def take(number: int) -> bool:
        started.wait()
        try:
            with subscriber.services.database.transaction(subscriber.space.id) as db:
                check_plan_limit(db, subscriber.services.settings, subscriber.space.id, PlanLimit.FEEDS)
                create_feed(db, subscriber.space.id, name=f"Feed {number}", file_name="feed.csv")
            return True
        except PlanLimitError:
            return False

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(take, range(4))) == 1


def test_concurrent_uploads_do_not_exceed_plan_limit(subscriber: StripeCustomer) -> None:
    started, settings = threading.Barrier(5), subscriber.services.settings
    files = [prepare_upload(jpeg(9 + number, 9)) for number in range(5)]

    def reserve(number: int) -> bool:
        started.wait()
        try:
            with subscriber.services.database.transaction(subscriber.space.id) as db:
                check = partial(check_plan_limit, db, settings, subscriber.space.id, PlanLimit.UPLOADS)
                reserve_upload(
                    db,
                    subscriber.space.id,
                    files[number],
                    name="Logo",
                    connection_id=get_default_connection(db, subscriber.space.id).id,
                    created_by=None,
                    check_limit=check,
                )
            return True
        except PlanLimitError:
            return False

    with ThreadPoolExecutor(5) as pool:
        assert sum(pool.map(reserve, range(5))) == 2


def test_page_shows_daily_usage_and_invoices(subscriber: StripeCustomer, app: TestApp, make: Factory) -> None:
    sign_in(app, make.member(subscriber.space))
    key, template = make.key(subscriber.space), make.template(subscriber.space)
    app.post_json(
        "/v1/images", {"template": str(template.id)}, headers={"Authorization": f"Bearer {key}", "Accept": "image/png"}
    )
    subscriber.stripe.invoice(
        subscriber.customer, "in_1", "paid", NOW, number="A-0001", currency="jpy", amount_due=2900
    )
    subscriber.process()
    page = app.get(f"/w/{subscriber.space.slug}/billing")
    today = page.html.find(class_="chart").find_all("title")[-1].text
    assert today == f"{NOW:%-d %B}: 1"
    assert "A-0001" in page.text
    assert "¥2,900" in page.text
    assert page.html.find("section", {"aria-labelledby": "invoices"}).find(class_="badge").text == "Paid"
    assert page.html.find("progress")["value"] == "1"


def test_stripe_secrets_are_never_exposed(
    subscriber: StripeCustomer, app: TestApp, make: Factory, capfd: pytest.CaptureFixture[str]
) -> None:
    sign_in(app, make.member(subscriber.space))
    subscriber.stripe.broken = True
    pages = [app.get(f"/w/{subscriber.space.slug}/billing").text]
    subscriber.send()
    subscriber.work()
    out, err = capfd.readouterr()
    jobs = repr(subscriber.services.settings) + json.dumps(pages) + out + err
    with subscriber.services.database.transaction() as db:
        jobs += "".join(map(str, db.execute(text("SELECT * FROM procrastinate_jobs")).all()))
    assert SECRET_KEY not in jobs
    assert WEBHOOK_SECRET not in jobs
