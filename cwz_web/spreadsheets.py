"""CSV for downloads (RFC 4180); in files for spreadsheets, no cell is a formula."""

import csv
import io
import re
from collections.abc import Iterable

# A spreadsheet evaluates a cell that begins with one of these characters (OWASP, CSV injection); some evaluate the
# full-width ones, too.
FORMULA_PREFIXES = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
# A spreadsheet whose list separator is not the comma begins a cell behind it.
_formula_inside = re.compile(r"([;\t])(?=[ ]*(?:[=@＝＠]|[-+－＋](?![0-9])))")
_number = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]+)*(?:[eE][+-]?[0-9]+)?%?")


def csv_line(values: Iterable[object]) -> bytes:
    """Return a line of a CSV file for people, in UTF-8; None is an empty cell, formulas are escaped."""
    return csv_record(map(plain_cell, values))


def csv_record(values: Iterable[object]) -> bytes:
    """Return a line of a CSV file for programs, in UTF-8; None is an empty cell, formulas are kept."""
    line = io.StringIO()
    csv.writer(line).writerow(["" if value is None else value for value in values])
    return line.getvalue().encode()


def plain_cell(value: object) -> str:
    """Return a cell as text that a spreadsheet does not evaluate; a number such as -5 stays as it is."""
    text = _formula_inside.sub(r"\1'", "" if value is None else str(value))
    return f"'{text}" if text.startswith(FORMULA_PREFIXES) and not _number.fullmatch(text) else text
