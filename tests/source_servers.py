"""Servers on loopback that answer as the documentation of shops and tables says; nothing leaves this machine."""

import base64
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey


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

            do_POST = do_PUT = do_GET  # noqa: N815

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

    def close(self) -> None:
        """Close a server that does not run."""
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


class FakeWooCommerce(FakeServer):
    """The REST API of a WooCommerce shop.

    Args:
        products: The products; `variations` of them is the list of another endpoint.
    """

    key, secret = "ck_planted-canary", "cs_planted-canary"

    def __init__(self, products: list[dict[str, Any]]) -> None:
        super().__init__()
        self.products = products
        self.code = ""

    def answer(self, sent: Sent) -> Reply:
        expected = "Basic " + base64.b64encode(f"{self.key}:{self.secret}".encode()).decode()
        if sent.headers.get("Authorization") != expected:
            code = "woocommerce_rest_authentication_error"
            return Reply({"code": code, "message": "Consumer key is invalid.", "data": {"status": 401}}, 401)
        if self.code:
            return Reply({"code": self.code, "message": "x", "data": {"status": 401}}, 401)
        path = sent.path.removeprefix("/wp-json/wc/v3/")
        if path == "data/currencies/current":
            return Reply({"code": "EUR", "name": "Euro", "symbol": "&euro;"})
        if path == "products":
            assert (sent.query["orderby"], sent.query["order"], int(sent.query["per_page"]) <= 100) == (
                "id",
                "asc",
                True,
            )
            since = sent.query.get("modified_after", "")
            found = [{**p, "variations": []} for p in self.products if p["date_modified_gmt"] >= since]
            return self._page(found, sent)
        if match := re.fullmatch(r"products/(\d+)/variations", path):
            return self._page(next(p["variations"] for p in self.products if p["id"] == int(match[1])), sent)
        return Reply({"code": "rest_no_route", "message": "No route", "data": {"status": 404}}, 404)

    def _page(self, entries: list[Any], sent: Sent) -> Reply:
        page, size = int(sent.query["page"]), int(sent.query["per_page"])
        pages = -(-len(entries) // size)
        headers = {"X-WP-Total": str(len(entries)), "X-WP-TotalPages": str(pages)}
        return Reply(entries[(page - 1) * size : page * size], 200, headers)


def woo_product(number: int, **more: Any) -> dict[str, Any]:
    photos = [{"id": n, "src": f"https://shop.example/{name}-{number}.jpg", "alt": name} for n, name in enumerate("ab")]
    product = {
        "id": number,
        "name": f"Lamp {number}",
        "type": "simple",
        "status": "publish",
        "sku": f"LAMP-{number}",
        "permalink": f"https://shop.example/lamp-{number}",
        "description": "<p>Bright &amp; <b>warm</b></p>",
        "short_description": "",
        "price": "40.00",
        "regular_price": "50.00",
        "sale_price": "40.00",
        "date_on_sale_from_gmt": None,
        "date_on_sale_to_gmt": "2026-12-24T00:00:00",
        "stock_status": "instock",
        "stock_quantity": None,
        "images": photos,
        "categories": [{"id": 1, "name": "Lamps"}],
        "tags": [],
        "attributes": [{"id": 0, "name": "Color", "options": ["Red", "Blue"]}],
        "date_created_gmt": "2026-01-01T00:00:00",
        "date_modified_gmt": "2026-02-01T00:00:00",
        "variations": [],
    }
    return product | more


def woo_variation(number: int, color: str) -> dict[str, Any]:
    return {
        "id": number,
        "sku": f"LAMP-{color}",
        "status": "publish",
        "permalink": f"https://shop.example/lamp?color={color}",
        "description": "",
        "price": "30.00",
        "regular_price": "30.00",
        "sale_price": "",
        "stock_status": "outofstock",
        "stock_quantity": 0,
        "image": {"id": 5, "src": f"https://shop.example/{color}.jpg", "alt": ""},
        "attributes": [{"id": 0, "name": "Color", "option": color}],
        "date_modified_gmt": "2026-02-01T00:00:00",
    }


class FakeBigCommerce(FakeServer):
    """The catalog API of a BigCommerce store, with the brand 5 and the categories 7 and 8.

    Args:
        products: The products, in any order.
    """

    token, store = "planted-canary-token", "abc123"

    def __init__(self, products: list[dict[str, Any]]) -> None:
        super().__init__()
        self.products = products
        self.is_allowed = self.has_information = True
        self.left = 150

    def answer(self, sent: Sent) -> Reply:
        quota = {"X-Rate-Limit-Requests-Left": str(self.left), "X-Rate-Limit-Time-Reset-Ms": "12500"}
        base = f"/stores/{self.store}/"
        if not sent.path.startswith(base):
            return Reply({"status": 404, "title": "Store not found"}, 404)
        if sent.headers.get("X-Auth-Token") != self.token:
            return Reply({"status": 401, "title": "Unauthorized"}, 401)
        path = sent.path.removeprefix(base)
        if not (self.has_information if path == "v2/store" else self.is_allowed):
            return Reply({"status": 403, "title": "Your credentials are insufficient"}, 403)
        if path == "v2/store":
            data = {"secure_url": "https://mugs.example", "currency": "EUR", "decimal_places": 2}
            return Reply(data, 200, quota)
        entries = {
            "v3/catalog/products": self._products,
            "v3/catalog/brands": lambda sent: [{"id": 5, "name": "Potter"}],
            "v3/catalog/trees/categories": lambda sent: [
                {"category_id": 7, "tree_id": 1, "name": "Mugs"},
                {"category_id": 8, "tree_id": 1, "name": "Gifts"},
            ],
        }.get(path)
        if entries is None:
            return Reply({"status": 404, "title": "Not found"}, 404)
        return Reply(self._page(entries(sent), sent.query), 200, quota)

    def _products(self, sent: Sent) -> list[dict[str, Any]]:
        assert (sent.query["sort"], sent.query["direction"]) == ("id", "asc")
        since, hidden = sent.query.get("date_modified:min", ""), sent.query.get("is_visible") != "true"
        found = [product for product in self.products if product["id"] > int(sent.query["id:greater"])]
        found = [
            product for product in found if (product["is_visible"] or hidden) and product["date_modified"] >= since
        ]
        included = sent.query["include"].split(",")
        shown = ({k: v for k, v in each.items() if k in included or k not in ("variants", "images")} for each in found)
        return sorted(shown, key=lambda product: product["id"])

    def _page(self, entries: list[Any], query: dict[str, str]) -> dict[str, Any]:
        page, limit = int(query.get("page", "1")), int(query["limit"])
        assert 0 < limit <= 250
        shown = entries[(page - 1) * limit : page * limit]
        pages = -(-len(entries) // limit)
        pagination = {"total": len(entries), "count": len(shown), "per_page": limit, "current_page": page}
        return {"data": shown, "meta": {"pagination": {**pagination, "total_pages": pages}}}


def big_product(number: int, *variants: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a product as the API does, with two photos, by default without options: it has one variant."""
    cdn = f"https://cdn11.bigcommerce.example/s-abc123/products/{number}/images"
    images = [
        {"id": order, "is_thumbnail": order == 2, "sort_order": order, "description": f"Photo {order}"}
        | {f"url_{size}": f"{cdn}/{order}.{size}.jpg?c=1" for size in ("zoom", "standard", "thumbnail", "tiny")}
        for order in (1, 2)
    ]
    product = {
        "id": number,
        "name": f"Mug {number}",
        "type": "physical",
        "sku": f"MUG-{number}",
        "description": "<p>Stone &amp; <b>clay</b></p>",
        "price": 20,
        "retail_price": 0,
        "sale_price": 0,
        "calculated_price": 20,
        "categories": [7, 8, 99],
        "brand_id": 5,
        "inventory_level": 3,
        "inventory_tracking": "variant" if variants else "product",
        "availability": "available",
        "is_visible": True,
        "condition": "New",
        "gtin": "",
        "mpn": "",
        "custom_url": {"url": f"/mug-{number}/", "is_customized": False},
        "date_created": "2026-01-01T00:00:00+00:00",
        "date_modified": "2026-02-01T00:00:00+00:00",
        "images": images,
        "variants": list(variants) or [big_variant(number * 10, sku=f"MUG-{number}", inventory_level=0)],
    }
    return product | more


def big_variant(number: int, *labels: str, **more: Any) -> dict[str, Any]:
    values = [
        {"id": order, "label": label, "option_id": order, "option_display_name": name}
        for order, (name, label) in enumerate(zip(("Color", "Size"), labels, strict=False))
    ]
    variant = {
        "id": number,
        "sku": f"MUG-{number}",
        "price": None,
        "sale_price": None,
        "retail_price": None,
        "calculated_price": 20,
        "purchasing_disabled": False,
        "image_url": "",
        "upc": "",
        "gtin": "",
        "mpn": "",
        "inventory_level": 7,
        "option_values": values,
    }
    return variant | more


class FakeAirtable(FakeServer):
    """The Web API of Airtable, with pages of two records."""

    token = "patplanted.canary"
    base, table, view = "appAAAAAAAAAAAAAA", "tblBBBBBBBBBBBBBB", "viwCCCCCCCCCCCCCC"

    def __init__(self, records: list[dict[str, Any]]) -> None:
        super().__init__()
        self.records, self.page = records, 2
        self.is_allowed = True

    def answer(self, sent: Sent) -> Reply:
        if sent.headers.get("Authorization") != f"Bearer {self.token}":
            return Reply({"error": {"type": "AUTHENTICATION_REQUIRED", "message": "Authentication required"}}, 401)
        if not self.is_allowed:
            return Reply({"error": {"type": "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND", "message": "x"}}, 403)
        if sent.path != f"/v0/{self.base}/{self.table}":
            return Reply({"error": "NOT_FOUND"}, 404)
        since = sent.query.get("filterByFormula", "").partition("(), '")[2].partition("'")[0]
        records = [record for record in self.records if record["modified"] >= since]
        start = int(sent.query.get("offset", "itr/0").partition("/")[2])
        shown = [{"id": r["id"], "createdTime": "x", "fields": r["fields"]} for r in records]
        page: dict[str, Any] = {"records": shown[start : start + self.page]}
        if start + self.page < len(records):
            page["offset"] = f"itr/{start + self.page}"
        return Reply(page)


@cache
def google_key() -> RSAKey:
    """Return one key for all tests: a new one takes longer than most of them."""
    return RSAKey.generate_key(2048)


class FakeGoogle(FakeServer):
    """Google's token endpoint and its Sheets API; the tests have a key of their own.

    Args:
        sheets: The cells of each sheet by its title.
    """

    spreadsheet = "1AbCdEfGhIjKlMnOpQrStUvWxYz0123456789"
    token = "ya29.planted-canary"

    def __init__(self, sheets: dict[str, list[list[Any]]]) -> None:
        super().__init__()
        self.sheets = sheets
        self.key = google_key()
        self.is_shared = True

    @property
    def key_file(self) -> str:
        info = {
            "type": "service_account",
            "client_email": "feeds@project.iam.gserviceaccount.com",
            "private_key": self.key.as_pem(private=True).decode(),
            "token_uri": "https://evil.example/token",
        }
        return json.dumps(info, indent=1)

    def answer(self, sent: Sent) -> Reply:
        if sent.path == "/token":
            return self._exchange(parse_qs(sent.body.decode()))
        if sent.headers.get("Authorization") != f"Bearer {self.token}":
            return Reply({"error": {"code": 401, "status": "UNAUTHENTICATED"}}, 401)
        if not self.is_shared:
            return Reply({"error": {"code": 403, "status": "PERMISSION_DENIED"}}, 403)
        path = unquote(sent.path)
        if not path.startswith(f"/v4/spreadsheets/{self.spreadsheet}"):
            return Reply({"error": {"code": 404, "status": "NOT_FOUND"}}, 404)
        area = path.partition("/values/")[2]
        if not area:
            return Reply({"sheets": [self._properties(n, title) for n, title in enumerate(self.sheets)]})
        title, _, span = area.rpartition("!")
        first, last = map(int, span.split(":"))
        rows = self.sheets[title[1:-1].replace("''", "'")][first - 1 : last]
        return Reply({"range": area, "majorDimension": "ROWS", **({"values": rows} if rows else {})})

    def _properties(self, number: int, title: str) -> dict[str, Any]:
        grid = {"rowCount": 1000}
        return {
            "properties": {"sheetId": number * 7, "title": title, "hidden": title == "Hidden", "gridProperties": grid}
        }

    def _exchange(self, form: dict[str, list[str]]) -> Reply:
        assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
        try:
            claims = jwt.decode(form["assertion"][0], self.key, algorithms=["RS256"]).claims
        except JoseError:
            return Reply({"error": "invalid_grant", "error_description": "Invalid JWT Signature."}, 400)
        assert claims["aud"] == "https://oauth2.googleapis.com/token"
        assert claims["scope"] == "https://www.googleapis.com/auth/spreadsheets.readonly"
        assert claims["exp"] - claims["iat"] <= 3600
        return Reply({"access_token": self.token, "expires_in": 3599, "token_type": "Bearer"})
