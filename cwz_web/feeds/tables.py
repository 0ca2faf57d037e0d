"""What every reader of a file gives: rows of text under names, within limits, with notes about what was done."""

from collections.abc import Iterable
from dataclasses import dataclass, field

MAX_BYTES = 32 * 1024 * 1024
MAX_ROWS = 100_000
MAX_COLUMNS = 500
MAX_CELL = 100_000
MAX_NAME = 200


class BadFile(Exception):
    """The file can not be read as rows; the message says why and what would be right."""


@dataclass(frozen=True)
class Table:
    """Rows of a file: each a dictionary of its cells that are not empty. `notes` tell what was done to them."""

    columns: list[str]
    rows: list[dict[str, str]]
    notes: list[str] = field(default_factory=list)


def table_of(records: Iterable[dict[str, str]], what: str) -> Table:
    """A table of records that each bring their own names, in the order in which the names were first seen.

    Arguments:
        what: what a record is called in this kind of file, for messages.
    Raises BadFile.
    """
    columns: dict[str, None] = {}
    rows: list[dict[str, str]] = []
    for record in records:
        row = {name[:MAX_NAME]: value.strip() for name, value in record.items() if value.strip()}
        if not row:
            continue
        longest = max(map(len, row.values()))
        if longest > MAX_CELL:
            raise BadFile(
                f"The {what} {len(rows) + 1} has a value of {longest:,} characters; {MAX_CELL:,} are the most"
            )
        columns.update(dict.fromkeys(row))
        rows.append(row)
        check_columns(len(columns))
        check_rows(len(rows))
    if not rows:
        raise BadFile(f"The file has no {what} with anything in it")
    return Table(list(columns), rows)


def check_rows(count: int) -> None:
    """Raises BadFile when there are too many."""
    if count > MAX_ROWS:
        raise BadFile(f"The file has more than {MAX_ROWS:,} rows; split it")


def check_columns(count: int) -> None:
    """Raises BadFile when there are too many."""
    if count > MAX_COLUMNS:
        raise BadFile(f"The file has {count} columns; {MAX_COLUMNS} are the most")
