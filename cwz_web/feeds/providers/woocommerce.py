"""WooCommerce: products and their variations, by the REST API of a WordPress site.

Facts from woocommerce.github.io/woocommerce-rest-api-docs (version 3) and developer.wordpress.org/rest-api, read on
2026-11-30: keys by HTTP basic authentication over https; lists have at most 100 entries a page, and their number of
pages in `X-WP-TotalPages`; `modified_after` with `dates_are_gmt` (WooCommerce 5.8); the variations of a product have a
list of their own. A key that may not read is answered with 401 and the code `woocommerce_rest_cannot_view`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr

from cwz_web.feeds.providers.contract import (
    ChangeWebhook,
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

SERVICE = "WooCommerce"
PER_PAGE = 100
PREVIEW_PRODUCTS = 10
PERMISSION_CODES = {"woocommerce_rest_cannot_view", "rest_forbidden"}
_label = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_site = re.compile(rf"(?:https://)?((?:{_label}\.)+[a-z](?:[a-z0-9-]{{0,61}}[a-z0-9]))((?:/[A-Za-z0-9_~-]+)*)/?")
_INVALID_URL = gettext_noop(
    "Enter the https URL of your shop, for example https://shop.example, without a port or query"
)


def site_url(value: str) -> str:
    """Return the URL of a site without a slash at its end. Raises ValueError."""
    match = _site.fullmatch(value)
    if match is None or len(match[1]) > 253:
        raise ValueError(gettext(_INVALID_URL))
    return f"https://{match[1]}{match[2]}"


class WooCommerceSettings(Fields):
    """The site, and what is fetched."""

    site: Annotated[str, AfterValidator(site_url)] = Field(
        title=gettext_noop("Shop URL"),
        description=gettext_noop("The URL of your shop, with the path if WordPress is in a folder"),
        examples=["https://shop.example"],
        max_length=300,
    )
    products: Literal["publish", "any"] = Field(
        default="publish",
        title=gettext_noop("Products"),
        description=gettext_noop("Published products only, or those of any status"),
        json_schema_extra={
            "choices": {"publish": gettext_noop("Published products"), "any": gettext_noop("Products of any status")}
        },
    )


class WooCommerceCredentials(Fields):
    """A key of the REST API."""

    consumer_key: SecretStr = Field(
        title=gettext_noop("Consumer key"),
        description=gettext_noop("Begins with ck_. The permission Read is enough"),
        max_length=200,
    )
    consumer_secret: SecretStr = Field(
        title=gettext_noop("Consumer secret"),
        description=gettext_noop("Begins with cs_. Shown once, when you create the key"),
        max_length=200,
    )


class WooCommerceProvider(FeedSourceProvider[WooCommerceSettings, WooCommerceCredentials]):
    """Fetches the products and variations of a WooCommerce shop."""

    api_version = 1
    name = "woocommerce"
    label = SERVICE
    summary = gettext_noop("Products and variations of a WordPress shop, with photos, stock and sale prices")
    icon = "shopping-cart"
    help = gettext_noop(
        "In WordPress, open WooCommerce, Settings, Advanced, REST API, and add a key with the permission Read."
    )
    help_url = "https://woocommerce.com/document/woocommerce-rest-api/"
    group_column = "product_id"
    change_webhook = ChangeWebhook(
        signature_header="X-WC-Webhook-Signature",
        topic_header="X-WC-Webhook-Topic",
        topics=("Product created", "Product updated", "Product deleted", "Product restored"),
        deletions=frozenset({"product.deleted"}),
        help=gettext_noop(
            "In WordPress, open WooCommerce, Settings, Advanced, Webhooks, and add an active webhook for each of these "
            "topics, with this URL as the delivery URL, and this secret."
        ),
        takes_secret=True,
    )
    settings_model = WooCommerceSettings
    credentials_model = WooCommerceCredentials

    def hosts(self, settings: WooCommerceSettings, operator: Mapping[str, str]) -> Iterable[str]:
        """Return the host of the site."""
        return [urlsplit(endpoint_of(settings.site, operator)).netloc]

    def recipient(self, settings: WooCommerceSettings) -> str:
        """Return the URL of the site: other folders of a shared host may belong to others."""
        return settings.site

    def url(self, settings: WooCommerceSettings) -> str:
        """Return the URL of the site."""
        return settings.site

    def fetch(self, context: SourceContext[WooCommerceSettings, WooCommerceCredentials], rows: RowWriter) -> None:
        """Write a row for each product, and for each variation of one that has some."""
        site = _Site(context)
        currency = site.currency()
        for product in site.products():
            if value_at(product, "type") == "variable":
                for variation in site.variations(product):
                    rows.write(_row(product, variation, currency))
            else:
                rows.write(_row(product, None, currency))
            if rows.is_full:
                return


class WooCommerceApi:
    """The REST API of one site, during one fetch or while images are written to it."""

    def __init__(self, context: SourceContext[Any, Any]) -> None:
        self._context = context
        self._url = f"{endpoint_of(context.settings.site, context.operator)}/wp-json/wc/v3"
        keys = context.credentials
        auth = keys.consumer_key.get_secret_value(), keys.consumer_secret.get_secret_value()
        self._client = SourceClient(context, SERVICE, auth=auth)

    def permission_error(self) -> SourcePermissionError:
        """Return the error of a key that lacks a permission."""
        return SourcePermissionError(
            gettext("This key may not read products: give it the permission Read, of a user who manages the shop"),
            "consumer_key",
        )

    def check_answer(self, answer: Answer) -> None:
        """Raise the error of an answer that is not the expected one."""
        code = value_at(answer.json, "code")
        match answer.status:
            case HTTPStatus.OK:
                return
            case HTTPStatus.UNAUTHORIZED if code not in PERMISSION_CODES:
                text = gettext("The shop rejects this key or secret; create a new key and enter both")
                raise SourceCredentialsError(text, "consumer_key")
            case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
                raise self.permission_error()
            case HTTPStatus.NOT_FOUND:
                text = gettext("WooCommerce is not at this URL, or the permalinks of WordPress are set to Plain")
                raise SourceNotFoundError(text, "site")
        raise self._client.invalid_response_error()


class _Site(WooCommerceApi):
    """The products of one site, during one fetch."""

    def currency(self) -> str:
        """Return the currency of the shop; "" if the key may not read it."""
        answer = self._client.request("GET", f"{self._url}/data/currencies/current")
        code = value_at(answer.json, "code") if answer.status == HTTPStatus.OK else None
        return code if isinstance(code, str) and re.fullmatch(r"[A-Z]{3}", code) else ""

    def products(self) -> Iterator[Any]:
        """Yield the products, or those that have changed."""
        parameters: dict[str, str] = {"status": self._context.settings.products}
        if since := self._context.changed_since:
            parameters |= {"modified_after": f"{since:%Y-%m-%dT%H:%M:%S}", "dates_are_gmt": "true"}
        return self._pages("products", parameters)

    def variations(self, product: Any) -> Iterator[Any]:
        """Yield the variations of a product."""
        number = value_at(product, "id")
        if not isinstance(number, int):
            raise self._client.invalid_response_error()
        return self._pages(f"products/{number}/variations", {"status": self._context.settings.products})

    def _pages(self, path: str, parameters: dict[str, str]) -> Iterator[Any]:
        size = PREVIEW_PRODUCTS if self._context.is_preview else PER_PAGE
        page, pages = 1, 1
        while page <= pages:
            parameters |= {"page": str(page), "per_page": str(size), "orderby": "id", "order": "asc"}
            answer = self._client.request("GET", f"{self._url}/{path}", params=parameters)
            self.check_answer(answer)
            if not isinstance(answer.json, list) or not all(isinstance(each, dict) for each in answer.json):
                raise self._client.invalid_response_error()
            yield from answer.json
            if not answer.json or self._context.is_preview:
                return
            total = answer.headers.get("X-WP-TotalPages", "1")
            pages = int(total) if total.isdecimal() and len(total) < 8 else 1
            page += 1


def endpoint_of(site: str, operator: Mapping[str, str]) -> str:
    """Return the URL of the site; the operator's `endpoint` is for an emulator."""
    return operator.get("endpoint") or site


