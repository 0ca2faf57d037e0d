"""The forms of providers, which are generated from their models."""

from cwz_web.feeds.providers.shopify import ShopifySettings
from cwz_web.feeds.providers.woocommerce import WooCommerceSettings
from cwz_web.i18n import use_locale
from cwz_web.web.provider_forms import provider_fields


def test_choices_have_labels_in_the_language_of_the_reader() -> None:
    with use_locale("de"):
        (shopify,) = (each for each in provider_fields(ShopifySettings, secret=False) if each.choices)
        (shop,) = (each for each in provider_fields(WooCommerceSettings, secret=False) if each.choices)
    assert shopify.choices == (("active", "Aktive Produkte"), ("all", "Alle Produkte"))
    assert shop.choices == (("publish", "Veröffentlichte Produkte"), ("any", "Produkte mit beliebigem Status"))
