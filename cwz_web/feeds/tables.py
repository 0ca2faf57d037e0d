"""What every reader of a file gives: rows of text under names, as a stream, within limits, with notes about them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

MAX_BYTES = 512 * 1024 * 1024
MAX_ROWS = 2_000_000
MAX_COLUMNS = 500
MAX_CELL = 100_000
MAX_NAME = 200

Row = dict[str, str]


class BadFile(Exception):
    """The file can not be read as rows; the message says why and what would be right."""


@dataclass
class Records:
    """A file's rows, each the cells that are not empty.

    Attributes:
        read: begins to read, from the start; it may be called again.
        what: what a row is called in this kind of file, for messages.
        header: the names in the file's order, where the file says them first.
        notes: what was done to the rows; complete once all of them were read.
    """

    read: Callable[[], Iterator[Row]]
    what: str
    header: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _seen: dict[str, None] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Row]:
        """The rows, held to the limits. Raises BadFile."""
        self.notes.clear()
        self._seen.clear()
        number, seen = 0, self._seen.keys()
        for number, row in enumerate(self.read(), 1):
            if not row.keys() <= seen:
                self._seen.update(dict.fromkeys(row))
                check_columns(len(self._seen))
            if number > MAX_ROWS:
                raise BadFile(f"The file has more than {MAX_ROWS:,} rows; split it")
            yield row
        if not number:
            raise BadFile(f"The file has no {self.what} with anything in it")
        empty = len(self.header) - len(self.columns) if self.header else 0
        if empty:
            self.notes.append(f"{empty} column(s) hold nothing at all and are not shown")

    @property
    def columns(self) -> list[str]:
        """The names that hold anything in the rows so far: in the header's order, or as they were first seen."""
        return [name for name in self.header if name in self._seen] if self.header else list(self._seen)


@dataclass(frozen=True)
class Table:
    """Some rows of a file in memory, to look at."""

    columns: list[str]
    rows: list[Row]
    notes: list[str] = field(default_factory=list)


def clean_row(record: Row, number: int, what: str) -> Row:
    """The cells of a record that are not empty, trimmed. Raises BadFile for one that is too long."""
    row = {name[:MAX_NAME]: text for name, value in record.items() if (text := value.strip())}
    if row and max(map(len, row.values())) > MAX_CELL:
        raise BadFile(f"The {what} {number} has a value of more than {MAX_CELL:,} characters")
    return row


def check_columns(count: int) -> None:
    """Raises BadFile when there are too many."""
    if count > MAX_COLUMNS:
        raise BadFile(f"The file has {count} columns; {MAX_COLUMNS} are the most")
