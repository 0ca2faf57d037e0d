"""Files that people download."""

from collections.abc import Iterable

from pyramid.response import Response

from cwz_web.spreadsheets import csv_line


def csv_download(file_name: str, rows: Iterable[Iterable[object]]) -> Response:
    """Return rows as a CSV file for a spreadsheet: no cell is a formula.

    Args:
        file_name: ASCII letters, digits, dots and hyphens.
        rows: the cells of each line; None for an empty cell.
    """
    response = Response(b"".join(map(csv_line, rows)), content_type="text/csv", charset="utf-8")
    response.content_disposition = f'attachment; filename="{file_name}"'
    return response
