"""Keys of rows, and shop exports that spread a product over several rows.

Shopify and similar shops write a product once, followed by one row for each variant with only the cells that differ
and one row for each additional photo, all with the same handle. Rendering needs complete rows: the empty cells of a
variant are filled from the row above, and rows that only add a photo are skipped. The photos in the rows of variants
are further photos of the product: a variant shows its own photo (Variant Image), or else the product's first one.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache
from hashlib import sha256

from cwz_web.feeds.columns import FeedSchema, normalize_name
from cwz_web.feeds.limits import MAX_COLUMNS
from cwz_web.feeds.records import Entry, InvalidEntry, Row

MAX_KEY = 400
# A longer key is cut and gets a hash of all of it, so that two keys with the same beginning differ.
HASH_DIGITS = 32
# A product's rows are read ahead up to this number and size, to find its first photo.
MAX_PRODUCT_ROWS = 2000
MAX_PRODUCT_SIZE = 8 * 1024 * 1024

_invisible = re.compile("[\u200b-\u200f\u2060\ufeff\u00ad]")
_photo = re.compile(r"image|photo|picture|bild|foto")


def keyed_rows(
    entries: Iterable[Entry], schema: FeedSchema, notes: list[str]
) -> Iterator[tuple[int, str, Row] | InvalidEntry]:
    """Yield each row of a file as (line, key, row) under the feed's column names, or as invalid.

    Keys may repeat; the import removes duplicates.

    Args:
        entries: The rows of the file.
        schema: The feed's schema.
        notes: Notes for the user are appended here; complete after the last row.
    """
    if schema.group is not None:
        entries = _fill_variants(entries, schema.group, notes)
    map_row = schema.row_mapper()
    has_required = any(column.required for column in schema.columns.values())
    for number, entry in enumerate(entries, 1):
        if isinstance(entry, InvalidEntry):
            yield entry
            continue
        line, row = entry
        key = _key_of(row, schema.key) if schema.key else f"row {number}"
        if not key:
            yield InvalidEntry(line, f"The key “{' / '.join(schema.key_names)}” is empty", row)
        elif has_required and (error := schema.find_error(row)):
            yield InvalidEntry(line, error, row)
        else:
            yield line, key, map_row(row) if map_row else row


def clean_key(key: str) -> str:
    """Return a key without invisible characters, in one form of Unicode, and not longer than MAX_KEY."""
    if not key.isascii():
        key = unicodedata.normalize("NFC", _invisible.sub("", key)).strip()
    if len(key) > MAX_KEY:
        digest = sha256(key.encode("utf-8", "replace")).hexdigest()[:HASH_DIGITS]
        return f"{key[: MAX_KEY - HASH_DIGITS - 1]}-{digest}"
    return key


def _key_of(row: Row, columns: list[str]) -> str:
    if len(columns) == 1:
        return clean_key(row.get(columns[0], ""))
    # Shopify writes “Default Title” for a product without variants.
    parts = (row[column] for column in columns if row.get(column) and row[column] != "Default Title")
    return clean_key(" / ".join(parts))


def _fill_variants(entries: Iterable[Entry], group: str, notes: list[str]) -> Iterator[Entry]:
    """Fill the empty cells of each variant from the row above, and skip rows that only add a photo."""
    skipped = 0
    for product in _products(entries, group):
        if isinstance(product, InvalidEntry):
            yield product
            continue
        variants = _variants_of(product, group)
        skipped += len(product) - len(variants)
        yield from variants
    notes.append(f"Rows with the same “{group}” are variants of one product; empty cells are filled from the row above")
    if skipped:
        rows = "row that only adds a photo is" if skipped == 1 else "rows that only add a photo are"
        notes.append(f"{skipped} {rows} skipped")


def _products(entries: Iterable[Entry], group: str) -> Iterator[list[tuple[int, Row]] | InvalidEntry]:
    """Yield the consecutive rows of each product, and invalid rows on their own."""
    rows: list[tuple[int, Row]] = []
    handle, size = None, 0
    for entry in entries:
        if isinstance(entry, InvalidEntry):
            yield entry
            continue
        row = entry[1]
        is_full = len(rows) >= MAX_PRODUCT_ROWS or size > MAX_PRODUCT_SIZE
        if rows and (row.get(group) != handle or is_full):
            yield rows
            rows, size = [], 0
        handle = row.get(group)
        rows.append(entry)
        size += sum(map(len, row.values()))
    if rows:
        yield rows


def _variants_of(product: list[tuple[int, Row]], group: str) -> list[tuple[int, Row]]:
    """Return a product's variants as complete rows."""
    first = product[0][1]
    if len(product) == 1 and not any(_kind_of(column, group) == _VARIANT_PHOTO for column in first):
        return product
    photos = _first_photo(product, group)
    variants: list[tuple[int, Row]] = []
    previous: Row | None = None
    for line, row in product:
        if previous is None:
            previous = row
        elif all(_kind_of(column, group) for column in row):
            continue
        else:
            own = {column: value for column, value in row.items() if _kind_of(column, group) != _PRODUCT_PHOTO}
            previous = _product_cells(previous) | own
        variants.append((line, _with_photo(previous, photos, group)))
    return variants


# What a column says about a product; a row with nothing else only adds a photo.
_GROUP, _PRODUCT_PHOTO, _VARIANT_PHOTO = 1, 2, 3


@lru_cache(MAX_COLUMNS)
def _kind_of(column: str, group: str) -> int:
    """Return whether a column is the group or a photo; 0 for other columns. Memoized: it is called for each cell."""
    if column == group:
        return _GROUP
    name = normalize_name(column)
    if not _photo.search(name):
        return 0
    return _VARIANT_PHOTO if name.startswith("variant") else _PRODUCT_PHOTO


def _first_photo(product: list[tuple[int, Row]], group: str) -> Row:
    """Return the photo cells of a product: of the row with position 1, or of its first row with a photo."""
    rows = [{column: row[column] for column in row if _kind_of(column, group) == _PRODUCT_PHOTO} for _, row in product]
    positions = ("imageposition", "photoposition", "pictureposition")
    for photos in rows:
        if any(value == "1" for column, value in photos.items() if normalize_name(column) in positions):
            return photos
    return next((photos for photos in rows if photos), {})


def _with_photo(row: Row, photos: Row, group: str) -> Row:
    """Return a row with the product's photo, or with the photo of the variant if it has one."""
    row = row | photos
    variant = next((value for column, value in row.items() if _kind_of(column, group) == _VARIANT_PHOTO), None)
    if variant is not None:
        source = next((column for column in photos if normalize_name(column) in ("imagesrc", "image", "photo")), None)
        if source:
            row[source] = variant
    return row


def _product_cells(row: Row) -> Row:
    """Return the cells that all variants of a product share; an empty “Variant …” cell is empty on purpose."""
    return {column: value for column, value in row.items() if not normalize_name(column).startswith("variant")}
