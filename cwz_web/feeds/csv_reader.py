"""Reader of delimited text (CSV, TSV): detects the encoding, the delimiter and the header row."""

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from itertools import chain, islice
from typing import BinaryIO

from charset_normalizer import from_bytes

from cwz_web.feeds.columns import unique_name
from cwz_web.feeds.limits import (
    MAX_CELL,
    MAX_NAME,
    MAX_ROW_BYTES,
    InvalidFileError,
    check_column_count,
    check_row_count,
)
from cwz_web.feeds.records import Entry, InvalidEntry, Records, RowSizeLimit, file_size

DELIMITERS = ",;\t|^~\x1f"
SNIFF_ROWS = 50
SNIFF_CHARACTERS = 200_000
SNIFF_BYTES = 64 * 1024
CHUNK = 1024 * 1024
LINE_END_BYTES = 2
# A short last row is suspicious if at most one in so many of the other rows is short, too.
MIN_COMPLETE = 20
# Encodings of non-Latin scripts that shops still export.
NON_LATIN_ENCODINGS = ["cp1251", "cp1253", "cp1255", "cp1256", "cp932", "gb18030", "big5", "cp949"]
# Appended to the file: it comes back as a line of its own, unless a quotation mark is still open.
END_MARKER = "\x1eend of the file\x1e"

# The line with which Excel names the delimiter.
_separator_line = re.compile(r"sep=(.)\r?\n?", re.IGNORECASE)
_non_ascii_runs = re.compile(rb"[\x80-\xff]{2,}")


def csv_records(file: BinaryIO) -> Records:
    """Read a file of delimited text with a header row.

    Raises:
        InvalidFileError: The file has no table; also raised while the rows are read.
    """
    encoding = _detect_encoding(file)
    delimiter = _detect_delimiter(_open_text(file, encoding).read(SNIFF_CHARACTERS))
    csv.field_size_limit(MAX_CELL)
    first = [cells for _, cells in islice(_lines(file, encoding, delimiter), SNIFF_ROWS)]
    skipped = _count_title_lines(first)
    records = Records(file, lambda: _rows(file, encoding, delimiter, records, skipped), "row")
    first = first[skipped:]
    if not first:
        raise InvalidFileError("The file is empty; it needs a header row and at least one row of data")
    if len(first) == 1:
        raise InvalidFileError("The file has a header row but no rows of data below it")
    # Some exports have one more cell in each row than in the header.
    [(usual_width, _)] = Counter(map(_width, first[1:])).most_common(1)
    records.header = _column_names(first[0] + [""] * (usual_width - len(first[0])))
    records.has_line_end = _ends_with_line_end(file)
    return records


def _ends_with_line_end(file: BinaryIO) -> bool:
    position = file.tell()
    file.seek(max(file_size(file) - LINE_END_BYTES, 0))
    end = file.read(LINE_END_BYTES).strip(b"\x00")  # the other byte of UTF-16
    file.seek(position)
    return end.endswith((b"\n", b"\r"))


def _count_title_lines(first: list[list[str]]) -> int:
    """Count the lines above the header (title, date, remark), which have one cell where the others have several."""
    filled = [sum(1 for cell in line if cell.strip()) for line in first]
    above = next((number for number, count in enumerate(filled) if count > 1), 0)
    table = filled[above:]
    return above if sum(count > 1 for count in table) * 2 > len(table) else 0


def _rows(file: BinaryIO, encoding: str, delimiter: str, records: Records, skipped: int) -> Iterator[Entry]:
    lines = islice(_lines(file, encoding, delimiter), skipped + 1, None)
    names, width = records.header, len(records.header)
    if skipped:
        lines_are = "line above the header is" if skipped == 1 else "lines above the header are"
        records.notes.append(f"{skipped} {lines_are} ignored")
    short, number, row = 0, 0, {}
    for number, line in lines:
        row = {name: text for name, cell in zip(names, line) if (text := cell.strip())}  # noqa: B905 - strict costs 10 %
        if len(line) > width and _width(line) > width:
            reason = (
                f"The row has {_width(line)} cells, but the header has {width}; "
                f"put cells that contain a “{delimiter}” in quotation marks"
            )
            yield InvalidEntry(number, reason, row)
        elif row:
            short += len(line) < width
            yield number, row
    # Some exports leave out the empty cells at the end of each row.
    if row and not records.has_line_end and len(line) < width and (short - 1) * MIN_COMPLETE < number:
        records.cut_off = f"line {number}, the last one, has {len(line)} of {width} cells and no line end"
        records.notes.append(f"The file may be cut off: {records.cut_off}")


