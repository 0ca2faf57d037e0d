"""What several platforms have in common: names of columns, texts of feeds for their choices, and fields.

Texts and names are in several languages. Most platforms have taken their fields from Google's.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any

from cwz_web.channels.preset import Carried, ChannelField, ImageField, ImageRules, ValueKind, XmlShape

# When the specifications were read.
READ_ON = date(2026, 11, 30)
GB = 1024**3
# Of image files: platforms do not say which megabytes they mean, and these are the smaller ones.
MB = 1_000_000
GOOGLE_NAMESPACE = "http://base.google.com/ns/1.0"

IN_STOCK = (
    *("in stock", "instock", "available", "yes", "true", "on stock", "limited availability", "InStoreOnly"),
    *("auf lager", "lagernd", "vorrätig", "verfügbar", "lieferbar", "sofort lieferbar", "ja"),
    *("en stock", "disponible", "oui", "disponibile", "in magazzino", "sì", "sí", "op voorraad", "i lager", "på lager"),
    *("dostępny", "skladem", "в наличии"),
)
SOLD_OUT = (
    *("out of stock", "outofstock", "sold out", "unavailable", "not available", "no", "false", "discontinued"),
    *("ausverkauft", "nicht verfügbar", "nicht vorrätig", "nicht auf lager", "nicht lieferbar", "vergriffen", "nein"),
    *("épuisé", "indisponible", "rupture de stock", "en rupture", "non", "agotado", "sin existencias", "no disponible"),
    *("esaurito", "non disponibile", "uitverkocht", "niet op voorraad", "slutsåld", "udsolgt", "niedostępny"),
    *("vyprodáno", "нет в наличии"),
)
PREORDER = ("pre order", "vorbestellung", "vorbestellbar", "précommande", "preventa", "preordine", "предзаказ")
CONDITIONS = {
    "new": ("neu", "neuf", "neuve", "nuevo", "nuova", "nuovo", "nieuw", "NewCondition", "brand new", "neuware"),
    "refurbished": ("generalüberholt", "reconditionné", "reacondicionado", "ricondizionato", "RefurbishedCondition"),
    "used": ("gebraucht", "occasion", "usado", "usato", "gebruikt", "UsedCondition", "pre owned", "second hand"),
}
GENDERS = {
    "female": (
        "f",
        "w",
        "women",
        "woman",
        "womens",
        "damen",
        "weiblich",
        "femme",
        "femmes",
        "mujer",
        "donna",
        "ladies",
    ),
    "male": ("m", "men", "man", "mens", "herren", "männlich", "homme", "hommes", "hombre", "uomo"),
    "unisex": ("u", "all", "both", "mixte", "divers"),
}
AGE_GROUPS = {
    "newborn": ("neugeborene", "nouveau-né"),
    "infant": ("baby", "babies", "säugling", "bébé"),
    "toddler": ("kleinkind", "tout-petit"),
    "kids": ("kid", "child", "children", "kinder", "kind", "enfant", "enfants", "niños", "bambini"),
    "teen": ("teens", "teenager", "jugendliche", "ado"),
    "adult": ("adults", "erwachsene", "erwachsener", "adulte", "adultes", "adulto", "adultos"),
    "all ages": ("all", "alle", "tous"),
}
# What Google and others refuse on the image of a product.
OVERLAYS = frozenset([Carried.TEXT, Carried.PRICE, Carried.LOGO, Carried.FRAME, Carried.WATERMARK])


def labels(max_length: int) -> tuple[ChannelField, ...]:
    """Return the five labels that campaigns of ads choose products by."""
    return tuple(ChannelField(f"custom_label_{number}", max_length=max_length) for number in range(5))


def rss(unprefixed: frozenset[str] = frozenset()) -> XmlShape:
    """Return RSS 2.0 with Google's namespace.

    Args:
        unprefixed: the fields without its prefix.
    """
    return XmlShape(
        before='<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<rss version="2.0" xmlns:g="{GOOGLE_NAMESPACE}">\n<channel>\n'
        "<title>{title}</title>\n<link>{url}</link>\n<description>{title}</description>\n",
        item="item",
        after="</channel>\n</rss>\n",
        prefix="g:",
        unprefixed=unprefixed,
    )


def named(name: str, /, **changes: Any) -> ChannelField:
    """Return one of the fields that most platforms have, with what differs.

    Args:
        name: its name in `FIELDS`.
        changes: other attributes.
    """
    return replace(FIELDS[name], **changes)


def image_field(name: str, rules: ImageRules, /, **changes: Any) -> ImageField:
    """Return a field with an image, or several, with the names of columns that hold their URLs."""
    aliases = IMAGE_ALIASES.get(name, ())
    return replace(ImageField(name, rules=rules, aliases=aliases), **changes)


def of_words(names: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Return choices: what a platform writes, by the names that it is known by here."""
    known = {**CONDITIONS, **GENDERS, **AGE_GROUPS}
    return {written: (name, *known[name]) for name, written in names.items()}


