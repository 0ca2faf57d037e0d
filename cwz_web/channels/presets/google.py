"""Google Merchant Center: the fields of its product data specification, and supplemental data sources."""

from datetime import date

from cwz_web.channels.preset import (
    Carried,
    ChannelField,
    FileFormat,
    ImageField,
    ImageRules,
    Preset,
    Specification,
    ValueKind,
    XmlShape,
)
from cwz_web.channels.presets.common import (
    AGE_GROUPS,
    CONDITIONS,
    GENDERS,
    IN_STOCK,
    OVERLAYS,
    PREORDER,
    SOLD_OUT,
    labels,
)
from cwz_web.imaging.encoders import Format

READ_ON = date(2026, 11, 30)
GB = 1024**3

RSS = XmlShape(
    before='<?xml version="1.0" encoding="UTF-8"?>\n'
    '<rss version="2.0" xmlns:g="http://base.google.com/ns/1.0">\n<channel>\n'
    "<title>{title}</title>\n<link>{url}</link>\n<description>{title}</description>\n",
    item="item",
    after="</channel>\n</rss>\n",
    prefix="g:",
)

# 500 pixels are enforced from 2027-01-31; GIF, BMP and TIFF are taken too, but not rendered.
_IMAGES = ImageRules(
    min_width=500,
    min_height=500,
    best_width=1500,
    best_height=1500,
    max_bytes=16 * 1024 * 1024,
    max_pixels=64_000_000,
    formats=frozenset([Format.JPEG, Format.PNG, Format.WEBP]),
    refused=OVERLAYS,
)
# A scene with the product; WebP is not named for it.
_SCENES = ImageRules(
    min_width=500,
    min_height=500,
    best_width=1500,
    best_height=1500,
    max_bytes=16 * 1024 * 1024,
    max_pixels=64_000_000,
    formats=frozenset([Format.JPEG, Format.PNG]),
    refused=frozenset([Carried.PRICE, Carried.WATERMARK]),
)
IMAGE_LINK = ImageField(
    "image_link",
    is_required=True,
    max_length=2000,
    takes_photo=True,
    rules=_IMAGES,
    aliases=("image", "image_url", "main_image", "picture", "photo", "img", "featured_image", "bild", "bild_url"),
)
ADDITIONAL_IMAGES = ImageField(
    "additional_image_link",
    max_images=10,
    rules=_IMAGES,
    aliases=("additional_images", "additional_image", "gallery", "images", "extra_images", "weitere_bilder"),
)
LIFESTYLE_IMAGE = ImageField(
    "lifestyle_image_link", max_length=2000, rules=_SCENES, aliases=("lifestyle_image", "mood_image", "scene_image")
)
_ID = ChannelField(
    "id",
    is_required=True,
    is_unique=True,
    max_length=50,
    aliases=(
        "sku",
        "product_id",
        "item_id",
        "offer_id",
        "variant_sku",
        "article_number",
        "artikelnummer",
        "variant_id",
    ),
)
_LABELS = labels(100)

