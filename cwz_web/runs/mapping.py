"""Guessing which column of a feed fills which column of a template, so that a first run needs no set-up."""

import re
from collections.abc import Iterable, Mapping, Sequence

from cwz_web.imaging.documents import Column

# What shops call the things that templates show; compared without case, spaces and signs, best first.
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
        "image",
        "imageurl",
        "photo",
        "images",
        "thumbnail",
        "bild",
        "img",
        "variantimage",
    ],
}
ALIASES = {
    "image": "image",
    "photo": "image",
    "name": "title",
    "headline": "title",
    "vendor": "subtitle",
    "brand": "subtitle",
    "compare_at_price": "old_price",
}
# From so many first rows a mapping is guessed.
SAMPLE = 20
# A column of the template that stays empty. One that is not in a mapping at all shows the template's default.
NOTHING = ""
_image_url = re.compile(r"\Ahttps?://\S+\.(?:jpe?g|png|webp|gif|avif)(?:\?\S*)?\Z", re.IGNORECASE)


def guess_mapping(
    columns: Iterable[Column], feed_columns: Sequence[str], rows: Sequence[Mapping[str, str]]
) -> dict[str, str]:
    """For each column of the template, the feed's column that most likely fills it, or NOTHING.

    A sample text of the template must not stand on a real product, so a guess never keeps the template's default.

    Arguments:
        columns: the template's columns.
        feed_columns: the feed's columns.
        rows: some rows of the feed, to look at their values.
    """
    by_plain = {_plain(column): column for column in reversed(feed_columns)}
    mapping: dict[str, str] = {}
    for column in columns:
        wanted = ALIASES.get(column.name, column.name)
        names = [column.name, column.label, *SYNONYMS.get(wanted, ())]
        found = next((by_plain[_plain(name)] for name in names if _plain(name) in by_plain), None)
        if found is None and column.kind == "image":
            found = next((c for c in feed_columns if any(_image_url.match(row.get(c, "")) for row in rows)), None)
        mapping[column.name] = found or NOTHING
    return mapping


def apply_mapping(mapping: Mapping[str, str], row: Mapping[str, str]) -> dict[str, str]:
    """A row's values under the template's names. One that is mapped to NOTHING, or empty in the row, is empty."""
    return {name: row.get(column, "") if column else "" for name, column in mapping.items()}


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
