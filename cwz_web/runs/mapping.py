"""Mappings from a template's fields to a feed's columns: guess one, so that a first run needs no setup; apply it."""

import re
from collections.abc import Iterable, Mapping, Sequence

from cwz_web.imaging.documents import TemplateField

# Common column names of shop feeds for each field, best first; compared without case, spaces and punctuation.
SYNONYMS = {
    "title": [
        "title",
        "name",
        "productname",
        "producttitle",
        "itemname",
        "product",
        "headline",
        "titel",
        "bezeichnung",
        "artikel",
        "nom",
        "nombre",
        "seotitle",
    ],
    "subtitle": ["subtitle", "vendor", "brand", "marke", "type", "producttype", "category", "producer", "manufacturer"],
    "description": ["description", "bodyhtml", "body", "shortdescription", "summary", "text", "beschreibung"],
    "price": ["price", "variantprice", "saleprice", "regularprice", "amount", "preis", "prix", "precio", "cost"],
    "old_price": ["variantcompareatprice", "compareatprice", "oldprice", "listprice", "msrp", "rrp", "uvp"],
    "image": [
        "image",
        "imagelink",
        "imagesrc",
        "imageurl",
        "mainimage",
        "picture",
        "pictureurl",
        "photo",
        "images",
        "thumbnail",
        "bild",
        "img",
        "variantimage",
    ],
}
ALIASES = {
    "picture": "image",
    "photo": "image",
    "name": "title",
    "headline": "title",
    "vendor": "subtitle",
    "brand": "subtitle",
    "compare_at_price": "old_price",
}
# How many rows are examined.
SAMPLE = 20
# In a mapping: the field stays empty. A field that is not in the mapping shows the template's default.
EMPTY = ""
_image_url = re.compile(r"\Ahttps?://\S+\.(?:jpe?g|png|webp|gif|avif)(?:\?\S*)?\Z", re.IGNORECASE)


def guess_mapping(
    fields: Iterable[TemplateField], columns: Sequence[str], rows: Sequence[Mapping[str, str]]
) -> dict[str, str]:
    """Guess the column that fills each field; EMPTY where none fits.

    A guess never keeps a template's default: its sample text must not appear on a real product.

    Args:
        fields: the template's fields.
        columns: the feed's columns.
        rows: some rows of the feed, whose values show which columns are image URLs.
    """
    by_plain_name = {_plain(column): column for column in reversed(columns)}
    mapping: dict[str, str] = {}
    for field in fields:
        synonyms = SYNONYMS.get(ALIASES.get(field.name, field.name), ())
        names = [_plain(name) for name in (field.name, field.label, *synonyms)]
        column = next((by_plain_name[name] for name in names if name in by_plain_name), None)
        if column is None and field.type == "image":
            column = next((c for c in columns if any(_image_url.match(row.get(c, "")) for row in rows)), None)
        mapping[field.name] = column or EMPTY
    return mapping


def apply_mapping(mapping: Mapping[str, str], row: Mapping[str, str]) -> dict[str, str]:
    """Return a row's values under the names of the template's fields."""
    return {name: row.get(column, "") if column else "" for name, column in mapping.items()}


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
