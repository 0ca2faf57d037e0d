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

from cwz_web.i18n import gettext, number
from cwz_web.stored_messages import translate_stored

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
        name = f"“{self.name}”"
        return gettext("%(template)s (automatic run)", template=name) if self.automatic else name


class ReviewReason(BaseModel):
    """A reason for a review: a sentence in English, and the column and its templates if it concerns a column."""

    model_config = ConfigDict(frozen=True)

    code: ReasonCode
    message: str
    column: str | None = None
    templates: list[TemplateUse] = []

    def __str__(self) -> str:
        message = f"{translate_stored(self.message)}."
        if not self.templates:
            return message
        templates = ", ".join(map(str, self.templates))
        return f"{message} {gettext('The column is used by %(templates)s.', templates=templates)}"


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
        removed, before = number(keys.removed), number(keys.before)
        if keys.added * 2 >= keys.removed:
            message = gettext(
                "The import would remove %(removed)s of %(before)s rows and add %(added)s with other keys: the values"
                " of the key have changed",
                removed=removed,
                before=before,
                added=number(keys.added),
            )
            yield ReviewReason(code=ReasonCode.KEYS_CHANGED, message=message)
        else:
            message = gettext(
                "The import would remove %(removed)s of %(before)s rows, more than %(max)s%%",
                removed=removed,
                before=before,
                max=max_percent,
            )
            yield ReviewReason(code=ReasonCode.ROWS_REMOVED, message=message)
    elif (baseline.rows - file.rows) * 100 > baseline.rows * max_percent:
        message = gettext(
            "The import would leave %(rows)s of the %(before)s rows of the last good import, and so remove more than"
            " %(max)s%% since then",
            rows=number(file.rows),
            before=number(baseline.rows),
            max=max_percent,
        )
        yield ReviewReason(code=ReasonCode.ROWS_REMOVED, message=message)
    # An empty feed has no rows to protect: they were deleted through the API.
    elif is_same_key and keys.before and (baseline.first_rows - keys.kept) * 100 > baseline.first_rows * max_percent:
        message = gettext(
            "The import would leave %(rows)s of the %(before)s rows of the last good import: the values of the key"
            " have changed in more than %(max)s%% of them since then",
            rows=number(keys.kept),
            before=number(baseline.first_rows),
            max=max_percent,
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
        # Without a header a column is absent when all its values are: that is no renaming unless another appears.
        if name not in file.columns and (file.has_header or new_columns or is_emptied):
            code, message = ReasonCode.COLUMN_GONE, _describe_lost_column(name, new_columns, best)
        elif is_emptied:
            code = ReasonCode.COLUMN_EMPTIED
            message = gettext(
                "The column “%(name)s” is empty in %(empty)s of %(rows)s rows; in the last good import it had a value"
                " in %(filled)s of %(before)s rows",
                name=name,
                empty=number(file.counted_rows - filled),
                rows=number(file.counted_rows),
                filled=number(best.filled),
                before=number(best.rows),
            )
        else:
            continue
        yield ReviewReason(code=code, message=message, column=name, templates=list(uses[name]))


def _file_reasons(baseline: Baseline, file: FileFigures) -> Iterator[ReviewReason]:
    rows, before = number(file.rows), number(baseline.rows)
    is_shorter = file.rows < baseline.rows
    if file.cut_off:
        message = gettext("The file looks cut off: %(reason)s", reason=file.cut_off)
        yield ReviewReason(code=ReasonCode.CUT_OFF, message=message)
    elif is_shorter and baseline.has_line_end and not file.has_line_end:
        message = gettext(
            "The file looks cut off: it ends without a line end, unlike the last one, and has %(rows)s of the"
            " %(before)s rows of the last good import",
            rows=rows,
            before=before,
        )
        yield ReviewReason(code=ReasonCode.CUT_OFF, message=message)
    elif is_shorter and not file.is_length_known and _lost_much(baseline, file):
        message = gettext(
            "The server did not state the length of the file, which may be cut off: it has %(rows)s of the %(before)s"
            " rows of the last good import",
            rows=rows,
            before=before,
        )
        yield ReviewReason(code=ReasonCode.FILE_SHRUNK, message=message)


def _lost_much(baseline: Baseline, file: FileFigures) -> bool:
    kept = 100 - MAX_UNSTATED_LOSS_PERCENT
    return file.size * 100 < baseline.size * kept or file.rows * 100 < baseline.rows * kept


def _describe_lost_column(name: str, new_columns: Sequence[str], best: ColumnFill) -> str:
    listed = ", ".join(f"“{new}”" for new in new_columns[:LISTED_COLUMNS])
    filled, rows = number(best.filled), number(best.rows)
    if not new_columns:
        return gettext(
            "The column “%(name)s” is gone; in the last good import it had a value in %(filled)s of %(rows)s rows",
            name=name,
            filled=filled,
            rows=rows,
        )
    if len(new_columns) == 1:
        return gettext(
            "The column “%(name)s” is gone; the file has the new column %(columns)s; in the last good import it had a"
            " value in %(filled)s of %(rows)s rows",
            name=name,
            columns=listed,
            filled=filled,
            rows=rows,
        )
    if len(new_columns) <= LISTED_COLUMNS:
        return gettext(
            "The column “%(name)s” is gone; the file has the new columns %(columns)s; in the last good import it had a"
            " value in %(filled)s of %(rows)s rows",
            name=name,
            columns=listed,
            filled=filled,
            rows=rows,
        )
    return gettext(
        "The column “%(name)s” is gone; the file has the new columns %(columns)s and %(more)s more; in the last good"
        " import it had a value in %(filled)s of %(rows)s rows",
        name=name,
        columns=listed,
        more=number(len(new_columns) - LISTED_COLUMNS),
        filled=filled,
        rows=rows,
    )
