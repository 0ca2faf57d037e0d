"""Limits of a feed's files, and the error of a file that cannot be imported."""

from cwz_web.i18n import gettext, ngettext, number

MAX_BYTES = 512 * 1024 * 1024
# A preview reads the start of a longer file.
PREVIEW_BYTES = 4 * 1024 * 1024
# A parsed row takes about thirty times its size in the file, and all of it is in memory at once.
MAX_ROW_BYTES = 4 * 1024 * 1024
MAX_ROWS = 2_000_000
MAX_COLUMNS = 500
MAX_CELL = 100_000
MAX_NAME = 200

# All invalid rows are counted; this many are stored.
MAX_INVALID = 10_000

# The number of rows from which a schema is guessed.
SAMPLE_ROWS = 1000


class InvalidFileError(Exception):
    """A file cannot be read as rows. The message says why and, where possible, how to fix it."""


def row_size_error() -> InvalidFileError:
    """Return the error of a file with a row that is too large."""
    return InvalidFileError(gettext("A row is larger than %(number)s MB", number=number(MAX_ROW_BYTES // 1024**2)))


def check_row_size(size: int) -> None:
    """Raise InvalidFileError if a row has too many bytes."""
    if size > MAX_ROW_BYTES:
        raise row_size_error()


def check_row_count(count: int) -> None:
    """Raise InvalidFileError if a file has too many rows."""
    if count > MAX_ROWS:
        raise InvalidFileError(
            ngettext(
                "The file has more than %(count)s row; split it",
                "The file has more than %(count)s rows; split it",
                MAX_ROWS,
            )
        )


def check_column_count(count: int) -> None:
    """Raise InvalidFileError if a file has too many columns."""
    if count > MAX_COLUMNS:
        raise InvalidFileError(
            ngettext(
                "The file has %(count)s column; at most %(maximum)s are allowed",
                "The file has %(count)s columns; at most %(maximum)s are allowed",
                count,
                maximum=number(MAX_COLUMNS),
            )
        )
