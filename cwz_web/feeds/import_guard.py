"""The guard of imports: why a file is not applied without a review.

A file is compared with the feed's rows and with its baseline: the best figures of the imports since the last review.
Without a review the baseline only grows, so that a few imports that each stay below the limit are held together. The
functions here are pure; imports.py collects the figures.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from pydantic import BaseModel, ConfigDict

# A file whose length the server did not state is held if it lost more than this share of its bytes or rows.
MAX_UNSTATED_LOSS_PERCENT = 25
# Names of columns in a message.
LISTED_COLUMNS = 5


class ReasonCode(StrEnum):
    """Why an import needs a review."""

    ROWS_REMOVED = "rows_removed"
    KEYS_CHANGED = "keys_changed"  # most of the removed rows are replaced by rows with other keys
    COLUMN_GONE = "column_gone"
    COLUMN_EMPTIED = "column_emptied"
    CUT_OFF = "cut_off"
    FILE_SHRUNK = "file_shrunk"


class TemplateUse(BaseModel):
    """A template that is rendered from a column; `automatic` if automatic runs do so."""

    model_config = ConfigDict(frozen=True)

    id: UUID
    slug: str
    name: str
    automatic: bool = False

    def __str__(self) -> str:
        return f"“{self.name}” (automatic run)" if self.automatic else f"“{self.name}”"


class ReviewReason(BaseModel):
    """A reason for a review: a sentence with numbers, and the column and its templates if it concerns a column."""

    model_config = ConfigDict(frozen=True)

    code: ReasonCode
    message: str
    column: str | None = None
    templates: list[TemplateUse] = []

    def __str__(self) -> str:
        used_by = f". The column is used by {', '.join(map(str, self.templates))}" if self.templates else ""
        return f"{self.message}{used_by}"


class ColumnFill(BaseModel):
    """In how many of the rows a column had a value."""

    model_config = ConfigDict(frozen=True)

    filled: int
    rows: int


class Baseline(BaseModel):
    """What an import is compared with.

    Attributes:
        rows: The largest number of rows.
        size: The largest size of a file, in bytes; 0 if it is not known.
        has_line_end: Whether the last file ended with a line end.
        key: The columns of the key, and the one that groups variants; None if they are not known.
        columns: The best fill of each column.
        first_rows: How many rows the feed had after the last review, its first import, or the last time it doubled;
            without those that were deleted through the API since then. 0 if it is not known.
        position: The last position of these rows, as later rows are appended; None if it is not known yet.
    """

    model_config = ConfigDict(frozen=True)

    rows: int
    size: int = 0
    has_line_end: bool = False
    key: list[str] | None = None
    columns: dict[str, ColumnFill] = {}
    first_rows: int = 0
    position: int | None = None


@dataclass(frozen=True)
class FileFigures:
    """The figures of a file that is imported.

    Attributes:
        rows: The number of valid rows.
        counted_rows: The number of rows in which filled cells were counted; more than `rows` if keys are repeated.
        filled: The number of filled cells of each column.
        columns: The columns of the file under their names in the feed.
        has_header: Whether the file names its columns, so that a column without values is not gone.
        size: The size in bytes.
        has_line_end: Whether the file ends with a line end.
        cut_off: Why the file looks cut off, as the second half of a sentence; empty if it looks complete.
        is_length_known: Whether the length was stated, so that a shorter file is not believed.
        key: The columns of the key, and the one that groups variants.
    """

    rows: int
    counted_rows: int
    filled: Mapping[str, int]
    columns: Sequence[str]
    has_header: bool = True
    size: int = 0
    has_line_end: bool = True
    cut_off: str = ""
    is_length_known: bool = True
    key: Sequence[str] = ()


@dataclass(frozen=True)
class KeyChanges:
    """How many rows the feed has, and how many an import would add and remove by their keys.

    `kept` is how many of the baseline's first rows would be left.
    """

    before: int
    added: int
    removed: int
    kept: int = 0


# The templates that are rendered from each column.
ColumnUses = Mapping[str, Sequence[TemplateUse]]


def find_reasons(
    baseline: Baseline, file: FileFigures, keys: KeyChanges, uses: ColumnUses, max_percent: int
) -> list[ReviewReason]:
    """Return why an import needs a review; nothing if it can be applied.

    Args:
        baseline: The figures to compare the file with.
        file: The figures of the file.
        keys: The changes of the feed's rows.
        uses: The columns that templates use. Other columns may disappear.
        max_percent: The share of rows that may be removed, or lose the value of a column.
    """
    return [
        *_row_reasons(baseline, file, keys, max_percent),
        *_column_reasons(baseline, file, uses, max_percent),
        *_file_reasons(baseline, file),
    ]


def find_lost_columns(baseline: Baseline, file: FileFigures) -> list[str]:
    """Return the columns of the baseline that no longer have a value in any row."""
    return [name for name, fill in baseline.columns.items() if fill.filled and not file.filled.get(name)]


def next_baseline(
    baseline: Baseline | None, file: FileFigures, used_columns: Collection[str], *, is_reviewed: bool
) -> Baseline:
    """Return the baseline after a file was applied.

    Args:
        baseline: The baseline before; None for the first import.
        file: The figures of the file.
        used_columns: The columns that templates use. Others are forgotten once the file lacks them.
        is_reviewed: Whether a person reviewed the import, so that the file becomes the baseline as it is.
    """
    columns = {name: ColumnFill(filled=file.filled.get(name, 0), rows=file.counted_rows) for name in file.columns}
    new = Baseline(
        rows=file.rows,
        size=file.size,
        has_line_end=file.has_line_end,
        key=list(file.key),
        columns=columns,
        first_rows=file.rows,
    )
    if baseline is None or is_reviewed:
        return new
    for name, fill in baseline.columns.items():
        if name in columns:
            columns[name] = max(columns[name], fill, key=_share)
        elif name in used_columns:
            columns[name] = fill
    best: dict[str, object] = {"rows": max(new.rows, baseline.rows), "size": max(new.size, baseline.size)}
    # Once most rows are newer ones, the first ones alone tell nothing.
    if baseline.position is not None and _has_same_key(baseline, file) and file.rows < baseline.first_rows * 2:
        best |= {"first_rows": baseline.first_rows, "position": baseline.position}
    return new.model_copy(update=best | {"columns": columns})


def _has_same_key(baseline: Baseline, file: FileFigures) -> bool:
    return baseline.key is None or baseline.key == list(file.key)


def _share(fill: ColumnFill) -> float:
    return fill.filled / fill.rows if fill.rows else 0


def _row_reasons(baseline: Baseline, file: FileFigures, keys: KeyChanges, max_percent: int) -> Iterator[ReviewReason]:
    # With another key all rows differ, so that only their number tells something.
    is_same_key = _has_same_key(baseline, file)
    if is_same_key and keys.removed * 100 > keys.before * max_percent:
        removal = f"The import would remove {keys.removed:,} of {keys.before:,} rows"
        if keys.added * 2 >= keys.removed:
            message = f"{removal} and add {keys.added:,} with other keys: the values of the key have changed"
            yield ReviewReason(code=ReasonCode.KEYS_CHANGED, message=message)
        else:
            message = f"{removal}, more than {max_percent}%"
            yield ReviewReason(code=ReasonCode.ROWS_REMOVED, message=message)
    elif (baseline.rows - file.rows) * 100 > baseline.rows * max_percent:
        message = (
            f"The import would leave {file.rows:,} of the {baseline.rows:,} rows of the last good import, and so "
            f"remove more than {max_percent}% since then"
        )
        yield ReviewReason(code=ReasonCode.ROWS_REMOVED, message=message)
    # An empty feed has no rows to protect: they were deleted through the API.
    elif is_same_key and keys.before and (baseline.first_rows - keys.kept) * 100 > baseline.first_rows * max_percent:
        message = (
            f"The import would leave {keys.kept:,} of the {baseline.first_rows:,} rows of the last good import: the "
            f"values of the key have changed in more than {max_percent}% of them since then"
        )
        yield ReviewReason(code=ReasonCode.KEYS_CHANGED, message=message)


def _column_reasons(
    baseline: Baseline, file: FileFigures, uses: ColumnUses, max_percent: int
) -> Iterator[ReviewReason]:
    new_columns = [name for name in file.columns if name not in baseline.columns]
    for name, best in baseline.columns.items():
        if not best.filled or not uses.get(name):
            continue
        filled = file.filled.get(name, 0)
        # The rows that would have a value if as many were filled as before, in units of 1 / best.rows.
        emptied = best.filled * file.counted_rows - filled * best.rows
        is_emptied = emptied * 100 > file.counted_rows * best.rows * max_percent
        before = f"in the last good import it had a value in {best.filled:,} of {best.rows:,} rows"
        # Without a header a column is absent when all its values are: that is no renaming unless another appears.
        if name not in file.columns and (file.has_header or new_columns or is_emptied):
            appeared = f"; the file has the new {_list_columns(new_columns)}" if new_columns else ""
            code, message = ReasonCode.COLUMN_GONE, f"The column “{name}” is gone{appeared}; {before}"
        elif is_emptied:
            empty = file.counted_rows - filled
            code = ReasonCode.COLUMN_EMPTIED
            message = f"The column “{name}” is empty in {empty:,} of {file.counted_rows:,} rows; {before}"
        else:
            continue
        yield ReviewReason(code=code, message=message, column=name, templates=list(uses[name]))


def _file_reasons(baseline: Baseline, file: FileFigures) -> Iterator[ReviewReason]:
    rows = f"{file.rows:,} of the {baseline.rows:,} rows of the last good import"
    is_shorter = file.rows < baseline.rows
    if file.cut_off:
        yield ReviewReason(code=ReasonCode.CUT_OFF, message=f"The file looks cut off: {file.cut_off}")
    elif is_shorter and baseline.has_line_end and not file.has_line_end:
        message = f"The file looks cut off: it ends without a line end, unlike the last one, and has {rows}"
        yield ReviewReason(code=ReasonCode.CUT_OFF, message=message)
    elif is_shorter and not file.is_length_known and _lost_much(baseline, file):
        message = f"The server did not state the length of the file, which may be cut off: it has {rows}"
        yield ReviewReason(code=ReasonCode.FILE_SHRUNK, message=message)


def _lost_much(baseline: Baseline, file: FileFigures) -> bool:
    kept = 100 - MAX_UNSTATED_LOSS_PERCENT
    return file.size * 100 < baseline.size * kept or file.rows * 100 < baseline.rows * kept


def _list_columns(names: Sequence[str]) -> str:
    listed = ", ".join(f"“{name}”" for name in names[:LISTED_COLUMNS])
    more = f" and {len(names) - LISTED_COLUMNS} more" if len(names) > LISTED_COLUMNS else ""
    return f"{'column' if len(names) == 1 else 'columns'} {listed}{more}"
