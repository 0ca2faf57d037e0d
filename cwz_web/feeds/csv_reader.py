"""Reading a delimited file, whatever spreadsheet wrote it: encoding, delimiter and header are found, not asked for."""

import codecs
import csv
import io
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import BinaryIO

from cwz_web.feeds.tables import MAX_CELL, MAX_NAME, BadFile, Entry, Invalid, Records, check_columns

DELIMITERS = ",;\t|"
SAMPLE_ROWS = 50
SAMPLE_CHARACTERS = 200_000
CHUNK = 1024 * 1024


def csv_records(file: BinaryIO) -> Records:
    """The rows of a file of delimited text with a header row. Raises BadFile, at once or while reading."""
    encoding = _encoding(file)
    delimiter = _delimiter(_text(file, encoding).read(SAMPLE_CHARACTERS))
    csv.field_size_limit(MAX_CELL)
    records = Records(file, lambda: _rows(file, encoding, delimiter, records), "row of data")
    first = [cells for _, cells in islice(_lines(file, encoding, delimiter), SAMPLE_ROWS)]
    if not first:
        raise BadFile("The file is empty; it needs a header row and at least one row of data")
    if len(first) == 1:
        raise BadFile("The file has a header row but no rows of data below it")
    # Some write a column more in each row than the header names.
    [(usual, _)] = Counter(map(_width, first[1:])).most_common(1)
    records.header = _names(first[0] + [""] * (usual - len(first[0])))
    return records


def _rows(file: BinaryIO, encoding: str, delimiter: str, records: Records) -> Iterator[Entry]:
    lines = _lines(file, encoding, delimiter)
    next(lines)
    names, width = records.header, len(records.header)
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
    reader = csv.reader(_text(file, encoding), delimiter=delimiter)
    try:
        for line in reader:
            if any(cell.strip() for cell in line):
                yield reader.line_num, line
                break
        for line in reader:
            yield reader.line_num, line
    except csv.Error as error:
        raise BadFile(f"Line {reader.line_num} can not be read ({error}); is a quotation mark not closed?") from None


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
        raise BadFile("The file's encoding is not known; save it as CSV in UTF-8")
    # Windows' own encoding takes what is not UTF-8: nearly every byte has a meaning in it.
    return next(encoding for encoding in ("utf-8-sig", "cp1252", "latin-1") if _decodes(file, encoding))


def _decodes(file: BinaryIO, encoding: str) -> bool:
    file.seek(0)
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        while chunk := file.read(CHUNK):
            if "\x00" in decoder.decode(chunk):
                raise BadFile("This is not a text file; save the table as CSV")
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _delimiter(text: str) -> str:
    """The delimiter with which the first rows have the most columns, in the greatest agreement."""

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
