"""Reading a delimited file, whatever spreadsheet wrote it: encoding, delimiter and header are found, not asked for."""

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from itertools import chain, islice
from typing import BinaryIO

from charset_normalizer import from_bytes

from cwz_web.feeds.limits import (
    MAX_CELL,
    MAX_NAME,
    MAX_ROW_BYTES,
    Entry,
    Invalid,
    InvalidFileError,
    Records,
    RowSize,
    check_columns,
    check_rows,
)

DELIMITERS = ",;\t|^~\x1f"
SAMPLE_ROWS = 50
SAMPLE_CHARACTERS = 200_000
SAMPLE_BYTES = 64 * 1024
CHUNK = 1024 * 1024
# Encodings of other scripts than Latin, in which shops still export.
OTHER_SCRIPTS = ["cp1251", "cp1253", "cp1255", "cp1256", "cp932", "gb18030", "big5", "cp949"]
# Read after the file: it comes back as a line of its own, unless a quotation mark is still open.
END = "\x1eend of the file\x1e"

# The line with which Excel names the delimiter.
_names_delimiter = re.compile(r"sep=(.)\r?\n?", re.IGNORECASE)
_runs = re.compile(rb"[\x80-\xff]{2,}")


def csv_records(file: BinaryIO) -> Records:
    """The rows of a file of delimited text with a header row. Raises InvalidFileError, at once or while reading."""
    encoding = _encoding(file)
    delimiter = _delimiter(_text(file, encoding).read(SAMPLE_CHARACTERS))
    csv.field_size_limit(MAX_CELL)
    first = [cells for _, cells in islice(_lines(file, encoding, delimiter), SAMPLE_ROWS)]
    above = _above_header(first)
    records = Records(file, lambda: _rows(file, encoding, delimiter, records, above), "row of data")
    first = first[above:]
    if not first:
        raise InvalidFileError("The file is empty; it needs a header row and at least one row of data")
    if len(first) == 1:
        raise InvalidFileError("The file has a header row but no rows of data below it")
    # Some write a column more in each row than the header names.
    [(usual, _)] = Counter(map(_width, first[1:])).most_common(1)
    records.header = _names(first[0] + [""] * (usual - len(first[0])))
    return records


def _above_header(first: list[list[str]]) -> int:
    """How many lines stand above the header: a title, a date, a remark, with one cell where the others have several."""
    filled = [sum(1 for cell in line if cell.strip()) for line in first]
    above = next((number for number, count in enumerate(filled) if count > 1), 0)
    table = filled[above:]
    return above if sum(count > 1 for count in table) * 2 > len(table) else 0


def _rows(file: BinaryIO, encoding: str, delimiter: str, records: Records, above: int) -> Iterator[Entry]:
    lines = islice(_lines(file, encoding, delimiter), above + 1, None)
    names, width = records.header, len(records.header)
    if above:
        records.notes.append(f"{above} line(s) above the header were left out")
    for number, line in lines:
        row = {name: text for name, cell in zip(names, line) if (text := cell.strip())}  # noqa: B905 - it costs a tenth
        if len(line) > width and _width(line) > width:
            more = f"The row has {_width(line)} cells, and the header {width}"
            yield Invalid(number, f"{more}; is a cell with a “{delimiter}” in it not quoted?", row)
        elif row:
            yield number, row


def _width(line: list[str]) -> int:
    """The cells of a line, without the empty ones at its end."""
    width = len(line)
    while width and not line[width - 1].strip():
        width -= 1
    return width


def _lines(file: BinaryIO, encoding: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The lines of the file, numbered, as cells, from the first one that has any."""
    row = RowSize()
    reader = csv.reader(chain(_measured(_text(file, encoding), row), (END,)), delimiter=delimiter)
    begun, end, number, begins, blank = False, [END], 0, 1, 0
    try:
        for line in reader:
            if line == end:
                return
            row.begin()
            if any(map(str.strip, line)):
                begun = begun or not _names_delimiter.fullmatch(delimiter.join(line))
            else:  # Excel may leave a million of them below a table
                blank += 1
                check_rows(blank)
            begins, number = number + 1, reader.line_num
            if begun:
                yield number, line
    except csv.Error as error:
        raise InvalidFileError(
            f"Line {reader.line_num} cannot be read ({error}); is a quotation mark not closed?"
        ) from None
    raise InvalidFileError(f"A quotation mark in line {begins} or below it is never closed")


def _measured(text: io.TextIOWrapper, row: RowSize) -> Iterator[str]:
    """The lines of a text, while the rows that they are cut into have the size that they may have."""
    while line := text.readline(MAX_ROW_BYTES + 1):
        row.add(len(line))
        yield line


def _text(file: BinaryIO, encoding: str) -> io.TextIOWrapper:
    """The file as text from its start. The wrapper does not close it."""
    file.seek(0)
    return _Wrapper(file, encoding=encoding, newline="")


class _Wrapper(io.TextIOWrapper):
    """Text over a file that goes on to be used."""

    def __del__(self) -> None:
        if not self.closed:
            self.detach()


def _encoding(file: BinaryIO) -> str:
    file.seek(0)
    begin = file.read(4)
    if begin.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        if _decodes(file, "utf-16"):
            return "utf-16"
        raise InvalidFileError("The file's encoding is not known; save it as CSV in UTF-8")
    begin += file.read(SAMPLE_BYTES)
    for wide, zeros in (("utf-16-le", begin[1::2]), ("utf-16-be", begin[::2])):
        if zeros.count(0) * 2 > len(zeros) and _decodes(file, wide):
            return wide
    # Windows' own encoding takes what is not UTF-8: nearly every byte has a meaning in it.
    likely = ("utf-8-sig", *_other_script(begin), "cp1252", "latin-1")
    return next(encoding for encoding in likely if _decodes(file, encoding))


def _other_script(begin: bytes) -> list[str]:
    """The encoding of a text, if it is not UTF-8, in another script than Latin.

    In Latin texts the letters beyond ASCII stand alone, and which of their encodings it is cannot be told for sure.
    """
    beyond = sum(byte > 127 for byte in begin)
    if sum(map(len, _runs.findall(begin))) * 2 <= beyond:
        return []
    best = from_bytes(begin, cp_isolation=OTHER_SCRIPTS).best()
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


def _delimiter(text: str) -> str:
    """The delimiter that the first line names, or with which the first rows have the most columns, in agreement."""
    if named := _names_delimiter.match(text):
        return named[1]

    def score(delimiter: str) -> tuple[int, int]:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        widths = []
        try:
            for row in reader:
                if row:
                    widths.append(len(row))
                if len(widths) == SAMPLE_ROWS:
                    break
        except csv.Error:
            return 0, 0
        if not widths or widths[0] < 2:
            return 0, 0
        return widths.count(widths[0]) * 100 // len(widths), widths[0]

    best = max(DELIMITERS, key=score)
    return best if score(best) > (0, 0) else ","


def _names(header: list[str]) -> list[str]:
    """The header's names: trimmed, bounded, unique; a column without a name gets its number."""
    check_columns(len(header))
    names: list[str] = []
    taken: set[str] = set()
    for number, cell in enumerate(header, 1):
        wanted = " ".join(cell.split())[:MAX_NAME] or f"Column {number}"
        name, again = wanted, 2
        while name in taken:
            name, again = f"{wanted} ({again})", again + 1
        taken.add(name)
        names.append(name)
    return names
