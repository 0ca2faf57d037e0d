"""Rows of a file as a stream, within the limits, with notes on how they were read."""

import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol

from cwz_web.feeds.limits import (
    MAX_CELL,
    MAX_NAME,
    InvalidFileError,
    check_column_count,
    check_row_count,
    check_row_size,
)
from cwz_web.feeds.reading import FileFormat, Reading
from cwz_web.i18n import gettext, gettext_noop, ngettext
from cwz_web.values.formats import is_json_number

Row = dict[str, str]

# The error of a file without rows, by what a row is called; anything else is the name of an element.
NO_DATA = {
    "line": gettext_noop("The file has no line with data"),
    "object": gettext_noop("The file has no object with data"),
    "row": gettext_noop("The file has no row with data"),
}


@dataclass(frozen=True, slots=True)
class InvalidEntry:
    """A row that cannot be imported: its line in the file, the reason, and its cells."""

    line: int
    reason: str
    row: Row


# A line number with its row, or an invalid row.
Entry = tuple[int, Row] | InvalidEntry


class RowSizeLimit:
    """The number of bytes read since the current row began, at most MAX_ROW_BYTES."""

    def __init__(self) -> None:
        self._size = 0

    def reset(self) -> None:
        """Start counting for the next row."""
        self._size = 0

    def add(self, size: int) -> None:
        """Count bytes that were read. Raises InvalidFileError if the row is too large."""
        self._size += size
        check_row_size(self._size)


class ReadableFile(Protocol):
    """What a streaming parser needs of a file."""

    def read(self, size: int, /) -> bytes:
        """Return the next bytes."""

    def seek(self, offset: int, /) -> int:
        """Continue at an offset."""


class BoundedReader(RowSizeLimit):
    """A file object for a streaming parser that fails when a row or a single token gets too large.

    Args:
        file: The file; it is read from the start.
        token_start: What begins or ends a token. Outside of rows only one token is in memory, so that the count starts
            again at each of them.
    """

    def __init__(self, file: ReadableFile, token_start: re.Pattern[bytes]) -> None:
        super().__init__()
        file.seek(0)
        self._file, self._token_start = file, token_start
        self._last_byte = b""
        self.in_row = False

    def read(self, size: int) -> bytes:
        """Return the next bytes. Raises InvalidFileError if the row is too large."""
        data = self._file.read(size)
        if not self.in_row and self._token_start.search(self._last_byte + data):
            self.reset()
        self._last_byte = data[-1:]
        self.add(len(data))
        return data


@dataclass
class Records:
    """The rows of a file. A row contains only the cells that are not empty.

    Attributes:
        file: The file that is read.
        read: Reads the file from its start; it may be called more than once.
        noun: What a row is called in this format, for error messages.
        header: The column names in the file's order, for formats that begin with them.
        notes: What was changed or ignored while reading, as sentences. Complete after the last row.
        has_line_end: Whether the file ends with a line end; True for formats in which it does not matter.
        cut_off: Why the last row looks cut off, as the second half of a sentence; empty if it looks complete. Complete
            after the last row.
        reading: How the file is read, and what could be chosen instead.
        file_notes: Notes on the file, which are known before the rows are read.
    """

    file: BinaryIO
    read: Callable[[], Iterator[Entry]]
    noun: str
    header: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    has_line_end: bool = True
    cut_off: str = ""
    reading: Reading = field(default_factory=lambda: Reading(FileFormat.CSV))
    file_notes: list[str] = field(default_factory=list)
    _seen: dict[str, None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._size = max(file_size(self.file), 1)

    def __iter__(self) -> Iterator[Entry]:
        """Yield the rows. Raises InvalidFileError if a limit is exceeded or no row is valid."""
        self.notes[:] = self.file_notes
        self._seen.clear()
        self.cut_off = ""
        has_rows, seen, reason = False, self._seen.keys(), self._no_data()
        for number, entry in enumerate(self.read(), 1):
            check_row_count(number)
            if isinstance(entry, InvalidEntry):
                reason = entry.reason if number == 1 else reason
            else:
                has_rows = True
                if not entry[1].keys() <= seen:
                    self._seen.update(dict.fromkeys(entry[1]))
                    check_column_count(len(self._seen))
            yield entry
        if not has_rows:
            raise InvalidFileError(reason)
        empty = len(self.header) - len(self.columns) if self.header else 0
        if empty:
            self.notes.append(
                ngettext("%(count)s empty column is not shown", "%(count)s empty columns are not shown", empty)
            )

    def _no_data(self) -> str:
        if self.noun in NO_DATA:
            return gettext(NO_DATA[self.noun])
        return gettext("The file has no %(element)s with data", element=self.noun)

    @property
    def columns(self) -> list[str]:
        """The columns with a value in the rows read so far: in the header's order, or as they first appeared."""
        return [name for name in self.header if name in self._seen] if self.header else list(self._seen)

    @property
    def percent(self) -> int:
        """How much of the file has been read, in percent."""
        return min(self.file.tell() * 100 // self._size, 100)


@dataclass(frozen=True)
class Table:
    """Rows of a file in memory.

    Attributes:
        columns: The columns with values.
        rows: The rows.
        notes: What was changed or ignored while reading.
        header: All columns of the header, for formats that have one.
        reading: How the file was read.
    """

    columns: list[str]
    rows: list[Row]
    notes: list[str] = field(default_factory=list)
    header: list[str] = field(default_factory=list)
    reading: Reading | None = None


def file_size(file: BinaryIO) -> int:
    """Return the size of a file in bytes, without changing the position."""
    position = file.tell()
    size = file.seek(0, io.SEEK_END)
    file.seek(position)
    return size


def clean_row(record: Row, line: int) -> Entry:
    """Strip the cells of a record and remove the empty ones; an oversized cell makes it invalid."""
    row = {
        name[:MAX_NAME]: text
        for name, value in record.items()
        if (text := value if is_json_number(value) else value.strip())
    }
    for name, value in row.items():
        if len(value) > MAX_CELL:
            reason = ngettext(
                "The value of “%(name)s” is longer than %(count)s character",
                "The value of “%(name)s” is longer than %(count)s characters",
                MAX_CELL,
                name=name,
            )
            return InvalidEntry(line, reason, {name: value[:200] for name, value in row.items()})
    return line, row
