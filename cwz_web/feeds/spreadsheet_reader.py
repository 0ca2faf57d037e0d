"""Reader of spreadsheets (XLSX, XLS, ODS): a sheet whose cells are read as they are shown.

The file is read by a process of its own with limited memory and time (spreadsheet_process.py), which writes the rows of
the sheet to a temporary file.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import islice
from typing import Any, BinaryIO

from cwz_web.feeds.limits import MAX_BYTES, MAX_ROW_BYTES, InvalidFileError, check_row_count, check_row_size
from cwz_web.feeds.reading import FileFormat, Reading, ReadOptions
from cwz_web.feeds.records import Entry, InvalidEntry, Records, clean_row
from cwz_web.feeds.table_header import Header, cells_by_name, find_header, names_of_columns, surplus_reason
from cwz_web.feeds.temporary_files import temporary_file
from cwz_web.i18n import gettext, ngettext
from cwz_web.values.formats import json_number

PROCESS = "cwz_web.feeds.spreadsheet_process"
MAX_SECONDS = 120
SNIFF_ROWS = 50
MAX_SHEETS = 100


def spreadsheet_records(file: BinaryIO, options: ReadOptions) -> Records:
    """Read a sheet of a spreadsheet. Raises InvalidFileError, also while the rows are read."""
    output = _read_sheet(file, options.sheet)
    about = json.loads(_bounded_line(output))
    first = list(islice(_lines(output), SNIFF_ROWS + (options.header_row or 0)))
    header = find_header([(number, list(map(str, cells))) for number, cells in first], options.header_row)
    body = [cells for number, cells in first if number > header.line]
    if not body:
        raise InvalidFileError(
            gettext(
                "The sheet “%(sheet)s” has no rows of data below a header row; choose another sheet",
                sheet=about["sheet"],
            )
        )
    names = names_of_columns(header, body)
    reading = Reading(
        FileFormat.SPREADSHEET,
        header_row=header.line,
        sheet=about["sheet"],
        sheets=tuple(about["sheets"][:MAX_SHEETS]),
    )
    records = Records(output, lambda: _rows(output, header, names), "row", names, reading=reading)
    if about.get("filled", 0) > 1:
        records.file_notes.append(
            ngettext(
                "The file has %(count)s sheet; “%(sheet)s” was read",
                "The file has %(count)s sheets; “%(sheet)s” was read",
                about["filled"],
                sheet=about["sheet"],
            )
        )
    records.file_notes += header.notes
    return records


def _read_sheet(file: BinaryIO, sheet: str | None) -> BinaryIO:
    """Return the sheet's rows as the process writes them. Raises InvalidFileError."""
    output = temporary_file()
    with tempfile.TemporaryFile() as content:
        file.seek(0)
        shutil.copyfileobj(file, content)
        content.seek(0)
        try:
            process = subprocess.run(  # noqa: S603 - no shell, and this interpreter
                [sys.executable, "-m", PROCESS, sheet or "", str(MAX_BYTES)],
                stdin=content,
                stdout=output,
                stderr=subprocess.PIPE,
                timeout=MAX_SECONDS,
                check=False,
                env={
                    name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "PYTHONPATH") if name in os.environ
                },
            )
        except subprocess.TimeoutExpired:
            raise InvalidFileError(gettext("Reading the spreadsheet takes too long; export the sheet as CSV")) from None
        if process.returncode < 0:  # a limit of the process, or no memory
            raise InvalidFileError(gettext("The spreadsheet is too large; export the sheet as CSV"))
        if process.returncode:
            raise InvalidFileError(_error_message(process.stderr, sheet))
    output.seek(0)
    return output


def _error_message(stderr: bytes, sheet: str | None) -> str:
    error = stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
    if "PasswordError" in error or "encrypted" in error.lower():
        return gettext("The spreadsheet is protected by a password; save it without one")
    if sheet and ("WorksheetNotFound" in error or error.startswith("ValueError")):
        return gettext("The file has no sheet “%(sheet)s”", sheet=sheet)
    if "MemoryError" in error or not error:
        return gettext("The spreadsheet is too large; export the sheet as CSV")
    return gettext("The spreadsheet is damaged or of an unknown kind; export the sheet as CSV")


def _lines(output: BinaryIO) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the cells of each row; a cell that is nothing but a number has no locale."""
    output.seek(0)
    _bounded_line(output)
    while line := _bounded_line(output):
        number, *cells = json.loads(line)
        yield number, [cell if isinstance(cell, str) else json_number(cell[0]) for cell in cells]


def _bounded_line(output: BinaryIO) -> bytes:
    """Return the next line. Raises InvalidFileError if it is too large."""
    line = output.readline(MAX_ROW_BYTES + 1)
    check_row_size(len(line))
    return line


def _rows(output: BinaryIO, header: Header, names: list[str]) -> Iterator[Entry]:
    for count, (number, cells) in enumerate(_lines(output), 1):
        check_row_count(count)
        if number <= header.line:
            continue
        if len(cells) > len(names):
            yield InvalidEntry(number, surplus_reason(len(cells), names), cells_by_name(names, cells))
            continue
        entry: Any = clean_row(dict(zip(names, cells, strict=False)), number)
        if isinstance(entry, InvalidEntry) or entry[1]:
            yield entry
