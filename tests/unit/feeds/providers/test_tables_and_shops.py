"""WooCommerce, Airtable and Google Sheets against servers on loopback that answer as their documentation says."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from cwz_web.feeds.providers.airtable import AirtableProvider, AirtableSettings
from cwz_web.feeds.providers.contract import (
    InvalidResponseError,
    SourceContext,
    SourceCredentialsError,
    SourceNotFoundError,
)
from cwz_web.feeds.providers.google_sheets import GoogleSheetsProvider, GoogleSheetsSettings
from cwz_web.feeds.providers.testing import SourceConformance, SourceSetup
from cwz_web.feeds.providers.woocommerce import WooCommerceProvider, WooCommerceSettings
from tests.source_servers import (
    FakeAirtable,
    FakeGoogle,
    FakeServer,
    FakeWooCommerce,
    Reply,
    woo_product,
    woo_variation,
)


def fail_with(server: FakeServer, setup: SourceSetup, failure: str, secret: str) -> SourceContext[Any, Any]:
    """Let a server answer with a status and a hostile body."""
    statuses = {"missing": 404, "throttled": 429, "down": 503, "garbage": 200}
    server.queued = [Reply(f"<p>{secret}".encode(), statuses[failure])] * 20
    return setup.context()


@pytest.fixture
def woo() -> Iterator[FakeWooCommerce]:
    variable = woo_product(2, type="variable", variations=[woo_variation(21, "red"), woo_variation(22, "blue")])
    with FakeWooCommerce([woo_product(1), variable, woo_product(3)]).running() as server:
        yield server


def woo_setup(woo: FakeWooCommerce) -> SourceSetup:
    keys = {"consumer_key": woo.key, "consumer_secret": woo.secret}
    return SourceSetup(WooCommerceProvider(), {"site": "https://shop.example"}, keys, {"endpoint": woo.url}, [woo.host])


class TestWooCommerce(SourceConformance):
    host_field = "site"

    @pytest.fixture
    def setup(self, woo: FakeWooCommerce) -> SourceSetup:
        return woo_setup(woo)

    @pytest.fixture
    def broken(self, woo: FakeWooCommerce, setup: SourceSetup) -> Callable[[str], SourceContext[Any, Any]]:
        def fail(failure: str) -> SourceContext[Any, Any]:
            if failure == "credentials":
                return setup.context(credentials={"consumer_secret": "cs_wrong"})
            if failure == "permission":
                woo.code = "woocommerce_rest_cannot_view"
                return setup.context()
            return fail_with(woo, setup, failure, woo.secret)

        return fail


def test_products_and_variations(woo: FakeWooCommerce) -> None:
    first, red, blue, _ = woo_setup(woo).rows()
    assert first == {
        "id": "1",
        "product_id": "1",
        "sku": "LAMP-1",
        "title": "Lamp 1",
        "price": "40.00 EUR",
        "compare_at_price": "50.00 EUR",
        "sale_until": "2026-12-24T00:00:00",
        "availability": "in_stock",
        "image": "https://shop.example/a-1.jpg",
        "image_alt": "a",
        "images": "https://shop.example/a-1.jpg, https://shop.example/b-1.jpg",
        "url": "https://shop.example/lamp-1",
        "categories": "Lamps",
        "description": "Bright & warm",
        "option_color": "Red, Blue",
        "status": "publish",
        "created_at": "2026-01-01T00:00:00",
        "updated_at": "2026-02-01T00:00:00",
    }
    assert (red["id"], red["product_id"], red["option_color"]) == ("21", "2", "red")
    assert (red["price"], red["availability"], red["inventory"]) == ("30.00 EUR", "out_of_stock", "0")
    assert "compare_at_price" not in red
    assert blue["image"] == "https://shop.example/blue.jpg"


def test_pages_and_changes_of_woocommerce(woo: FakeWooCommerce) -> None:
    woo.products = [woo_product(number) for number in range(1, 251)]
    woo.products[200]["date_modified_gmt"] = "2026-06-01T00:00:00"
    setup = woo_setup(woo)
    assert [row["id"] for row in setup.rows()] == [str(number) for number in range(1, 251)]
    pages = [sent.query["page"] for sent in woo.sent if sent.path.endswith("/products")]
    assert pages == ["1", "2", "3"]
    assert [row["id"] for row in setup.rows(changed_since=datetime(2026, 5, 1, tzinfo=UTC))] == ["201"]
    assert woo.sent[-1].query["dates_are_gmt"] == "true"


def test_endless_pages_of_woocommerce_end(woo: FakeWooCommerce) -> None:
    woo.queued = [
        Reply({"code": "EUR"}),
        Reply([woo_product(1)], 200, {"X-WP-TotalPages": "9999999"}),
        Reply([woo_product(2)], 200, {"X-WP-TotalPages": "9" * 400}),
    ]
    assert len(woo_setup(woo).rows()) == 2
    woo.queued = [Reply({"code": "EUR"}), Reply([woo_product(1)], 200, {"X-WP-TotalPages": "99"}), Reply([])]
    assert len(woo_setup(woo).rows()) == 1


@pytest.mark.parametrize("body", [{"products": []}, [1, 2], [{"id": "x' OR 1=1", "type": "variable"}], None])
def test_hostile_answers_of_woocommerce(woo: FakeWooCommerce, body: Any) -> None:
    woo.queued = [Reply({"code": "EUR"}), Reply(body)]
    with pytest.raises(InvalidResponseError):
        woo_setup(woo).rows()


@pytest.mark.parametrize(
    ("site", "expected"),
    [
        ("shop.example", "https://shop.example"),
        ("https://shop.example/", "https://shop.example"),
        ("https://www.shop.example/store", "https://www.shop.example/store"),
    ],
)
def test_sites(site: str, expected: str) -> None:
    settings = WooCommerceSettings(site=site)
    assert settings.site == expected
    assert list(WooCommerceProvider().hosts(settings, {})) == [expected.split("/")[2]]


@pytest.mark.parametrize(
    "site",
    [
        "http://shop.example", "https://shop.example:8080", "https://a@shop.example", "https://shop.example?x=1",
        "127.0.0.1",
        "https://[::1]", "localhost", "https://shop.example/../x", "https://shop.example\\@evil.example",
        "shop.example#x", "",
    ],
)  # fmt: skip
def test_sites_that_are_none(site: str) -> None:
    with pytest.raises(ValidationError):
        WooCommerceSettings(site=site)


def record(number: int, **fields: Any) -> dict[str, Any]:
    modified = "2026-02-01T00:00:00.000Z"
    return {"id": f"rec{number}", "modified": modified, "fields": {"Name": f"Cup {number}", **fields}}


@pytest.fixture
def airtable() -> Iterator[FakeAirtable]:
    with FakeAirtable([record(number) for number in range(1, 6)]).running() as server:
        yield server


def airtable_setup(airtable: FakeAirtable) -> SourceSetup:
    settings = {"table": f"https://airtable.com/{airtable.base}/{airtable.table}"}
    operator = {"endpoint": airtable.url}
    return SourceSetup(AirtableProvider(), settings, {"token": airtable.token}, operator, [airtable.host])


class TestAirtable(SourceConformance):
    @pytest.fixture
    def setup(self, airtable: FakeAirtable) -> SourceSetup:
        return airtable_setup(airtable)

    @pytest.fixture
    def broken(self, airtable: FakeAirtable, setup: SourceSetup) -> Callable[[str], SourceContext[Any, Any]]:
        def fail(failure: str) -> SourceContext[Any, Any]:
            if failure == "credentials":
                return setup.context(credentials={"token": "patwrong.canary"})
            if failure == "permission":
                airtable.is_allowed = False
                return setup.context()
            return fail_with(airtable, setup, failure, airtable.token)

        return fail


def test_records_of_pages_with_attachments(airtable: FakeAirtable) -> None:
    thumbnails = {size: {"url": f"https://files.example/{size}"} for size in ("small", "large", "full")}
    photo = {"id": "att1", "url": "https://files.example/a.jpg", "filename": "a.jpg", "thumbnails": thumbnails}
    more = {"Photo": [photo, {"url": "https://files.example/b.pdf"}], "Tags": ["a", "b"], "Stock": 3, "Sale": True}
    airtable.records[0] = record(1, **more, Owner={"id": "usr1", "email": "a@example.org", "name": "Ann"})
    setup = airtable_setup(airtable)
    first, *others = setup.rows()
    assert first == {
        "record_id": "rec1",
        "Name": "Cup 1",
        "Photo": "https://files.example/a.jpg, https://files.example/b.pdf",
        "Photo large": "https://files.example/large",
        "Photo small": "https://files.example/small",
        "Tags": "a, b",
        "Stock": "3",
        "Sale": "true",
        "Owner": "Ann",
    }
    assert len(others) == 4
    assert setup.waits == [0.22, 0.22]


def test_airtable_waits_half_a_minute_after_a_429(airtable: FakeAirtable) -> None:
    airtable.queued = [Reply(b"", 429)]
    setup = airtable_setup(airtable)
    context = setup.context(deadline=setup.context().deadline + 100)
    from cwz_web.feeds.providers.testing.conformance import fetch_rows

    assert len(fetch_rows(setup.provider, context)) == 5
    assert setup.waits[0] == 30.0


def test_view_and_changes_of_airtable(airtable: FakeAirtable) -> None:
    airtable.records[3]["modified"] = "2026-06-01T00:00:00.000Z"
    setup = airtable_setup(airtable)
    link = f"https://airtable.com/{airtable.base}/{airtable.table}/{airtable.view}?blocks=hide"
    rows = setup.rows(settings={"table": link}, changed_since=datetime(2026, 5, 1, tzinfo=UTC))
    assert [row["record_id"] for row in rows] == ["rec4"]
    query = airtable.sent[-1].query
    assert query["view"] == airtable.view
    assert query["filterByFormula"] == "IS_AFTER(LAST_MODIFIED_TIME(), '2026-05-01T00:00:00.000Z')"


@pytest.mark.parametrize("offset", ["itr/0", 7, {"a": 1}])
def test_endless_pages_of_airtable_are_refused(airtable: FakeAirtable, offset: Any) -> None:
    airtable.queued = [Reply({"records": [{"id": "rec1", "fields": {"Name": "x"}}], "offset": offset})] * 3
    with pytest.raises(InvalidResponseError):
        airtable_setup(airtable).rows()


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example/appAAAAAAAAAAAAAA/tblBBBBBBBBBBBBBB",
        "https://airtable.com@evil.example/appAAAAAAAAAAAAAA/tblB",
        "https://airtable.com/appAAAAAAAAAAAAAA", "appAAAAAAAAAAAAAA/../tblBBBBBBBBBBBBBB",
        "https://airtable.com/shrAAAAAAAAAAAAAA", "",
    ],
)  # fmt: skip
def test_links_that_are_no_table(link: str) -> None:
    with pytest.raises(ValidationError):
        AirtableSettings(table=link)


@pytest.fixture
def google() -> Iterator[FakeGoogle]:
    cells = [[], ["SKU", "Title", "Price"], ["1", "Mug", "9,90 €"], [], ["2", "Lamp"], [3, True, 1.5]]
    with FakeGoogle({"Hidden": [["x"], ["y"]], "Kate's": cells, "Other": [["a"], ["b"]]}).running() as server:
        yield server


def google_setup(google: FakeGoogle, **settings: str) -> SourceSetup:
    values = {"spreadsheet": f"https://docs.google.com/spreadsheets/d/{google.spreadsheet}/edit", **settings}
    operator = {"endpoint": google.url, "token_url": f"{google.url}/token"}
    return SourceSetup(GoogleSheetsProvider(), values, {"key": google.key_file}, operator, [google.host])


class TestGoogleSheets(SourceConformance):
    @pytest.fixture
    def setup(self, google: FakeGoogle) -> SourceSetup:
        return google_setup(google)

    @pytest.fixture
    def broken(self, google: FakeGoogle, setup: SourceSetup) -> Callable[[str], SourceContext[Any, Any]]:
        def fail(failure: str) -> SourceContext[Any, Any]:
            if failure == "credentials":
                google.key = type(google.key).generate_key(2048)  # the key was deleted
            elif failure == "permission":
                google.is_shared = False
            elif failure == "missing":
                link = f"https://docs.google.com/spreadsheets/d/{google.spreadsheet[::-1]}"
                return setup.context(settings={"spreadsheet": link})
            else:
                return fail_with(google, setup, failure, google.token)
            return setup.context()

        return fail


def test_rows_of_a_sheet(google: FakeGoogle) -> None:
    assert google_setup(google).rows() == [
        {"SKU": "1", "Title": "Mug", "Price": "9,90 €"},
        {"SKU": "2", "Title": "Lamp"},
        {"SKU": "3", "Title": "true", "Price": "1.5"},
    ]
    assert google_setup(google, sheet="Other").rows() == [{"a": "b"}]
    link = f"https://docs.google.com/spreadsheets/d/{google.spreadsheet}/edit#gid=14"
    assert google_setup(google, spreadsheet=link).rows() == [{"a": "b"}]
    with pytest.raises(SourceNotFoundError) as error:
        google_setup(google, sheet="Nothing").rows()
    assert error.value.field == "sheet"


def test_sheet_is_read_in_parts(google: FakeGoogle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cwz_web.feeds.providers.google_sheets.ROWS_PER_REQUEST", 400)
    google.sheets["Kate's"] = [["SKU"], *([str(number)] for number in range(900))]
    assert len(google_setup(google).rows()) == 900


@pytest.mark.parametrize(
    "key",
    ["not json", "[]", '{"type": "external_account"}', '{"type": "service_account"}']
    + [json.dumps({"type": "service_account", "client_email": "a@b", "private_key": "canary"})],
)
def test_invalid_key_files(google: FakeGoogle, key: str) -> None:
    with pytest.raises(SourceCredentialsError) as error:
        google_setup(google).rows(credentials={"key": key})
    assert error.value.field == "key"
    assert "canary" not in str(error.value)
    assert google.sent == []


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example/spreadsheets/d/1AbCdEfGhIjKlMnOpQrStUvWxYz", "https://docs.google.com@evil.example/d/1AbCdEfGhIjKlMn",
        "1AbCdEfGhIjKlMnOpQrStUv/../../x", "https://docs.google.com/spreadsheets/d/e/2PACX-short/pub", "short", "",
    ],
)  # fmt: skip
def test_links_that_are_no_sheet(link: str) -> None:
    try:
        settings = GoogleSheetsSettings(spreadsheet=link)
    except ValidationError:
        return
    assert settings.spreadsheet.startswith("https://docs.google.com/spreadsheets/d/")
    assert ".." not in settings.spreadsheet
