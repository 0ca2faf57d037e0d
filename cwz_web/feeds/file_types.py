"""Detection of a file's format (CSV, JSON, JSON Lines, XML, each optionally gzipped) and opening it as rows."""

import codecs
import io
import re
import tempfile
import zlib
from itertools import islice
from typing import BinaryIO

from cwz_web.feeds.csv_reader import csv_records
from cwz_web.feeds.json_reader import json_lines_records, json_records
from cwz_web.feeds.limits import MAX_BYTES, InvalidFileError
from cwz_web.feeds.records import InvalidEntry, Records, Row, Table
from cwz_web.feeds.xml_reader import xml_records

GZIP = b"\x1f\x8b"
CHUNK = 64 * 1024
HEAD = 64 * 1024
# Larger temporary files are written to disk.
IN_MEMORY = 8 * 1024 * 1024
# Other formats by their first bytes, and what to do instead.
UNSUPPORTED_FORMATS = (
    (b"PK\x03\x04", "This is a spreadsheet or a zip file; export the table as CSV"),
    (b"\xd0\xcf\x11\xe0", "This is a spreadsheet; export the table as CSV"),
    (b"%PDF", "This is a PDF; upload the table as CSV, JSON or XML"),
)
DAMAGED_GZIP = "The gzip file is damaged"
_web_page = re.compile(r"\A\s*<(?:!doctype\s+html|html[\s>])", re.IGNORECASE)


def open_records(file: BinaryIO) -> Records:
    """Open a file of CSV, TSV, JSON, JSON Lines or XML, gzipped or not.

    Raises:
        InvalidFileError: The file cannot be read as rows; also raised while the rows are read.
    """
    head = _head(file)
    if head.startswith(GZIP):
        file = _decompress(file)
        head = _head(file)
    if file.seek(0, io.SEEK_END) > MAX_BYTES:
        raise InvalidFileError(f"The file is larger than {MAX_BYTES // 1024**2} MB; split it")
    for signature, message in UNSUPPORTED_FORMATS:
        if head.startswith(signature):
            raise InvalidFileError(message)
    text = _decode_head(head)
    if _web_page.match(text):
        raise InvalidFileError("This is a web page, not a feed; use the URL of the file itself")
    match text.lstrip()[:1]:
        case "<":
            return xml_records(file)
        case "[":
            return json_records(_as_utf8(file))
        case "{":
            file = _as_utf8(file)
            return json_lines_records(file) if _is_json_lines(_head(file)) else json_records(file)
    return csv_records(file)


def read_table(file: BinaryIO, limit: int | None = None) -> Table:
    """Read the valid rows of a file, or the valid ones among its first rows. Raises InvalidFileError."""
    records = open_records(file)
    rows = [entry[1] for entry in islice(records, limit) if not isinstance(entry, InvalidEntry)]
    return Table(records.columns, rows, records.notes)


def read_sample(file: BinaryIO, limit: int) -> Table:
    """Read the first rows of a file that may be incomplete.

    Raises:
        InvalidFileError: there is no row at all.
    """
    records = open_records(file)
    rows: list[Row] = []
    try:
        for entry in islice(records, limit):
            if not isinstance(entry, InvalidEntry):
                rows.append(entry[1])
    except InvalidFileError:
        if not rows:
            raise
    return Table(records.columns, rows, records.notes)


def truncate_to_line(file: BinaryIO) -> BinaryIO:
    """Return the start of a file up to its last complete line, decompressed.

    No character is cut in two.
    """
    file.seek(0)
    start = file.read()
    if start.startswith(GZIP):
        try:
            start = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16).decompress(start, CHUNK * 64)
        except zlib.error:
            raise InvalidFileError(DAMAGED_GZIP) from None
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return temporary_file(start[: len(start) // 2 * 2])
    return temporary_file(start[: start.rfind(b"\n") + 1] or start)


class _TemporaryFile(tempfile.SpooledTemporaryFile[bytes]):
    """A temporary file that is closed when it is garbage-collected: a stream of rows may be dropped half-way."""

    def __del__(self) -> None:
        self.close()


def temporary_file(data: bytes = b"") -> BinaryIO:
    """Return a new temporary file, in memory while it is small."""
    file: BinaryIO = _TemporaryFile(IN_MEMORY)  # type: ignore[assignment]
    file.write(data)
    return file


def _decompress(compressed: BinaryIO) -> BinaryIO:
    """Decompress a gzip file, at most up to the maximum size of a file."""
    decompressor = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    content, size = temporary_file(), 0
    compressed.seek(0)
    try:
        while data := compressed.read(CHUNK):
            while data:
                chunk = decompressor.decompress(data, CHUNK * 16)
                size += len(chunk)
                if size > MAX_BYTES:
                    raise InvalidFileError(
                        f"The file is larger than {MAX_BYTES // 1024**2} MB when decompressed; split it"
                    )
                content.write(chunk)
                data = decompressor.unconsumed_tail
    except zlib.error:
        raise InvalidFileError(DAMAGED_GZIP) from None
    if not decompressor.eof:
        raise InvalidFileError("The gzip file is incomplete; its end is missing")
    return content


def _head(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read(HEAD)


def _decode_head(head: bytes) -> str:
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return head.decode("utf-16", "replace")
    return head.decode("utf-8-sig", "replace")


def _as_utf8(file: BinaryIO) -> BinaryIO:
    """Convert JSON to UTF-8 without a byte order mark, as RFC 8259 requires and ijson expects."""
    head = _head(file)
    wide = head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    if not wide and not head.startswith(codecs.BOM_UTF8):
        return file
    converted, decoder = temporary_file(), codecs.getincrementaldecoder("utf-16" if wide else "utf-8-sig")()
    file.seek(0)
    try:
        while data := file.read(CHUNK):
            converted.write(decoder.decode(data).encode())
        converted.write(decoder.decode(b"", final=True).encode())
    except UnicodeError:
        raise InvalidFileError("The file's encoding is unknown; save it in UTF-8") from None
    return converted


def _is_json_lines(head: bytes) -> bool:
    """Return whether the first line is a complete object and another object follows."""
    first, _, rest = head.lstrip().partition(b"\n")
    return first.rstrip().endswith(b"}") and rest.lstrip().startswith(b"{")
