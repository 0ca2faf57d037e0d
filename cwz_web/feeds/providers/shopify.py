"""Shopify: the variants of a shop's products, by a bulk operation of the Admin GraphQL API.

Facts from shopify.dev, read on 2026-11-30 (dates are those of the changelog entries):
- Bulk operations: docs/api/usage/bulk-operations/queries and docs/api/admin-graphql/latest/objects/BulkOperation. A
  bulk query has at most five connections, nested two levels deep, and no paging arguments; its result is JSON Lines at
  a URL of another host, which is null without results. Children name their parent in `__parentId`, and directly
  follow it only with `groupObjects: true` (changelog of 2025-10-29). An app runs one (from 2026-01: five) at a time.
- Rate limits: docs/apps/build/apis/graphql-admin/rate-limits. A throttled query answers 200 with an error `THROTTLED`
  and its cost, or 429.
- Access tokens: docs/apps/build/dev-dashboard/get-api-access-tokens. Since 2026-01-01 new apps exchange a client ID and
  secret for a token of 24 hours; apps that were made in a shop before have a token that does not expire.
- Prices of markets: `contextualPricing`, docs/api/admin-graphql/latest/objects/ProductVariant; scope `read_products`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import Annotated, Any, BinaryIO, Literal, NoReturn
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from cwz_web.feeds.limits import MAX_ROW_BYTES
from cwz_web.feeds.providers.contract import (
    ChangeWebhook,
    FeedSourceProvider,
    InvalidResponseError,
    SourceContext,
    SourceCredentialsError,
    SourceError,
    SourceNotFoundError,
    SourcePermissionError,
)
from cwz_web.feeds.providers.hookspecs import hookimpl
from cwz_web.feeds.providers.http import Answer, SourceClient, parse_json
from cwz_web.feeds.providers.rows import RowWriter
from cwz_web.feeds.providers.values import known_code, list_of, plain_row, price_of, value_at
from cwz_web.feeds.temporary_files import temporary_file
from cwz_web.i18n import gettext, gettext_noop
from cwz_web.plugin_fields import Fields

SERVICE = "Shopify"
# Versions are supported for at least a year; then Shopify answers with the oldest one that is.
VERSION = "2026-04"
# Where the results of bulk operations are.
DOWNLOAD_HOST = "storage.googleapis.com"
FIRST_POLL = 2.0
MAX_POLL = 15.0
BUSY_WAIT = 10.0
PREVIEW_PRODUCTS = 5
MAX_COUNTRIES = 10
# A product has at most 2,048 variants and 250 media.
MAX_CHILDREN = 10_000
# The largest cost of a query that is worth waiting for.
MAX_COST_WAIT = 60.0
UNFINISHED = {"CREATED", "RUNNING"}
BUSY_CODES = {"OPERATION_IN_PROGRESS", "LIMIT_REACHED"}
_shop = re.compile(
    r"(?:https://)?(?:(?P<name>[a-z0-9][a-z0-9-]{0,99})(?:\.myshopify\.com)?|"
    r"admin\.shopify\.com/store/(?P<store>[a-z0-9][a-z0-9-]{0,99}))/?"
)
_country = re.compile(r"[A-Z]{2}")


def shop_name(value: str) -> str:
    """Return the name of a shop from its name, host or URL. Raises ValueError."""
    match = _shop.fullmatch(value.lower())
    if match is None:
        raise ValueError(gettext(_INVALID_SHOP))
    return match["name"] or match["store"]


def _countries(value: object) -> object:
    return ",".join(dict.fromkeys(re.split(r"[\s,;]+", value.strip().upper()))) if isinstance(value, str) else value


def _check_countries(value: str) -> str:
    codes = value.split(",") if value else []
    if len(codes) > MAX_COUNTRIES or not all(map(_country.fullmatch, codes)):
        raise ValueError(gettext(_INVALID_COUNTRIES))
    return value


_INVALID_SHOP = gettext_noop("Enter the name of the shop, as in your-shop.myshopify.com, without a path")
_INVALID_COUNTRIES = gettext_noop("Enter at most ten codes of two letters, for example DE, US")


class ShopifySettings(Fields):
    """The shop, and what is fetched."""

    shop: Annotated[str, AfterValidator(shop_name)] = Field(
        title=gettext_noop("Shop"),
        description=gettext_noop("The name before .myshopify.com, shown in the URL of your admin"),
        examples=["your-shop.myshopify.com"],
        max_length=200,
    )
    client_id: str = Field(
        default="",
        title=gettext_noop("Client ID"),
        description=gettext_noop(
            "Of an app in the Dev Dashboard, under Settings. Leave it empty for an access token that begins with shpat_"
        ),
        pattern=r"^[A-Za-z0-9]{0,100}$",
    )
    products: Literal["active", "all"] = Field(
        default="active",
        title=gettext_noop("Products"),
        description=gettext_noop("Active products only, or also drafts and archived ones"),
        json_schema_extra={"choices": {"active": gettext_noop("Active products"), "all": gettext_noop("All products")}},
    )
    countries: Annotated[str, BeforeValidator(_countries), AfterValidator(_check_countries)] = Field(
        default="",
        title=gettext_noop("Countries"),
        description=gettext_noop("Adds the prices of these countries in their currencies, if you sell in markets"),
        examples=["DE, US"],
        max_length=100,
    )


class ShopifyCredentials(Fields):
    """An access token, or the secret of the app with the client ID."""

    token: SecretStr = Field(
        title=gettext_noop("Client secret or access token"),
        description=gettext_noop("The app needs the scope read_products, and no other"),
        max_length=300,
    )


class ShopifyProvider(FeedSourceProvider[ShopifySettings, ShopifyCredentials]):
    """Fetches the variants of a Shopify shop."""

    api_version = 1
    name = "shopify"
    label = "Shopify"
    summary = gettext_noop("Products with variants, photos, stock, and prices by country")
    icon = "shopping-bag"
    help = gettext_noop(
        "In Shopify, open Settings, Apps, Develop apps, and create an app in the Dev Dashboard. Give it the scope "
        "read_products, release it, install it in your shop, and copy the client ID and secret from its settings."
    )
    help_url = "https://shopify.dev/docs/apps/build/dev-dashboard/get-api-access-tokens"
    group_column = "product_id"
    change_webhook = ChangeWebhook(
        signature_header="X-Shopify-Hmac-SHA256",
        topic_header="X-Shopify-Topic",
        topics=("Product creation", "Product update", "Product deletion"),
        deletions=frozenset({"products/delete"}),
        help=gettext_noop(
            "In Shopify, open Settings, Notifications, Webhooks, and create a webhook in the format JSON for each of "
            "these events. The page shows the secret that they are signed with, below the list: enter it here."
        ),
        takes_secret=False,
    )
    settings_model = ShopifySettings
    credentials_model = ShopifyCredentials

    def hosts(self, settings: ShopifySettings, operator: Mapping[str, str]) -> Iterable[str]:
        """Return the shop's host, and that of the results of bulk operations."""
        shop = urlsplit(endpoint_of(settings.shop, operator)).netloc
        return [shop, operator.get("download_host", DOWNLOAD_HOST)]

    def url(self, settings: ShopifySettings) -> str:
        """Return the URL of the shop."""
        return f"https://{settings.shop}.myshopify.com"

    def fetch(self, context: SourceContext[ShopifySettings, ShopifyCredentials], rows: RowWriter) -> None:
        """Write a row for each variant."""
        shop = _Shop(context)
        shop.log_in()
        currency = shop.currency()
        products = shop.first_products() if context.is_preview else shop.all_products()
        for product in products:
            for row in _rows(product, currency, context.settings.countries):
                rows.write(row)
            if rows.is_full:
                return


