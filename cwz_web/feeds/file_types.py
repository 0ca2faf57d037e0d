"""A file of any kind that we know becomes a stream of rows: unpacked if it is gzip, recognised by what is in it."""

import codecs
import io
import re
import tempfile
import zlib
from itertools import islice
from typing import BinaryIO

from cwz_web.feeds.csv_reader import csv_records
from cwz_web.feeds.json_reader import json_lines_records, json_records
from cwz_web.feeds.limits import MAX_BYTES, Invalid, InvalidFileError, Records, Row, Table
from cwz_web.feeds.xml_reader import xml_records

GZIP = b"\x1f\x8b"
CHUNK = 64 * 1024
HEAD = 64 * 1024
# What is kept in memory; more goes to a file without a name.
IN_MEMORY = 8 * 1024 * 1024
# What people send by mistake, and what would be right.
MISTAKES = (
    (b"PK\x03\x04", "This is a spreadsheet or a zip file; save the table as CSV"),
    (b"\xd0\xcf\x11\xe0", "This is a spreadsheet in an old format; save the table as CSV"),
    (b"%PDF", "This is a PDF; bring the table itself, as CSV, JSON or XML"),
)
_web_page = re.compile(r"\A\s*<(?:!doctype\s+html|html[\s>])", re.IGNORECASE)


def open_records(file: BinaryIO) -> Records:
    """The rows of a file of CSV, TSV, JSON, JSON Lines or XML, gzipped or not. Raises InvalidFileError, now or while reading."""
    head = _head(file)
    if head.startswith(GZIP):
        file = _unpacked(file)
        head = _head(file)
    if file.seek(0, io.SEEK_END) > MAX_BYTES:
        raise InvalidFileError(f"The file is larger than {MAX_BYTES // 1024**2} MB; split it")
    for begins, saying in MISTAKES:
        if head.startswith(begins):
            raise InvalidFileError(saying)
    text = _as_text(head)
    if _web_page.match(text):
        raise InvalidFileError("This is a web page, not a feed; look for the address of the file itself")
    match text.lstrip()[:1]:
        case "<":
            return xml_records(file)
        case "[":
            return json_records(_utf_8(file))
        case "{":
            file = _utf_8(file)
            return json_lines_records(file) if _is_lines(_head(file)) else json_records(file)
    return csv_records(file)


def read_table(file: BinaryIO, limit: int | None = None) -> Table:
    """The file's rows in memory, or the first of them, without those that are left out. Raises InvalidFileError."""
    records = open_records(file)
    rows = [entry[1] for entry in islice(records, limit) if not isinstance(entry, Invalid)]
    return Table(records.columns, rows, records.notes)


def read_sample(file: BinaryIO, limit: int) -> Table:
    """The first rows of a file that may break off, as far as they are whole. Raises InvalidFileError when there are none."""
    records = open_records(file)
    rows: list[Row] = []
    try:
        for entry in islice(records, limit):
            if not isinstance(entry, Invalid):
                rows.append(entry[1])
    except InvalidFileError:
        if not rows:
            raise
    return Table(records.columns, rows, records.notes)


def to_line_end(file: BinaryIO) -> BinaryIO:
    """The beginning of a file up to the end of its last whole line, so that no character is cut in two."""
    file.seek(0)
    begin = file.read()
    if begin.startswith(GZIP):
        try:
            begin = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16).decompress(begin, CHUNK * 64)
        except zlib.error:
            raise InvalidFileError("The file is packed with gzip, and damaged") from None
    if begin.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return spooled(begin[: len(begin) // 2 * 2])
    return spooled(begin[: begin.rfind(b"\n") + 1] or begin)


class _Spooled(tempfile.SpooledTemporaryFile[bytes]):
    """A file that closes itself when nobody reads it any more: a stream of rows may be dropped half-way."""

    def __del__(self) -> None:
        self.close()


def spooled(data: bytes = b"") -> BinaryIO:
    """A file of our own, in memory as long as it is small."""
    file: BinaryIO = _Spooled(IN_MEMORY)  # type: ignore[assignment]
    file.write(data)
    return file


def _unpacked(packed: BinaryIO) -> BinaryIO:
    """The content of a gzip file, which is never unpacked beyond what a file may have."""
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    content, size = spooled(), 0
    packed.seek(0)
    try:
        while part := packed.read(CHUNK):
            while part:
                piece = unpacker.decompress(part, CHUNK * 16)
                size += len(piece)
                if size > MAX_BYTES:
                    raise InvalidFileError(f"Unpacked, the file is larger than {MAX_BYTES // 1024**2} MB; split it")
                content.write(piece)
                part = unpacker.unconsumed_tail
    except zlib.error:
        raise InvalidFileError("The file is packed with gzip, and damaged") from None
    if not unpacker.eof:
        raise InvalidFileError("The file is packed with gzip, and its end is missing")
    return content


def _head(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read(HEAD)


def _as_text(head: bytes) -> str:
    """The beginning, as text, to recognise it by."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return head.decode("utf-16", "replace")
    return head.decode("utf-8-sig", "replace")


def _utf_8(file: BinaryIO) -> BinaryIO:
    """JSON is UTF-8 without a mark (RFC 8259); some write it otherwise all the same."""
    head = _head(file)
    wide = head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    if not wide and not head.startswith(codecs.BOM_UTF8):
        return file
    plain, decoder = spooled(), codecs.getincrementaldecoder("utf-16" if wide else "utf-8-sig")()
    file.seek(0)
    try:
        while part := file.read(CHUNK):
            plain.write(decoder.decode(part).encode())
        plain.write(decoder.decode(b"", final=True).encode())
    except UnicodeError:
        raise InvalidFileError("The file's encoding is not known; save it in UTF-8") from None
    return plain


def _is_lines(head: bytes) -> bool:
    """Whether the first line is an object of its own, and another one follows."""
    first, _, rest = head.lstrip().partition(b"\n")
    return first.rstrip().endswith(b"}") and rest.lstrip().startswith(b"{")
