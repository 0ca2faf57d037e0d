"""The Stripe API. Responses become our own dataclasses here; no other module knows Stripe's objects.

An event is trusted only for its id, its type and its customer: the current state is always fetched from Stripe.
The `stripe` package is an extra and imported where it is used.
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
from pydantic import BaseModel, Field, ValidationError

from cwz_web.net.deadlines import DeadlineAdapter
from cwz_web.settings import Plan, Settings

# Timeout of a request, and how often a failed connection is retried.
SECONDS = 20.0
RETRIES = 1
# How many seconds the clock that signed an event may differ from ours, in either direction.
TOLERANCE = 300
PRICES_SECONDS = 300.0
RETRY_SECONDS = 20.0
PAGE = 100
KEYS_PER_REQUEST = 10  # Stripe's limit
UNPAID = ("past_due", "unpaid")
GOOD = ("active", "trialing")


class StripeUnavailableError(Exception):
    """Stripe does not respond, or not as documented; a retry may help."""


class InvalidSignatureError(Exception):
    """The event is not signed by Stripe for this installation, or is too old."""


class PriceNotFoundError(Exception):
    """Stripe has no active price with the plan's lookup key; the operator has to create it."""


Name = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[\x21-\x7e]+$")]


class _Data(BaseModel):
    object: dict[str, Any]


class Event(BaseModel):
    """An event as Stripe sent it; other attributes are ignored."""

    id: Name
    type: Name
    livemode: bool
    data: _Data

    @property
    def customer(self) -> str | None:
        """The id of the customer that the event concerns."""
        subject = self.data.object
        return _id(subject.get("id" if subject.get("object") == "customer" else "customer"))

    @property
    def charge(self) -> str | None:
        """The id of the charge of a dispute, since a dispute names no customer."""
        return _id(self.data.object.get("charge")) if self.data.object.get("object") == "dispute" else None


@dataclass(frozen=True)
class BillingEntry:
    """An invoice or a dispute as bookkeeping needs it; amounts are in the smallest unit of the currency."""

    id: str
    type: str
    number: str | None
    status: str
    amount: int
    paid: int
    currency: str
    issued_at: datetime


@dataclass(frozen=True)
class CustomerState:
    """The current state of a customer.

    Attributes:
        exists: Whether Stripe still has the customer.
        plan: The plan of the subscription's price; None if the price belongs to no plan.
        unpaid_since: When the oldest unpaid invoice was created.
        ends_at: When a canceled subscription ends.
    """

    exists: bool
    subscription: str | None = None
    status: str = "none"
    plan: str | None = None
    unpaid_since: datetime | None = None
    period_ends_at: datetime | None = None
    ends_at: datetime | None = None
    entries: tuple[BillingEntry, ...] = ()


@dataclass(frozen=True)
class Price:
    """A price of a plan; the amount is in the smallest unit of the currency."""

    key: str
    id: str
    product: str
    amount: int
    currency: str
    interval: str


