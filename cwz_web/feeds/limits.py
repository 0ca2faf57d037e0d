"""What every reader of a file gives: rows of text under names, as a stream, within limits, with notes about them."""

import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

MAX_BYTES = 512 * 1024 * 1024
# A row is held in memory with all that it is made of, thirty times as much as it has in the file.
MAX_ROW_BYTES = 4 * 1024 * 1024
MAX_ROWS = 2_000_000
MAX_COLUMNS = 500
MAX_CELL = 100_000
MAX_NAME = 200

# Rows that were left out are counted, and so many of them kept to be looked at.
MAX_INVALID = 10_000

# From so many first rows a file's shape is guessed.
SAMPLE = 1000

Row = dict[str, str]


class InvalidFileError(Exception):
    """The file cannot be read as rows; the message says why and what would be right."""


@dataclass(frozen=True, slots=True)
class Invalid:
    """A row that is left out, where it stands in the file, and why."""

    line: int
    reason: str
    row: Row


# A row with the place in the file that it comes from.
Entry = tuple[int, Row] | Invalid


class RowSize:
    """How much was read since a row began."""

    def __init__(self) -> None:
        self._size = 0

    def begin(self) -> None:
        """A row begins."""
        self._size = 0

    def add(self, size: int) -> None:
        """More was read. Raises InvalidFileError when it is more than a row may have."""
        self._size += size
        if self._size > MAX_ROW_BYTES:
            most = MAX_ROW_BYTES // 1024**2
            raise InvalidFileError(f"More than {most} MB come without a new row; that is the most a row may have")


class Parts(RowSize):
    """A file as a parser reads it, part by part.

    Arguments:
        sign: what stands around each text; outside of the rows that is all that is held in memory.
    """

    def __init__(self, file: BinaryIO, sign: re.Pattern[bytes]) -> None:
        super().__init__()
        file.seek(0)
        self._file, self._sign = file, sign
        self._last = b""
        self.in_row = False

    def read(self, size: int) -> bytes:
        """The next part. Raises InvalidFileError."""
        part = self._file.read(size)
        if not self.in_row and self._sign.search(self._last + part):
            self.begin()
        self._last = part[-1:]
        self.add(len(part))
        return part


@dataclass
class Records:
    """A file's rows, each the cells that are not empty.

    Attributes:
        file: what is read.
        read: begins to read, from the start; it may be called again.
        what: what a row is called in this kind of file, for messages.
        header: the names in the file's order, where the file says them first.
        notes: what was done to the rows; complete once all of them were read.
    """

    file: BinaryIO
    read: Callable[[], Iterator[Entry]]
    what: str
    header: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _seen: dict[str, None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._size = max(size_of(self.file), 1)

    def __iter__(self) -> Iterator[Entry]:
        """The rows, held to the limits. Raises InvalidFileError."""
        self.notes.clear()
        self._seen.clear()
        any_row, seen, why = False, self._seen.keys(), f"The file has no {self.what} with anything in it"
        for number, entry in enumerate(self.read(), 1):
            check_rows(number)
            if isinstance(entry, Invalid):
                why = entry.reason if number == 1 else why
            else:
                any_row = True
                if not entry[1].keys() <= seen:
                    self._seen.update(dict.fromkeys(entry[1]))
                    check_columns(len(self._seen))
            yield entry
        if not any_row:
            raise InvalidFileError(why)
        empty = len(self.header) - len(self.columns) if self.header else 0
        if empty:
            self.notes.append(f"{empty} column(s) hold nothing at all and are not shown")

    @property
    def columns(self) -> list[str]:
        """The names that hold anything in the rows so far: in the header's order, or as they were first seen."""
        return [name for name in self.header if name in self._seen] if self.header else list(self._seen)

    @property
    def percent(self) -> int:
        """How much of the file has been read."""
        return min(self.file.tell() * 100 // self._size, 100)


@dataclass(frozen=True)
class Table:
    """Some rows of a file in memory, to look at."""

    columns: list[str]
    rows: list[Row]
    notes: list[str] = field(default_factory=list)


def size_of(file: BinaryIO) -> int:
    """The bytes in a file. Where it is being read stays as it is."""
    place = file.tell()
    size = file.seek(0, io.SEEK_END)
    file.seek(place)
    return size


def check_rows(number: int) -> None:
    """See that a file has not too many rows. Raises InvalidFileError."""
    if number > MAX_ROWS:
        raise InvalidFileError(f"The file has more than {MAX_ROWS:,} rows; split it")


def clean_row(record: Row, line: int) -> Entry:
    """The cells of a record that are not empty, trimmed."""
    row = {name[:MAX_NAME]: text for name, value in record.items() if (text := value.strip())}
    for name, value in row.items():
        if len(value) > MAX_CELL:
            reason = f"The value of “{name}” has more than {MAX_CELL:,} characters"
            return Invalid(line, reason, {name: value[:200] for name, value in row.items()})
    return line, row


def check_columns(count: int) -> None:
    """Raises InvalidFileError when there are too many."""
    if count > MAX_COLUMNS:
        raise InvalidFileError(f"The file has {count} columns; {MAX_COLUMNS} are the most")
