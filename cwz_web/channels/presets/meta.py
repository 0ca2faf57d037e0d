"""Meta: catalogs of products for ads on Facebook and Instagram, with an image for each ratio."""

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
from cwz_web.channels.presets.common import AGE_GROUPS, GB, MB, READ_ON, image_field, labels, named, rss

# Images of ads can show texts and prices: catalogs have such overlays of their own.
_REFUSED = frozenset([Carried.WATERMARK])
_MAX_BYTES = 8 * MB
_SQUARE = ImageRules(
    min_width=500, min_height=500, best_width=1080, best_height=1080, max_bytes=_MAX_BYTES, refused=_REFUSED
)
_PORTRAIT = ImageRules(
    min_width=500,
    min_height=500,
    best_width=1080,
    best_height=1350,
    min_ratio=0.79,
    max_ratio=0.81,
    max_bytes=_MAX_BYTES,
    refused=_REFUSED,
)
# Reels cover more of the bottom than stories do.
_FULL_SCREEN = ImageRules(
    min_width=500,
    min_height=500,
    best_width=1080,
    best_height=1920,
    min_ratio=0.56,
    max_ratio=0.565,
    max_bytes=_MAX_BYTES,
    refused=_REFUSED,
    safe_top=0.14,
    safe_bottom=0.35,
)
# Fields that Google does not have.
_UNPREFIXED = frozenset(["additional_image_link", "status", "fb_product_category", "internal_label"])

META = Preset(
    name="meta",
    label="Meta (Facebook and Instagram)",
    formats=(FileFormat.CSV, FileFormat.TSV, FileFormat.XML),
    xml=rss(_UNPREFIXED),
    max_bytes=4 * GB,
    offset_has_colon=True,
    specifications=(
        Specification("https://developers.facebook.com/documentation/ads-commerce/catalog/reference", READ_ON),
        Specification(
            "https://developers.facebook.com/documentation/ads-commerce/marketing-api/advantage-catalog-ads"
            "/multi-ratio-images",
            READ_ON,
        ),
        Specification("https://www.facebook.com/business/help/120325381656392", READ_ON),
    ),
    fields=(
        named("id", max_length=100),
        named("title", max_length=200),
        named("description", max_length=9999),
        named("availability"),
        named("condition", is_required=True),
        named("price"),
        named("link"),
        image_field("image_link", _SQUARE, is_required=True, takes_photo=True),
        named("brand", is_required=True, max_length=100),
        ImageField("image[0].url", rules=_SQUARE, takes_photo=True),
        ImageField("image[1].url", rules=_PORTRAIT, tags=(("image[1].tag[0]", "ASPECT_RATIO_4_5_PREFERRED"),)),
        ImageField(
            "image[2].url",
            rules=_FULL_SCREEN,
            tags=(("image[2].tag[0]", "STORY_PREFERRED"), ("image[2].tag[1]", "REELS_PREFERRED")),
        ),
        ImageField("image[3].url", rules=_SQUARE, tags=(("image[3].tag[0]", "INSTAGRAM_PREFERRED"),)),
        image_field("additional_image_link", _SQUARE, max_images=20),
        ChannelField("video[0].url", ValueKind.URL, aliases=("video", "video_link", "video_url")),
        ChannelField("video[0].tag[0]"),
        ChannelField("video[1].url", ValueKind.URL),
        ChannelField("video[1].tag[0]"),
        named("sale_price"),
        named("sale_price_effective_date"),
        named("item_group_id", max_length=100),
        ChannelField("status", ValueKind.CHOICE, choices={"active": (), "archived": ()}, aliases=("visibility",)),
        named("google_product_category"),
        ChannelField("fb_product_category", aliases=("facebook_category",)),
        named("product_type", max_length=750),
        named("color", max_length=200),
        named("size", max_length=200),
        named("gender"),
        named("age_group", choices=AGE_GROUPS),
        named("material", max_length=200),
        named("pattern", max_length=100),
        named("gtin"),
        named("mpn", max_length=100),
        named("shipping"),
        named("shipping_weight"),
        named("expiration_date", kind=ValueKind.DATE),
        named("mobile_link"),
        ChannelField("quantity_to_sell_on_facebook", ValueKind.INTEGER, aliases=("inventory", "quantity", "stock")),
        ChannelField("internal_label"),
        ChannelField("applink.ios_url"),
        ChannelField("applink.ios_app_store_id"),
        ChannelField("applink.ios_app_name"),
        ChannelField("applink.android_url"),
        ChannelField("applink.android_package"),
        ChannelField("applink.android_app_name"),
        *labels(100),
    ),
)
