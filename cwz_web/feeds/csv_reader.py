"""Reader of delimited text (CSV, TSV): detects the encoding, the delimiter and the header row."""

import io
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import BinaryIO

from cwz_web.feeds.csv_dialect import CsvDialect, detect_dialect, separator_line
from cwz_web.feeds.csv_lines import CsvLine, CsvParser
from cwz_web.feeds.encodings import TextEncoding, detect_encoding
from cwz_web.feeds.limits import (
    InvalidFileError,
    check_row_count,
)
from cwz_web.feeds.reading import FileFormat, Reading, ReadOptions
from cwz_web.feeds.records import Entry, InvalidEntry, Records, Row, file_size
from cwz_web.feeds.table_header import (
    Header,
    cells_by_name,
    find_header,
    is_comment_row,
    names_of_columns,
    surplus_reason,
    width_of,
)
from cwz_web.i18n import gettext, ngettext

SNIFF_ROWS = 50
SNIFF_CHARACTERS = 200_000
# Lines that a note lists.
LISTED_LINES = 10
LINE_END_BYTES = 2
# A short last row is suspicious if at most one in so many of the other rows is short, too.
MIN_COMPLETE = 20


@dataclass(frozen=True)
class _TextFile:
    """A file with its encoding and dialect."""

    file: BinaryIO
    encoding: TextEncoding
    dialect: CsvDialect

    def parser(self) -> CsvParser:
        """Return a parser at the start of the file."""
        return CsvParser(_open_text(self.file, self.encoding.name).readline, self.dialect, _cleaner(self.encoding))


def csv_records(file: BinaryIO, options: ReadOptions | None = None) -> Records:
    """Read a file of delimited text.

    Raises:
        InvalidFileError: The file has no table; also raised while the rows are read.
    """
    options = options or ReadOptions()
    encoding = detect_encoding(file, options.encoding)
    dialect = detect_dialect(_open_text(file, encoding.name).read(SNIFF_CHARACTERS), options)
    source = _TextFile(file, encoding, dialect)
    first, has_invalid = _first_lines(source, options)
    header = find_header(first, options.header_row)
    body = [cells for number, cells in first if number > header.line]
    if not body and not has_invalid:
        if header.cells:
            raise InvalidFileError(gettext("The file has a header row but no rows of data below it"))
        raise InvalidFileError(gettext("The file is empty; it needs a header row and at least one row of data"))
    names = names_of_columns(header, body)
    reading = Reading(
        FileFormat.CSV,
        encoding=encoding.name.removesuffix("-sig"),
        delimiter=dialect.delimiter,
        quote=dialect.quote or "none",
        header_row=header.line,
    )
    records = Records(file, lambda: _rows(source, header, records), "row", names, reading=reading)
    records.has_line_end = _ends_with_line_end(file)
    records.file_notes += encoding.notes
    records.file_notes += header.notes
    return records


def _ends_with_line_end(file: BinaryIO) -> bool:
    position = file.tell()
    file.seek(max(file_size(file) - LINE_END_BYTES, 0))
    end = file.read(LINE_END_BYTES).strip(b"\x00")  # the other byte of UTF-16
    file.seek(position)
    return end.endswith((b"\n", b"\r"))


def _first_lines(source: _TextFile, options: ReadOptions) -> tuple[list[tuple[int, list[str]]], bool]:
    """Return the first lines of the table, and whether there are invalid ones among them."""
    lines = list(islice(_table_lines(source.parser()), SNIFF_ROWS + (options.header_row or 0)))
    valid = [line for line in lines if not isinstance(line, CsvLine)]
    return valid, len(valid) < len(lines)


