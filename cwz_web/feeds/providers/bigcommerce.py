"""BigCommerce: the variants of a store's products, by the REST API of the catalog.

Facts from github.com/bigcommerce/docs (the OpenAPI files of the catalog and of store information; rate limits, status
codes, API accounts), read on 2026-11-30: the token of an API account in `X-Auth-Token`; `v3/catalog/products` with
`include=variants,images`, `date_modified:min` and `id:greater`, sorted by `id`, at most 250 a page; brands and
categories are ids of lists of their own; the currency is in `v2/store`. All apps of a store share a quota, which
`X-Rate-Limit-Requests-Left` and `X-Rate-Limit-Time-Reset-Ms` tell. A simple product has one variant without options.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from http import HTTPStatus
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, SecretStr

from cwz_web.feeds.providers.contract import (
    FeedSourceProvider,
    SourceContext,
    SourceCredentialsError,
    SourceNotFoundError,
    SourcePermissionError,
)
from cwz_web.feeds.providers.hookspecs import hookimpl
from cwz_web.feeds.providers.http import Answer, SourceClient
from cwz_web.feeds.providers.rows import RowWriter
from cwz_web.feeds.providers.values import list_of, plain_row, plain_text, price_of, value_at
from cwz_web.i18n import gettext, gettext_noop
from cwz_web.plugin_fields import Fields

SERVICE = "BigCommerce"
API = "https://api.bigcommerce.com"
# A product has at most 600 variants, which is more than half a megabyte.
PER_PAGE = 20
PREVIEW_PRODUCTS = 5
# Names of brands and categories, which are small.
NAMES_PER_PAGE = 250
MAX_NAMES = 50_000
# The last requests of a quota are left to the other apps of the store.
MIN_REQUESTS_LEFT = 5
_hash = r"[a-z0-9]{4,40}"
_store = re.compile(
    rf"(?:https://)?(?:(?P<name>{_hash})|api\.bigcommerce\.com/stores/(?P<path>{_hash})(?:/v[23])?|"
    rf"store-(?P<host>{_hash})(?:-[0-9]+)?\.mybigcommerce\.com(?:/manage(?:/[a-z0-9/-]*)?)?)/?"
)


def _store_hash(value: str) -> str:
    match = _store.fullmatch(value.lower())
    if match is None:
        raise ValueError(gettext(_INVALID_STORE))
    return match["name"] or match["path"] or match["host"]


_INVALID_STORE = gettext_noop(
    "Enter the API path of the API account, such as https://api.bigcommerce.com/stores/abc123/v3/"
)


class BigCommerceSettings(Fields):
    """The store, and what is fetched."""

    store: Annotated[str, AfterValidator(_store_hash)] = Field(
        title=gettext_noop("Store"),
        description=gettext_noop("The API path, or the store hash: the part of it after /stores/"),
        examples=["https://api.bigcommerce.com/stores/abc123/v3/"],
        max_length=200,
    )
    products: Literal["visible", "all"] = Field(
        default="visible",
        title=gettext_noop("Products"),
        description=gettext_noop("Products that customers see in the store, or all of them"),
        json_schema_extra={
            "choices": {"visible": gettext_noop("Visible products"), "all": gettext_noop("All products")}
        },
    )


class BigCommerceCredentials(Fields):
    """The token of an API account."""

    token: SecretStr = Field(
        title=gettext_noop("Access token"),
        description=gettext_noop("Shown once, when you create the API account"),
        max_length=200,
    )


class BigCommerceProvider(FeedSourceProvider[BigCommerceSettings, BigCommerceCredentials]):
    """Fetches the variants of a BigCommerce store."""

    api_version = 1
    name = "bigcommerce"
    label = SERVICE
    summary = gettext_noop("Variants of products with photos, stock, prices, brands and categories")
    icon = "store"
    help = gettext_noop(
        "In BigCommerce, open Settings, Store-level API accounts, and create a V2/V3 API token with the scopes "
        "Products and Information & settings, both read-only."
    )
    help_url = "https://support.bigcommerce.com/s/article/Store-API-Accounts"
    group_column = "product_id"
    settings_model = BigCommerceSettings
    credentials_model = BigCommerceCredentials

    def hosts(self, settings: BigCommerceSettings, operator: Mapping[str, str]) -> Iterable[str]:
        """Return the host of the API, which is that of all stores."""
        return [_endpoint(operator).partition("://")[2]]

    def recipient(self, settings: BigCommerceSettings) -> str:
        """Return the store: a token is sent to its own one only."""
        return settings.store

    def url(self, settings: BigCommerceSettings) -> str:
        """Return the permanent URL of the store."""
        return f"https://store-{settings.store}.mybigcommerce.com"

    def fetch(self, context: SourceContext[BigCommerceSettings, BigCommerceCredentials], rows: RowWriter) -> None:
        """Write a row for each variant."""
        store = _Store(context)
        for product in store.products():
            for row in store.rows(product):
                rows.write(row)
            if rows.is_full:
                return


class _Store:
    """The API of one store, during one fetch."""

    def __init__(self, context: SourceContext[BigCommerceSettings, BigCommerceCredentials]) -> None:
        self._context = context
        self._url = f"{_endpoint(context.operator)}/stores/{context.settings.store}"
        headers = {"X-Auth-Token": context.credentials.token.get_secret_value()}
        self._client = SourceClient(context, SERVICE, headers=headers, reset_header="X-Rate-Limit-Time-Reset-Ms")

    def products(self) -> Iterator[dict[str, Any]]:
        """Yield the products, or those that have changed.

        A page begins after the last id of the one before: nothing is skipped if a product is deleted meanwhile.
        """
        size = PREVIEW_PRODUCTS if self._context.is_preview else PER_PAGE
        parameters = {"include": "variants,images", "sort": "id", "direction": "asc", "limit": str(size)}
        if self._context.settings.products == "visible":
            parameters["is_visible"] = "true"
        if since := self._context.changed_since:
            parameters["date_modified:min"] = f"{since:%Y-%m-%dT%H:%M:%SZ}"
        last = 0
        while page := self._list("catalog/products", {**parameters, "id:greater": str(last)}):
            for product in page:
                number = value_at(product, "id")
                if type(number) is not int or number <= last:
                    raise self._client.invalid_response_error()
                last = number
                yield product
            if self._context.is_preview:
                return

    def rows(self, product: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield the rows of a product."""
        variants = value_at(product, "variants")
        if not isinstance(variants, list):
            raise self._client.invalid_response_error()
        brand = self._brands.get(str(value_at(product, "brand_id")))
        names = [self._categories.get(str(each)) for each in list_of(value_at(product, "categories"))]
        categories = [name for name in names if name]
        for variant in variants:
            yield _row(product, variant, self._information) | {"brand": brand, "categories": categories}

    @cached_property
    def _information(self) -> dict[str, Any]:
        """The currency and URL of the store; empty if the token may not read them."""
        answer = self._request("v2/store", {})
        if answer.status == HTTPStatus.FORBIDDEN:
            return {}
        self._check(answer)
        if not isinstance(answer.json, dict):
            raise self._client.invalid_response_error()
        return answer.json

    @cached_property
    def _brands(self) -> dict[str, str]:
        return self._names("catalog/brands", "id")

    @cached_property
    def _categories(self) -> dict[str, str]:
        return self._names("catalog/trees/categories", "category_id")

    def _names(self, path: str, key: str) -> dict[str, str]:
        """Return the names of brands or categories by id; those of the first page for a preview."""
        names: dict[str, str] = {}
        number = 1
        while page := self._list(path, {"page": str(number), "limit": str(NAMES_PER_PAGE)}):
            names |= {str(each.get(key)): name for each in page if isinstance(name := each.get("name"), str)}
            number += 1
            if self._context.is_preview or len(page) < NAMES_PER_PAGE or len(names) > MAX_NAMES:
                break
        return names

    def _list(self, path: str, parameters: Mapping[str, str]) -> list[dict[str, Any]]:
        answer = self._request(f"v3/{path}", parameters)
        self._check(answer)
        data = value_at(answer.json, "data")
        if not isinstance(data, list) or not all(isinstance(each, dict) for each in data):
            raise self._client.invalid_response_error()
        return data

    def _request(self, path: str, parameters: Mapping[str, str]) -> Answer:
        answer = self._client.request("GET", f"{self._url}/{path}", params=parameters)
        left, reset = (answer.headers.get(f"X-Rate-Limit-{name}", "") for name in ("Requests-Left", "Time-Reset-Ms"))
        is_low = re.fullmatch("[0-9]{1,6}", left) is not None and int(left) < MIN_REQUESTS_LEFT
        if is_low and re.fullmatch("[0-9]{1,6}", reset) and not self._context.is_preview:
            self._client.wait(int(reset) / 1000)
        return answer

    def _check(self, answer: Answer) -> None:
        match answer.status:
            case HTTPStatus.OK:
                return
            case HTTPStatus.UNAUTHORIZED:
                text = gettext(
                    "BigCommerce rejects this token: it is from another store, or its API account was deleted"
                )
                raise SourceCredentialsError(text, "token")
            case HTTPStatus.FORBIDDEN:
                text = gettext(
                    "This token may not read the products of this store: create an API account there with the scope "
                    "Products, read-only"
                )
                raise SourcePermissionError(text, "token")
            case HTTPStatus.NOT_FOUND:
                raise SourceNotFoundError(gettext("BigCommerce has no store with this hash"), "store")
        raise self._client.invalid_response_error()


