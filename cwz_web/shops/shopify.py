"""Images of a Shopify shop, by the Admin GraphQL API.

Facts from shopify.dev/docs/api/admin-graphql (2026-10), read on 2026-11-30:
- `productUpdate` adds media to a product (`media`, by URL, with an alternative text); it changes nothing else if only
  the id is given. `productCreateMedia` and `productDeleteMedia` are deprecated. Its `userErrors` have no codes.
- Media are processed later: their status is UPLOADED, PROCESSING, READY or FAILED (`mediaErrors` with codes); the URL
  of an image is null until READY. A product has at most 250 media.
- `productReorderMedia` takes moves, evaluated in order, with positions from 0 as texts, and returns a job to poll.
- `fileDelete` removes a file from the shop and from its product, and needs `write_files`; one with a pending operation
  is rejected with FILE_LOCKED or MEDIA_CANNOT_BE_MODIFIED.
- `currentAppInstallation.accessScopes` lists the scopes of a token. Limits are those of the feed source.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr

from cwz_web.feeds.providers.contract import SourceContext, SourceError, SourcePermissionError
from cwz_web.feeds.providers.shopify import ShopifyApi, endpoint_of, shop_name
from cwz_web.feeds.providers.values import known_code, list_of, value_at
from cwz_web.i18n import gettext, gettext_noop
from cwz_web.imaging.encoders import Format
from cwz_web.plugin_fields import Fields
from cwz_web.shops.contract import (
    MAX_ALT,
    MAX_URL,
    ImageRefusedError,
    ImageState,
    ListChangedError,
    NewImage,
    ShopConnection,
    ShopImage,
    ShopProvider,
)

SCOPES = ("write_products", "write_files")
MAX_MEDIA = 250
JOB_POLLS, JOB_WAIT = 20, 0.5
_STATES = {"READY": ImageState.READY, "FAILED": ImageState.FAILED}
# Something else changes the media right now, or they are no longer there.
_CHANGED = {"FILE_LOCKED", "MEDIA_CANNOT_BE_MODIFIED", "NON_READY_MEDIA", "NON_READY_STATE"}
_GONE = {"FILE_DOES_NOT_EXIST", "MEDIA_DOES_NOT_EXIST", "MEDIA_DOES_NOT_EXIST_ON_PRODUCT"}
_product = re.compile(r"(?:gid://shopify/Product/)?([0-9]{1,20})", re.ASCII)
_SCOPES = "{ currentAppInstallation { accessScopes { handle } } }"
_MEDIA = (
    "query ($id: ID!) { product(id: $id) { id media(first: 250) { nodes { id alt status mediaErrors { code }"
    " ... on MediaImage { image { url } } } } } }"
)
_ADD = (
    "mutation ($product: ProductUpdateInput!, $media: [CreateMediaInput!]) { productUpdate(product: $product,"
    " media: $media) { product { id } userErrors { field message } } }"
)
_DELETE = (
    "mutation ($files: [ID!]!) { fileDelete(fileIds: $files) { deletedFileIds userErrors { code field message } } }"
)
_REORDER = (
    "mutation ($id: ID!, $moves: [MoveInput!]!) { productReorderMedia(id: $id, moves: $moves)"
    " { job { id done } mediaUserErrors { code field message } } }"
)
_JOB = "query ($id: ID!) { job(id: $id) { id done } }"


class ShopifyShopSettings(Fields):
    """The shop."""

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


class ShopifyShopCredentials(Fields):
    """An access token, or the secret of the app with the client ID."""

    token: SecretStr = Field(
        title=gettext_noop("Client secret or access token"),
        description=gettext_noop("The app needs the scopes write_products and write_files, and no other"),
        max_length=300,
    )


class ShopifyShop(ShopProvider):
    """A Shopify shop."""

    name = "shopify"
    label = "Shopify"
    icon = "shopping-bag"
    help = gettext_noop(
        "Create an app of its own for this, apart from that of a feed: in Shopify, open Settings, Apps, Develop apps,"
        " and create an app in the Dev Dashboard. Give it the scopes write_products and write_files, release it,"
        " install it in your shop, and copy the client ID and secret from its settings."
    )
    help_url = "https://shopify.dev/docs/apps/build/dev-dashboard/get-api-access-tokens"
    removal = gettext_noop("Images that are removed from a product are deleted from the files of the shop, too.")
    formats = frozenset({Format.JPEG, Format.PNG})
    settings_model = ShopifyShopSettings
    credentials_model = ShopifyShopCredentials

    def hosts(self, settings: ShopifyShopSettings, operator: Mapping[str, str]) -> Iterable[str]:
        """Return the shop's host."""
        return [urlsplit(endpoint_of(settings.shop, operator)).netloc]

    def url(self, settings: ShopifyShopSettings) -> str:
        """Return the URL of the shop."""
        return f"https://{settings.shop}.myshopify.com"

    def product_id(self, text: str) -> str:
        """Return the number of a product."""
        match = _product.fullmatch(text.strip())
        return match[1] if match else ""

    def connect(self, context: SourceContext[Any, Any]) -> "ShopifyConnection":
        """Return the API of a shop."""
        return ShopifyConnection(context)


