"""CSV for downloads (RFC 4180); in files for spreadsheets, no cell is a formula."""

import csv
import io
from collections.abc import Iterable

# A spreadsheet evaluates a cell that begins with one of these characters (OWASP, CSV injection).
FORMULA_PREFIXES = ("=", "+", "-", "@", "\t", "\r", "\n")


def csv_line(values: Iterable[object]) -> bytes:
    """Return a line of a CSV file for spreadsheets, in UTF-8; None is an empty cell, formulas are escaped."""
    return csv_record(map(plain_cell, values))


def csv_record(values: Iterable[object]) -> bytes:
    """Return a line of a CSV file for programs, in UTF-8; None is an empty cell, formulas are kept."""
    line = io.StringIO()
    csv.writer(line).writerow(["" if value is None else value for value in values])
    return line.getvalue().encode()


def plain_cell(value: object) -> str:
    """Return a cell as text that a spreadsheet does not evaluate."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(FORMULA_PREFIXES) else text