class Stripe:
    """A client for one process, safe to share between threads.

    Every method that sends a request raises StripeUnavailableError.
    """

    def __init__(self, settings: Settings) -> None:
        import stripe

        stripe.enable_telemetry = False
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy from the environment
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, DeadlineAdapter(SECONDS))
        self._stripe = stripe.StripeClient(
            settings.billing.stripe_secret_key.get_secret_value(),
            base_addresses={"api": settings.billing.stripe_api},
            max_network_retries=RETRIES,
            http_client=stripe.RequestsClient(timeout=SECONDS, session=self._session),
        ).v1
        self._settings = settings
        self._plans: dict[str, Plan] = settings.plan
        self._lock = Lock()
        self._prices_expire_at = 0.0
        self._prices: dict[str, Price] = {}

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def read_event(self, body: bytes, signature: str) -> Event:
        """Verify and parse an event (https://docs.stripe.com/webhooks/signature).

        Args:
            body: The request's body.
            signature: The `Stripe-Signature` header.

        Raises:
            InvalidSignatureError: No secret of ours signed it, or not within TOLERANCE seconds.
        """
        import stripe

        for secret in self._settings.billing.stripe_webhook_secrets.get_secret_value().split(","):
            try:
                stripe.WebhookSignature.verify_header(body, signature, secret.strip(), TOLERANCE)
                signed_at = next(int(part[2:]) for part in signature.split(",") if part.startswith("t="))
                event = Event.model_validate_json(body)
            except (stripe.SignatureVerificationError, ValidationError, ValueError, TypeError, StopIteration):
                continue
            # The SDK accepts timestamps in the future.
            if signed_at <= time.time() + TOLERANCE and event.livemode == self._settings.billing.live:
                return event
        raise InvalidSignatureError

    def fetch_charge_customer(self, charge: str) -> str | None:
        """Return the id of the customer who paid a charge."""
        with _translated_errors():
            return _id(self._stripe.charges.retrieve(charge).to_dict()["customer"])

    def fetch_customer(self, customer: str) -> CustomerState:
        """Return the current state of a customer with subscription, invoices and disputes."""
        with _translated_errors():
            if self._stripe.customers.retrieve(customer).to_dict().get("deleted"):
                return CustomerState(exists=False)
            parameters: Any = {"customer": customer, "limit": PAGE}
            subscriptions = self._stripe.subscriptions.list(parameters | {"status": "all"}).to_dict()["data"]
            invoices = self._stripe.invoices.list(parameters).to_dict()["data"]
            disputes = [
                dispute
                for charge in self._stripe.charges.list(parameters).to_dict()["data"]
                if charge["disputed"]
                for dispute in self._stripe.disputes.list({"charge": charge["id"]}).to_dict()["data"]
            ]
            entries = (*map(_invoice, _finished(invoices)), *map(_dispute, disputes))
            state = CustomerState(exists=True, entries=entries)
            return self._with_subscription(state, subscriptions) if subscriptions else state

    def list_prices(self) -> dict[str, Price]:
        """Return the prices of all plans by lookup key, cached for PRICES_SECONDS."""
        with self._lock:
            if time.monotonic() < self._prices_expire_at:
                return self._prices
        keys = [key for plan in self._plans.values() for key in plan.prices]
        responses: list[dict[str, Any]] = []
        with self._lock:
            # While Stripe does not respond, only one request in RETRY_SECONDS waits for it.
            self._prices_expire_at = time.monotonic() + RETRY_SECONDS
        with _translated_errors():
            for start in range(0, len(keys), KEYS_PER_REQUEST):
                batch: Any = {"lookup_keys": keys[start : start + KEYS_PER_REQUEST], "active": True, "limit": PAGE}
                responses += self._stripe.prices.list(batch).to_dict()["data"]
        prices = {price["lookup_key"]: _price(price) for price in responses}
        with self._lock:
            self._prices, self._prices_expire_at = prices, time.monotonic() + PRICES_SECONDS
        return prices

    def create_customer(self, workspace_id: UUID, name: str, email: str, number: int) -> str:
        """Create a customer for a workspace and return its id.

        Args:
            number: Part of the idempotency key: the same number always returns the same customer.
        """
        parameters: Any = {"name": name, "email": email, "metadata": {"workspace": str(workspace_id)}}
        options: Any = {"idempotency_key": f"customer/{workspace_id}/{number}"}
        with _translated_errors():
            return self._stripe.customers.create(parameters, options).id

    def create_checkout_url(self, customer: str, price_key: str, back: str) -> str:
        """Return the URL of a Checkout page; the first subscription starts with the trial days.

        A customer who is subscribed already, perhaps by an event still on its way, gets the URL to return to.

        Raises:
            PriceNotFoundError: There is no active price of that key.
        """
        price = self.list_prices().get(price_key)
        if price is None:
            raise PriceNotFoundError(price_key)
        state = self.fetch_customer(customer)
        if state.status in (*GOOD, *UNPAID):
            return f"{back}?back=checkout"
        tax: Any = {}
        if self._settings.billing.automatic_tax:
            tax = {
                "automatic_tax": {"enabled": True},
                "tax_id_collection": {"enabled": True},
                "customer_update": {"address": "auto", "name": "auto"},
            }
        days = self._settings.billing.trial_days if state.subscription is None else 0
        parameters: Any = {
            "mode": "subscription",
            "customer": customer,
            "line_items": [{"price": price.id, "quantity": 1}],
            "success_url": f"{back}?back=checkout",
            "cancel_url": back,
            "allow_promotion_codes": True,
            **({"subscription_data": {"trial_period_days": days}} if days else {}),
            **tax,
        }
        with _translated_errors():
            # Only the newest of several open tabs can be paid: two subscriptions would both be charged.
            for older in self._stripe.checkout.sessions.list({"customer": customer, "status": "open"}).data:
                self._stripe.checkout.sessions.expire(older.id)
            return self._page(self._stripe.checkout.sessions.create(parameters).url)

    def create_portal_url(self, customer: str, back: str) -> str:
        """Return the URL of the Customer Portal: change the plan, pay, find invoices."""
        with _translated_errors():
            parameters: Any = {"customer": customer, "return_url": f"{back}?back=portal"}
            return self._page(self._stripe.billing_portal.sessions.create(parameters).url)

    def cancel_subscription(self, subscription: str) -> None:
        """Cancel a subscription immediately; do nothing if it has ended."""
        with _translated_errors():
            if self._stripe.subscriptions.retrieve(subscription).status != "canceled":
                self._stripe.subscriptions.cancel(subscription)

    def _page(self, url: str | None) -> str:
        parts = urlsplit(url or "")
        if f"{parts.scheme}://{parts.netloc}" not in self._settings.billing.stripe_pages:
            raise StripeUnavailableError(f"Stripe returned a page on an unexpected host: {parts.netloc}")
        return url or ""

    def _with_subscription(self, state: CustomerState, subscriptions: Sequence[dict[str, Any]]) -> CustomerState:
        plans = {each["id"]: self._plan_of(each) for each in subscriptions}
        rank = {name: number for number, name in enumerate(self._plans)}

        def rank_of(each: dict[str, Any]) -> tuple[bool, bool, int, int]:
            good, unpaid = each["status"] in GOOD, each["status"] in UNPAID
            return good, unpaid, rank.get(plans[each["id"]] or "", -1), each["created"]

        best = max(subscriptions, key=rank_of)
        unpaid = [entry.issued_at for entry in state.entries if entry.type == "invoice" and entry.status == "open"]
        items = best["items"]["data"]
        return CustomerState(
            exists=True,
            subscription=best["id"],
            status=best["status"],
            plan=plans[best["id"]],
            unpaid_since=min(unpaid, default=None) if best["status"] in UNPAID else None,
            period_ends_at=_from_timestamp(max((item["current_period_end"] for item in items), default=None)),
            ends_at=_from_timestamp(best["cancel_at"]),
            entries=state.entries,
        )

    def _plan_of(self, subscription: dict[str, Any]) -> str | None:
        """Return the plan of a subscription; a price whose lookup key moved to a newer one is matched by product."""
        prices = self.list_prices()
        for item in subscription["items"]["data"]:
            key, product = item["price"]["lookup_key"], _id(item["price"]["product"])
            for name, plan in self._plans.items():
                if key in plan.prices or any(prices[k].product == product for k in plan.prices if k in prices):
                    return name
        return None