class ShopifyConnection(ShopifyApi, ShopConnection):
    """The media of a shop's products."""

    def check(self) -> None:
        """Check the scopes of the token."""
        self.log_in()
        installation = value_at(self.query(_SCOPES), "currentAppInstallation")
        granted = {value_at(scope, "handle") for scope in list_of(value_at(installation, "accessScopes"))}
        if not granted.issuperset(SCOPES):
            raise self.scope_error()

    def scope_error(self) -> SourcePermissionError:
        """Return the error of an app that lacks a scope."""
        text = gettext(
            "The app may not change images: give it the scopes write_products and write_files, and install it again"
        )
        return SourcePermissionError(text, "token")

    def read(self, product_id: str) -> list[ShopImage] | None:
        """Return the media of a product: also videos, whose places count."""
        data = self.query(_MEDIA, {"id": _gid(product_id)})
        product, nodes = value_at(data, "product"), value_at(data, "product", "media", "nodes")
        if isinstance(data, dict) and "product" in data and product is None:
            return None
        # An answer that lacks the images must not be taken for a product without any.
        if value_at(product, "id") != _gid(product_id) or not isinstance(nodes, list):
            raise self._client.invalid_response_error()
        images = []
        for node in nodes:
            media_id, url, alt = value_at(node, "id"), value_at(node, "image", "url"), value_at(node, "alt")
            if not isinstance(media_id, str) or len(media_id) > 100:
                raise self._client.invalid_response_error()
            state = _STATES.get(str(value_at(node, "status")), ImageState.PROCESSING)
            codes = [value_at(error, "code") for error in list_of(value_at(node, "mediaErrors"))]
            code = known_code(codes) if codes else ""
            images.append(ShopImage(media_id, _text(url, MAX_URL), _text(alt, MAX_ALT), state, code))
        return images

    def change(self, product_id: str, current: Sequence[ShopImage], target: Sequence[str | NewImage]) -> None:
        """Add what is new; else remove what is missing, and put the rest in order."""
        new = [image for image in target if isinstance(image, NewImage)]
        if new:
            self._add(product_id, new)
            return
        wanted = [image for image in target if isinstance(image, str)]
        removed = [image.id for image in current if image.id not in set(wanted)]
        if removed:
            answer = value_at(self.query(_DELETE, {"files": removed}, is_repeatable=False), "fileDelete")
            self._check_errors(list_of(value_at(answer, "userErrors")))
        kept = [image.id for image in current if image.id not in set(removed)]
        if moves := _moves(kept, wanted):
            self._reorder(product_id, moves)

    def _add(self, product_id: str, images: Sequence[NewImage]) -> None:
        media = [{"originalSource": each.url, "alt": each.alt, "mediaContentType": "IMAGE"} for each in images]
        variables = {"product": {"id": _gid(product_id)}, "media": media}
        answer = value_at(self.query(_ADD, variables, is_repeatable=False), "productUpdate")
        if list_of(value_at(answer, "userErrors")):
            raise ImageRefusedError("INVALID")
        if value_at(answer, "product", "id") is None:
            raise self._client.invalid_response_error()

    def _reorder(self, product_id: str, moves: Sequence[Mapping[str, str]]) -> None:
        variables = {"id": _gid(product_id), "moves": moves}
        answer = value_at(self.query(_REORDER, variables, is_repeatable=False), "productReorderMedia")
        self._check_errors(list_of(value_at(answer, "mediaUserErrors")))
        job = value_at(answer, "job")
        for _ in range(JOB_POLLS):
            if value_at(job, "done") is not False:
                return
            self._client.wait(JOB_WAIT)
            job = value_at(self.query(_JOB, {"id": value_at(job, "id")}), "job")

    def _check_errors(self, errors: Sequence[Any]) -> None:
        codes = {value_at(error, "code") for error in errors}
        if codes & (_CHANGED | _GONE):
            raise ListChangedError("")
        if codes:
            raise SourceError(gettext("Shopify rejects the change of images (%(code)s)", code=known_code(codes)))


def _gid(product_id: str) -> str:
    return f"gid://shopify/Product/{product_id}"


def _text(value: Any, limit: int) -> str:
    return value[:limit] if isinstance(value, str) else ""


def _moves(current: Sequence[str], target: Sequence[str]) -> list[dict[str, str]]:
    """Return moves that put media in order: each to its place, from the first one on."""
    working, moves = list(current), []
    for place, media_id in enumerate(target):
        if working[place] != media_id:
            working.remove(media_id)
            working.insert(place, media_id)
            moves.append({"id": media_id, "newPosition": str(place)})
    return moves
