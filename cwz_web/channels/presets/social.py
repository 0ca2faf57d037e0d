"""Catalogs of TikTok, Pinterest and Snapchat."""

from cwz_web.channels.preset import (
    Carried,
    ChannelField,
    FileFormat,
    ImageField,
    ImageRules,
    Preset,
    Specification,
    ValueKind,
)
from cwz_web.channels.presets.common import MB, PREORDER, READ_ON, availability, image_field, labels, named, rss

_PLAIN = frozenset(["title", "description", "link"])
_OPTIONAL = (
    named("google_product_category"),
    named("product_type", max_length=750),
    named("item_group_id"),
    named("gtin"),
    named("age_group"),
    named("gender"),
    named("color", max_length=100),
    named("size", max_length=100),
)

_TIKTOK_IMAGES = ImageRules(min_width=500, min_height=500, best_width=800, best_height=800, max_bytes=10 * MB)
TIKTOK = Preset(
    name="tiktok",
    label="TikTok",
    formats=(FileFormat.CSV, FileFormat.XML),
    xml=rss(),
    max_rows=20_000_000,
    offset_has_colon=True,
    specifications=(
        Specification("https://ads.tiktok.com/help/article/catalog-product-parameters", READ_ON),
        Specification("https://business-api.tiktok.com/portal/docs?id=1740496787164161", READ_ON),
        Specification("https://ads.tiktok.com/marketing_api/docs?id=1739578479392770", READ_ON),
    ),
    fields=(
        named("id", name="sku_id", max_length=100, aliases=("id", "sku", "product_id", "item_id", "variant_sku")),
        named("title", max_length=500),
        named("description", max_length=10_000),
        named(
            "availability",
            choices=availability("in stock", "out of stock", preorder=PREORDER)
            | {"available for order": (), "discontinued": ()},
        ),
        named("condition", is_required=True),
        named("price"),
        named("link"),
        image_field("image_link", _TIKTOK_IMAGES, is_required=True, takes_photo=True),
        named("brand", is_required=True, max_length=150),
        image_field("additional_image_link", _TIKTOK_IMAGES, max_images=10),
        ChannelField("video_link", ValueKind.URL, aliases=("video", "video_url")),
        named("sale_price"),
        named("sale_price_effective_date"),
        *_OPTIONAL,
        named("mpn", max_length=70),
        named("material", max_length=200),
        named("pattern", max_length=100),
        named("shipping"),
        named("shipping_weight"),
        ChannelField("ios_url"),
        ChannelField("ios_app_store_id"),
        ChannelField("ios_app_name"),
        ChannelField("android_url"),
        ChannelField("android_package"),
        ChannelField("android_app_name"),
        *labels(100),
    ),
)

# Taller images than 2:3 are cut off.
_PINS = ImageRules(
    min_width=75,
    min_height=75,
    best_width=1000,
    best_height=1500,
    min_ratio=0.66,
    refused=frozenset([Carried.WATERMARK]),
)
PINTEREST = Preset(
    name="pinterest",
    label="Pinterest",
    formats=(FileFormat.CSV, FileFormat.TSV, FileFormat.XML),
    xml=rss(_PLAIN),
    max_rows=20_000_000,
    booleans=("TRUE", "FALSE"),
    offset_has_colon=True,
    specifications=(
        Specification("https://help.pinterest.com/en/business/article/data-source-ingestion", READ_ON),
        Specification("https://help.pinterest.com/en/business/article/pinterest-product-specs", READ_ON),
        Specification("https://github.com/pinterest/pinterest-python-generated-api-client", READ_ON),
    ),
    fields=(
        named("id", max_length=127),
        named("title", max_length=500),
        named("description", max_length=10_000),
        named("link", max_length=511),
        image_field("image_link", _PINS, is_required=True, takes_photo=True),
        named("price"),
        named("availability", choices=availability("in stock", "out of stock", preorder=PREORDER)),
        image_field("additional_image_link", _PINS, max_images=10),
        ChannelField("video_link", ValueKind.URL, max_length=2000, aliases=("video", "video_url")),
        ChannelField("ad_link", ValueKind.URL, max_length=2000, aliases=("ads_redirect", "adwords_redirect")),
        named("mobile_link"),
        named("sale_price"),
        named("brand"),
        named("condition"),
        *_OPTIONAL,
        named("mpn"),
        named("material"),
        named("pattern"),
        named("adult"),
        named("shipping"),
        named("shipping_weight"),
        ChannelField("free_shipping_label", ValueKind.BOOLEAN),
        ChannelField("free_shipping_limit", ValueKind.PRICE),
        ChannelField("average_review_rating", ValueKind.NUMBER, aliases=("rating",)),
        ChannelField("number_of_ratings", ValueKind.INTEGER, aliases=("rating_count",)),
        ChannelField("number_of_reviews", ValueKind.INTEGER, aliases=("review_count", "reviews")),
        *labels(1000),
    ),
)

_SNAPS = ImageRules(min_width=200, min_height=200, best_width=1080, best_height=1080, max_bytes=5 * MB)
_FULL_SCREEN = ImageRules(
    min_width=720,
    min_height=1280,
    best_width=1080,
    best_height=1920,
    min_ratio=0.56,
    max_ratio=0.565,
    max_bytes=5 * MB,
    safe_top=0.08,
    safe_bottom=0.08,
)
SNAPCHAT = Preset(
    name="snapchat",
    label="Snapchat",
    formats=(FileFormat.CSV, FileFormat.XML),
    xml=rss(_PLAIN),
    offset_has_colon=True,
    specifications=(
        Specification("https://developers.snap.com/api/marketing-api/Ads-API/dynamic-product-ads", READ_ON),
        Specification("https://developers.snap.com/api/marketing-api/Ads-API/dynamic-product-ads-video", READ_ON),
        Specification("https://feed-donkey.io/articles/snapchat-product-catalog-build-guide", READ_ON),
    ),
    fields=(
        named("id", max_length=128),
        named("title", max_length=375),
        named("description", max_length=5000),
        named("link"),
        image_field("image_link", _SNAPS, is_required=True, takes_photo=True),
        named(
            "availability",
            choices=availability("in stock", "out of stock", preorder=PREORDER)
            | {"available for order": (), "discontinued": ()},
        ),
        named("price"),
        image_field("additional_image_link", _SNAPS, max_images=10),
        ImageField("image[0].url", rules=_FULL_SCREEN),
        ChannelField("image[0].tag[0]"),
        ChannelField("video[0].url", ValueKind.URL, aliases=("video", "video_link", "video_url")),
        ChannelField("video[0].tag[0]"),
        named("sale_price"),
        named("sale_price_effective_date"),
        named("brand", max_length=70),
        named("mpn", max_length=50),
        named("condition"),
        *_OPTIONAL,
        named("adult"),
        named("mobile_link"),
        *labels(100),
    ),
)