@contextmanager
def _translated_errors() -> Iterator[None]:
    """Turn every failure of a request into StripeUnavailableError, without secrets in its message."""
    import stripe

    try:
        yield
    except stripe.StripeError as error:
        raise StripeUnavailableError(f"{type(error).__name__} {error.code or ''}, request {error.request_id}") from None
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise StripeUnavailableError(f"Stripe's response is not understood: {type(error).__name__}") from None


def _finished(invoices: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Leave out drafts, which are not final."""
    return (invoice for invoice in invoices if invoice["status"] != "draft")


def _invoice(invoice: dict[str, Any]) -> BillingEntry:
    return BillingEntry(
        id=invoice["id"],
        type="invoice",
        number=invoice["number"],
        status=invoice["status"],
        amount=invoice["amount_due"],
        paid=invoice["amount_paid"],
        currency=invoice["currency"],
        issued_at=datetime.fromtimestamp(invoice["created"], UTC),
    )


def _dispute(dispute: dict[str, Any]) -> BillingEntry:
    return BillingEntry(
        id=dispute["id"],
        type="dispute",
        number=None,
        status=dispute["status"],
        amount=dispute["amount"],
        paid=0,
        currency=dispute["currency"],
        issued_at=datetime.fromtimestamp(dispute["created"], UTC),
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
    """Return the id of a referenced object, which may be expanded."""
    value = reference.get("id") if isinstance(reference, dict) else reference
    return value if isinstance(value, str) else None


def _from_timestamp(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
