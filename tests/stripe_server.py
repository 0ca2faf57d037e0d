"""Stripe, played by a real HTTP server on loopback: it answers with Stripe's own fixture objects, changed as a test
wants, and refuses parameters that Stripe's API does not have (as its SDK lists them)."""

import copy
import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import stripe.params
import stripe.params.billing_portal
import stripe.params.checkout
from stripe import WebhookSignature

FIXTURES: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "data" / "stripe.json").read_text())
SECRET_KEY = "sk_test_a-key-that-nobody-may-see"
WEBHOOK_SECRET = "whsec_a-webhook-secret-that-nobody-may-see"
PAGES = {"checkout": "https://checkout.stripe.com", "portal": "https://billing.stripe.com"}
LISTS = {
    "subscriptions": stripe.params.SubscriptionListParams,
    "invoices": stripe.params.InvoiceListParams,
    "charges": stripe.params.ChargeListParams,
    "disputes": stripe.params.DisputeListParams,
    "prices": stripe.params.PriceListParams,
    "checkout/sessions": stripe.params.checkout.SessionListParams,
}
MADE = {
    "customers": ("customer", stripe.params.CustomerCreateParams),
    "checkout/sessions": ("checkout.session", stripe.params.checkout.SessionCreateParams),
    "billing_portal/sessions": ("billing_portal.session", stripe.params.billing_portal.SessionCreateParams),
}


