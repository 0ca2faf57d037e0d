"""Stripe, as far as we talk to it. What it answers becomes our own few words here; no other module knows its objects.

Of what an event says, only its id, its type, and which customer it is about are believed: how things are is asked anew.
"""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Lock
from typing import Annotated, Any
from urllib.parse import urlsplit
from uuid import UUID

import requests
import stripe
from pydantic import BaseModel, Field, ValidationError

from cwz_web.settings import Plan, Settings

# Of a whole answer, and how often a connection is tried again.
SECONDS = 20.0
RETRIES = 1
# How far the clock that signed an event may be from ours, in either direction.
TOLERANCE = 300
CATALOGUE_SECONDS = 300.0
RETRY_SECONDS = 20.0
PAGE = 100
KEYS_AT_ONCE = 10  # what Stripe takes
UNPAID = ("past_due", "unpaid")
GOOD = ("active", "trialing")

stripe.enable_telemetry = False


class StripeUnavailableError(Exception):
    """Stripe does not answer, or not as it should: later, perhaps."""


class InvalidSignatureError(Exception):
    """No event that Stripe sent to us, now."""


class PriceNotFoundError(Exception):
    """Stripe has no active price with the plan's lookup key: the operator's to mend."""


Name = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[\x21-\x7e]+$")]


class _Data(BaseModel):
    object: dict[str, Any]


class Event(BaseModel):
    """An event, as it was sent; there may be anything in it beside these."""

    id: Name
    type: Name
    livemode: bool
    data: _Data

    @property
    def customer(self) -> str | None:
        """The customer that it is about."""
        about = self.data.object
        return _id(about.get("id" if about.get("object") == "customer" else "customer"))

    @property
    def charge(self) -> str | None:
        """The charge that a dispute is about, which names no customer."""
        return _id(self.data.object.get("charge")) if self.data.object.get("object") == "dispute" else None


@dataclass(frozen=True)
class Bill:
    """An invoice or a dispute, as the books need it; amounts are in the smallest unit of the currency."""

    id: str
    kind: str
    number: str | None
    status: str
    amount: int
    paid: int
    currency: str
    at: datetime


@dataclass(frozen=True)
class State:
    """How things are with a customer, now.

    Attributes:
        exists: whether Stripe still has the customer.
        plan: what the subscription's price is for; None when nobody knows.
        unpaid_since: when the oldest invoice that is not paid was made.
        ends_at: when a subscription that was given up is over.
    """

    exists: bool
    subscription: str | None = None
    status: str = "none"
    plan: str | None = None
    unpaid_since: datetime | None = None
    period_ends_at: datetime | None = None
    ends_at: datetime | None = None
    bills: tuple[Bill, ...] = ()


@dataclass(frozen=True)
class Price:
    """What a plan costs; the amount in the smallest unit of the currency."""

    key: str
    id: str
    product: str
    amount: int
    currency: str
    interval: str


