"""Mappings from a template's fields to a feed's columns: guess one, so that a first run needs no setup; apply it.

A mapping names a column, or several of which the first with a value counts: `sale_price | price`. Of a price and a
reduced one, the reduced one counts only if it is lower.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from sqlalchemy.orm import Session

from cwz_web.feeds.column_formats import column_formats
from cwz_web.feeds.models import Feed
from cwz_web.imaging.filters import decode_html
from cwz_web.imaging.prices import OLD_PRICES, PRICE, is_higher
from cwz_web.imaging.template_parts import TemplateField
from cwz_web.values.formats import UNKNOWN, ValueFormat, with_format
from cwz_web.values.numbers import read_number
from cwz_web.workspaces.models import Workspace

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
    "old_price": [
        "variantcompareatprice",
        "compareatprice",
        "oldprice",
        "originalprice",
        "wasprice",
        "streichpreis",
        "listprice",
        "msrp",
        "rrp",
        "uvp",
    ],
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
    **dict.fromkeys(OLD_PRICES, "old_price"),
}
# Columns of a reduced price, which rows without a reduction leave empty, and of the regular one beside it.
SALE_PRICES = [
    "saleprice",
    "specialprice",
    "discountprice",
    "discountedprice",
    "offerprice",
    "promoprice",
    "reducedprice",
    "angebotspreis",
    "aktionspreis",
    "sonderpreis",
]
REGULAR_PRICES = ["price", "regularprice", "baseprice", "variantprice", "preis", "normalpreis", "prix", "precio"]
FALLBACK = " | "
# Among mapped values: the regular price, which finish_values compares a reduced one with. No field has such a name.
COMPARED_PRICE = PRICE + FALLBACK
# How many rows are examined.
SAMPLE = 20
# In a mapping: the field stays empty. A field that is not in the mapping shows the template's default.
EMPTY = ""
TITLE = TemplateField(name="title", label="Title")
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
        synonyms = SYNONYMS.get(_meaning(field.name), ())
        names = [_plain(name) for name in (field.name, field.label, *synonyms)]
        column = next((by_plain_name[name] for name in names if name in by_plain_name), None)
        if column is None and field.type == "image":
            column = next((c for c in columns if any(_image_url.match(row.get(c, "")) for row in rows)), None)
        mapping[field.name] = column or EMPTY
    return mapping | _guess_prices(mapping, by_plain_name)


def _guess_prices(mapping: Mapping[str, str], by_plain_name: Mapping[str, str]) -> dict[str, str]:
    """Return the fields of a feed with a column for reduced prices: the current price, and the regular one."""
    sale = next((by_plain_name[name] for name in SALE_PRICES if name in by_plain_name), None)
    regular = next((by_plain_name[name] for name in REGULAR_PRICES if name in by_plain_name), None)
    if sale is None or regular is None:
        return {}
    prices = {name: sale + FALLBACK + regular for name in mapping if _meaning(name) == "price"}
    return prices | {name: regular for name in mapping if _meaning(name) == "old_price" and not mapping[name]}


def mapped_columns(column: str, columns: Iterable[str]) -> list[str]:
    """Return the columns that a field is filled from, best first; none if one of them is not in the feed."""
    known = set(columns)
    if column in known:
        return [column]
    parts = column.split(FALLBACK)
    return parts if known.issuperset(parts) else []


def apply_mapping(
    mapping: Mapping[str, str], row: Mapping[str, str], formats: Mapping[str, ValueFormat]
) -> dict[str, str]:
    """Return a row's values under the names of the template's fields, each in the format of its column.

    Args:
        mapping: the template's fields to the feed's columns.
        row: a row of the feed.
        formats: of the feed's columns (formats_of).
    """
    columns = with_regular_price(mapping)
    values = {name: _first_value(column, row) if column else "" for name, column in columns.items()}
    return finish_values(mapping, values, field_formats(mapping, formats))


def with_regular_price(mapping: Mapping[str, str]) -> dict[str, str]:
    """Return a mapping with the column of COMPARED_PRICE as well, if the price can be a reduced one."""
    first, *others = mapping.get(PRICE, EMPTY).split(FALLBACK)
    regular = {COMPARED_PRICE: others[-1]} if others and _plain(first) in SALE_PRICES else {}
    return {**mapping, **regular}


def finish_values(
    mapping: Mapping[str, str], values: Mapping[str, str], formats: Mapping[str, ValueFormat]
) -> dict[str, str]:
    """Return mapped values in their formats, with the regular price in the place of a reduced one that is not lower.

    A reduced price of 0 stands for no reduction, as some shops write it.

    Args:
        mapping: the template's fields to the feed's columns.
        values: by field, and COMPARED_PRICE if with_regular_price has added it.
        formats: by field.
    """
    finished: dict[str, str] = {
        name: with_format(text, formats.get(PRICE if name == COMPARED_PRICE else name, UNKNOWN))
        for name, text in values.items()
    }
    regular = finished.pop(COMPARED_PRICE, None)
    if PRICE not in finished or FALLBACK not in mapping.get(PRICE, ""):
        return finished
    price, old = finished[PRICE], next((text for name, text in finished.items() if _meaning(name) == "old_price"), "")
    counting = old if regular is None else regular
    is_free = _is_zero(price) and _is_higher(counting, price)
    is_no_reduction = regular is not None and not _is_zero(regular) and _is_higher(price, regular)
    # The engine leaves out an old price that is equal to the current one.
    return finished | {PRICE: counting} if is_free or is_no_reduction else finished


def _is_zero(text: str) -> bool:
    return read_number(decode_html(text)) == 0


def _is_higher(one: str, other: str) -> bool:
    return is_higher(decode_html(one), decode_html(other)) is True


def used_mapping(mapping: Mapping[str, str], used: Collection[str]) -> dict[str, str]:
    """Return the part of a mapping that fills the used fields; with both prices if one is used: they are compared.

    Args:
        mapping: the template's fields to the feed's columns.
        used: the fields that images depend on.
    """
    prices = {name for name in mapping if _meaning(name) in ("price", "old_price")}
    needed = {*used, *prices} if prices.intersection(used) else set(used)
    return {name: column for name, column in mapping.items() if name in needed}


def find_title_column(columns: Sequence[str]) -> str:
    """Return the column of a feed that names a row for people; EMPTY if none does."""
    return guess_mapping([TITLE], columns, ())[TITLE.name]


def title_field(mapping: Mapping[str, str]) -> str | None:
    """Return the field of a mapping that names a row for people, if a column fills one."""
    return next((name for name, column in mapping.items() if column and _meaning(name) == "title"), None)


def formats_of(db: Session, feed: Feed) -> dict[str, ValueFormat]:
    """Return the format of each column of a feed, with the workspace's for what is not known."""
    return column_formats(feed, db.get_one(Workspace, feed.workspace_id).value_format)


def field_formats(mapping: Mapping[str, str], formats: Mapping[str, ValueFormat]) -> dict[str, ValueFormat]:
    """Return the format of each field that is filled from a column."""
    found: dict[str, ValueFormat] = {}
    for name, column in mapping.items():
        for part in mapped_columns(column, formats):
            found[name] = found.get(name, UNKNOWN).with_defaults(formats[part])
    return found


def _first_value(column: str, row: Mapping[str, str]) -> str:
    return next((row[name] for name in (column, *column.split(FALLBACK)) if name in row), "")


def _meaning(field: str) -> str:
    return ALIASES.get(field, field)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
