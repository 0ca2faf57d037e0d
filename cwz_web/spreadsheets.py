"""Tables that are downloaded: CSV as RFC 4180 has it; in those for people, no cell is a formula."""

import csv
import io
from collections.abc import Iterable

# A cell that begins with one of these is a formula to a spreadsheet (OWASP, CSV injection).
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def csv_line(values: Iterable[object]) -> bytes:
    """A line of a CSV file for people, in UTF-8; None is an empty cell."""
    return csv_record(map(plain_cell, values))


def csv_record(values: Iterable[object]) -> bytes:
    """A line of a CSV file for programs: as csv_line, with every cell as it is."""
    line = io.StringIO()
    csv.writer(line).writerow(["" if value is None else value for value in values])
    return line.getvalue().encode()


def plain_cell(value: object) -> str:
    """A cell that a spreadsheet takes for text."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(FORMULA) else text