class Stripe:
    """One a process; safe to use from several threads. Every method that asks raises StripeUnavailableError."""

    def __init__(self, settings: Settings) -> None:
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy from the environment
        self._stripe = stripe.StripeClient(
            settings.stripe_secret_key.get_secret_value(),
            base_addresses={"api": settings.stripe_api},
            max_network_retries=RETRIES,
            http_client=stripe.RequestsClient(timeout=SECONDS, session=self._session),
        ).v1
        self._settings = settings
        self._plans: dict[str, Plan] = settings.plan
        self._lock = Lock()
        self._known_until = 0.0
        self._known: dict[str, Price] = {}

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def read_event(self, body: bytes, signature: str) -> Event:
        """An event with its signature (https://docs.stripe.com/webhooks/signature). Raises Forged."""
        for secret in self._settings.stripe_webhook_secrets.get_secret_value().split(","):
            try:
                stripe.WebhookSignature.verify_header(body, signature, secret.strip(), TOLERANCE)
                signed_at = next(int(part[2:]) for part in signature.split(",") if part.startswith("t="))
                event = Event.model_validate_json(body)
            except (stripe.SignatureVerificationError, ValidationError, ValueError, TypeError, StopIteration):
                continue
            # The SDK takes those that come from the future.
            if signed_at <= time.time() + TOLERANCE and event.livemode == self._settings.live_money:
                return event
        raise InvalidSignatureError

    def customer_of(self, charge: str) -> str | None:
        """Whose charge it is."""
        with _told():
            return _id(self._stripe.charges.retrieve(charge).to_dict()["customer"])

    def state_of(self, customer: str) -> State:
        """How things are with a customer."""
        with _told():
            if self._stripe.customers.retrieve(customer).to_dict().get("deleted"):
                return State(exists=False)
            about: Any = {"customer": customer, "limit": PAGE}
            subscriptions = self._stripe.subscriptions.list(about | {"status": "all"}).to_dict()["data"]
            invoices = self._stripe.invoices.list(about).to_dict()["data"]
            disputes = [
                dispute
                for charge in self._stripe.charges.list(about).to_dict()["data"]
                if charge["disputed"]
                for dispute in self._stripe.disputes.list({"charge": charge["id"]}).to_dict()["data"]
            ]
            bills = (*map(_invoice, _finished(invoices)), *map(_dispute, disputes))
            state = State(exists=True, bills=bills)
            return self._with_subscription(state, subscriptions) if subscriptions else state

    def prices(self) -> dict[str, Price]:
        """The prices of the plans by lookup key, remembered for a while."""
        with self._lock:
            if time.monotonic() < self._known_until:
                return self._known
        keys = [key for plan in self._plans.values() for key in plan.prices]
        found: list[dict[str, Any]] = []
        with self._lock:
            # While Stripe does not answer, not everybody who looks waits for it.
            self._known_until = time.monotonic() + RETRY_SECONDS
        with _told():
            for begin in range(0, len(keys), KEYS_AT_ONCE):
                some: Any = {"lookup_keys": keys[begin : begin + KEYS_AT_ONCE], "active": True, "limit": PAGE}
                found += self._stripe.prices.list(some).to_dict()["data"]
        prices = {price["lookup_key"]: _price(price) for price in found}
        with self._lock:
            self._known, self._known_until = prices, time.monotonic() + CATALOGUE_SECONDS
        return prices

    def new_customer(self, workspace_id: UUID, name: str, email: str, number: int) -> str:
        """A customer for a workspace: always the same one for the same number. Returns its id."""
        about: Any = {"name": name, "email": email, "metadata": {"workspace": str(workspace_id)}}
        options: Any = {"idempotency_key": f"customer/{workspace_id}/{number}"}
        with _told():
            return self._stripe.customers.create(about, options).id

    def checkout(self, customer: str, price_key: str, back: str) -> str:
        """The address of Stripe's page on which a customer subscribes, for the first time with the days of trial.

        Whoever has a subscription already, of which we may not have heard yet, is sent back. Raises PriceNotFoundError.
        """
        price = self.prices().get(price_key)
        if price is None:
            raise PriceNotFoundError(price_key)
        now = self.state_of(customer)
        if now.status in (*GOOD, *UNPAID):
            return f"{back}?back=checkout"
        tax: Any = {}
        if self._settings.stripe_tax:
            tax = {
                "automatic_tax": {"enabled": True},
                "tax_id_collection": {"enabled": True},
                "customer_update": {"address": "auto", "name": "auto"},
            }
        days = self._settings.stripe_trial_days if now.subscription is None else 0
        about: Any = {
            "mode": "subscription",
            "customer": customer,
            "line_items": [{"price": price.id, "quantity": 1}],
            "success_url": f"{back}?back=checkout",
            "cancel_url": back,
            "allow_promotion_codes": True,
            **({"subscription_data": {"trial_period_days": days}} if days else {}),
            **tax,
        }
        with _told():
            # Of two tabs only the newer one may be paid for: two subscriptions would both cost.
            for older in self._stripe.checkout.sessions.list({"customer": customer, "status": "open"}).data:
                self._stripe.checkout.sessions.expire(older.id)
            return self._page(self._stripe.checkout.sessions.create(about).url)

    def portal(self, customer: str, back: str) -> str:
        """The address of Stripe's page on which a customer changes the plan, pays, and finds invoices."""
        with _told():
            about: Any = {"customer": customer, "return_url": f"{back}?back=portal"}
            return self._page(self._stripe.billing_portal.sessions.create(about).url)

    def cancel(self, subscription: str) -> None:
        """End a subscription now, with nothing owed any more; one that has ended stays as it is."""
        with _told():
            if self._stripe.subscriptions.retrieve(subscription).status != "canceled":
                self._stripe.subscriptions.cancel(subscription)

    def _page(self, url: str | None) -> str:
        parts = urlsplit(url or "")
        if f"{parts.scheme}://{parts.netloc}" not in self._settings.stripe_pages:
            raise StripeUnavailableError(f"Stripe's page is at an unexpected address: {parts.netloc}")
        return url or ""

    def _with_subscription(self, state: State, subscriptions: Sequence[dict[str, Any]]) -> State:
        plans = {each["id"]: self._plan_of(each) for each in subscriptions}
        rank = {name: number for number, name in enumerate(self._plans)}

        def worth(each: dict[str, Any]) -> tuple[bool, bool, int, int]:
            good, unpaid = each["status"] in GOOD, each["status"] in UNPAID
            return good, unpaid, rank.get(plans[each["id"]] or "", -1), each["created"]

        best = max(subscriptions, key=worth)
        unpaid = [bill.at for bill in state.bills if bill.kind == "invoice" and bill.status == "open"]
        items = best["items"]["data"]
        return State(
            exists=True,
            subscription=best["id"],
            status=best["status"],
            plan=plans[best["id"]],
            unpaid_since=min(unpaid, default=None) if best["status"] in UNPAID else None,
            period_ends_at=_moment(max((item["current_period_end"] for item in items), default=None)),
            ends_at=_moment(best["cancel_at"]),
            bills=state.bills,
        )

    def _plan_of(self, subscription: dict[str, Any]) -> str | None:
        """The plan of a subscription's price; a price that lost its lookup key to a newer one has the same product."""
        prices = self.prices()
        for item in subscription["items"]["data"]:
            key, product = item["price"]["lookup_key"], _id(item["price"]["product"])
            for name, plan in self._plans.items():
                if key in plan.prices or any(prices[k].product == product for k in plan.prices if k in prices):
                    return name
        return None