def _endpoint(operator: Mapping[str, str]) -> str:
    """Return the URL of the API; the operator's `endpoint` is for an emulator."""
    return operator.get("endpoint") or API


def _row(product: dict[str, Any], variant: Any, store: dict[str, Any]) -> dict[str, Any]:
    images = [image for image in list_of(value_at(product, "images")) if value_at(image, "url_zoom")]
    images.sort(key=lambda image: (not value_at(image, "is_thumbnail"), _number(value_at(image, "sort_order")) or 0))
    values = [each for each in list_of(value_at(variant, "option_values")) if value_at(each, "label")]
    price = _number(value_at(variant, "calculated_price"))
    higher = [each for name in ("price", "retail_price") if (each := _amount(product, variant, name)) > (price or 0)]
    site, path = value_at(store, "secure_url"), value_at(product, "custom_url", "url")
    row = {
        "id": value_at(variant, "id"),
        "product_id": value_at(product, "id"),
        "sku": value_at(variant, "sku"),
        "title": value_at(product, "name"),
        "variant": " / ".join(str(value_at(each, "label")) for each in values),
        "price": _price(price, store),
        "compare_at_price": _price(higher[0], store) if price and higher else None,
        "availability": _availability(product, variant),
        "inventory": _inventory(product, variant),
        "image": value_at(variant, "image_url") or value_at(images[0] if images else None, "url_zoom"),
        "image_alt": value_at(images[0] if images else None, "description"),
        "images": [value_at(image, "url_zoom") for image in images],
        "url": f"{site.rstrip('/')}{path}" if isinstance(site, str) and isinstance(path, str) else None,
        "description": plain_text(value_at(product, "description")),
        "gtin": value_at(variant, "gtin") or value_at(variant, "upc") or value_at(product, "gtin"),
        "mpn": value_at(variant, "mpn") or value_at(product, "mpn"),
        "condition": str(value_at(product, "condition") or "").lower(),
        "status": "visible" if value_at(product, "is_visible") else "hidden",
        "created_at": value_at(product, "date_created"),
        "updated_at": value_at(product, "date_modified"),
    }
    for value in values:
        name = str(value_at(value, "option_display_name")).strip().lower()
        row.setdefault(f"option_{name}"[:100], value_at(value, "label"))
    return plain_row(row)


