"""The key of each row, and the pattern of shop exports that continue a product on further rows.

Shopify and its like write a product once and then, below the same handle, one row a variant with only the cells that
differ, and one row for each further photo. A picture needs whole rows: what a variant does not say about the product,
it takes from the row above; a row with nothing but a photo is no row of its own.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from cwz_web.feeds.tables import BadFile, Table

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
class Keyed:
    """A table whose rows have unique keys, and the columns that the keys were made of."""

    table: Table
    keys: list[str]
    key_columns: list[str]


def with_keys(table: Table, chosen: Sequence[str] | None = None) -> Keyed:
    """Fill variants down, fold rows of further photos into their product, and give each row a key.

    Arguments:
        chosen: the columns that the keys are made of, where that is known; else they are guessed.
    Raises BadFile when a chosen column is not there.
    """
    missing = [column for column in chosen or () if column not in table.columns]
    if missing:
        raise BadFile(f"The file has no column “{missing[0]}”, by which the feed knows its rows")
    group = _grouping_column(table)
    if chosen is not None:
        return _unique(_fill_down(table, group) if group in chosen and group else table, list(chosen))
    if group is not None:
        table = _fill_down(table, group)
        options = [c for c in table.columns if _option.fullmatch(_plain(c)) and c != group]
        return _unique(table, [group, *options])
    by_name = {_plain(column): column for column in reversed(table.columns)}
    for name in KEY_NAMES:
        column = by_name.get(name)
        if column and len({row.get(column) for row in table.rows} - {None}) == len(table.rows):
            return _unique(table, [column])
    return _unique(table, [])


def _grouping_column(table: Table) -> str | None:
    """The column that several rows in a row share while the later ones leave cells blank that the first one fills."""
    for column in table.columns:
        if _plain(column) not in GROUP_NAMES:
            continue
        for before, row in zip(table.rows, table.rows[1:], strict=False):
            if row.get(column) and row.get(column) == before.get(column) and len(row) < len(before):
                return column
    return None


def _fill_down(table: Table, group: str) -> Table:
    filled: list[dict[str, str]] = []
    photos = 0
    for row in table.rows:
        continues = bool(filled) and filled[-1].get(group) == row.get(group)
        if continues and all(column == group or _photo.search(_plain(column)) for column in row):
            photos += 1
        else:
            filled.append(_of_product(filled[-1]) | row if continues else row)
    notes = list(table.notes)
    notes.append(f"Rows that share “{group}” are variants of one product: blank cells were filled from the row above")
    if photos:
        notes.append(f"{photos} row(s) that only add a photo to a product were folded into it")
    return Table(table.columns, filled, notes)


def _of_product(row: dict[str, str]) -> dict[str, str]:
    """The cells that every variant of a product shares. A “Variant …” cell that is blank is blank on purpose."""
    return {column: value for column, value in row.items() if not _plain(column).startswith("variant")}


def _unique(table: Table, columns: list[str]) -> Keyed:
    """Keys made of the columns' values; a number makes one unique where that is not enough."""
    keys: list[str] = []
    taken: set[str] = set()
    for number, row in enumerate(table.rows, 1):
        parts = [row[c] for c in columns if row.get(c) and row[c] != "Default Title"]
        wanted = " / ".join(parts)[:400] or f"row {number}"
        key, again = wanted, 2
        while key in taken:
            key, again = f"{wanted} #{again}", again + 1
        taken.add(key)
        keys.append(key)
    return Keyed(table, keys, columns)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