def _row(product: Any, variation: Any, currency: str) -> dict[str, Any]:
    own = variation or product
    photos = [photo for photo in list_of(value_at(product, "images")) if value_at(photo, "src")]
    image = value_at(own, "image") if variation else None
    image = image if value_at(image, "src") else photos[0] if photos else None
    stock = value_at(own, "stock_status")
    sale, regular = value_at(own, "sale_price"), value_at(own, "regular_price")
    row = {
        "id": value_at(own, "id"),
        "product_id": value_at(product, "id"),
        "sku": value_at(own, "sku"),
        "title": value_at(product, "name"),
        "price": price_of(value_at(own, "price"), currency),
        "compare_at_price": price_of(regular, currency) if sale else None,
        "sale_from": value_at(own, "date_on_sale_from_gmt"),
        "sale_until": value_at(own, "date_on_sale_to_gmt"),
        "availability": {"instock": "in_stock", "onbackorder": "backorder"}.get(str(stock), "out_of_stock"),
        "inventory": value_at(own, "stock_quantity"),
        "image": value_at(image, "src"),
        "image_alt": value_at(image, "alt"),
        "images": [value_at(photo, "src") for photo in photos],
        "url": value_at(own, "permalink") or value_at(product, "permalink"),
        "categories": _names(product, "categories"),
        "tags": _names(product, "tags"),
        "brand": ", ".join(_names(product, "brands")),
        "description": plain_text(value_at(own, "description") or value_at(product, "description")),
        "short_description": plain_text(value_at(product, "short_description")),
        "gtin": value_at(own, "global_unique_id"),
        "status": value_at(own, "status"),
        "created_at": value_at(product, "date_created_gmt"),
        "updated_at": value_at(own, "date_modified_gmt"),
    }
    for attribute in list_of(value_at(own, "attributes")):
        options = value_at(attribute, "option") or value_at(attribute, "options")
        row.setdefault(f"option_{str(value_at(attribute, 'name')).strip().lower()}"[:100], options)
    return plain_row(row)


def _names(product: Any, field: str) -> list[str]:
    names = [value_at(each, "name") for each in list_of(value_at(product, field))]
    return [name for name in names if isinstance(name, str)]


@hookimpl
def cwz_feed_sources() -> list[WooCommerceProvider]:
    """Return the provider of this module."""
    return [WooCommerceProvider()]
