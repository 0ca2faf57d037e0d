"""Reading a delimited file, whatever spreadsheet wrote it: encoding, delimiter and header are found, not asked for."""

import codecs
import csv
import io

from cwz_web.feeds.tables import MAX_CELL, MAX_NAME, BadFile, Table, check_columns, check_rows

DELIMITERS = ",;\t|"
SAMPLE_ROWS = 50


def read_csv(data: bytes) -> Table:
    """Read a file of delimited text with a header row. Raises BadFile."""
    text = _decode(data)
    delimiter = _delimiter(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    notes: list[str] = []
    rows: list[dict[str, str]] = []
    surplus = 0
    csv.field_size_limit(MAX_CELL)
    try:
        header = next((row for row in reader if any(cell.strip() for cell in row)), None)
        if header is None:
            raise BadFile("The file is empty; it needs a header row and at least one row of data")
        names = _names(header)
        for row in reader:
            cells = {name: cell.strip() for name, cell in zip(names, row, strict=False) if cell.strip()}
            surplus += any(cell.strip() for cell in row[len(names) :])
            if cells:
                rows.append(cells)
            check_rows(len(rows))
    except csv.Error as error:
        raise BadFile(f"Line {reader.line_num} can not be read: {error}") from None
    if not rows:
        raise BadFile("The file has a header row but no rows of data below it")
    if surplus:
        notes.append(f"{surplus} row(s) have more cells than the header has columns; those cells were left out")
    filled = set().union(*rows)
    empty = len(names) - len(filled)
    if empty:
        notes.append(f"{empty} column(s) hold nothing at all and are not shown")
    return Table([name for name in names if name in filled], rows, notes)


def _decode(data: bytes) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encodings = ["utf-16"]
    else:
        # Windows' own encoding takes what is not UTF-8: nearly every byte has a meaning in it.
        encodings = ["utf-8-sig", "cp1252", "latin-1"]
    for encoding in encodings:
        try:
            text = data.decode(encoding)
            break
        except UnicodeDecodeError:
            continue
    else:
        raise BadFile("The file's encoding is not known; save it as CSV in UTF-8")
    if "\x00" in text:
        raise BadFile("This is not a text file; save the table as CSV")
    return text


def _delimiter(text: str) -> str:
    """The delimiter with which the first rows have the most columns, in the greatest agreement."""

    def score(delimiter: str) -> tuple[int, int]:
        reader = csv.reader(io.StringIO(text[:200_000], newline=""), delimiter=delimiter)
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
