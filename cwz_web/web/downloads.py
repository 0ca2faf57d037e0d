"""Files that people download."""

from collections.abc import Iterable
from tempfile import SpooledTemporaryFile
from typing import IO

from pyramid.response import FileIter, Response

from cwz_web.spreadsheets import csv_line

# Larger files are written to the disk.
IN_MEMORY = 1024**2


def csv_download(file_name: str, rows: Iterable[Iterable[object]]) -> Response:
    """Return rows as a CSV file for a spreadsheet: no cell is a formula.

    Args:
        file_name: ASCII letters, digits, dots and hyphens.
        rows: the cells of each line; None for an empty cell.
    """
    file: IO[bytes] = SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - the response closes it
    for row in rows:
        file.write(csv_line(row))
    size = file.tell()
    file.seek(0)
    response = Response(app_iter=FileIter(file), content_type="text/csv", charset="utf-8", content_length=size)
    response.content_disposition = f'attachment; filename="{file_name}"'
    return response