class StripeServer:
    """`customers`, `subscriptions` and so on hold the objects by id; `asked` tells what was asked, with what."""

    def __init__(self) -> None:
        self.reset()
        self.pages = dict(PAGES)
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Otherwise the body waits for the acknowledgement of the headers, which a kept connection delays by 40 ms.
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                self._answer()

            def do_POST(self) -> None:
                self._answer()

            def do_DELETE(self) -> None:
                self._answer()

            def _answer(self) -> None:
                parts = urlsplit(self.path)
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                given = dict(parse_qsl(parts.query) + parse_qsl(body))
                path = parts.path.removeprefix("/v1/")
                fake.asked.append((self.command, path, given))
                if parts.path.startswith(("/c/pay/", "/favicon.ico")):
                    self._page()
                    return
                if self.headers["Authorization"] != f"Bearer {SECRET_KEY}":
                    status, answer = 401, _error("Invalid API Key provided")
                elif fake.broken:
                    status, answer = 503, _error("down")
                else:
                    status, answer = fake.answer(self.command, path, given, self.headers.get("Idempotency-Key", ""))
                    fake.before_answer(path)
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.send_header("Request-Id", "req_123")
                self.end_headers()
                self.wfile.write(data)

            def _page(self) -> None:
                """What people see of Stripe."""
                data = b"<!doctype html><html lang=en><title>Stripe</title><h1>Pay here</h1></html>"
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def reset(self) -> None:
        """Remove all objects except two prices."""
        self.objects: dict[str, dict[str, dict[str, Any]]] = {kind: {} for kind in (*LISTS, "customers")}
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.broken = False
        self.before_answer: Callable[[str], None] = lambda path: None
        self._by_key: dict[str, dict[str, Any]] = {}
        for number, (plan, cents) in enumerate((("pro", 2900), ("scale", 9900)), start=1):
            key = f"connectwyze_{plan}_monthly"
            self.add("prices", "price", f"price_{number}", lookup_key=key, unit_amount=cents, product=f"prod_{number}")

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def add(self, kind: str, fixture: str, identity: str, **changed: Any) -> dict[str, Any]:
        """An object of Stripe's own example, under an id, with some of it changed."""
        made = copy.deepcopy(FIXTURES[fixture]) | {"id": identity} | changed
        self.objects[kind][identity] = made
        return made

    def subscribe(self, customer: str, plan: str = "pro", identity: str = "sub_1", **changed: Any) -> dict[str, Any]:
        """A subscription of a customer, active unless said otherwise."""
        usual = {"customer": customer, "status": "active", "cancel_at": None, "created": 1}
        made = self.add("subscriptions", "subscription", identity, **(usual | changed))
        price = next(p for p in self.objects["prices"].values() if p["lookup_key"] == f"connectwyze_{plan}_monthly")
        made["items"]["data"][0]["price"] = copy.deepcopy(price)
        return made

    def invoice(self, customer: str, identity: str, status: str, made: datetime, **changed: Any) -> dict[str, Any]:
        """An invoice of a customer."""
        paid = 2900 if status == "paid" else 0
        usual = {"customer": customer, "status": status, "created": int(made.timestamp()), "amount_due": 2900}
        return self.add(
            "invoices", "invoice", identity, **(usual | {"amount_paid": paid, "number": identity} | changed)
        )

    def event(self, event_type: str, about: dict[str, Any], identity: str, **changed: Any) -> bytes:
        """The body of an event about an object."""
        event = copy.deepcopy(FIXTURES["event"]) | {"id": identity, "type": event_type, "data": {"object": about}}
        return json.dumps(event | changed).encode()

    def answer(self, method: str, path: str, given: dict[str, str], key: str) -> tuple[int, dict[str, Any]]:
        """What Stripe says."""
        kind = next((kind for kind in self.objects if path == kind or path.startswith(f"{kind}/")), path)
        identity = path.removeprefix(kind).strip("/")
        if method == "POST" and path in MADE:
            fixture, known = MADE[path]
            if unknown := _unknown(given, known):
                return 400, _error(f"Received unknown parameter: {unknown}")
            if key not in self._by_key:
                self._by_key[key] = self._make(fixture, given)
            return 200, self._by_key[key]
        if kind not in self.objects:
            return 404, _error(f"Unrecognized request URL ({method}: /v1/{path})")
        if not identity:
            if unknown := _unknown(given, LISTS[kind]):
                return 400, _error(f"Received unknown parameter: {unknown}")
            found = [each for each in self.objects[kind].values() if _matches(each, given)]
            return 200, {"object": "list", "data": found, "has_more": False, "url": f"/v1/{kind}"}
        if identity.endswith("/expire"):
            self.objects[kind][identity.removesuffix("/expire")]["status"] = "expired"
            identity = identity.removesuffix("/expire")
        if identity not in self.objects[kind]:
            return 404, _error(f"No such {kind}: '{identity}'")
        if method == "DELETE":
            self.objects[kind][identity]["status"] = "canceled"
        return 200, self.objects[kind][identity]

    def _make(self, fixture: str, given: dict[str, str]) -> dict[str, Any]:
        number = len(self.objects["customers"]) + 1
        if fixture == "customer":
            return self.add("customers", "customer", f"cus_{number}", name=given["name"], email=given["email"])
        if fixture == "checkout.session":
            sessions = self.objects["checkout/sessions"]
            url = f"{self.pages['checkout']}/c/pay/{given['customer']}"
            return self.add("checkout/sessions", fixture, f"cs_{len(sessions)}", url=url, customer=given["customer"])
        return copy.deepcopy(FIXTURES[fixture]) | {"url": f"{self.pages['portal']}/session/{given['customer']}"}


def signed(body: bytes, *, secret: str = WEBHOOK_SECRET, ago: timedelta = timedelta()) -> dict[str, str]:
    """The headers of an event, signed as Stripe's SDK does."""
    moment = int((datetime.now(UTC) - ago).timestamp())
    header = WebhookSignature.generate_signature_header(body.decode(), secret, moment)
    return {"Stripe-Signature": header, "Content-Type": "application/json"}


def _unknown(given: dict[str, str], known: Any) -> str:
    names = {name.partition("[")[0] for name in given}
    return ", ".join(sorted(names - set(known.__annotations__)))


def _matches(each: dict[str, Any], given: dict[str, str]) -> bool:
    keys = [value for name, value in given.items() if name.startswith("lookup_keys")]
    if keys and each["lookup_key"] not in keys:
        return False
    return all(
        each[name] == given[name] for name in ("customer", "charge", "status") if given.get(name, "all") != "all"
    )


def _error(message: str) -> dict[str, Any]:
    return {"error": {"type": "invalid_request_error", "message": message}}