def availability(in_stock: str, sold_out: str, **others: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Return the choices of an availability."""
    return {in_stock: IN_STOCK, sold_out: SOLD_OUT, **others}


IMAGE_ALIASES = {
    "image_link": (
        *("image", "image_url", "main_image", "image_src", "picture", "photo", "img", "featured_image"),
        *("bild", "bild_url", "bildlink", "imageurl"),
    ),
    "additional_image_link": ("additional_images", "additional_image", "gallery", "images", "extra_images"),
    "lifestyle_image_link": ("lifestyle_image", "mood_image", "scene_image"),
}
FIELDS = {
    field.name: field
    for field in (
        ChannelField(
            "id",
            is_required=True,
            is_unique=True,
            aliases=("sku", "product_id", "item_id", "offer_id", "variant_sku", "article_number", "artikelnummer"),
        ),
        ChannelField(
            "title",
            is_required=True,
            can_be_cut=True,
            aliases=("name", "product_name", "product_title", "titel", "bezeichnung", "produktname", "titre"),
        ),
        ChannelField(
            "description",
            is_required=True,
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
        ChannelField(
            "availability",
            ValueKind.AVAILABILITY,
            is_required=True,
            choices=availability("in stock", "out of stock"),
            aliases=("stock_status", "stock", "quantity", "inventory", "verfugbarkeit", "lagerbestand"),
        ),
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
        ChannelField("sale_price_effective_date", ValueKind.DATE_RANGE, aliases=("sale_dates",)),
        ChannelField("brand", aliases=("manufacturer", "vendor", "marke", "hersteller", "marque", "make")),
        ChannelField("gtin", ValueKind.GTIN, aliases=("ean", "ean13", "upc", "barcode", "variant_barcode", "isbn")),
        ChannelField("mpn", aliases=("manufacturer_sku", "part_number", "model", "herstellernummer")),
        ChannelField("condition", ValueKind.CHOICE, choices=CONDITIONS, aliases=("zustand", "item_condition")),
        ChannelField(
            "age_group",
            ValueKind.CHOICE,
            choices={name: AGE_GROUPS[name] for name in ("newborn", "infant", "toddler", "kids", "adult")},
            aliases=("age",),
        ),
        ChannelField("gender", ValueKind.CHOICE, choices=GENDERS, aliases=("sex", "geschlecht")),
        ChannelField("color", aliases=("colour", "farbe", "couleur")),
        ChannelField("size", aliases=("grosse", "taille")),
        ChannelField("material", aliases=("fabric",)),
        ChannelField("pattern", aliases=("print", "muster")),
        ChannelField("google_product_category", aliases=("taxonomy", "google_category")),
        ChannelField("product_type", aliases=("category", "category_path", "breadcrumb", "kategorie", "type")),
        ChannelField(
            "item_group_id",
            aliases=("parent_id", "parent_sku", "group_id", "product_group", "configurable_sku", "handle"),
        ),
        ChannelField("expiration_date", ValueKind.DATE_TIME, aliases=("valid_to",)),
        ChannelField("mobile_link", ValueKind.URL, max_length=2000, aliases=("mobile_url",)),
        ChannelField("ads_redirect", ValueKind.URL, max_length=2000, aliases=("tracking_url",)),
        ChannelField("adult", ValueKind.BOOLEAN, aliases=("is_adult",)),
        ChannelField("shipping"),
        ChannelField("shipping_weight", aliases=("weight", "gewicht")),
    )
}