class ShopifyApi:
    """The Admin API of one shop, during one fetch or while images are written to it."""

    def __init__(self, context: SourceContext[Any, Any]) -> None:
        self._context = context
        self._endpoint = endpoint_of(context.settings.shop, context.operator)
        self._client = SourceClient(context, SERVICE)
        self._token = ""

    def log_in(self) -> None:
        """Take the access token, or exchange the client secret for one."""
        secret, client_id = self._context.credentials.token.get_secret_value(), self._context.settings.client_id
        if not client_id:
            self._token = secret
            return
        form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
        answer = self._client.request("POST", f"{self._endpoint}/admin/oauth/access_token", data=form)
        if answer.status in (HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise SourceCredentialsError(
                gettext(
                    "Shopify rejects the client ID or secret; check both, and that the app is installed in this shop"
                ),
                "token",
            )
        self._check_status(answer)
        token = value_at(answer.json, "access_token")
        if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token:
            raise self._client.invalid_response_error()
        self._token = token

    def scope_error(self) -> SourcePermissionError:
        """Return the error of an app that lacks a scope."""
        return SourcePermissionError(
            gettext("The app may not read products: give it the scope read_products, and install it again"), "token"
        )

    def query(self, query: str, variables: Mapping[str, Any] | None = None, *, is_repeatable: bool = True) -> Any:
        """Return the data of a GraphQL query, again while Shopify throttles it.

        Args:
            query: The query or mutation.
            variables: Its variables.
            is_repeatable: As for `SourceClient.request`. What Shopify throttles has not been executed.
        """
        while True:
            answer = self._client.request(
                "POST",
                f"{self._endpoint}/admin/api/{VERSION}/graphql.json",
                is_repeatable=is_repeatable,
                json={"query": query, "variables": variables or {}},
                headers={"X-Shopify-Access-Token": self._token},
            )
            self._check_status(answer)
            errors = value_at(answer.json, "errors")
            if not errors:
                return value_at(answer.json, "data")
            codes = {value_at(error, "extensions", "code") for error in list_of(errors)}
            if "THROTTLED" in codes:
                self._client.wait(_seconds_until_restored(answer.json))
            elif "ACCESS_DENIED" in codes:
                raise self.scope_error()
            else:
                raise SourceError(gettext("Shopify rejects the query for products (%(code)s)", code=known_code(codes)))

    def _check_status(self, answer: Answer) -> None:
        match answer.status:
            case HTTPStatus.OK:
                if not isinstance(answer.json, dict):
                    raise self._client.invalid_response_error()
            case HTTPStatus.UNAUTHORIZED:
                text = gettext(
                    "Shopify rejects this access token: it is from another shop, was revoked, or has expired"
                )
                raise SourceCredentialsError(text, "token")
            case HTTPStatus.FORBIDDEN:
                raise self.scope_error()
            case HTTPStatus.NOT_FOUND:
                raise SourceNotFoundError(gettext("Shopify has no shop with this name"), "shop")
            case HTTPStatus.PAYMENT_REQUIRED | HTTPStatus.LOCKED:
                raise SourcePermissionError(gettext("Shopify has frozen or locked this shop"), "shop")
            case _:
                raise self._client.invalid_response_error()


class _Shop(ShopifyApi):
    """The products of one shop, during one fetch."""

    def currency(self) -> str:
        """Return the currency of the shop, once the token is known to be valid and to have the scope."""
        data = self.query(
            "{ shop { currencyCode } currentAppInstallation { accessScopes { handle } } }",
        )
        scopes = {
            value_at(scope, "handle") for scope in list_of(value_at(data, "currentAppInstallation", "accessScopes"))
        }
        if scopes and scopes.isdisjoint({"read_products", "write_products"}):
            raise self.scope_error()
        currency = value_at(data, "shop", "currencyCode")
        return currency if isinstance(currency, str) and re.fullmatch(r"[A-Z]{3}", currency) else ""

    def first_products(self) -> Iterator[dict[str, Any]]:
        """Yield the first products, by a query that is answered at once."""
        query = self._products_query(f"first: {PREVIEW_PRODUCTS}, ", "(first: 10)", "(first: 25)")
        for edge in list_of(value_at(self.query(query), "products", "edges")):
            node = value_at(edge, "node")
            if not isinstance(node, dict):
                raise self._client.invalid_response_error()
            yield node | {
                "media": [value_at(edge, "node") for edge in list_of(value_at(node, "media", "edges"))],
                "variants": [value_at(edge, "node") for edge in list_of(value_at(node, "variants", "edges"))],
            }

    def all_products(self) -> Iterator[dict[str, Any]]:
        """Yield all products, or those that have changed, by a bulk operation."""
        url = self._run_bulk_query(self._products_query())
        if url is None:
            return
        parts = urlsplit(url)
        allowed = self._context.operator.get("download_host", DOWNLOAD_HOST)
        if parts.netloc != allowed or not self._context.outbound.is_secure(url):
            raise InvalidResponseError(gettext("Shopify offers the products on a host that is not its own"))
        file = temporary_file()
        self._client.download(url, file)
        yield from self._join(file)

    def _products_query(self, paging: str = "", media: str = "", variants: str = "") -> str:
        search = ["status:active"] if self._context.settings.products == "active" else []
        if since := self._context.changed_since:
            search.append(f"updated_at:>='{since:%Y-%m-%dT%H:%M:%SZ}'")
        prices = "".join(
            f" price_{code}: contextualPricing(context: {{country: {code}}})"
            " { price { amount currencyCode } compareAtPrice { amount currencyCode } }"
            for code in filter(None, self._context.settings.countries.split(","))
        )
        sizes = "large: url(transform: {maxWidth: 1024}) small: url(transform: {maxWidth: 320})"
        image = f"url {sizes} width height altText"
        return (
            f'{{ products({paging}query: "{" AND ".join(search)}") {{ edges {{ node {{ id legacyResourceId title handle'
            " status vendor productType tags description onlineStoreUrl createdAt updatedAt"
            f" media{media} {{ edges {{ node {{ id ... on MediaImage {{ image {{ {image} }} }} }} }} }}"
            f" variants{variants} {{ edges {{ node {{ id legacyResourceId title sku barcode price compareAtPrice"
            " availableForSale inventoryQuantity selectedOptions { name value }"
            f" image {{ {image} }}{prices} }} }} }} }} }} }} }}"
        )

    def _run_bulk_query(self, query: str) -> str | None:
        """Run a bulk operation. Return the URL of its result, or None if there is none."""
        operation = self._start_bulk_query(query)
        wait = FIRST_POLL
        while (status := value_at(operation, "status")) in UNFINISHED:
            self._client.wait(wait)
            wait = min(wait * 1.5, MAX_POLL)
            data = self.query(
                "query ($id: ID!) { node(id: $id) { ... on BulkOperation { id status errorCode url } } }",
                {"id": value_at(operation, "id")},
            )
            operation = value_at(data, "node")
        if status != "COMPLETED":
            self._raise_for_operation(status, value_at(operation, "errorCode"))
        url = value_at(operation, "url")
        if url is not None and not isinstance(url, str):
            raise self._client.invalid_response_error()
        return url

    def _start_bulk_query(self, query: str) -> Any:
        mutation = (
            "mutation ($query: String!) { bulkOperationRunQuery(query: $query, groupObjects: true)"
            " { bulkOperation { id status } userErrors { code field message } } }"
        )
        while True:
            answer = value_at(self.query(mutation, {"query": query}), "bulkOperationRunQuery")
            codes = {value_at(error, "code") for error in list_of(value_at(answer, "userErrors"))}
            if not codes:
                return value_at(answer, "bulkOperation")
            if not codes & BUSY_CODES:
                raise SourceError(gettext("Shopify rejects the query for products (%(code)s)", code=known_code(codes)))
            self._client.wait(BUSY_WAIT)  # another feed of this shop is being fetched

    def _raise_for_operation(self, status: Any, code: Any) -> NoReturn:
        if code == "ACCESS_DENIED":
            raise self.scope_error()
        if not isinstance(status, str):
            raise self._client.invalid_response_error()
        raise SourceError(
            gettext("Shopify did not finish the list of products (%(code)s)", code=known_code({code or status}))
        )

    def _join(self, file: BinaryIO) -> Iterator[dict[str, Any]]:
        """Yield the products of a result, each with its variants and media."""
        product: dict[str, Any] | None = None
        children = 0
        for line in iter(lambda: file.readline(MAX_ROW_BYTES + 1), b""):
            node = parse_json(line) if len(line) <= MAX_ROW_BYTES else None
            if not isinstance(node, dict):
                raise self._client.invalid_response_error()
            parent = node.get("__parentId")
            if parent is None:
                if product is not None:
                    yield product
                product, children = node | {"media": [], "variants": []}, 0
                continue
            children += 1
            if product is None or parent != product.get("id") or children > MAX_CHILDREN:
                raise self._client.invalid_response_error()
            is_variant = str(node.get("id")).startswith("gid://shopify/ProductVariant/")
            product["variants" if is_variant else "media"].append(node)
        if product is not None:
            yield product


def endpoint_of(shop: str, operator: Mapping[str, str]) -> str:
    """Return the URL of the shop's API, built from its validated name; the operator's `endpoint` is for an emulator."""
    return operator.get("endpoint") or f"https://{shop}.myshopify.com"


def _rows(product: dict[str, Any], currency: str, countries: str) -> Iterator[dict[str, Any]]:
    media = [value_at(each, "image") for each in product["media"]]
    images = [image for image in media if value_at(image, "url")]
    for variant in product["variants"]:
        image = value_at(variant, "image") or (images[0] if images else None)
        url, title = value_at(product, "onlineStoreUrl"), value_at(variant, "title")
        variant_id = value_at(variant, "legacyResourceId")
        row = {
            "id": variant_id,
            "product_id": value_at(product, "legacyResourceId"),
            "sku": value_at(variant, "sku"),
            "title": value_at(product, "title"),
            "variant": None if title == "Default Title" else title,
            "price": price_of(value_at(variant, "price"), currency),
            "compare_at_price": price_of(value_at(variant, "compareAtPrice"), currency),
            "availability": "in_stock" if value_at(variant, "availableForSale") else "out_of_stock",
            "inventory": value_at(variant, "inventoryQuantity"),
            "image": value_at(image, "url"),
            "image_large": value_at(image, "large"),
            "image_small": value_at(image, "small"),
            "image_width": value_at(image, "width"),
            "image_height": value_at(image, "height"),
            "image_alt": value_at(image, "altText"),
            "images": [value_at(each, "url") for each in images],
            "url": f"{url}?variant={variant_id}" if url else None,
            "vendor": value_at(product, "vendor"),
            "product_type": value_at(product, "productType"),
            "tags": [tag for tag in list_of(value_at(product, "tags")) if isinstance(tag, str)],
            "description": value_at(product, "description"),
            "barcode": value_at(variant, "barcode"),
            "handle": value_at(product, "handle"),
            "status": str(value_at(product, "status") or "").lower(),
            "created_at": value_at(product, "createdAt"),
            "updated_at": value_at(product, "updatedAt"),
        }
        for option in list_of(value_at(variant, "selectedOptions")):
            if title != "Default Title":
                row.setdefault(
                    f"option_{str(value_at(option, 'name')).strip().lower()}"[:100], value_at(option, "value")
                )
        for code in filter(None, countries.split(",")):
            for column, name in (("price", "price"), ("compare_at_price", "compareAtPrice")):
                money = value_at(variant, f"price_{code}", name)
                row[f"{column}_{code.lower()}"] = price_of(value_at(money, "amount"), value_at(money, "currencyCode"))
        yield plain_row(row)


def _seconds_until_restored(answer: Any) -> float:
    """Return how long to wait until the cost of a throttled query is restored."""
    cost = value_at(answer, "extensions", "cost")
    needed, status = value_at(cost, "requestedQueryCost"), value_at(cost, "throttleStatus")
    available, rate = value_at(status, "currentlyAvailable"), value_at(status, "restoreRate")
    if not all(isinstance(number, int | float) for number in (needed, available, rate)) or rate <= 0:
        return FIRST_POLL
    return float(min(max((needed - available) / rate, 1.0), MAX_COST_WAIT))


@hookimpl
def cwz_feed_sources() -> list[ShopifyProvider]:
    """Return the provider of this module."""
    return [ShopifyProvider()]
