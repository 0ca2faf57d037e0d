"""The file of rows that a provider writes: JSON Lines, which the readers of files read like an uploaded one."""

import io
from collections.abc import Mapping
from typing import Any, BinaryIO

import orjson

from cwz_web.feeds.file_types import HEAD, needs_end
from cwz_web.feeds.limits import (
    MAX_BYTES,
    MAX_CELL,
    InvalidFileError,
    check_row_count,
    check_row_size,
)
from cwz_web.i18n import gettext, number

# A file is recognized as JSON Lines by two lines at its beginning.
MAX_FIRST_LINE = HEAD // 2


class RowWriter:
    """Writes rows within the limits of a feed's file.

    Two lines with objects are recognized as JSON Lines. A single row, or a long first one, is written as a JSON list.

    Args:
        file: Receives the rows.
        max_rows: How many rows suffice; None for all.

    Attributes:
        count: The number of rows.
        is_cut: Whether the file is only the start of one, for a preview.
    """

    def __init__(self, file: BinaryIO, max_rows: int | None = None) -> None:
        self._file, self._max_rows = file, max_rows
        self._first = b""
        self._is_list = self._is_file = False
        self._size = 0
        self.count = 0
        self.is_cut = False

    @property
    def needs_end(self) -> bool:
        """Whether the start of the file that was written cannot be read without its end."""
        return needs_end(self._file)

    @property
    def is_full(self) -> bool:
        """Whether there are enough rows."""
        return self._max_rows is not None and self.count >= self._max_rows

    def write(self, row: Mapping[str, Any]) -> None:
        """Write a row.

        Args:
            row: Texts, numbers, booleans, and lists of them, by column. Empty ones are left out; texts that are longer
                than a cell are cut.

        Raises:
            InvalidFileError: A limit is exceeded.
        """
        if self.is_full:
            return
        cells = {str(name): _cell(value) for name, value in row.items() if value not in (None, "", [], {})}
        try:
            line = orjson.dumps(cells)
        except orjson.JSONEncodeError:  # a lone surrogate, or an integer beyond 64 bits
            line = _dump_printable(cells)
        self.write_line(line)

    def write_line(self, line: bytes) -> None:
        """Write a row that is encoded already, without a line end. Raises InvalidFileError."""
        self.count += 1
        self._size += len(line) + 2
        check_row_count(self.count)
        check_row_size(len(line))
        if self._size > MAX_BYTES:
            raise InvalidFileError(
                gettext("The rows of the source have more than %(number)s MB", number=number(MAX_BYTES // 1024**2))
            )
        if self.count == 1:
            self._first = line
            return
        if self.count == 2:
            self._begin(is_list=len(self._first) > MAX_FIRST_LINE)
        self._file.write((b",\n" if self._is_list else b"\n") + line)

    def write_part(self, data: bytes) -> None:
        """Write a part of a file that has rows already, in any format that can be uploaded, instead of rows."""
        self._is_file = True
        self._file.seek(0, io.SEEK_END)
        self._file.write(data)

    def finish(self) -> None:
        """End the file, and rewind it."""
        if self._is_file:
            self.count = 1
        elif self.count == 1:
            self._begin(is_list=True)
        if self.count and not self._is_file:
            self._file.write(b"]\n" if self._is_list else b"\n")
        self._file.seek(0)

    def _begin(self, *, is_list: bool) -> None:
        self._is_list = is_list
        self._file.write((b"[" if is_list else b"") + self._first)
        self._first = b""


def _cell(value: Any) -> Any:
    return value[:MAX_CELL] if isinstance(value, str) else value


def _dump_printable(cells: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps({_printable(name): _printable(value) for name, value in cells.items()})
    except (TypeError, RecursionError):  # an orjson.JSONEncodeError is a TypeError
        text = gettext("The JSON is nested too deeply, or contains text that is not valid Unicode")
        raise InvalidFileError(text) from None


def _printable(value: Any) -> Any:
    if isinstance(value, list):
        return [_printable(each) for each in value]
    return value if isinstance(value, bool | float) else str(value).encode("utf-8", "replace").decode()