def _rows(source: _TextFile, header: Header, records: Records) -> Iterator[Entry]:
    names, width = records.header, len(records.header)
    parser = source.parser()
    parser.width = width
    skipped, repeated, short, number, row = 0, 0, 0, 0, Row()
    first_name = header.cells[0] if header.cells else None
    for line in _table_lines(parser):
        if isinstance(line, CsvLine):
            if line.number > header.line:
                yield InvalidEntry(line.number, line.reason, cells_by_name(names, line.cells))
            continue
        number, cells = line
        if number <= header.line:
            continue
        row = {name: text for name, cell in zip(names, cells) if (text := cell.strip())}  # noqa: B905 - strict costs 10 %
        if len(cells) > width and width_of(cells) > width:
            yield InvalidEntry(number, _surplus_reason(cells, names, source.dialect), cells_by_name(names, cells))
        elif row:
            if width > 1 and cells[0][:1] == "#" and is_comment_row(cells):
                skipped += 1
            elif cells[0] == first_name and cells == header.cells:
                repeated += 1
            else:
                short += len(cells) < width
                yield number, row
    # Some exports leave out the empty cells at the end of each row.
    if parser.ends_in_quotes:
        records.cut_off = gettext(
            "line %(number)s, the last one, ends inside quotation marks", number=parser.last_number
        )
    elif row and not records.has_line_end and len(cells) < width and (short - 1) * MIN_COMPLETE < number:
        records.cut_off = gettext(
            "line %(number)s, the last one, has %(cells)s of %(width)s cells and no line end",
            number=number,
            cells=len(cells),
            width=width,
        )
    if records.cut_off:
        records.notes.append(gettext("The file may be cut off: %(reason)s", reason=records.cut_off))
    records.notes += _line_notes(skipped, repeated, parser.repaired)


def _line_notes(skipped: int, repeated: int, repaired: list[int]) -> list[str]:
    notes = []
    if skipped:
        notes.append(ngettext("%(count)s comment line was skipped", "%(count)s comment lines were skipped", skipped))
    if repeated:
        notes.append(
            ngettext(
                "%(count)s line that repeats the header skipped",
                "%(count)s lines that repeat the header skipped",
                repeated,
            )
        )
    if repaired:
        lines = ", ".join(map(str, repaired[:LISTED_LINES])) + (" …" if len(repaired) > LISTED_LINES else "")
        notes.append(
            gettext("Line %(lines)s: a quotation mark is not closed and was read as part of the text", lines=lines)
        )
    return notes


def _surplus_reason(cells: list[str], names: list[str], dialect: CsvDialect) -> str:
    return gettext(
        "%(reason)s; put cells that contain a “%(delimiter)s” in quotation marks",
        reason=surplus_reason(width_of(cells), names),
        delimiter=dialect.delimiter,
    )


def _table_lines(parser: CsvParser) -> Iterator[tuple[int, list[str]] | CsvLine]:
    """Yield line numbers and cells, from the first line that is not empty and does not name the delimiter."""
    has_begun, blank, delimiter = False, 0, parser.dialect.delimiter
    for line in parser.lines():
        if isinstance(line, CsvLine):
            yield line
        elif any(map(str.strip, line[1])):
            if has_begun or not separator_line.fullmatch(delimiter.join(line[1])):
                has_begun = True
                yield line
        else:  # Excel may write a million empty rows below a table.
            blank += 1
            check_row_count(blank)


def _cleaner(encoding: TextEncoding) -> Callable[[str], str] | None:
    if encoding.name == "cp1258":  # writes tones as combining characters
        return lambda line: unicodedata.normalize("NFC", line)
    return (lambda line: line.replace("\ufeff", "")) if encoding.has_marks else None


def _open_text(file: BinaryIO, encoding: str) -> io.TextIOWrapper:
    file.seek(0)
    return _BorrowingTextWrapper(file, encoding=encoding, errors="replace", newline="")


class _BorrowingTextWrapper(io.TextIOWrapper):
    """A text wrapper that leaves its file open when it is garbage-collected."""

    def __del__(self) -> None:
        if not self.closed:
            self.detach()
