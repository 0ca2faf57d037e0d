"""Parsing of delimited text into lines of cells, also where quotation marks are missing or not escaped.

The `csv` module parses strictly. A record that it rejects is parsed again by rules for common faults: a quotation mark
inside a cell that is not doubled, blanks around a quoted cell, a mark that is never closed.
"""

import csv
import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from cwz_web.feeds.csv_dialect import CsvDialect
from cwz_web.feeds.limits import MAX_CELL, MAX_ROW_BYTES, InvalidFileError, row_size_error
from cwz_web.i18n import gettext, ngettext

# A record with irregular quotation marks is searched in this many lines and characters.
MAX_IRREGULAR_LINES = 20
MAX_IRREGULAR_SIZE = 64 * 1024
# Lines may be read again after a quotation mark that is not closed, up to this size in total.
MAX_READ_AGAIN = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class CsvLine:
    """A record that is not a plain row: its first line, its cells, and why it is invalid."""

    number: int
    cells: list[str]
    reason: str


@dataclass
class CsvParser:
    """A parser of one pass through a file.

    Attributes:
        readline: Reads a line of at most a number of characters; "" at the end.
        dialect: How cells are delimited and quoted.
        clean: Changes each line before it is parsed; None to keep it.
        width: The number of cells of a row, once the header is known.
        repaired: Lines in which a quotation mark was taken as part of the text.
        ends_in_quotes: Whether the file ends inside quotation marks.
        last_number: The line of the record in quotation marks with which the file ends.
    """

    readline: Callable[[int], str]
    dialect: CsvDialect
    clean: Callable[[str], str] | None = None
    width: int = 0
    repaired: list[int] = field(default_factory=list)
    ends_in_quotes: bool = False
    last_number: int = 0

    def __post_init__(self) -> None:
        self._record: list[str] = []
        self._pending: deque[str] = deque()
        self._is_exhausted = False
        self._is_too_large = False
        self._has_line_end = True
        self._read_again = 0
        self._number = 1  # of the current record's first line
        if self.dialect.has_backslashes:
            self._escape = re.compile(rf"\\([\\{re.escape(self.dialect.quote)}])")

    def lines(self) -> Iterator[tuple[int, list[str]] | CsvLine]:
        """Yield the number and the cells of each record, or an invalid record. Raises InvalidFileError."""
        csv.field_size_limit(MAX_ROW_BYTES * 2)
        record = self._record
        reader = self.dialect.reader(self._source(), strict=True)
        while True:
            try:
                for cells in reader:
                    number = self._number
                    self._number += len(record)
                    if len(record) > 1 or len(record[0]) > MAX_CELL:
                        yield self._checked(number, cells)
                    else:
                        yield number, cells
                    record.clear()
                if self._is_too_large:
                    raise row_size_error()
                return
            except csv.Error:
                yield self._irregular_record()
                record.clear()
                reader = self.dialect.reader(self._source(), strict=True)

    def _source(self) -> Iterator[str]:
        """Yield the lines of the file and keep those of the current record."""
        record, size = self._record, 0
        while line := self._next_line():
            size = size + len(line) if record else len(line)
            if size > MAX_ROW_BYTES:
                self._is_too_large = True
                self._pending.appendleft(line)
                return
            record.append(line)
            yield line

    def _next_line(self) -> str:
        if self._pending:
            return self._pending.popleft()
        line = self.readline(MAX_ROW_BYTES + 1)
        self._is_exhausted = not line
        if line:
            self._has_line_end = line[-1] in "\r\n"
            if self.clean is not None:
                line = self.clean(line)
            if self.dialect.has_backslashes and "\\" in line:
                line = self._escape.sub(self._unescape, line)
        return line

    def _unescape(self, match: re.Match[str]) -> str:
        return match[1] * 2 if match[1] == self.dialect.quote else match[1]

    def _checked(self, number: int, cells: list[str]) -> tuple[int, list[str]] | CsvLine:
        if any(len(cell) > MAX_CELL for cell in cells):
            return CsvLine(number, cells, _too_long())
        return number, cells

    def _irregular_record(self) -> tuple[int, list[str]] | CsvLine:
        """Parse the record that the csv module rejected; the lines behind it are read again."""
        raw, number = list(self._record), self._number
        for count in range(1, MAX_IRREGULAR_LINES + 1):
            if count > len(raw):
                if not (line := self._next_line()):
                    break
                raw.append(line)
            if count > 1 and self._looks_like_row(raw[count - 1]):
                break
            text = "".join(raw[:count])
            if len(text) > MAX_IRREGULAR_SIZE and count > 1:
                break
            cells = parse_irregular(text, self.dialect)
            if cells is not None:
                self._unread_lines(raw, count)
                return self._checked(number, cells)
        return self._unclosed_record(raw, number)

    def _looks_like_row(self, line: str) -> bool:
        """Whether a line inside a quoted cell looks like a row, so that the mark before it is not closed."""
        delimiter, quote = self.dialect.delimiter, self.dialect.quote
        if self.width > 1 and line.count(delimiter) == self.width - 1:
            return True
        return re.search(rf"(?:^|{re.escape(delimiter)}){quote}[^{quote}{re.escape(delimiter)}\r\n]", line) is not None

    def _unclosed_record(self, raw: list[str], number: int) -> tuple[int, list[str]] | CsvLine:
        """Take a mark that is not closed as part of the text, if the line then has all its cells."""
        following = [line for line in raw[1:] if line.strip()]
        cells = split_literally(raw[0], self.dialect)
        looks_complete = len(cells) == self.width
        is_last = self._is_exhausted and not self._pending
        has_rows_below = is_last and any(map(self._looks_like_row, following[:MAX_IRREGULAR_LINES]))
        if self._is_too_large and not looks_complete:
            raise row_size_error()
        if is_last and not has_rows_below and (following or not self._has_line_end):
            self.ends_in_quotes, self.last_number = True, number
            self._number += len(raw)
            return CsvLine(number, cells, gettext("A quotation mark is not closed; the file may be incomplete"))
        self._unread_lines(raw, 1)
        if looks_complete:
            self.repaired.append(number)
            return self._checked(number, cells)
        return CsvLine(number, cells, gettext("A quotation mark is not closed"))

    def _unread_lines(self, raw: list[str], used: int) -> None:
        """Read the lines after the record again."""
        self._number += used
        self._is_too_large = False
        self._read_again += sum(map(len, raw[used:]))
        if self._read_again > MAX_READ_AGAIN:
            raise InvalidFileError(
                gettext(
                    "Too many quotation marks are not closed, the last one in line %(number)s",
                    number=self._number - used,
                )
            )
        self._pending.extendleft(reversed(raw[used:]))


