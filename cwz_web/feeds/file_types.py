"""Detection of a file's format (CSV, JSON, JSON Lines, XML, spreadsheets, also compressed) and opening it as rows."""

import codecs
import io
import re
from dataclasses import replace
from hashlib import sha256
from itertools import islice
from typing import BinaryIO

from cwz_web.feeds.archives import (
    GZIP,
    ZIP,
    ZipTable,
    decompress_gzip,
    decompress_start,
    is_spreadsheet,
    open_zip_member,
)
from cwz_web.feeds.csv_reader import csv_records
from cwz_web.feeds.encodings import convert_to_utf8, detect_encoding
from cwz_web.feeds.json_reader import json_lines_records, json_records
from cwz_web.feeds.limits import MAX_BYTES, InvalidFileError
from cwz_web.feeds.reading import ReadOptions
from cwz_web.feeds.records import InvalidEntry, Records, Row, Table
from cwz_web.feeds.spreadsheet_reader import spreadsheet_records
from cwz_web.feeds.temporary_files import temporary_file
from cwz_web.feeds.xml_reader import xml_records
from cwz_web.i18n import gettext, gettext_noop, number

CHUNK = 64 * 1024
HEAD = 64 * 1024
# A table may be compressed in a compressed file, but not deeper.
MAX_LAYERS = 3
OLE = b"\xd0\xcf\x11\xe0"  # an XLS file
# The start of these files cannot be read without their end.
NEEDS_END = (*ZIP, OLE)
# Other formats by their first bytes, and what to do instead.
UNSUPPORTED_FORMATS = (
    (b"%PDF", gettext_noop("This is a PDF; upload the table as CSV, JSON, XML or a spreadsheet")),
    (b"\x89PNG", gettext_noop("This is an image; upload a table with the URLs of images")),
    (b"\xff\xd8\xff", gettext_noop("This is an image; upload a table with the URLs of images")),
)
_web_page = re.compile(r"\A\s*<(?:!doctype\s+html|html[\s>])", re.IGNORECASE)


def open_records(file: BinaryIO, options: ReadOptions | None = None) -> Records:
    """Open a file of CSV, TSV, JSON, JSON Lines, XML, XLSX, XLS or ODS, also compressed by gzip or zip.

    Args:
        file: The file.
        options: How to read it; what is not set is detected.

    Raises:
        InvalidFileError: The file cannot be read as rows; also raised while the rows are read.
    """
    options = options or ReadOptions()
    table: ZipTable | None = None
    notes = list[str]()
    for _ in range(MAX_LAYERS):
        head = _head(file)
        if head.startswith(GZIP):
            file = decompress_gzip(file)
        elif head.startswith(ZIP) and not is_spreadsheet(file):
            inner = open_zip_member(file, None if table else options.member)
            file, table = inner.file, table or inner
            notes += inner.notes
        else:
            break
    records = _open_table(file, options)
    if table is not None:
        records.reading = replace(records.reading, member=table.name, members=table.names)
    records.file_notes[:0] = notes
    return records


def _open_table(file: BinaryIO, options: ReadOptions) -> Records:
    if file.seek(0, io.SEEK_END) > MAX_BYTES:
        raise InvalidFileError(
            gettext("The file is larger than %(number)s MB; split it", number=number(MAX_BYTES // 1024**2))
        )
    head = _head(file)
    for signature, message in UNSUPPORTED_FORMATS:
        if head.startswith(signature):
            raise InvalidFileError(gettext(message))
    if head.startswith(NEEDS_END):
        return spreadsheet_records(file, options)
    text = _decode_head(head)
    if _web_page.match(text):
        raise InvalidFileError(gettext("This is a web page, not a feed; use the URL of the file itself"))
    match text.lstrip()[:1]:
        case "<":
            return xml_records(file, options)
        case "[" | "{":
            return _open_json(file, options)
    return csv_records(file, options)


def _open_json(file: BinaryIO, options: ReadOptions) -> Records:
    """Open JSON or JSON Lines, converted to UTF-8 without a byte order mark (RFC 8259)."""
    head = _head(file)
    encoding = detect_encoding(file, options.encoding)
    name = encoding.name.removesuffix("-sig")
    if name != "utf-8" or encoding.notes or head.startswith(codecs.BOM_UTF8):
        file = convert_to_utf8(file, encoding.name)
    is_lines = head.lstrip()[:1] == b"{" and _is_json_lines(_head(file))
    records = json_lines_records(file) if is_lines else json_records(file, options)
    records.reading = replace(records.reading, encoding=name)
    records.file_notes += encoding.notes
    return records


def read_table(file: BinaryIO, limit: int | None = None, options: ReadOptions | None = None) -> Table:
    """Read the valid rows of a file, or the valid ones among its first rows. Raises InvalidFileError."""
    records = open_records(file, options)
    rows = [entry[1] for entry in islice(records, limit) if not isinstance(entry, InvalidEntry)]
    return _table(records, rows)


def read_sample(file: BinaryIO, limit: int, options: ReadOptions | None = None) -> Table:
    """Read the first rows of a file that may be incomplete. Raises InvalidFileError if there is not a single one."""
    records = open_records(file, options)
    rows: list[Row] = []
    try:
        for entry in islice(records, limit):
            if not isinstance(entry, InvalidEntry):
                rows.append(entry[1])
    except InvalidFileError:
        if not rows:
            raise
    return _table(records, rows)


def _table(records: Records, rows: list[Row]) -> Table:
    return Table(records.columns, rows, list(records.notes), list(records.header), records.reading)


def needs_end(file: BinaryIO) -> bool:
    """Whether the start of a file cannot be read without its end: a zip file or a spreadsheet."""
    return _head(file).startswith(NEEDS_END)


def truncate_to_line(file: BinaryIO) -> BinaryIO:
    """Return the start of a file up to its last complete line, decompressed, so that no character is cut in two.

    The start of a zip file cannot be read without its end; it is returned as it is.
    """
    file.seek(0)
    start = file.read()
    if start.startswith(GZIP):
        start = decompress_start(start, CHUNK * 64)
    if start.startswith(NEEDS_END):
        return temporary_file(start)
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\x00" in start[:HEAD]:
        return temporary_file(start[: len(start) // 2 * 2])
    return temporary_file(start[: start.rfind(b"\n") + 1] or start)


def digest_file(file: BinaryIO) -> str:
    """Return the SHA-256 of a file, as hexadecimal digits."""
    digest = sha256()
    file.seek(0)
    while data := file.read(CHUNK):
        digest.update(data)
    return digest.hexdigest()


def _head(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read(HEAD)


def _decode_head(head: bytes) -> str:
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return head.decode("utf-16", "replace")
    if head[:4].count(0) == 2:  # UTF-16 without a byte order mark
        return head.decode("utf-16-le" if head[1:2] == b"\x00" else "utf-16-be", "replace")
    return head.decode("utf-8-sig", "replace")


def _is_json_lines(head: bytes) -> bool:
    """Whether the first line is a complete object and another object follows."""
    first, _, rest = head.lstrip().partition(b"\n")
    return first.rstrip().endswith(b"}") and rest.lstrip().startswith(b"{")