@contextmanager
def _told() -> Iterator[None]:
    """Whatever goes wrong between Stripe and us becomes one error, which names no secret."""
    try:
        yield
    except stripe.StripeError as error:
        raise StripeUnavailableError(f"{type(error).__name__} {error.code or ''}, request {error.request_id}") from None
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise StripeUnavailableError(f"Stripe's answer is not understood: {type(error).__name__}") from None


def _finished(invoices: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Without drafts, which are nobody's business yet."""
    return (invoice for invoice in invoices if invoice["status"] != "draft")


def _invoice(invoice: dict[str, Any]) -> Bill:
    return Bill(
        id=invoice["id"],
        kind="invoice",
        number=invoice["number"],
        status=invoice["status"],
        amount=invoice["amount_due"],
        paid=invoice["amount_paid"],
        currency=invoice["currency"],
        at=datetime.fromtimestamp(invoice["created"], UTC),
    )


def _dispute(dispute: dict[str, Any]) -> Bill:
    return Bill(
        id=dispute["id"],
        kind="dispute",
        number=None,
        status=dispute["status"],
        amount=dispute["amount"],
        paid=0,
        currency=dispute["currency"],
        at=datetime.fromtimestamp(dispute["created"], UTC),
    )


def _price(price: dict[str, Any]) -> Price:
    return Price(
        key=price["lookup_key"],
        id=price["id"],
        product=str(_id(price["product"])),
        amount=price["unit_amount"] or 0,
        currency=price["currency"],
        interval=price["recurring"]["interval"],
    )


def _id(reference: Any) -> str | None:
    """The id of what an object refers to, which may be there as a whole."""
    found = reference.get("id") if isinstance(reference, dict) else reference
    return found if isinstance(found, str) else None


def _moment(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
