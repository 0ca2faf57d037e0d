"""Keys of rows, and shop exports that spread a product over several rows.

Shopify and similar shops write a product once, followed by one row for each variant with only the cells that differ
and one row for each additional photo, all with the same handle. Rendering needs complete rows: the empty cells of a
variant are filled from the row above, and rows that only add a photo are skipped.
"""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

from cwz_web.feeds.columns import FeedSchema, normalize_name
from cwz_web.feeds.limits import MAX_COLUMNS
from cwz_web.feeds.records import Entry, InvalidEntry, Row

MAX_KEY = 400

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


def _key_of(row: Row, columns: list[str]) -> str:
    if len(columns) == 1:
        return row.get(columns[0], "")[:MAX_KEY]
    # Shopify writes “Default Title” for a product without variants.
    parts = (row[column] for column in columns if row.get(column) and row[column] != "Default Title")
    return " / ".join(parts)[:MAX_KEY]


def _fill_variants(entries: Iterable[Entry], group: str, notes: list[str]) -> Iterator[Entry]:
    """Fill the empty cells of each variant from the row above, and skip rows that only add a photo."""
    photos = 0
    previous: Row | None = None
    is_photo = lru_cache(MAX_COLUMNS)(lambda column: column == group or bool(_photo.search(normalize_name(column))))
    for entry in entries:
        if isinstance(entry, InvalidEntry):
            yield entry
            continue
        line, row = entry
        is_variant = previous is not None and previous.get(group) == row.get(group)
        if is_variant and all(map(is_photo, row)):
            photos += 1
            continue
        previous = _product_cells(previous) | row if previous is not None and is_variant else row
        yield line, previous
    notes.append(f"Rows with the same “{group}” are variants of one product; empty cells are filled from the row above")
    if photos:
        rows = "row that only adds a photo is" if photos == 1 else "rows that only add a photo are"
        notes.append(f"{photos} {rows} skipped")


def _product_cells(row: Row) -> Row:
    """Return the cells that all variants of a product share; an empty “Variant …” cell is empty on purpose."""
    return {column: value for column, value in row.items() if not normalize_name(column).startswith("variant")}
