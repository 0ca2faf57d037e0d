"""The kinds of shops, and the connection of one with its decrypted credentials."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pydantic import BaseModel, ValidationError

from cwz_web.crypto import DecryptionError, KeyRing
from cwz_web.feeds.providers.contract import SourceError
from cwz_web.feeds.providers.plugins import SourceRegistry
from cwz_web.i18n import gettext
from cwz_web.shops.contract import ShopConnection, ShopProvider
from cwz_web.shops.models import Shop
from cwz_web.shops.shopify import ShopifyShop
from cwz_web.shops.woocommerce import WooCommerceShop

SHOPS: dict[str, ShopProvider] = {shop.name: shop for shop in (ShopifyShop(), WooCommerceShop())}


def list_providers(registry: SourceRegistry) -> list[ShopProvider]:
    """Return the kinds of shops whose plugins the operator has not turned off."""
    return [shop for shop in SHOPS.values() if registry.get(shop.name) is not None]


def find_provider(registry: SourceRegistry, name: str) -> ShopProvider | None:
    """Return a kind of shop; None if it does not exist, or its plugin is turned off."""
    return SHOPS.get(name) if registry.get(name) is not None else None


def provider_of(registry: SourceRegistry, shop: Shop) -> ShopProvider:
    """Return the kind of a shop. Raises SourceError if its plugin is turned off."""
    provider = find_provider(registry, shop.provider)
    if provider is None:
        raise SourceError(gettext("%(name)s is not available on this server", name=shop.provider))
    return provider


def open_shop(
    registry: SourceRegistry,
    provider: ShopProvider,
    settings: BaseModel,
    credentials: BaseModel,
    *,
    seconds: float,
    is_preview: bool = False,
    wait: Callable[[float], None] = time.sleep,
) -> ShopConnection:
    """Return the connection of a shop; nothing is sent yet.

    Args:
        registry: has the operator's settings, and what is allowed in the network.
        provider: the kind of shop.
        settings: an instance of its `settings_model`.
        credentials: an instance of its `credentials_model`.
        seconds: until when it may be used.
        is_preview: whether a user waits, so that nothing is tried again.
        wait: waits for so many seconds.
    """
    context = registry.context(provider, settings, credentials, seconds=seconds, is_preview=is_preview)
    return provider.connect(replace(context, wait=wait))


def encrypt_credentials(ring: KeyRing, shop: Shop, secrets: dict[str, str]) -> None:
    """Store the credentials of a shop, bound to it."""
    shop.encrypted_credentials = ring.encrypt(json.dumps(secrets), *shop.encryption_context)


def decrypt_credentials(ring: KeyRing, shop: Shop, provider: ShopProvider) -> BaseModel:
    """Return the credentials of a shop. Raises SourceError if they have to be entered again."""
    try:
        secrets: Any = json.loads(ring.decrypt(shop.encrypted_credentials, *shop.encryption_context))
        return provider.credentials_model.model_validate(secrets)
    except (DecryptionError, ValidationError):
        raise SourceError(gettext("The saved credentials of this shop cannot be used; enter them again")) from None


def load_settings(shop: Shop, provider: ShopProvider) -> BaseModel:
    """Return the settings of a shop. Raises SourceError if they have to be entered again."""
    try:
        return provider.settings_model.model_validate(shop.settings)
    except ValidationError:
        raise SourceError(gettext("Some settings of this shop are no longer valid; save it again")) from None


def reencrypt_credentials(ring: KeyRing, shop: Shop) -> bool:
    """Encrypt the credentials of a shop with the newest key. Return whether they were encrypted with an older one.

    Raises:
        DecryptionError: no key of the ring decrypts them.
    """
    if ring.is_newest(shop.encrypted_credentials):
        return False
    secrets = ring.decrypt(shop.encrypted_credentials, *shop.encryption_context)
    shop.encrypted_credentials = ring.encrypt(secrets, *shop.encryption_context)
    return True
