"""The header of a table in delimited text or a sheet: where it is, and the names of its columns."""

import re
from collections import Counter
from dataclasses import dataclass
from enum import Enum, auto
from itertools import zip_longest
from statistics import median_low

from cwz_web.feeds.columns import unique_name
from cwz_web.feeds.limits import MAX_COLUMNS, MAX_NAME, check_column_count
from cwz_web.feeds.records import Row
from cwz_web.i18n import gettext, gettext_noop, ngettext

# A number or a URL is data and not the name of a column.
_data = re.compile(r"\s*(?:[-+]?[\d.,]*\d|https?://)")
_number = re.compile(r"[-+]?(?:[^\w\s]|[A-Z]{3})?\s?\d[\d.,'\s]*(?:[^\w\s]|[A-Z]{3})?")
_digits = re.compile(r"\d+")
# Cells are compared by their beginnings.
MAX_SHAPE = 200
# Of ten cells of a column, how many must have the same shape.
MIN_SAME = 9
# Fewer rows do not tell a header from a row of data.
MIN_ROWS = 2
NO_HEADER = gettext_noop("The file has no header row: row 1 looks like the others; change it on the columns page")
HEADER_LIKE_DATA = gettext_noop(
    "Row %(number)s is used as the header although it looks like data; change it on the columns page"
)


class _Likeness(Enum):
    """Whether a header looks like the rows below it: not at all, in part, or as one of them."""

    NONE = auto()
    PARTLY = auto()
    ROW = auto()


@dataclass(frozen=True)
class Header:
    """The header of a table.

    Attributes:
        line: Its line in the file; 0 if there is none.
        cells: Its cells.
        skipped: The number of lines above it that are not empty.
        doubts: Why there may be another header, or none, as sentences.
    """

    line: int
    cells: list[str]
    skipped: int
    doubts: tuple[str, ...] = ()

    @property
    def notes(self) -> list[str]:
        """Notes on the lines above the header, and on doubts."""
        if not self.skipped:
            return list(self.doubts)
        skipped = ngettext(
            "%(count)s line above the header was skipped", "%(count)s lines above the header were skipped", self.skipped
        )
        return [skipped, *self.doubts]


def find_header(first: list[tuple[int, list[str]]], chosen: int | None) -> Header:
    """Return the header in the chosen line, or the first line with about as many cells as the others.

    There is no header if the first line is made like the ones below it; less certain cases get a note.

    Args:
        first: The numbers and cells of the first lines that are not empty.
        chosen: The line of the header; 0 if there is none; None to detect it.
    """
    if chosen == 0 or not first:
        return Header(0, [], 0)
    rows = [[cell.strip()[:MAX_SHAPE] for cell in cells] for _, cells in first]
    if chosen is None:
        index = _skip_short_titles(rows, _count_title_lines([cells for _, cells in first]))
    else:
        index = max((index for index, (number, _) in enumerate(first) if number <= chosen), default=0)
    line, cells = first[index]
    if is_comment(cells):
        return Header(line, [cells[0].lstrip("# "), *cells[1:]], index)
    likeness = _data_likeness(rows[index], rows[index + 1 :]) if chosen is None else _Likeness.NONE
    if likeness is _Likeness.ROW and not index:
        return Header(0, [], 0, (gettext(NO_HEADER),))
    doubts = () if likeness is _Likeness.NONE else (gettext(HEADER_LIKE_DATA, number=line),)
    return Header(line, cells, index, doubts)


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


def names_of_columns(header: Header, rows: list[list[str]]) -> list[str]:
    """Return the names of a table's columns; some exports have one more cell in each row than in the header."""
    widths = Counter(map(width_of, rows))
    usual_width = widths.most_common(1)[0][0] if widths else 0
    return column_names(header.cells + [""] * (usual_width - len(header.cells)))


def surplus_reason(count: int, names: list[str]) -> str:
    """Return why a row with more cells than the header is invalid."""
    return ngettext(
        "The row has %(count)s cell, but the header has %(number)s",
        "The row has %(count)s cells, but the header has %(number)s",
        count,
        number=len(names),
    )


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


def _skip_short_titles(rows: list[list[str]], above: int) -> int:
    """Return the index of the header below title lines of several cells, such as “Export, 2026”, or `above`.

    The header has as many cells as the rows, and the title lines have fewer. Since some exports leave out the names of
    columns, the line taken instead must differ from the rows, which have numbers or URLs where it has none, or the
    title must have data itself.
    """
    widths = list(map(width_of, rows))
    usual, count = Counter(widths[above + 1 :]).most_common(1)[0] if len(rows) > above + 1 else (0, 0)
    below = next((index for index in range(above, len(rows)) if widths[index] >= usual), above)
    names, body = rows[below], rows[below + 1 :]
    if below == above or widths[below] != usual or count * 10 < len(body) * MIN_SAME or not body:
        return above
    if not all(names) or len(set(names)) < usual or any(_shape(name) in ("number", "url") for name in names):
        return above
    columns = list(zip_longest(*body, fillvalue=""))[:usual]
    has_data = any(_common_shape(column) in ("number", "url") for column in columns)
    titles = [cell for row in rows[above:below] for cell in row]
    return below if has_data or any(_data.match(cell) or ":" in cell for cell in titles) else above


def _data_likeness(header: list[str], rows: list[list[str]]) -> _Likeness:
    """Compare the shapes of a header's cells with those of the columns below it.

    Years and sizes are names of columns, too: whole numbers alone are no evidence.
    """
    rows = [row for row in rows if row != header]
    if len(rows) < MIN_ROWS:
        return _Likeness.NONE
    same = other = certain = 0
    for cell, column in zip(header, zip_longest(*rows, fillvalue=""), strict=False):
        shape = _common_shape(column)
        if shape is None:
            same += bool(cell) and cell in column  # such as “in stock”
        elif _shape(cell) == shape:
            same += 1
            certain += not cell.isdecimal()
        else:
            other += bool(cell)
    if certain and not other and same * 2 > sum(map(bool, header)):
        return _Likeness.ROW
    return _Likeness.PARTLY if same > other and (certain or not other) else _Likeness.NONE


def _common_shape(column: tuple[str, ...]) -> str | None:
    """Return the shape of nearly all cells of a column, if they have one."""
    shapes = Counter(_shape(cell) for cell in column if cell)
    shape, count = shapes.most_common(1)[0] if shapes else (None, 0)
    return shape if count * 10 >= shapes.total() * MIN_SAME else None


def _shape(cell: str) -> str | None:
    """Return whether a cell is a URL or a number, or a text's pattern with its numbers as 0; None for other texts."""
    if cell.lower().startswith(("https://", "http://")):
        return "url"
    if _number.fullmatch(cell):
        return "number"
    pattern = _digits.sub("0", cell)
    return pattern if "0" in pattern else None
