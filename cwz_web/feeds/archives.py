"""Unpacking of files: gzip with one or several members (RFC 1952), and zip files with a table inside.

Every size is counted while it is decompressed, at most up to the maximum size of a file, whatever the archive declares.
"""

import re
import zipfile
import zlib
from dataclasses import dataclass
from typing import BinaryIO, cast

from cwz_web.feeds.limits import MAX_BYTES, InvalidFileError
from cwz_web.feeds.temporary_files import temporary_file
from cwz_web.i18n import gettext, gettext_noop, ngettext, number

GZIP = b"\x1f\x8b"
ZIP = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
CHUNK = 64 * 1024
# A zip file's directory is read in one piece.
MAX_DIRECTORY = 4 * 1024 * 1024
MAX_MEMBERS = 10_000
MAX_CHOICES = 100
DAMAGED_GZIP = gettext_noop("The gzip file is damaged")
DAMAGED_ZIP = gettext_noop("The zip file is damaged")
# Names that tables end in, by how likely it is that they are the feed; the suffix .gz does not count.
TABLE_SUFFIXES = (
    (".csv", ".tsv", ".xlsx", ".xls", ".ods", ".xml", ".rss", ".jsonl", ".ndjson"),
    (".json",),
    (".txt", ".gz"),
)
# Files that stand next to a table and are none.
OTHER_SUFFIXES = (
    *(".md", ".rst", ".html", ".htm", ".pdf", ".doc", ".docx", ".rtf", ".log", ".ini", ".db", ".css", ".js", ".exe"),
    *(".jpg", ".jpeg", ".png", ".gif", ".webp", ".avif", ".svg", ".bmp", ".tif", ".tiff", ".ico", ".psd", ".mp4"),
)
_document = re.compile(
    r"(?:read[ _-]?me|licen[cs]e|copying|notice|change[ _-]?log|meta(?:[ _-]?data)?|manifest|schema)(?![^\W_])",
    re.IGNORECASE,
)
# Parts of spreadsheets, which are zip files.
SPREADSHEET_PARTS = {"xl/workbook.xml", "xl/workbook.bin", "content.xml"}


@dataclass(frozen=True)
class ZipTable:
    """A file taken from a zip file: its name, the names to choose from, and a note if there was a choice."""

    file: BinaryIO
    name: str
    names: tuple[str, ...]
    notes: list[str]


def decompress_gzip(compressed: BinaryIO) -> BinaryIO:
    """Decompress all members of a gzip file. Raises InvalidFileError."""
    content, size = temporary_file(), 0
    decompressor = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    compressed.seek(0)
    try:
        while data := compressed.read(CHUNK):
            while data:
                if decompressor.eof:  # another member, or padding
                    data = data.lstrip(b"\x00")
                    if not data:
                        break
                    if not data.startswith(GZIP[: len(data)]):
                        return content
                    decompressor = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
                chunk = decompressor.decompress(data, CHUNK * 16)
                size += len(chunk)
                check_size(size)
                content.write(chunk)
                data = decompressor.unused_data if decompressor.eof else decompressor.unconsumed_tail
    except zlib.error:
        raise InvalidFileError(gettext(DAMAGED_GZIP)) from None
    if not decompressor.eof:
        raise InvalidFileError(gettext("The gzip file is incomplete; its end is missing"))
    return content


def decompress_start(start: bytes, size: int) -> bytes:
    """Decompress the start of a gzip file up to a size. Raises InvalidFileError."""
    content, rest = b"", start
    try:
        while rest.startswith(GZIP) and len(content) < size:
            decompressor = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
            content += decompressor.decompress(rest, size - len(content))
            rest = decompressor.unused_data
    except zlib.error:
        if not content:
            raise InvalidFileError(gettext(DAMAGED_GZIP)) from None
    return content


def is_spreadsheet(file: BinaryIO) -> bool:
    """Whether a zip file is a spreadsheet (XLSX, XLSB, ODS). Raises InvalidFileError."""
    with _open_zip(file) as archive:
        return not SPREADSHEET_PARTS.isdisjoint(archive.namelist())


