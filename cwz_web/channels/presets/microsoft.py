"""Microsoft Merchant Center: shopping campaigns of Microsoft Advertising."""

from cwz_web.channels.preset import ChannelField, FileFormat, ImageRules, Preset, Specification, ValueKind
from cwz_web.channels.presets.common import (
    GB,
    MB,
    OVERLAYS,
    PREORDER,
    READ_ON,
    availability,
    image_field,
    labels,
    named,
    rss,
)

_IMAGES = ImageRules(
    min_width=250, min_height=250, best_width=600, best_height=600, max_bytes=16 * MB, refused=OVERLAYS
)

MICROSOFT = Preset(
    name="microsoft",
    label="Microsoft Merchant Center",
    formats=(FileFormat.TSV, FileFormat.XML),
    xml=rss(),
    max_bytes=3 * GB,
    booleans=("TRUE", "FALSE"),
    offset_has_colon=True,
    is_quoted=False,
    specifications=(
        Specification(
            "https://learn.microsoft.com/en-us/advertising/msa-help/hlp_ba_conc_aboutbingmerchantcentercatalogfile",
            READ_ON,
        ),
        Specification("https://learn.microsoft.com/en-us/advertising/msa-help/hlp_ba_conc_bmcwhatiscatalog", READ_ON),
    ),
    fields=(
        named("id", max_length=50),
        named("title", max_length=150),
        named("description", max_length=10_000),
        named("link"),
        image_field("image_link", _IMAGES, is_required=True, takes_photo=True),
        named("price"),
        image_field("additional_image_link", _IMAGES, max_images=10),
        named(
            "availability",
            is_required=False,
            choices=availability("in stock", "out of stock", preorder=PREORDER),
        ),
        named("condition"),
        named("brand", max_length=70),
        named("gtin"),
        named("mpn", max_length=70),
        ChannelField("identifier_exists", ValueKind.BOOLEAN, aliases=("has_identifier",)),
        named("item_group_id", max_length=50),
        named("sale_price"),
        named("sale_price_effective_date"),
        named("expiration_date", kind=ValueKind.DATE),
        ChannelField(
            "product_category", max_length=255, aliases=("google_product_category", "google_category", "taxonomy")
        ),
        named("product_type", max_length=750),
        named("age_group"),
        named("gender"),
        named("color", max_length=100),
        named("size", max_length=100),
        ChannelField("size_system"),
        named("material", max_length=200),
        named("pattern", max_length=100),
        ChannelField("multipack", ValueKind.INTEGER, aliases=("pack_size",)),
        ChannelField("shipping(country:price)"),
        ChannelField("shipping(country:service:price)"),
        named("ads_redirect"),
        ChannelField("promotion_id"),
        ChannelField("seller_name", max_length=255),
        ChannelField("unit_pricing_measure", aliases=("unit_size", "content", "inhalt")),
        ChannelField("unit_pricing_base_measure", aliases=("base_unit", "grundeinheit")),
        ChannelField("included_destination"),
        ChannelField("excluded_destination"),
        *labels(100),
    ),
)
