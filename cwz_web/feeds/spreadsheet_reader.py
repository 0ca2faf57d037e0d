"""Reader of spreadsheets."""

from typing import BinaryIO

from cwz_web.feeds.limits import InvalidFileError
from cwz_web.feeds.reading import ReadOptions
from cwz_web.feeds.records import Records


def spreadsheet_records(file: BinaryIO, options: ReadOptions) -> Records:
    """Read a sheet of a spreadsheet. Raises InvalidFileError."""
    raise InvalidFileError("This is a spreadsheet; export the table as CSV")