def _width(line: list[str]) -> int:
    """Return the number of cells, without empty ones at the end."""
    width = len(line)
    while width and not line[width - 1].strip():
        width -= 1
    return width


def _lines(file: BinaryIO, encoding: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield line numbers and cells, from the first line that is not empty."""
    limit = RowSizeLimit()
    reader = csv.reader(chain(_bounded_lines(_open_text(file, encoding), limit), (END_MARKER,)), delimiter=delimiter)
    has_begun, end, number, row_start, blank = False, [END_MARKER], 0, 1, 0
    try:
        for line in reader:
            if line == end:
                return
            limit.reset()
            if any(map(str.strip, line)):
                has_begun = has_begun or not _separator_line.fullmatch(delimiter.join(line))
            else:  # Excel may write a million empty rows below a table.
                blank += 1
                check_row_count(blank)
            row_start, number = number + 1, reader.line_num
            if has_begun:
                yield number, line
    except csv.Error as error:
        raise InvalidFileError(
            f"Line {reader.line_num} cannot be read ({error}); check for a quotation mark that is not closed"
        ) from None
    raise InvalidFileError(f"A quotation mark in or below line {row_start} is never closed")


def _bounded_lines(text: io.TextIOWrapper, limit: RowSizeLimit) -> Iterator[str]:
    while line := text.readline(MAX_ROW_BYTES + 1):
        limit.add(len(line))
        yield line


def _open_text(file: BinaryIO, encoding: str) -> io.TextIOWrapper:
    file.seek(0)
    return _BorrowingTextWrapper(file, encoding=encoding, newline="")


class _BorrowingTextWrapper(io.TextIOWrapper):
    """A text wrapper that leaves its file open when it is garbage-collected."""

    def __del__(self) -> None:
        if not self.closed:
            self.detach()


def _detect_encoding(file: BinaryIO) -> str:
    file.seek(0)
    start = file.read(4)
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        if _decodes(file, "utf-16"):
            return "utf-16"
        raise InvalidFileError("The file's encoding is unknown; save it as CSV in UTF-8")
    start += file.read(SNIFF_BYTES)
    for wide, high_bytes in (("utf-16-le", start[1::2]), ("utf-16-be", start[::2])):
        if high_bytes.count(0) * 2 > len(high_bytes) and _decodes(file, wide):
            return wide
    # Windows-1252 is tried late, since nearly every byte is valid in it.
    candidates = ("utf-8-sig", *_detect_non_latin(start), "cp1252", "latin-1")
    return next(encoding for encoding in candidates if _decodes(file, encoding))


def _detect_non_latin(start: bytes) -> list[str]:
    """Return the encoding of a text in a non-Latin script, if it is one and not UTF-8.

    In a Latin text the non-ASCII letters stand alone, and its encoding cannot be told apart reliably.
    """
    non_ascii = sum(byte > 127 for byte in start)
    if sum(map(len, _non_ascii_runs.findall(start))) * 2 <= non_ascii:
        return []
    best = from_bytes(start, cp_isolation=NON_LATIN_ENCODINGS).best()
    return [best.encoding] if best else []


def _decodes(file: BinaryIO, encoding: str) -> bool:
    file.seek(0)
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        while chunk := file.read(CHUNK):
            if "\x00" in decoder.decode(chunk):
                raise InvalidFileError("This is not a text file; save the table as CSV")
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _detect_delimiter(text: str) -> str:
    """Return the delimiter named in the first line, or the one that gives the most columns consistently."""
    if separator := _separator_line.match(text):
        return separator[1]

    def score(delimiter: str) -> tuple[int, int]:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        widths = []
        try:
            for row in reader:
                if row:
                    widths.append(len(row))
                if len(widths) == SNIFF_ROWS:
                    break
        except csv.Error:
            return 0, 0
        if not widths or widths[0] < 2:
            return 0, 0
        return widths.count(widths[0]) * 100 // len(widths), widths[0]

    best = max(DELIMITERS, key=score)
    return best if score(best) > (0, 0) else ","


def _column_names(header: list[str]) -> list[str]:
    """Return the header's names, stripped and made unique; a column without a name is numbered."""
    check_column_count(len(header))
    taken: set[str] = set()
    return [
        unique_name(" ".join(cell.split())[:MAX_NAME] or f"Column {number}", taken)
        for number, cell in enumerate(header, 1)
    ]
