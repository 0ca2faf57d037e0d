"""The header of a table in delimited text or a sheet: where it is, and the names of its columns."""

import re
from dataclasses import dataclass
from statistics import median_low

from cwz_web.feeds.columns import unique_name
from cwz_web.feeds.limits import MAX_COLUMNS, MAX_NAME, check_column_count
from cwz_web.feeds.records import Row

# A number or a URL is data and not the name of a column.
_data = re.compile(r"\s*(?:[-+]?[\d.,]*\d|https?://)")


@dataclass(frozen=True)
class Header:
    """The header of a table.

    Attributes:
        line: Its line in the file; 0 if there is none.
        cells: Its cells.
        skipped: The number of lines above it that are not empty.
    """

    line: int
    cells: list[str]
    skipped: int

    @property
    def notes(self) -> list[str]:
        """A note on the lines above the header."""
        if not self.skipped:
            return []
        lines_were = "line above the header was" if self.skipped == 1 else "lines above the header were"
        return [f"{self.skipped} {lines_were} skipped"]


def find_header(first: list[tuple[int, list[str]]], chosen: int | None) -> Header:
    """Return the header in the chosen line, or the first line with about as many cells as the others.

    Args:
        first: The numbers and cells of the first lines that are not empty.
        chosen: The line of the header; 0 if there is none; None to detect it.
    """
    if chosen == 0 or not first:
        return Header(0, [], 0)
    if chosen is None:
        index = _count_title_lines([cells for _, cells in first])
    else:
        index = max((index for index, (number, _) in enumerate(first) if number <= chosen), default=0)
    line, cells = first[index]
    if is_comment(cells):
        cells = [cells[0].lstrip("# "), *cells[1:]]
    return Header(line, cells, index)


def is_comment(line: list[str]) -> bool:
    """Whether a line begins with a number sign and a text."""
    return bool(line) and line[0].startswith("#") and len(line[0]) > 1


def is_comment_row(line: list[str]) -> bool:
    """Whether a comment stands below the header: a single cell, or Facebook's explanation of each column."""
    filled = [cell for cell in line if cell.strip()]
    return len(filled) == 1 or all(cell.startswith("# ") for cell in filled)


def width_of(line: list[str]) -> int:
    """Return the number of cells, without empty ones at the end."""
    width = len(line)
    while width and not line[width - 1].strip():
        width -= 1
    return width


def column_names(header: list[str]) -> list[str]:
    """Return the header's names, stripped and made unique; a column without a name is numbered."""
    check_column_count(len(header))
    taken: set[str] = set()
    return [
        unique_name(" ".join(cell.split())[:MAX_NAME] or f"Column {number}", taken)
        for number, cell in enumerate(header, 1)
    ]


def cells_by_name(names: list[str], cells: list[str]) -> Row:
    """Return the cells of an invalid row, at most 200 characters each, surplus ones under a number."""
    taken, last = set(names), min(width_of(cells), len(names) + MAX_COLUMNS)
    surplus = [unique_name(f"Column {number}", taken) for number in range(len(names) + 1, last + 1)]
    return {name: text[:200] for name, cell in zip([*names, *surplus], cells, strict=False) if (text := cell.strip())}


def _count_title_lines(first: list[list[str]]) -> int:
    """Count the lines above the header: a title, a date, remarks, comments."""
    filled = [0 if is_comment(line) else sum(1 for cell in line if cell.strip()) for line in first]
    counts = [count for count in filled if count]
    if not counts or median_low(counts) == 1:
        return next((index for index, count in enumerate(filled) if count), 0)
    usual = median_low(counts)
    above = next((index for index, count in enumerate(filled) if count > 1 and count * 2 > usual), 0)
    if above and is_comment(first[above - 1]) and width_of(first[above - 1]) == width_of(first[above]):
        is_header = any(map(_data.match, first[above])) and not any(map(_data.match, first[above - 1][1:]))
        return above - is_header  # such as “#id,title,price”
    return above