GOOGLE = Preset(
    name="google",
    label="Google Merchant Center",
    formats=(FileFormat.XML, FileFormat.TSV),
    xml=RSS,
    max_bytes=4 * GB,
    specifications=(
        Specification("https://support.google.com/merchants/answer/7052112", READ_ON),
        Specification("https://support.google.com/merchants/answer/14987622", READ_ON),
        Specification("https://support.google.com/merchants/answer/14998273", READ_ON),
        Specification("https://support.google.com/merchants/answer/6324350", READ_ON),
        Specification("https://support.google.com/merchants/answer/9103186", READ_ON),
    ),
    fields=(
        _ID,
        ChannelField(
            "title",
            is_required=True,
            max_length=150,
            can_be_cut=True,
            aliases=("name", "product_name", "product_title", "titel", "bezeichnung", "titre"),
        ),
        ChannelField(
            "description",
            is_required=True,
            max_length=5000,
            can_be_cut=True,
            aliases=("desc", "long_description", "body_html", "body", "beschreibung", "product_description"),
        ),
        ChannelField(
            "link",
            ValueKind.URL,
            is_required=True,
            max_length=2000,
            aliases=("url", "product_url", "deep_link", "landing_page", "permalink", "product_link"),
        ),
        IMAGE_LINK,
        ADDITIONAL_IMAGES,
        LIFESTYLE_IMAGE,
        ChannelField(
            "availability",
            ValueKind.AVAILABILITY,
            is_required=True,
            choices={
                "in_stock": IN_STOCK,
                "out_of_stock": SOLD_OUT,
                "preorder": PREORDER,
                "backorder": ("back order", "on backorder", "nachbestellung", "available on request"),
            },
            aliases=("stock_status", "stock", "quantity", "inventory", "verfugbarkeit", "lagerbestand"),
        ),
        ChannelField("availability_date", ValueKind.DATE_TIME, max_length=25, aliases=("release_date",)),
        ChannelField("expiration_date", ValueKind.DATE_TIME, max_length=25, aliases=("valid_to",)),
        ChannelField(
            "price",
            ValueKind.PRICE,
            is_required=True,
            aliases=("regular_price", "list_price", "original_price", "preis", "variant_price", "prix"),
        ),
        ChannelField(
            "sale_price",
            ValueKind.PRICE,
            below="price",
            aliases=("special_price", "discount_price", "offer_price", "angebotspreis"),
        ),
        ChannelField("sale_price_effective_date", ValueKind.DATE_RANGE, max_length=51, aliases=("sale_dates",)),
        ChannelField("cost_of_goods_sold", ValueKind.PRICE, aliases=("cost", "purchase_price", "cost_per_item")),
        ChannelField("unit_pricing_measure", aliases=("unit_size", "content", "inhalt")),
        ChannelField("unit_pricing_base_measure", aliases=("base_unit", "grundeinheit")),
        ChannelField("google_product_category", aliases=("taxonomy", "google_category")),
        ChannelField(
            "product_type", max_length=750, aliases=("category", "category_path", "breadcrumb", "kategorie", "type")
        ),
        ChannelField(
            "brand", max_length=70, aliases=("manufacturer", "vendor", "marke", "hersteller", "marque", "make")
        ),
        ChannelField("gtin", ValueKind.GTIN, aliases=("ean", "ean13", "upc", "barcode", "variant_barcode", "isbn")),
        ChannelField("mpn", max_length=70, aliases=("manufacturer_sku", "part_number", "model", "herstellernummer")),
        ChannelField("identifier_exists", ValueKind.BOOLEAN, aliases=("has_identifier",)),
        ChannelField("condition", ValueKind.CHOICE, choices=CONDITIONS, aliases=("zustand", "item_condition")),
        ChannelField("adult", ValueKind.BOOLEAN, aliases=("is_adult",)),
        ChannelField(
            "age_group",
            ValueKind.CHOICE,
            choices={name: AGE_GROUPS[name] for name in ("newborn", "infant", "toddler", "kids", "adult")},
            aliases=("age",),
        ),
        ChannelField("gender", ValueKind.CHOICE, choices=GENDERS, aliases=("sex", "geschlecht")),
        ChannelField("color", max_length=100, aliases=("colour", "farbe", "couleur")),
        ChannelField("size", max_length=100, aliases=("grosse", "taille")),
        ChannelField("size_system"),
        ChannelField("material", max_length=200, aliases=("fabric",)),
        ChannelField("pattern", max_length=100, aliases=("print", "muster")),
        ChannelField(
            "item_group_id",
            max_length=50,
            aliases=("parent_id", "parent_sku", "group_id", "product_group", "configurable_sku", "handle"),
        ),
        ChannelField("multipack", ValueKind.INTEGER, aliases=("pack_size",)),
        ChannelField("is_bundle", ValueKind.BOOLEAN, aliases=("bundle",)),
        ChannelField("product_highlight", max_length=150, can_be_cut=True, aliases=("highlights", "usp")),
        ChannelField("product_weight"),
        ChannelField("mobile_link", ValueKind.URL, max_length=2000, aliases=("mobile_url",)),
        ChannelField("video_link", ValueKind.URL, max_length=2000, aliases=("video", "video_url")),
        ChannelField("ads_redirect", ValueKind.URL, max_length=2000, aliases=("tracking_url",)),
        ChannelField("short_title", max_length=150, can_be_cut=True, aliases=("short_name",)),
        ChannelField("promotion_id", max_length=50),
        ChannelField("shipping(country:price)"),
        ChannelField("shipping(country:region:service:price)"),
        ChannelField("shipping_label", max_length=100),
        ChannelField("shipping_weight", aliases=("weight", "gewicht")),
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
    xml=RSS,
    max_bytes=4 * GB,
    specifications=(
        Specification("https://support.google.com/merchants/answer/7439882", READ_ON),
        Specification("https://support.google.com/merchants/answer/6324370", READ_ON),
    ),
    fields=(_ID, IMAGE_LINK, ADDITIONAL_IMAGES, LIFESTYLE_IMAGE, *_LABELS),
)
