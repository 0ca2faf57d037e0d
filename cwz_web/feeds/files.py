"""A file of any kind that we know becomes a table: unpacked if it is gzip, and recognised by what is in it."""

import codecs
import io
import re
import zlib

from cwz_web.feeds.csv_reader import read_csv
from cwz_web.feeds.json_reader import read_json, read_json_lines
from cwz_web.feeds.tables import MAX_BYTES, BadFile, Table
from cwz_web.feeds.xml_reader import read_xml

GZIP = b"\x1f\x8b"
CHUNK = 64 * 1024
# What people send by mistake, and what would be right.
MISTAKES = (
    (b"PK\x03\x04", "This is a spreadsheet or a zip file; save the table as CSV"),
    (b"\xd0\xcf\x11\xe0", "This is a spreadsheet in an old format; save the table as CSV"),
    (b"%PDF", "This is a PDF; bring the table itself, as CSV, JSON or XML"),
)
_web_page = re.compile(r"\A\s*<(?:!doctype\s+html|html[\s>])", re.IGNORECASE)


def read_table(data: bytes) -> Table:
    """Read a file of CSV, TSV, JSON, JSON Lines or XML, gzipped or not. Raises BadFile."""
    if data.startswith(GZIP):
        data = _unpacked(data)
    if len(data) > MAX_BYTES:
        raise BadFile(f"The file is larger than {MAX_BYTES // 1024**2} MB; split it")
    for begins, saying in MISTAKES:
        if data.startswith(begins):
            raise BadFile(saying)
    head = _head(data)
    if _web_page.match(head):
        raise BadFile("This is a web page, not a feed; look for the address of the file itself")
    match head.lstrip()[:1]:
        case "<":
            return read_xml(data)
        case "[":
            return read_json(_utf_8(data))
        case "{":
            data = _utf_8(data)
            return read_json_lines(data) if _is_lines(data) else read_json(data)
    return read_csv(data)


def _unpacked(data: bytes) -> bytes:
    """The content of a gzip file, which is never unpacked beyond what a file may have."""
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    content, source = bytearray(), io.BytesIO(data)
    try:
        while part := source.read(CHUNK):
            while part:
                content += unpacker.decompress(part, MAX_BYTES + 1 - len(content))
                if len(content) > MAX_BYTES:
                    raise BadFile(f"Unpacked, the file is larger than {MAX_BYTES // 1024**2} MB; split it")
                part = unpacker.unconsumed_tail
    except zlib.error:
        raise BadFile("The file is packed with gzip, and damaged") from None
    if not unpacker.eof:
        raise BadFile("The file is packed with gzip, and its end is missing")
    return bytes(content)


def _head(data: bytes) -> str:
    """The beginning, as text, to recognise it by."""
    begin = data[:4096]
    if begin.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return begin.decode("utf-16", "replace")
    return begin.decode("utf-8-sig", "replace")


def _utf_8(data: bytes) -> bytes:
    """JSON is UTF-8 (RFC 8259); some write it otherwise all the same."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            return data.decode("utf-16").encode()
        except UnicodeDecodeError:
            raise BadFile("The file's encoding is not known; save it in UTF-8") from None
    return data.removeprefix(codecs.BOM_UTF8)


def _is_lines(data: bytes) -> bool:
    """Whether the first line is an object of its own, and another one follows."""
    first, _, rest = data.lstrip().partition(b"\n")
    return first.rstrip().endswith(b"}") and rest[:CHUNK].lstrip().startswith(b"{")
