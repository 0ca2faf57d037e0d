"""BigCommerce against a server on loopback that answers as its documentation says."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from cwz_web.feeds.providers.bigcommerce import BigCommerceProvider, BigCommerceSettings
from cwz_web.feeds.providers.contract import InvalidResponseError, SourceContext, SourceThrottledError
from cwz_web.feeds.providers.testing import SourceConformance, SourceSetup
from cwz_web.feeds.providers.testing.conformance import fetch_rows
from tests.source_servers import FakeBigCommerce, Reply, big_product, big_variant


@pytest.fixture
def shop() -> Iterator[FakeBigCommerce]:
    options = big_product(2, big_variant(21, "Red", "S"), big_variant(22, "Blue", "L"))
    with FakeBigCommerce([big_product(3), big_product(1), options]).running() as server:
        yield server


@pytest.fixture
def setup(shop: FakeBigCommerce) -> SourceSetup:
    provider, operator = BigCommerceProvider(), {"endpoint": shop.url}
    return SourceSetup(provider, {"store": shop.store}, {"token": shop.token}, operator, [shop.host])


class TestConformance(SourceConformance):
    @pytest.fixture
    def setup(self, setup: SourceSetup) -> SourceSetup:
        return setup

    @pytest.fixture
    def broken(self, shop: FakeBigCommerce, setup: SourceSetup) -> Callable[[str], SourceContext[Any, Any]]:
        def fail(failure: str) -> SourceContext[Any, Any]:
            if failure == "credentials":
                return setup.context(credentials={"token": "wrong-canary"})
            if failure == "missing":
                return setup.context(settings={"store": "other1"})
            if failure == "permission":
                shop.is_allowed = False
                return setup.context()
            statuses = {"throttled": 429, "down": 503, "garbage": 200}
            shop.queued = [Reply(f"<p>{shop.token}".encode(), statuses[failure])] * 20
            return setup.context()

        return fail


def test_columns(setup: SourceSetup) -> None:
    first, red, blue, last = setup.rows()
    photo = "https://cdn11.bigcommerce.example/s-abc123/products/1/images/{}.zoom.jpg?c=1"
    assert first == {
        "id": "10",
        "product_id": "1",
        "sku": "MUG-1",
        "title": "Mug 1",
        "price": "20.00 EUR",
        "availability": "in_stock",
        "inventory": "3",
        "image": photo.format(2),
        "image_alt": "Photo 2",
        "images": f"{photo.format(2)}, {photo.format(1)}",
        "url": "https://mugs.example/mug-1/",
        "description": "Stone & clay",
        "condition": "new",
        "status": "visible",
        "created_at": "2026-01-01T00:00:00+00:00",
        "updated_at": "2026-02-01T00:00:00+00:00",
        "brand": "Potter",
        "categories": "Mugs, Gifts",
    }
    assert (red["id"], red["product_id"], red["variant"], red["inventory"]) == ("21", "2", "Red / S", "7")
    assert (blue["option_color"], blue["option_size"]) == ("Blue", "L")
    assert last["id"] == "30"


@pytest.mark.parametrize(
    ("product", "variant", "price", "regular"),
    [
        ({"sale_price": 15}, {"calculated_price": 15}, "15.00 EUR", "20.00 EUR"),
        ({"retail_price": 25.5}, {}, "20.00 EUR", "25.50 EUR"),
        ({}, {"price": 12, "calculated_price": 12}, "12.00 EUR", None),
        ({}, {"price": 12, "retail_price": 14, "calculated_price": 11.9}, "11.90 EUR", "12.00 EUR"),
        ({"price": 0, "retail_price": 9}, {"calculated_price": 0}, "0.00 EUR", None),
        ({"price": "9"}, {"calculated_price": "9"}, None, None),
        ({"price": True}, {"calculated_price": True}, None, None),
    ],
)
def test_prices(
    shop: FakeBigCommerce,
    setup: SourceSetup,
    product: dict[str, Any],
    variant: dict[str, Any],
    price: str,
    regular: str,
) -> None:
    shop.products = [big_product(1, big_variant(10, **variant), **product)]
    (row,) = setup.rows()
    assert (row.get("price"), row.get("compare_at_price")) == (price, regular)


@pytest.mark.parametrize(
    ("product", "variant", "availability", "inventory"),
    [
        ({"inventory_tracking": "none"}, {"inventory_level": 0}, "in_stock", None),
        ({"inventory_tracking": "product", "inventory_level": 0}, {"inventory_level": 4}, "out_of_stock", "0"),
        ({"inventory_tracking": "variant", "inventory_level": 0}, {"inventory_level": 4}, "in_stock", "4"),
        ({"inventory_tracking": "variant"}, {"inventory_level": 0}, "out_of_stock", "0"),
        ({"availability": "disabled"}, {}, "out_of_stock", "7"),
        ({"availability": "preorder"}, {}, "preorder", "7"),
        ({}, {"purchasing_disabled": True}, "out_of_stock", "7"),
    ],
)
def test_stock(
    shop: FakeBigCommerce,
    setup: SourceSetup,
    product: dict[str, Any],
    variant: dict[str, Any],
    availability: str,
    inventory: str | None,
) -> None:
    shop.products = [big_product(1, big_variant(10, **variant), **product)]
    (row,) = setup.rows()
    assert (row["availability"], row.get("inventory")) == (availability, inventory)


def test_image_of_a_variant(shop: FakeBigCommerce, setup: SourceSetup) -> None:
    shop.products = [big_product(1, big_variant(10, image_url="https://cdn.example/red.jpg"))]
    assert setup.rows()[0]["image"] == "https://cdn.example/red.jpg"


def test_token_without_information_of_the_store(shop: FakeBigCommerce, setup: SourceSetup) -> None:
    shop.has_information = False
    row = setup.rows()[0]
    assert row["price"] == "20.00"
    assert "url" not in row


def test_hidden_products(shop: FakeBigCommerce, setup: SourceSetup) -> None:
    shop.products = [big_product(1), big_product(2, is_visible=False)]
    assert [row["product_id"] for row in setup.rows()] == ["1"]
    rows = setup.rows(settings={"products": "all"})
    assert [(row["product_id"], row["status"]) for row in rows] == [("1", "visible"), ("2", "hidden")]


def test_pages_and_changes(shop: FakeBigCommerce, setup: SourceSetup) -> None:
    shop.products = [big_product(number) for number in range(1, 46)]
    shop.products[40]["date_modified"] = "2026-06-01T00:00:00+00:00"
    assert [row["product_id"] for row in setup.rows()] == [str(number) for number in range(1, 46)]
    assert [sent.query["id:greater"] for sent in shop.sent if sent.path.endswith("/products")] == [
        "0",
        "20",
        "40",
        "45",
    ]
    assert [row["product_id"] for row in setup.rows(changed_since=datetime(2026, 5, 1, tzinfo=UTC))] == ["41"]
    assert shop.sent[-1].query["date_modified:min"] == "2026-05-01T00:00:00Z"


def test_fetch_without_changes_is_one_request(shop: FakeBigCommerce, setup: SourceSetup) -> None:
    assert setup.rows(changed_since=datetime(2999, 5, 1, tzinfo=UTC)) == []
    assert len(shop.sent) == 1


def test_product_deleted_between_pages_skips_none(shop: FakeBigCommerce, setup: SourceSetup) -> None:
    shop.products = [big_product(number) for number in range(1, 31)]
    first = shop.answer
    context = setup.context()

    def answer(sent: Any) -> Reply:
        if sent.query.get("id:greater") == "20":
            shop.products = shop.products[5:]
        return first(sent)

    shop.answer = answer  # type: ignore[method-assign]
    rows = fetch_rows(setup.provider, context)
    assert [row["product_id"] for row in rows] == [str(number) for number in range(1, 31)]


def test_last_requests_of_the_quota_are_left_to_others(shop: FakeBigCommerce, setup: SourceSetup) -> None:
    setup.rows()
    assert setup.waits == []
    shop.left = 4
    setup.rows()
    assert set(setup.waits) == {12.5}


def test_throttled_request_waits_for_the_quota(shop: FakeBigCommerce, setup: SourceSetup) -> None:
    shop.queued = [Reply(b"", 429, {"X-Rate-Limit-Time-Reset-Ms": "7500"}), Reply(b"", 429)]
    assert len(setup.rows()) == 4
    assert setup.waits == [7.5, 2.0]


@pytest.mark.parametrize("reset", ["9" * 9, "-5", "1e9", "nan", "٣", ""])
def test_hostile_reset(shop: FakeBigCommerce, setup: SourceSetup, reset: str) -> None:
    headers = {"X-Rate-Limit-Time-Reset-Ms": reset.encode().decode("latin-1")}
    shop.queued = [Reply(b"", 429, headers)] * 20
    with pytest.raises(SourceThrottledError):
        setup.rows()


@pytest.mark.parametrize(
    "body",
    [
        {"data": {"id": 1}}, {"data": [1]}, {}, [], None, {"data": [{"id": "1"}]},
        {"data": [{"id": 0, "variants": []}]}, {"data": [{"id": 2, "variants": []}, {"id": 1, "variants": []}]},
        {"data": [{"id": 1, "variants": {}}]}, {"data": [{"id": True, "variants": []}]},
    ],
)  # fmt: skip
def test_hostile_answers(shop: FakeBigCommerce, setup: SourceSetup, body: Any) -> None:
    shop.queued = [Reply(body)]
    with pytest.raises(InvalidResponseError):
        setup.rows()


def test_endless_pages_are_refused(shop: FakeBigCommerce, setup: SourceSetup) -> None:
    page = Reply({"data": [{"id": 1, "variants": []}]})
    shop.queued = [page, Reply({"data": []}), page]
    with pytest.raises(InvalidResponseError):
        fetch_rows(setup.provider, setup.context())


@pytest.mark.parametrize(
    "field", ["name", "images", "categories", "brand_id", "custom_url", "description", "inventory_tracking", "variants"]
)
@pytest.mark.parametrize("value", [None, 7, "x", [None, 7, "x", {"label": {}}], {"url": 7}])
def test_hostile_fields(shop: FakeBigCommerce, setup: SourceSetup, field: str, value: Any) -> None:
    shop.products = [big_product(1, **{field: value})]
    if field == "variants" and not isinstance(value, list):
        with pytest.raises(InvalidResponseError):
            setup.rows()
    else:
        assert {row.get("product_id") for row in setup.rows()} <= {"1"}


@pytest.mark.parametrize(
    "store",
    [
        "abc123", "ABC123", "https://api.bigcommerce.com/stores/abc123/v3/", "api.bigcommerce.com/stores/abc123",
        "https://store-abc123.mybigcommerce.com/", "https://store-abc123-1.mybigcommerce.com/manage/dashboard",
    ],
)  # fmt: skip
def test_stores(store: str) -> None:
    settings, provider = BigCommerceSettings(store=store), BigCommerceProvider()
    assert settings.store == "abc123"
    assert list(provider.hosts(settings, {})) == ["api.bigcommerce.com"]
    assert provider.url(settings) == "https://store-abc123.mybigcommerce.com"
    assert provider.recipient(settings) == "abc123"


@pytest.mark.parametrize(
    "store",
    [
        "", "abc", "abc123/../other1", "abc123?x", "abc123#", "http://api.bigcommerce.com/stores/abc123",
        "https://evil.example/stores/abc123", "https://api.bigcommerce.com@evil.example/stores/abc123",
        "https://store-abc123.mybigcommerce.com.evil.example", "abc-123", "abc 123", "äbc123",
    ],
)  # fmt: skip
def test_stores_that_are_none(store: str) -> None:
    with pytest.raises(ValidationError):
        BigCommerceSettings(store=store)
