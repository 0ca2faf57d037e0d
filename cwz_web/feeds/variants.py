"""The key of each row, and the pattern of shop exports that continue a product on further rows.

Shopify and its like write a product once and then, below the same handle, one row a variant with only the cells that
differ, and one row for each further photo. A picture needs whole rows: what a variant does not say about the product,
it takes from the row above; a row with nothing but a photo is no row of its own.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from cwz_web.feeds.tables import MAX_COLUMNS, BadFile, Row, Table

MAX_KEY = 400

# Columns that name a row, best first, compared without case, spaces and signs.
KEY_NAMES = (
    "gid",
    "id",
    "itemid",
    "productid",
    "articleid",
    "sku",
    "variantsku",
    "articlenumber",
    "artikelnummer",
    "ean",
    "gtin",
    "barcode",
    "handle",
    "slug",
    "key",
    "link",
    "url",
)
GROUP_NAMES = ("handle", "itemgroupid", "productid", "parentsku", "groupid")
_option = re.compile(r"option\d*value|colou?r|size|variant(name|title)?")
_photo = re.compile(r"image|photo|picture|bild|foto")


@dataclass(frozen=True)
class KeyPlan:
    """The columns that a feed's rows are known by, and the one that variants of a product share, if there is one."""

    columns: list[str]
    group: str | None


def plan_keys(sample: Table, chosen: Sequence[str] | None = None) -> KeyPlan:
    """By what the rows of a file can be known, as far as its first rows tell.

    Arguments:
        chosen: the columns that the keys are made of, where that is known; else they are guessed.
    Raises BadFile when a chosen column is not there.
    """
    missing = [column for column in chosen or () if column not in sample.columns]
    if missing:
        raise BadFile(f"The file has no column “{missing[0]}”, by which the feed knows its rows")
    group = _grouping_column(sample)
    if chosen is not None:
        return KeyPlan(list(chosen), group if group in chosen else None)
    if group is not None:
        options = [c for c in sample.columns if _option.fullmatch(_plain(c)) and c != group]
        return KeyPlan([group, *options], group)
    by_name = {_plain(column): column for column in reversed(sample.columns)}
    for name in KEY_NAMES:
        column = by_name.get(name)
        if column and len({row.get(column) for row in sample.rows} - {None}) == len(sample.rows):
            return KeyPlan([column], None)
    return KeyPlan([], None)


def keyed_rows(rows: Iterable[Row], plan: KeyPlan, notes: list[str]) -> Iterator[tuple[str, Row]]:
    """The rows with their keys, variants filled down; a key may come twice. The notes are complete at the end."""
    if plan.group is not None:
        rows = _filled_down(rows, plan.group, notes)
    if len(plan.columns) == 1 and plan.group is None:
        [column] = plan.columns
        for number, row in enumerate(rows, 1):
            yield row.get(column, "")[:MAX_KEY] or f"row {number}", row
        return
    for number, row in enumerate(rows, 1):
        parts = [row[c] for c in plan.columns if row.get(c) and row[c] != "Default Title"]
        yield " / ".join(parts)[:MAX_KEY] or f"row {number}", row


def _grouping_column(table: Table) -> str | None:
    """The column that several rows in a row share while the later ones leave cells blank that the first one fills."""
    for column in table.columns:
        if _plain(column) not in GROUP_NAMES:
            continue
        for before, row in zip(table.rows, table.rows[1:], strict=False):
            if row.get(column) and row.get(column) == before.get(column) and len(row) < len(before):
                return column
    return None


def _filled_down(rows: Iterable[Row], group: str, notes: list[str]) -> Iterator[Row]:
    """Each row whole: what a variant does not say about its product is taken from the row above."""
    photos = 0
    before: Row | None = None
    is_photo = lru_cache(MAX_COLUMNS)(lambda column: column == group or bool(_photo.search(_plain(column))))
    for row in rows:
        continues = before is not None and before.get(group) == row.get(group)
        if continues and all(map(is_photo, row)):
            photos += 1
            continue
        before = _of_product(before) | row if before is not None and continues else row
        yield before
    notes.append(f"Rows that share “{group}” are variants of one product: blank cells were filled from the row above")
    if photos:
        notes.append(f"{photos} row(s) that only add a photo to a product were folded into it")


def _of_product(row: Row) -> Row:
    """The cells that every variant of a product shares. A “Variant …” cell that is blank is blank on purpose."""
    return {column: value for column, value in row.items() if not _plain(column).startswith("variant")}


@lru_cache(MAX_COLUMNS * 4)
def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
