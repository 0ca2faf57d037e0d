"""The key of each row, and the pattern of shop exports that continue a product on further rows.

Shopify and its like write a product once and then, below the same handle, one row a variant with only the cells that
differ, and one row for each further photo. An image needs whole rows: what a variant does not say about the product,
it takes from the row above; a row with nothing but a photo is no row of its own.
"""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

from cwz_web.feeds.columns import Shape, plain
from cwz_web.feeds.limits import MAX_COLUMNS, Entry, Invalid, Row

MAX_KEY = 400

_photo = re.compile(r"image|photo|picture|bild|foto")


def keyed_rows(entries: Iterable[Entry], shape: Shape, notes: list[str]) -> Iterator[tuple[int, str, Row] | Invalid]:
    """The rows as the feed has them: (line, key, row); or why one is left out. A key may come twice.

    The notes are complete at the end.
    """
    if shape.group is not None:
        entries = _filled_down(entries, shape.group, notes)
    arrange = shape.arrangement()
    checked = any(column.required for column in shape.columns.values())
    for number, entry in enumerate(entries, 1):
        if isinstance(entry, Invalid):
            yield entry
            continue
        line, row = entry
        key = _key_of(row, shape.key) if shape.key else f"row {number}"
        if not key:
            yield Invalid(line, f"“{' / '.join(shape.key_names)}” is empty, by which the feed knows its rows", row)
        elif checked and (complaint := shape.complaint(row)):
            yield Invalid(line, complaint, row)
        else:
            yield line, key, arrange(row) if arrange else row


def _key_of(row: Row, columns: list[str]) -> str:
    if len(columns) == 1:
        return row.get(columns[0], "")[:MAX_KEY]
    # What Shopify writes for a product without variants.
    parts = (row[column] for column in columns if row.get(column) and row[column] != "Default Title")
    return " / ".join(parts)[:MAX_KEY]


def _filled_down(entries: Iterable[Entry], group: str, notes: list[str]) -> Iterator[Entry]:
    """Each row whole: what a variant does not say about its product is taken from the row above."""
    photos = 0
    before: Row | None = None
    is_photo = lru_cache(MAX_COLUMNS)(lambda column: column == group or bool(_photo.search(plain(column))))
    for entry in entries:
        if isinstance(entry, Invalid):
            yield entry
            continue
        line, row = entry
        continues = before is not None and before.get(group) == row.get(group)
        if continues and all(map(is_photo, row)):
            photos += 1
            continue
        before = _of_product(before) | row if before is not None and continues else row
        yield line, before
    notes.append(f"Rows that share “{group}” are variants of one product: blank cells were filled from the row above")
    if photos:
        notes.append(f"{photos} row(s) that only add a photo to a product were folded into it")


def _of_product(row: Row) -> Row:
    """The cells that every variant of a product shares. A “Variant …” cell that is blank is blank on purpose."""
    return {column: value for column, value in row.items() if not plain(column).startswith("variant")}