def _number(value: Any) -> float | None:
    """Return a finite number; None for anything else."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) else None


def _amount(product: dict[str, Any], variant: Any, name: str) -> float:
    """Return an amount of a variant, or that of its product if it has none of its own; 0 if neither has one."""
    own = _number(value_at(variant, name))
    return own if own is not None else _number(value_at(product, name)) or 0


def _price(amount: float | None, store: dict[str, Any]) -> str | None:
    places = value_at(store, "decimal_places")
    places = places if isinstance(places, int) and 0 <= places <= 4 else 2
    return None if amount is None else price_of(f"{amount:.{places}f}", value_at(store, "currency"))


def _inventory(product: dict[str, Any], variant: Any) -> Any:
    """Return the stock; None if it is not tracked."""
    owner = {"product": product, "variant": variant}.get(str(value_at(product, "inventory_tracking")))
    return value_at(owner, "inventory_level")


def _availability(product: dict[str, Any], variant: Any) -> str:
    inventory = _number(_inventory(product, variant))
    if value_at(product, "availability") == "disabled" or value_at(variant, "purchasing_disabled") is True:
        return "out_of_stock"
    if inventory is not None and inventory <= 0:
        return "out_of_stock"
    return "preorder" if value_at(product, "availability") == "preorder" else "in_stock"


@hookimpl
def cwz_feed_sources() -> list[BigCommerceProvider]:
    """Return the provider of this module."""
    return [BigCommerceProvider()]
