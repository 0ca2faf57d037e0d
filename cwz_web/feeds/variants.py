"""Keys of rows, and shop exports that spread a product over several rows.

Shopify and similar shops write a product once, followed by one row for each variant with only the cells that differ
and one row for each additional photo, all with the same handle. Rendering needs complete rows: the empty cells of a
variant are filled from the row above, and rows that only add a photo are skipped. The photos in the rows of variants
are further photos of the product: a variant shows its own photo (Variant Image), or else the product's first one.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from hashlib import sha256

from cwz_web.feeds.columns import FeedSchema, normalize_name
from cwz_web.feeds.records import Entry, InvalidEntry, Row
from cwz_web.i18n import gettext, ngettext

MAX_KEY = 400
# A longer key is cut and gets a hash of all of it, so that two keys with the same beginning differ.
HASH_DIGITS = 32
# A product's rows are read ahead up to this number and size, to find its first photo.
MAX_PRODUCT_ROWS = 2000
MAX_PRODUCT_SIZE = 8 * 1024 * 1024
SIZE_CHECK_ROWS = 20

# Columns of Shopify's export and of similar ones.
PHOTO_COLUMNS = ("imagesrc", "image", "photo", "imageurl")
PHOTO_POSITIONS = ("imageposition", "photoposition", "pictureposition")

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
            yield InvalidEntry(line, gettext("The key “%(name)s” is empty", name=" / ".join(schema.key_names)), row)
        elif has_required and (error := schema.find_error(row)):
            yield InvalidEntry(line, error, row)
        else:
            yield line, key, map_row(row) if map_row else row


# Normalizing a longer text can take time that grows with the square of its length; its key is a digest in any case.
MAX_NORMALIZED = 10_000


def clean_key(key: str) -> str:
    """Return a key without invisible characters, in one form of Unicode, stripped, and not longer than MAX_KEY."""
    if not key.isascii() and len(key) <= MAX_NORMALIZED:
        key = unicodedata.normalize("NFC", _invisible.sub("", key))
    key = key.strip()
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
    skipped, kinds = 0, _ColumnKinds(group)
    for product in _products(entries, group):
        if isinstance(product, InvalidEntry):
            yield product
        elif len(product) == 1 and _VARIANT_PHOTO not in map(kinds.__getitem__, product[0][1]):
            yield product[0]
        else:
            variants = _variants_of(product, kinds)
            skipped += len(product) - len(variants)
            yield from variants
    notes.append(
        gettext(
            "Rows with the same “%(name)s” are variants of one product; empty cells are filled from the row above",
            name=group,
        )
    )
    if skipped:
        notes.append(
            ngettext(
                "%(count)s row that only adds a photo is skipped",
                "%(count)s rows that only add a photo are skipped",
                skipped,
            )
        )


def _products(entries: Iterable[Entry], group: str) -> Iterator[list[tuple[int, Row]] | InvalidEntry]:
    """Yield the consecutive rows of each product, and invalid rows on their own."""
    rows: list[tuple[int, Row]] = []
    handle = None
    for entry in entries:
        if isinstance(entry, InvalidEntry):
            yield entry
            continue
        own_handle = entry[1].get(group)
        if rows and (own_handle != handle or (len(rows) % SIZE_CHECK_ROWS == 0 and _is_too_large(rows))):
            yield rows
            rows = []
        handle = own_handle
        rows.append(entry)
    if rows:
        yield rows


def _is_too_large(rows: list[tuple[int, Row]]) -> bool:
    size = sum(len(value) for _, row in rows for value in row.values())
    return len(rows) >= MAX_PRODUCT_ROWS or size > MAX_PRODUCT_SIZE


# What a column says about a product; a row with nothing but its group and photos only adds a photo.
_GROUP, _PRODUCT_PHOTO, _VARIANT_PHOTO, _VARIANT, _OTHER = range(5)


class _ColumnKinds(dict[str, int]):
    """The kind of each column; kept, since it is looked up for each cell."""

    def __init__(self, group: str) -> None:
        super().__init__({group: _GROUP})
        self.has_variant_photo = False

    def __missing__(self, column: str) -> int:
        name = normalize_name(column)
        is_variant, is_photo = name.startswith("variant"), bool(_photo.search(name))
        kind = (_VARIANT_PHOTO if is_photo else _VARIANT) if is_variant else _PRODUCT_PHOTO if is_photo else _OTHER
        self[column] = kind
        self.has_variant_photo = self.has_variant_photo or kind == _VARIANT_PHOTO
        return kind


def _variants_of(product: list[tuple[int, Row]], kinds: _ColumnKinds) -> list[tuple[int, Row]]:
    """Return a product's variants as complete rows; an empty “Variant …” cell is empty on purpose."""
    photos = _first_photo(product, kinds)
    source = next((column for column in photos if normalize_name(column) in PHOTO_COLUMNS), "")
    variants: list[tuple[int, Row]] = []
    shared: Row = {column: value for column, value in product[0][1].items() if kinds[column] == _GROUP}
    for line, row in product:
        own = {column: value for column, value in row.items() if kinds[column] != _PRODUCT_PHOTO}
        if variants and all(kinds[column] <= _VARIANT_PHOTO for column in own):
            continue
        complete = shared | own | photos
        if source and kinds.has_variant_photo:
            photo = next((own[column] for column in own if kinds[column] == _VARIANT_PHOTO), "")
            complete[source] = photo or complete[source]
        variants.append((line, complete))
        for column in own:
            if kinds[column] == _OTHER:
                shared[column] = own[column]
    return variants


def _first_photo(product: list[tuple[int, Row]], kinds: _ColumnKinds) -> Row:
    """Return the photo cells of a product: of the row with position 1, or of its first row with a photo."""
    first: Row = {}
    for _, row in product:
        photos = {column: row[column] for column in row if kinds[column] == _PRODUCT_PHOTO}
        if any(value == "1" and normalize_name(column) in PHOTO_POSITIONS for column, value in photos.items()):
            return photos
        first = first or photos
    return first
