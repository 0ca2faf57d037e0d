"""Detection of how delimited text is written: its delimiter, its quotation mark, and whether a backslash escapes it."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from cwz_web.feeds.reading import ReadOptions

# The earlier one is chosen if two are equally consistent: a comma also stands in texts and numbers.
DELIMITERS = "\t;|,^~\x1f"
SNIFF_ROWS = 100
# The line with which Excel names the delimiter.
separator_line = re.compile(r"\ufeff?\"?sep=([^\"\r\n])\"?\r?\n?", re.IGNORECASE)


@dataclass(frozen=True)
class CsvDialect:
    """How cells are delimited and quoted.

    Attributes:
        delimiter: The character between cells.
        quote: The quotation mark; "" if there is none.
        has_backslashes: Whether a backslash escapes a quotation mark.
    """

    delimiter: str
    quote: str = '"'
    has_backslashes: bool = False

    def reader(self, lines: Iterable[str], *, strict: bool = False) -> Iterator[list[str]]:
        """Return a parser of lines; a strict one raises csv.Error at irregular quotation marks."""
        return csv.reader(
            lines,
            delimiter=self.delimiter,
            quotechar=self.quote or None,
            quoting=csv.QUOTE_MINIMAL if self.quote else csv.QUOTE_NONE,
            skipinitialspace=self.delimiter != "\t",
            strict=strict,
        )


def detect_dialect(text: str, options: ReadOptions) -> CsvDialect:
    """Detect the dialect from the start of a file, except for what the options name."""
    if options.quote is None:
        quote = "'" if _is_apostrophe_quoted(text) else '"'
    else:
        quote = "" if options.quote == "none" else options.quote
    delimiter = options.delimiter or _detect_delimiter(text, quote)
    return CsvDialect(delimiter, quote, bool(quote) and _has_backslashes(text, delimiter, quote))


def _detect_delimiter(text: str, quote: str) -> str:
    """Return the delimiter named in the first line, or the one that gives the most consistent table."""
    if separator := separator_line.match(text):
        return separator[1]
    scores = {delimiter: _consistency(text, delimiter, quote) for delimiter in DELIMITERS}
    best = max(DELIMITERS, key=lambda delimiter: scores[delimiter])
    return best if scores[best] > 0 else ","


def _consistency(text: str, delimiter: str, quote: str) -> float:
    """Return how consistently a delimiter divides the lines into cells, from 0 (not at all) to 1."""
    if delimiter not in text:
        return 0
    rows = [row for row in _sample_rows(text, delimiter, quote) if any(cell.strip() for cell in row)]
    widths = Counter(map(len, rows))
    if not widths:
        return 0
    width, count = max(widths.items(), key=lambda item: (item[0] > 1, item[1], item[0]))
    if width < 2:
        return 0
    share = count / len(rows)
    if delimiter == ",":  # as in “9,90” or “large, blue”
        inside = len(re.findall(r"\d,\d|, ", text))
        share *= 1 - 0.5 * inside / max(text.count(","), 1)
    return share


def _sample_rows(text: str, delimiter: str, quote: str) -> list[list[str]]:
    """Return the first rows; if quotation marks are not balanced, the lines are split at the delimiter."""
    lines = text.splitlines()
    if len(lines) > 1 and not text.endswith(("\n", "\r")):
        lines.pop()  # it may be cut
    reader = CsvDialect(delimiter, quote).reader(io.StringIO("\n".join(lines), newline=""))
    rows: list[list[str]] = []
    try:
        for row in reader:
            rows.append(row)
            if len(rows) == SNIFF_ROWS:
                break
    except csv.Error:
        rows.clear()
    if len(rows) * 10 < min(len(lines), SNIFF_ROWS):
        return [line.split(delimiter) for line in lines[:SNIFF_ROWS]]
    return rows


def _is_apostrophe_quoted(text: str) -> bool:
    """Whether most lines begin or contain a cell in apostrophes, and none in quotation marks."""
    if '"' in text:
        return False
    lines = text.splitlines()[:SNIFF_ROWS]
    cells = re.compile(r"(?:^|[,;\t|]) *'[^']*' *(?=[,;\t|]|$)")
    quoted = sum(1 for line in lines if cells.search(line))
    return quoted > 1 and quoted * 2 > len(lines)


def _has_backslashes(text: str, delimiter: str, quote: str) -> bool:
    """Whether a backslash escapes a quotation mark, as MySQL writes it, and does not just end a cell."""
    escapes, ends = 0, 0
    for match in re.finditer(r"\\" + re.escape(quote), text):
        following = text[match.end() : match.end() + 1]
        if following in (delimiter, "\r", "\n", ""):
            ends += 1
        else:
            escapes += 1
    return escapes > 0 and escapes >= ends
