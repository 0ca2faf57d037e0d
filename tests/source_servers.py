"""Servers on loopback that answer as the documentation of shops and tables says; nothing leaves this machine."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Sent:
    """A request: its method, path, query, headers and body."""

    method: str
    path: str
    query: dict[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """An answer; a body that is no bytes is sent as JSON."""

    body: Any = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def data(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


class FakeServer:
    """A server of one test. `answer` returns the reply to each request; `queued` replies go first."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []
        self.queued: list[Reply] = []
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                query = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                sent = Sent(self.command, parts.path, query, dict(self.headers.items()), body)
                fake.sent.append(sent)
                reply = fake.queued.pop(0) if fake.queued else fake.answer(sent)
                data = reply.data
                self.send_response(reply.status)
                for name, value in {"Content-Length": str(len(data)), **reply.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            do_POST = do_GET  # noqa: N815

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        self.url = f"http://{self.host}"

    def answer(self, sent: Sent) -> Reply:
        raise NotImplementedError

    @contextmanager
    def running(self) -> Iterator[Any]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()


class FakeDownloads(FakeServer):
    """Another host, with the results of bulk operations."""

    def __init__(self) -> None:
        super().__init__()
        self.files: dict[str, bytes] = {}

    def answer(self, sent: Sent) -> Reply:
        data = self.files.get(sent.path)
        return Reply(b"<Error/>", 403) if data is None else Reply(data)


class FakeShopify(FakeServer):
    """The Admin GraphQL API of a shop, and its exchange of client credentials.

    Args:
        downloads: The host of the results.
        products: The nodes of the products, with `variants` and `media` as lists of nodes.
    """

    token = "shpat_planted-canary"
    client_id = "0123456789abcdef"
    client_secret = "shpss_planted-canary"

    def __init__(self, downloads: FakeDownloads, products: list[dict[str, Any]]) -> None:
        super().__init__()
        self.downloads, self.products = downloads, products
        self.scopes = ["read_products"]
        self.polls = 1
        self.final: dict[str, Any] = {"status": "COMPLETED", "errorCode": None}
        self.lines: list[Any] | None = None
        self.result: Callable[[], str | None] = self._store
        self._pending = 0
        self.queries: list[str] = []

    def answer(self, sent: Sent) -> Reply:
        if sent.path == "/admin/oauth/access_token":
            return self._exchange({name: values[0] for name, values in parse_qs(sent.body.decode()).items()})
        if not sent.path.endswith("/graphql.json"):
            return Reply({"errors": "Not Found"}, 404)
        if sent.headers.get("X-Shopify-Access-Token") != self.token:
            message = "[API] Invalid API key or access token (unrecognized login or wrong password)"
            return Reply({"errors": message}, 401)
        return Reply({"data": self._data(sent.json), "extensions": {"cost": cost(10, 1990)}})

    def _exchange(self, form: dict[str, str]) -> Reply:
        expected = {
            "grant_type": "client_credentials",
            "client_id": self.client_id,
            "client_secret": self.client_secret,
        }
        if form != expected:
            return Reply({"error": "invalid_client"}, 400)
        return Reply({"access_token": self.token, "scope": ",".join(self.scopes), "expires_in": 86399})

    def _data(self, request: dict[str, Any]) -> dict[str, Any]:
        query = request["query"]
        if "currencyCode } currentAppInstallation" in query:
            scopes = [{"handle": scope} for scope in self.scopes]
            return {"shop": {"currencyCode": "EUR"}, "currentAppInstallation": {"accessScopes": scopes}}
        if "bulkOperationRunQuery" in query:
            assert "groupObjects: true" in query
            self.queries.append(request["variables"]["query"])
            assert "first:" not in self.queries[-1]
            self._pending = self.polls
            operation = {"id": "gid://shopify/BulkOperation/1", "status": "CREATED"}
            return {"bulkOperationRunQuery": {"bulkOperation": operation, "userErrors": []}}
        if "BulkOperation" in query:
            assert request["variables"] == {"id": "gid://shopify/BulkOperation/1"}
            operation = {"id": "gid://shopify/BulkOperation/1", "status": "RUNNING", "errorCode": None, "url": None}
            self._pending -= 1
            if self._pending < 0:
                is_complete = self.final["status"] == "COMPLETED"
                operation |= self.final | {"url": self.result() if is_complete else None}
            return {"node": operation}
        assert "first: 5, " in query
        self.queries.append(query)
        return {"products": {"edges": [{"node": _connections(product)} for product in self._matching(query)[:5]]}}

    def _matching(self, query: str) -> list[dict[str, Any]]:
        since = query.partition("updated_at:>='")[2].partition("'")[0]
        return [product for product in self.products if product["updatedAt"] >= since]

    def _store(self) -> str | None:
        lines: list[Any] = []
        for product in self._matching(self.queries[-1]):
            lines.append({name: value for name, value in product.items() if name not in ("variants", "media")})
            lines += [child | {"__parentId": product["id"]} for child in (*product["media"], *product["variants"])]
        lines = lines if self.lines is None else self.lines
        if not lines:
            return None
        data = b"".join(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n" for line in lines)
        self.downloads.files["/bulk-operation-outputs/1"] = data
        return f"{self.downloads.url}/bulk-operation-outputs/1?GoogleAccessId=x&Signature=y"


def cost(requested: int, available: int) -> dict[str, Any]:
    status = {"maximumAvailable": 2000.0, "currentlyAvailable": available, "restoreRate": 100.0}
    return {"requestedQueryCost": requested, "actualQueryCost": None, "throttleStatus": status}


def _connections(product: dict[str, Any]) -> dict[str, Any]:
    edges = {name: {"edges": [{"node": node} for node in product[name]]} for name in ("variants", "media")}
    return {**product, **edges}


def shopify_image(name: str) -> dict[str, Any]:
    url = f"https://cdn.shopify.example/{name}.jpg"
    sizes = {"large": f"{url}?width=1024", "small": f"{url}?width=320"}
    return {"url": url, **sizes, "width": 2000, "height": 1500, "altText": name}


def shopify_product(number: int, *variants: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a product as the API does, with two photos and a video, by default with two variants."""
    media = [
        {"id": f"gid://shopify/MediaImage/{number}1", "image": shopify_image(f"front-{number}")},
        {"id": f"gid://shopify/Video/{number}2"},
        {"id": f"gid://shopify/MediaImage/{number}3", "image": shopify_image(f"back-{number}")},
    ]
    product = {
        "id": f"gid://shopify/Product/{number}",
        "legacyResourceId": str(number),
        "title": f"Mug {number}",
        "handle": f"mug-{number}",
        "status": "ACTIVE",
        "vendor": "Potter",
        "productType": "Mugs",
        "tags": ["new", "blue"],
        "description": "Stoneware",
        "onlineStoreUrl": f"https://shop.example/products/mug-{number}",
        "createdAt": "2026-01-01T00:00:00Z",
        "updatedAt": "2026-02-01T00:00:00Z",
        "media": media,
        "variants": list(variants) or [shopify_variant(number * 10), shopify_variant(number * 10 + 1, size="L")],
    }
    return product | more


def shopify_variant(number: int, size: str = "S", **more: Any) -> dict[str, Any]:
    variant = {
        "id": f"gid://shopify/ProductVariant/{number}",
        "legacyResourceId": str(number),
        "title": size,
        "sku": f"MUG-{number}",
        "barcode": "",
        "price": "19.90",
        "compareAtPrice": None,
        "availableForSale": True,
        "inventoryQuantity": 7,
        "selectedOptions": [{"name": "Size", "value": size}],
        "image": None,
    }
    return variant | more
