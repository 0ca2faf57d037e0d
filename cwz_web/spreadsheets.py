"""Tables that people download: CSV as RFC 4180 has it, in which no cell is a formula."""

import csv
import io
from collections.abc import Iterable

# A cell that begins with one of these is a formula to a spreadsheet (OWASP, CSV injection).
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def csv_line(values: Iterable[object]) -> bytes:
    """A line of a CSV file, in UTF-8; None is an empty cell."""
    line = io.StringIO()
    csv.writer(line).writerow([plain_cell(value) for value in values])
    return line.getvalue().encode()


def plain_cell(value: object) -> str:
    """A cell that a spreadsheet takes for text."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(FORMULA) else text
