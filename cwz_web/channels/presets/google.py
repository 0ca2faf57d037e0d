"""Google Merchant Center: the fields of its product data specification, and supplemental data sources."""

from dataclasses import replace

from cwz_web.channels.preset import (
    Carried,
    ChannelField,
    FieldGroup,
    FileFormat,
    ImageRules,
    Preset,
    Specification,
    ValueKind,
)
from cwz_web.channels.presets.common import (
    GB,
    IN_STOCK,
    MB,
    OVERLAYS,
    PREORDER,
    READ_ON,
    SOLD_OUT,
    image_field,
    labels,
    named,
    rss,
)
from cwz_web.imaging.encoders import Format

# 500 pixels are enforced from 2027-01-31. GIF, BMP and TIFF are taken too, but not rendered.
_IMAGES = ImageRules(
    min_width=500,
    min_height=500,
    best_width=1500,
    best_height=1500,
    max_pixels=64_000_000,
    max_bytes=16 * MB,
    formats=frozenset([Format.JPEG, Format.PNG, Format.WEBP]),
    refused=OVERLAYS,
)
# A scene with the product. WebP is not named for it; texts of an offer and watermarks are refused.
_SCENES = ImageRules(
    min_width=500,
    min_height=500,
    best_width=1500,
    best_height=1500,
    max_pixels=64_000_000,
    max_bytes=16 * MB,
    refused=frozenset([Carried.PRICE, Carried.WATERMARK]),
)
# Additional images can show the product in use.
_MAIN_IMAGES = replace(_IMAGES, wants_white=True)
_ID = named("id", max_length=50)
_IMAGE_FIELDS = (
    image_field("image_link", _MAIN_IMAGES, is_required=True, takes_photo=True),
    image_field("additional_image_link", _IMAGES, max_images=10),
    image_field("lifestyle_image_link", _SCENES),
)
_LABELS = labels(100)

GOOGLE = Preset(
    name="google",
    label="Google Merchant Center",
    formats=(FileFormat.XML, FileFormat.TSV),
    xml=rss(),
    max_bytes=4 * GB,
    # New products without identifiers of their own say so; the performance of others may be limited.
    groups=(
        FieldGroup(
            ("brand", "gtin", "mpn"),
            least=2,
            exempt_by=(("identifier_exists", "no"), ("condition", "used"), ("condition", "refurbished")),
        ),
    ),
    specifications=(
        Specification("https://support.google.com/merchants/answer/7052112", READ_ON),
        Specification("https://support.google.com/merchants/answer/6324478", READ_ON),
        Specification("https://support.google.com/merchants/answer/14987622", READ_ON),
        Specification("https://support.google.com/merchants/answer/14998273", READ_ON),
        Specification("https://support.google.com/merchants/answer/6324350", READ_ON),
        Specification("https://support.google.com/merchants/answer/9103186", READ_ON),
    ),
    fields=(
        _ID,
        named("title", max_length=150),
        named("description", max_length=5000),
        named("link"),
        *_IMAGE_FIELDS,
        named(
            "availability",
            choices={
                "in_stock": IN_STOCK,
                "out_of_stock": SOLD_OUT,
                "preorder": PREORDER,
                "backorder": ("back order", "on backorder", "nachbestellung"),
            },
        ),
        ChannelField("availability_date", ValueKind.DATE_TIME, aliases=("available_from", "release_date")),
        named("expiration_date"),
        named("price"),
        named("sale_price"),
        named("sale_price_effective_date"),
        ChannelField("cost_of_goods_sold", ValueKind.PRICE, aliases=("cost", "purchase_price", "cost_per_item")),
        ChannelField("unit_pricing_measure", aliases=("unit_size", "content", "inhalt")),
        ChannelField("unit_pricing_base_measure", aliases=("base_unit", "grundeinheit")),
        named("google_product_category"),
        named("product_type", max_length=750),
        named("brand", max_length=70),
        named("gtin"),
        named("mpn", max_length=70),
        ChannelField("identifier_exists", ValueKind.BOOLEAN, aliases=("has_identifier",)),
        named("condition"),
        named("adult"),
        named("age_group"),
        named("gender"),
        named("color", max_length=100),
        named("size", max_length=100),
        ChannelField("size_system"),
        named("material", max_length=200),
        named("pattern", max_length=100),
        named("item_group_id", max_length=50),
        ChannelField("multipack", ValueKind.INTEGER, aliases=("pack_size",)),
        ChannelField("is_bundle", ValueKind.BOOLEAN, aliases=("bundle",)),
        ChannelField("product_highlight", max_length=150, can_be_cut=True, aliases=("highlights", "usp")),
        ChannelField("product_weight"),
        named("mobile_link"),
        ChannelField("video_link", ValueKind.URL, max_length=2000, aliases=("video", "video_url")),
        named("ads_redirect"),
        ChannelField("short_title", max_length=150, can_be_cut=True, aliases=("short_name",)),
        ChannelField("promotion_id", max_length=50),
        ChannelField("shipping(country:price)"),
        ChannelField("shipping(country:region:service:price)"),
        ChannelField("shipping_label", max_length=100),
        named("shipping_weight"),
        ChannelField("min_handling_time", ValueKind.INTEGER),
        ChannelField("max_handling_time", ValueKind.INTEGER, aliases=("handling_time",)),
        ChannelField("return_policy_label", max_length=100),
        ChannelField("included_destination"),
        ChannelField("excluded_destination"),
        *_LABELS,
    ),
)

GOOGLE_SUPPLEMENTAL = Preset(
    name="google_supplemental",
    label="Google Merchant Center, supplemental",
    formats=(FileFormat.TSV, FileFormat.XML),
    xml=rss(),
    max_bytes=4 * GB,
    specifications=(
        Specification("https://support.google.com/merchants/answer/7439882", READ_ON),
        Specification("https://support.google.com/merchants/answer/6324370", READ_ON),
    ),
    fields=(_ID, *_IMAGE_FIELDS, *_LABELS),
)