def open_zip_member(file: BinaryIO, chosen: str | None = None) -> ZipTable:
    """Unpack the chosen file of a zip file, or the one that is most likely a table. Raises InvalidFileError."""
    with _open_zip(file) as archive:
        members = [info for info in archive.infolist() if _is_visible(info)]
        if not members:
            raise InvalidFileError(gettext("The zip file has no files in it"))
        tables = [info for info in members if _type_rank(info.filename) < len(TABLE_SUFFIXES)] or members
        names = tuple(info.filename for info in tables[:MAX_CHOICES])
        member = max(tables, key=_preference)
        if chosen is not None:
            named = [info for info in members if info.filename == chosen]
            # The name may contain a date, so that the only table is the chosen one.
            if not named and sum(not _document.match(_base_name(info.filename)) for info in tables) > 1:
                message = gettext(
                    "The zip file has no file “%(name)s”; choose one of: %(names)s",
                    name=chosen,
                    names=", ".join(names[:10]),
                )
                raise InvalidFileError(message)
            member = next(iter(named), member)
        notes = [_choice_note(len(tables), member.filename)] if len(tables) > 1 and not chosen else []
        return ZipTable(_extract(archive, member), member.filename, names, notes)


def _choice_note(count: int, name: str) -> str:
    return ngettext(
        "The zip file has %(count)s file; “%(name)s” was read",
        "The zip file has %(count)s files; “%(name)s” was read",
        count,
        name=name,
    )


def check_size(size: int) -> None:
    """Raise InvalidFileError if a decompressed file is too large."""
    if size > MAX_BYTES:
        raise InvalidFileError(
            gettext(
                "The file is larger than %(number)s MB when decompressed; split it", number=number(MAX_BYTES // 1024**2)
            )
        )


class _BoundedFile:
    """A file object for zipfile that does not read a huge directory into memory."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        if size > MAX_DIRECTORY:
            raise InvalidFileError(gettext("The zip file has too many files in it"))
        return self._file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True


def _open_zip(file: BinaryIO) -> zipfile.ZipFile:
    try:
        archive = zipfile.ZipFile(cast(BinaryIO, _BoundedFile(file)))
    except (zipfile.BadZipFile, ValueError, OverflowError, NotImplementedError, OSError):
        raise InvalidFileError(gettext(DAMAGED_ZIP)) from None
    if len(archive.filelist) > MAX_MEMBERS:
        raise InvalidFileError(gettext("The zip file has too many files in it"))
    return archive


def _is_visible(info: zipfile.ZipInfo) -> bool:
    parts = info.filename.split("/")
    return not info.is_dir() and "__MACOSX" not in parts and not parts[-1].startswith(".")


def _preference(info: zipfile.ZipInfo) -> tuple[bool, bool, int, int]:
    """Return what is greater for a file that is more likely the feed: its name, its type, then its size."""
    is_document = _document.match(_base_name(info.filename)) is not None
    return info.file_size > 0, not is_document, -_type_rank(info.filename), info.file_size


def _type_rank(name: str) -> int:
    """Return the position of a file's type in TABLE_SUFFIXES; other types follow."""
    lower = name.lower()
    plain = lower.removesuffix(".gz")
    for rank, suffixes in enumerate(TABLE_SUFFIXES):
        if plain.endswith(suffixes) or lower.endswith(suffixes):
            return rank
    return len(TABLE_SUFFIXES) + plain.endswith(OTHER_SUFFIXES)


def _base_name(name: str) -> str:
    return name.rpartition("/")[2]


def _extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> BinaryIO:
    if member.flag_bits & 1:
        raise InvalidFileError(gettext("The zip file is encrypted; upload it without a password"))
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InvalidFileError(
            gettext("The zip file uses an unusual compression; compress it with the usual one (Deflate)")
        )
    content, size = temporary_file(), 0
    try:
        with archive.open(member) as source:
            while data := source.read(CHUNK):
                size += len(data)
                check_size(size)
                content.write(data)
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, OSError, NotImplementedError):
        raise InvalidFileError(gettext(DAMAGED_ZIP)) from None
    return content