def _too_long() -> str:
    return ngettext("A cell is longer than %(count)s character", "A cell is longer than %(count)s characters", MAX_CELL)


def parse_irregular(text: str, dialect: CsvDialect) -> list[str] | None:
    """Return the cells of a record whose quotation marks are not all doubled; None if a cell is not closed.

    A mark ends a cell only before a delimiter or the line end. Two of them there are a mark and the end of the cell.
    """
    text = text.rstrip("\r\n")
    delimiter, quote = dialect.delimiter, dialect.quote
    marks = re.compile(rf"\\?{re.escape(quote)}+")
    cells: list[str] = []
    position = 0
    while True:
        start = position
        while text[start : start + 1] == " " and delimiter != " ":
            start += 1
        if text[start : start + 1] != quote:
            end = text.find(delimiter, position)
            cells.append(text[position:] if end < 0 else text[position:end])
        else:
            found = _quoted_cell(text, start + 1, delimiter, marks)
            if found is None:
                return None
            cell, end = found
            cells.append(cell)
        if end < 0 or end >= len(text):
            return cells
        position = end + 1


def _quoted_cell(text: str, start: int, delimiter: str, marks: re.Pattern[str]) -> tuple[str, int] | None:
    """Return a quoted cell and the position of the delimiter after it."""
    parts: list[str] = []
    position = start
    for match in marks.finditer(text, start):
        is_escaped = match[0][0] == "\\"
        count = len(match[0]) - is_escaped
        parts.append(text[position : match.start()])
        position = match.end()
        end = position
        while text[end : end + 1] == " ":
            end += 1
        quote = match[0][-1]
        if end >= len(text) or text[end] == delimiter:
            if is_escaped and count == 1 and end < len(text):
                parts.append(quote)
                continue
            parts.append(quote * (count // 2))
            return "".join(parts), end
        parts.append(quote * ((count + 1) // 2))
    return None


def split_literally(line: str, dialect: CsvDialect) -> list[str]:
    """Return the cells of a line in which a cell is quoted only if its mark is closed before the next delimiter."""
    delimiter, quote = re.escape(dialect.delimiter), re.escape(dialect.quote)
    closed = re.compile(rf" *{quote}((?:[^{quote}]|{quote}{quote})*){quote} *(?={delimiter}|$)")
    text, position, cells = line.rstrip("\r\n"), 0, list[str]()
    while True:
        if match := closed.match(text, position):
            cells.append(match[1].replace(dialect.quote * 2, dialect.quote))
            end = match.end()
        else:
            end = text.find(dialect.delimiter, position)
            end = len(text) if end < 0 else end
            cells.append(text[position:end])
        if end >= len(text):
            return cells
        position = end + 1
