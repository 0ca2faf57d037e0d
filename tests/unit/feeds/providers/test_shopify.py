"""Shopify against a server on loopback that answers as its documentation says."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from cwz_web.feeds.limits import InvalidFileError
from cwz_web.feeds.providers.contract import (
    InvalidResponseError,
    SourceContext,
    SourceCredentialsError,
    SourceError,
    SourcePermissionError,
    SourceThrottledError,
    SourceUnreachableError,
)
from cwz_web.feeds.providers.shopify import ShopifyProvider, ShopifySettings
from cwz_web.feeds.providers.testing import SourceConformance, SourceSetup
from cwz_web.feeds.providers.testing.conformance import fetch_rows
from tests.source_servers import (
    FakeDownloads,
    FakeShopify,
    Reply,
    cost,
    shopify_image,
    shopify_product,
    shopify_variant,
)

THROTTLED = {
    "errors": [{"message": "Throttled", "extensions": {"code": "THROTTLED"}}],
    "extensions": {"cost": cost(752, 52)},
}


@pytest.fixture
def downloads() -> Iterator[FakeDownloads]:
    with FakeDownloads().running() as server:
        yield server


@pytest.fixture
def shop(downloads: FakeDownloads) -> Iterator[FakeShopify]:
    with FakeShopify(downloads, [shopify_product(1), shopify_product(2)]).running() as server:
        yield server


def setup_of(shop: FakeShopify, **settings: str) -> SourceSetup:
    operator = {"endpoint": shop.url, "download_host": shop.downloads.host}
    allow = [shop.host, shop.downloads.host]
    return SourceSetup(ShopifyProvider(), {"shop": "mugs", **settings}, {"token": shop.token}, operator, allow)


class TestShopify(SourceConformance):
    host_field = "shop"

    @pytest.fixture
    def setup(self, shop: FakeShopify) -> SourceSetup:
        return setup_of(shop)

    @pytest.fixture
    def broken(self, shop: FakeShopify, setup: SourceSetup) -> Callable[[str], SourceContext[Any, Any]]:
        def fail(failure: str) -> SourceContext[Any, Any]:
            if failure == "credentials":
                return setup.context(credentials={"token": "shpat_wrong-canary"})
            if failure == "permission":
                shop.scopes = ["read_orders"]
            else:
                statuses = {"missing": 404, "throttled": 429, "down": 503, "garbage": 200}
                shop.queued = [Reply(f"<p>{shop.token}".encode(), statuses[failure])] * 20
            return setup.context()

        return fail


def test_columns_of_a_variant(shop: FakeShopify) -> None:
    shop.products = [
        shopify_product(
            1,
            shopify_variant(
                10,
                compareAtPrice="25.00",
                image=shopify_image("blue"),
                price_DE={"price": {"amount": "18.0", "currencyCode": "EUR"}, "compareAtPrice": None},
                price_US={
                    "price": {"amount": "21.5", "currencyCode": "USD"},
                    "compareAtPrice": {"amount": "30.0", "currencyCode": "USD"},
                },
            ),
            shopify_variant(11, "Default Title", availableForSale=False, inventoryQuantity=0),
        )
    ]
    first, second = setup_of(shop, countries="de us").rows()
    assert first == {
        "id": "10",
        "product_id": "1",
        "sku": "MUG-10",
        "title": "Mug 1",
        "variant": "S",
        "option_size": "S",
        "price": "19.90 EUR",
        "compare_at_price": "25.00 EUR",
        "price_de": "18.0 EUR",
        "price_us": "21.5 USD",
        "compare_at_price_us": "30.0 USD",
        "availability": "in_stock",
        "inventory": "7",
        "image": "https://cdn.shopify.example/blue.jpg",
        "image_large": "https://cdn.shopify.example/blue.jpg?width=1024",
        "image_small": "https://cdn.shopify.example/blue.jpg?width=320",
        "image_width": "2000",
        "image_height": "1500",
        "image_alt": "blue",
        "images": "https://cdn.shopify.example/front-1.jpg, https://cdn.shopify.example/back-1.jpg",
        "url": "https://shop.example/products/mug-1?variant=10",
        "vendor": "Potter",
        "product_type": "Mugs",
        "tags": "new, blue",
        "description": "Stoneware",
        "handle": "mug-1",
        "status": "active",
        "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-02-01T00:00:00Z",
    }
    assert "contextualPricing(context: {country: US})" in shop.queries[-1]
    assert second["image"] == "https://cdn.shopify.example/front-1.jpg"
    assert (second["availability"], second["inventory"]) == ("out_of_stock", "0")
    assert "variant" not in second
    assert "option_size" not in second


def test_products_are_filtered_by_status_and_time(shop: FakeShopify) -> None:
    shop.products[1]["updatedAt"] = "2026-05-01T00:00:00Z"
    since = datetime(2026, 4, 1, tzinfo=UTC)
    assert {row["product_id"] for row in setup_of(shop).rows(changed_since=since)} == {"2"}
    assert "status:active AND updated_at:>='2026-04-01T00:00:00Z'" in shop.queries[-1]
    setup_of(shop, products="all").rows()
    assert 'products(query: "")' in shop.queries[-1]


def test_client_credentials_are_exchanged_for_a_token(shop: FakeShopify) -> None:
    setup = setup_of(shop, client_id=shop.client_id)
    assert len(setup.rows(credentials={"token": shop.client_secret})) == 4
    with pytest.raises(SourceCredentialsError, match="client ID or secret") as error:
        setup.rows(credentials={"token": "shpss_wrong"})
    assert error.value.field == "token"


def test_credentials_are_not_sent_to_the_download_host(shop: FakeShopify) -> None:
    setup_of(shop).rows()
    (download,) = shop.downloads.sent
    assert not {"X-Shopify-Access-Token", "Authorization", "Cookie"} & download.headers.keys()


def test_throttled_queries_wait_for_the_cost_to_be_restored(shop: FakeShopify) -> None:
    shop.queued = [Reply(THROTTLED), Reply(b"", 429, {"Retry-After": "2.0"}), Reply(b"", 502)]
    setup = setup_of(shop)
    assert len(setup.rows()) == 4
    assert setup.waits[:3] == [7.0, 2.0, 2.0]


def test_throttling_beyond_the_deadline_is_an_error(shop: FakeShopify) -> None:
    shop.queued = [Reply(THROTTLED)] * 100
    with pytest.raises(SourceThrottledError, match="Shopify limits the request rate"):
        setup_of(shop).rows(deadline=time.monotonic() + 5)


def test_operations_are_polled_and_wait_for_another_one(shop: FakeShopify) -> None:
    busy = {"bulkOperation": None, "userErrors": [{"code": "OPERATION_IN_PROGRESS", "field": None, "message": "x"}]}
    shop.polls = 5
    setup = setup_of(shop)
    data = {"shop": {"currencyCode": "EUR"}, "currentAppInstallation": {"accessScopes": []}}
    shop.queued = [Reply({"data": data}), Reply({"data": {"bulkOperationRunQuery": busy}})]
    assert len(setup.rows()) == 4
    assert setup.waits == [10.0, 2.0, 3.0, 4.5, 6.75, 10.125, 15.0]


@pytest.mark.parametrize(
    ("final", "error", "message"),
    [
        ({"status": "FAILED", "errorCode": "ACCESS_DENIED"}, SourcePermissionError, "scope read_products"),
        ({"status": "FAILED", "errorCode": "INTERNAL_SERVER_ERROR"}, SourceError, "INTERNAL_SERVER_ERROR"),
        ({"status": "FAILED", "errorCode": "TIMEOUT"}, SourceError, "TIMEOUT"),
        ({"status": "CANCELED", "errorCode": None}, SourceError, "CANCELED"),
        ({"status": "EXPIRED", "errorCode": None}, SourceError, "EXPIRED"),
        ({"status": "<script>", "errorCode": None}, SourceError, "UNKNOWN"),
        ({"status": None, "errorCode": None}, InvalidResponseError, "not the expected one"),
    ],
)
def test_failed_operation(shop: FakeShopify, final: dict[str, Any], error: type[Exception], message: str) -> None:
    shop.final = final
    with pytest.raises(error, match=message):
        setup_of(shop).rows()


def test_shop_without_products(shop: FakeShopify) -> None:
    shop.products = []
    assert setup_of(shop).rows() == []


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/bulk",
        "http://169.254.169.254/latest/meta-data",
        "http://{downloads}@evil.example/x",
        "https://{downloads}.evil.example/x",
        "http://{shop}/x",
        "file:///etc/passwd",
        "//evil.example",
        "not a URL",
    ],
)
def test_download_of_another_host_is_refused(shop: FakeShopify, url: str) -> None:
    shop.result = lambda: url.format(downloads=shop.downloads.host, shop=shop.host)
    requests = len(shop.sent)
    with pytest.raises(InvalidResponseError, match="not its own"):
        setup_of(shop).rows()
    assert not any(sent.path == "/x" for sent in shop.sent[requests:])


def test_download_that_redirects_is_refused(shop: FakeShopify) -> None:
    shop.downloads.queued = [Reply(b"", 302, {"Location": "http://169.254.169.254/"})]
    with pytest.raises(InvalidResponseError):
        setup_of(shop).rows()


def test_expired_download_is_an_error(shop: FakeShopify) -> None:
    shop.result = lambda: f"{shop.downloads.url}/gone"
    with pytest.raises(InvalidResponseError):
        setup_of(shop).rows()


def test_api_that_redirects_gets_no_token_elsewhere(shop: FakeShopify) -> None:
    shop.queued = [Reply(b"", 307, {"Location": f"{shop.downloads.url}/"})]
    with pytest.raises(InvalidResponseError, match="redirects"):
        setup_of(shop).rows()
    assert shop.downloads.sent == []


PRODUCT = {"id": "gid://shopify/Product/1", "legacyResourceId": "1"}
VARIANT = {"id": "gid://shopify/ProductVariant/1", "__parentId": PRODUCT["id"]}


@pytest.mark.parametrize(
    "lines",
    [
        [b"not json\n"],
        [b"[" * 100_000 + b"\n"],
        [[1, 2]],
        [VARIANT],
        [PRODUCT, {**VARIANT, "__parentId": "gid://shopify/Product/2"}],
        [PRODUCT, *[VARIANT] * 10_001],
        [b'{"id": "' + b"x" * (5 * 1024 * 1024) + b'"}\n'],
        [b'{"id": NaN}\n'],
        [b'{"id": ' + b"9" * 5000 + b"}\n"],
        [b'{"cut": "o'],
    ],
)
def test_hostile_result(shop: FakeShopify, lines: list[Any]) -> None:
    shop.lines = lines
    with pytest.raises(InvalidResponseError):
        setup_of(shop).rows()


def test_values_of_unexpected_types_are_left_out(shop: FakeShopify) -> None:
    shop.lines = [
        {**PRODUCT, "title": {"a": 1}, "tags": [{"b": 2}, "ok"], "status": None, "description": "\ud800\x00text"},
        {**VARIANT, "price": 5, "selectedOptions": "x", "image": [], "inventoryQuantity": 10**30, "title": ["a"]},
        {**VARIANT, "legacyResourceId": "2", "selectedOptions": [{"name": None, "value": {}}, 3]},
    ]
    first, second = setup_of(shop).rows()
    assert first["tags"] == "ok"
    assert first["inventory"] == "1" + "0" * 30
    assert "title" not in first
    assert second["id"] == "2"


def test_endless_rows_end_at_the_limit(shop: FakeShopify, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cwz_web.feeds.limits.MAX_ROWS", 3)
    with pytest.raises(InvalidFileError, match="more than 3 rows"):
        setup_of(shop).rows()


def test_large_answer_is_refused(shop: FakeShopify, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cwz_web.feeds.providers.http.MAX_ANSWER_BYTES", 1000)
    shop.queued = [Reply(b" " * 1001)] * 10
    with pytest.raises(SourceUnreachableError):
        setup_of(shop).rows()


@pytest.mark.parametrize(
    "shop_name",
    ["mugs", "MUGS", "mugs.myshopify.com", "https://mugs.myshopify.com/", "https://admin.shopify.com/store/mugs"],
)
def test_names_of_shops(shop_name: str) -> None:
    settings = ShopifySettings(shop=shop_name)
    assert list(ShopifyProvider().hosts(settings, {})) == ["mugs.myshopify.com", "storage.googleapis.com"]


@pytest.mark.parametrize(
    "shop_name",
    [
        "evil.com/.myshopify.com", "shop.myshopify.com@evil.com", "shop.myshopify.com.evil.com",
        "evil.com#.myshopify.com",
        "evil.com", "a.b.myshopify.com", "-x", "https://evil.com/store/mugs", "http://mugs.myshopify.com", "mugs:80",
        "",
        "mugs.myshopify.com/admin", "müg", "x" * 300,
    ],
)  # fmt: skip
def test_names_that_are_no_shop(shop_name: str) -> None:
    with pytest.raises(ValidationError):
        ShopifySettings(shop=shop_name)


@pytest.mark.parametrize("countries", ["Germany", "DE, U", "A,B", ",".join(["DE", "US"] * 3 + ["A1"]), "D}{E"])
def test_invalid_countries(countries: str) -> None:
    with pytest.raises(ValidationError):
        ShopifySettings(shop="mugs", countries=countries)


def test_countries_are_normalized() -> None:
    assert ShopifySettings(shop="mugs", countries=" de, us;de ").countries == "DE,US"


def test_preview_needs_no_bulk_operation(shop: FakeShopify) -> None:
    rows = fetch_rows(ShopifyProvider(), setup_of(shop).context(is_preview=True), 50)
    assert len(rows) == 4
    assert shop.downloads.sent == []
