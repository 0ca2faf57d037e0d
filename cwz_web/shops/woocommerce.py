"""Images of a WooCommerce shop, by the REST API of a WordPress site.

Facts from woocommerce.github.io/woocommerce-rest-api-docs (version 3) and the plugin's controllers, read on 2026-11-30:
- `PUT products/{id}` with `images` replaces the list: existing ones by `id`, new ones by `src`, which the shop fetches
  before it saves. The first one is the product image, the others are its gallery. Nothing else of a product changes.
- What is removed from the list stays in the media library: deleting there needs a password of WordPress.
- Errors: 400 `woocommerce_product_image_upload_error` for a URL that it cannot fetch or whose file it does not take,
  400 `woocommerce_product_invalid_image_id` for one that was deleted meanwhile, 404
  `woocommerce_rest_product_invalid_id`.
- A key that may only read is answered with 401 for every other method, before anything is done. An empty
  `POST products/batch` is allowed with the permission Write only, and changes nothing.
- There are no conditional requests and no limits of its own; hosts answer 429 with Retry-After.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr

from cwz_web.feeds.providers.contract import SourceContext, SourcePermissionError
from cwz_web.feeds.providers.values import value_at
from cwz_web.feeds.providers.woocommerce import WooCommerceApi, endpoint_of, site_url
from cwz_web.i18n import gettext, gettext_noop
from cwz_web.imaging.encoders import Format
from cwz_web.plugin_fields import Fields
from cwz_web.shops.contract import (
    MAX_ALT,
    MAX_URL,
    ImageRefusedError,
    ListChangedError,
    NewImage,
    ShopConnection,
    ShopImage,
    ShopProvider,
)

_product = re.compile(r"[0-9]{1,18}", re.ASCII)
_UPLOAD_ERROR, _INVALID_IMAGE = "woocommerce_product_image_upload_error", "woocommerce_product_invalid_image_id"
_NO_PRODUCT = {"woocommerce_rest_product_invalid_id", "woocommerce_rest_invalid_product_id"}


class WooCommerceShopSettings(Fields):
    """The site."""

    site: Annotated[str, AfterValidator(site_url)] = Field(
        title=gettext_noop("Shop URL"),
        description=gettext_noop("The URL of your shop, with the path if WordPress is in a folder"),
        examples=["https://shop.example"],
        max_length=300,
    )


class WooCommerceShopCredentials(Fields):
    """A key of the REST API."""

    consumer_key: SecretStr = Field(
        title=gettext_noop("Consumer key"),
        description=gettext_noop("Begins with ck_. It needs the permission Read/Write"),
        max_length=200,
    )
    consumer_secret: SecretStr = Field(
        title=gettext_noop("Consumer secret"),
        description=gettext_noop("Begins with cs_. Shown once, when you create the key"),
        max_length=200,
    )


class WooCommerceShop(ShopProvider):
    """A WooCommerce shop."""

    name = "woocommerce"
    label = "WooCommerce"
    icon = "shopping-cart"
    help = gettext_noop(
        "Create a key of its own for this, apart from that of a feed: in WordPress, open WooCommerce, Settings,"
        " Advanced, REST API, and add a key with the permission Read/Write, of a user who manages the shop."
    )
    help_url = "https://woocommerce.com/document/woocommerce-rest-api/"
    removal = gettext_noop(
        "Images that are removed from a product stay in the media library of WordPress, where you can delete them."
    )
    formats = frozenset({Format.JPEG, Format.PNG, Format.WEBP})
    settings_model = WooCommerceShopSettings
    credentials_model = WooCommerceShopCredentials

    def hosts(self, settings: WooCommerceShopSettings, operator: Mapping[str, str]) -> Iterable[str]:
        """Return the host of the site."""
        return [urlsplit(endpoint_of(settings.site, operator)).netloc]

    def url(self, settings: WooCommerceShopSettings) -> str:
        """Return the URL of the site."""
        return settings.site

    def product_id(self, text: str) -> str:
        """Return the number of a product."""
        return text.strip() if _product.fullmatch(text.strip()) else ""

    def connect(self, context: SourceContext[Any, Any]) -> "WooCommerceConnection":
        """Return the API of a site."""
        return WooCommerceConnection(context)


class WooCommerceConnection(WooCommerceApi, ShopConnection):
    """The images of a site's products."""

    def check(self) -> None:
        """Check that the key may read and write, by a batch of no changes."""
        answer = self._client.request("GET", f"{self._url}/products", params={"per_page": "1"})
        self.check_answer(answer)
        if not isinstance(answer.json, list):
            raise self._client.invalid_response_error()
        answer = self._client.request("POST", f"{self._url}/products/batch", json={})
        if answer.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):  # it may read
            raise self.permission_error()
        self.check_answer(answer)

    def permission_error(self) -> SourcePermissionError:
        """Return the error of a key that lacks a permission."""
        text = gettext(
            "This key may not change products: give it the permission Read/Write, of a user who manages the shop"
        )
        return SourcePermissionError(text, "consumer_key")

    def read(self, product_id: str) -> list[ShopImage] | None:
        """Return the images of a product, the product image first."""
        answer = self._client.request("GET", f"{self._url}/products/{product_id}")
        if answer.status == HTTPStatus.NOT_FOUND and value_at(answer.json, "code") in _NO_PRODUCT:
            return None
        self.check_answer(answer)
        images = value_at(answer.json, "images")
        # An answer that lacks the images must not be taken for a product without any.
        if value_at(answer.json, "id") != int(product_id) or not isinstance(images, list):
            raise self._client.invalid_response_error()
        found: dict[str, ShopImage] = {}
        for each in images:
            number, url, alt = (value_at(each, name) for name in ("id", "src", "alt"))
            if not isinstance(number, int):
                raise self._client.invalid_response_error()
            if number:  # 0 is the placeholder of a product without images
                image = ShopImage(str(number), str(url or "")[:MAX_URL], str(alt or "")[:MAX_ALT])
                found.setdefault(image.id, image)
        return list(found.values())

    def change(self, product_id: str, current: Sequence[ShopImage], target: Sequence[str | NewImage]) -> None:
        """Replace the list of images."""
        images = [
            {"src": image.url, "alt": image.alt} if isinstance(image, NewImage) else {"id": int(image)}
            for image in target
        ]
        url = f"{self._url}/products/{product_id}"
        answer = self._client.request("PUT", url, is_repeatable=False, json={"images": images})
        code = value_at(answer.json, "code")
        if answer.status == HTTPStatus.BAD_REQUEST and code == _UPLOAD_ERROR:
            raise ImageRefusedError("UPLOAD_ERROR")
        if (answer.status == HTTPStatus.BAD_REQUEST and code == _INVALID_IMAGE) or code in _NO_PRODUCT:
            raise ListChangedError("")
        self.check_answer(answer)
