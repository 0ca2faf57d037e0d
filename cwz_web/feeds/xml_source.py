"""The bytes of an XML file for the parser: in UTF-8, and with common faults corrected.

A bare `&` and HTML's entities such as `&nbsp;` are not XML unless a DTD declares them, and control characters never
are. Shops export both. They are corrected outside of CDATA sections, comments and processing instructions.
"""

import codecs
import re
from html.entities import html5
from typing import BinaryIO

from cwz_web.feeds.encodings import convert_to_utf8, detect_encoding, encoding_key
from cwz_web.feeds.reading import ReadOptions
from cwz_web.i18n import gettext

CHUNK = 64 * 1024
HEAD = 4096
# A construct that may continue in the next chunk is at most this long, except for sections.
MAX_TOKEN = 64
SECTION_START = len(b"<![CDATA")
_declaration = re.compile(rb"\A\s*<\?xml[^>]*?encoding\s*=\s*[\"']([\w.:-]+)[\"'][^>]*\?>", re.IGNORECASE)
_any_declaration = re.compile(rb"\A\s*<\?xml[^>]*\?>", re.IGNORECASE)
_irregular = re.compile(rb"&(?!(?:amp|lt|gt|quot|apos|#[0-9]{1,7}|#x[0-9a-fA-F]{1,6});)")
_token = re.compile(rb"<!\[CDATA\[|<!--|<\?|&(?:(#[0-9]{1,7}|#x[0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{0,40});)?")
_controls = bytes(code for code in range(32) if code not in b"\t\n\r")
_known = frozenset((b"amp", b"lt", b"gt", b"quot", b"apos"))
_section_ends = {b"<![CDATA[": b"]]>", b"<!--": b"-->", b"<?": b"?>"}
# Names under which feeds declare encodings that Python calls differently, or that are subsets of others.
_ALIASES = {
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "x-sjis": "cp932",
    "big5": "cp950",
    "euc-kr": "cp949",
}


class XmlSource:
    """A file of XML as UTF-8 without a declaration.

    Attributes:
        file: The file, in UTF-8.
        encoding: The encoding of the original file.
        notes: What was corrected, as sentences; complete after it has been read.
    """

    def __init__(self, file: BinaryIO, options: ReadOptions) -> None:
        file.seek(0)
        head = file.read(HEAD)
        declared = _declared_encoding(head)
        detected = detect_encoding(file, options.encoding or _trusted(file, declared))
        self.encoding = encoding_key(detected.name)
        self._file_notes = list(detected.notes)
        if declared and options.encoding is None and not _is_same(declared, self.encoding):
            self._file_notes.append(
                gettext(
                    "The file declares the encoding “%(declared)s” but is in %(encoding)s",
                    declared=declared[:40],
                    encoding=self.encoding,
                )
            )
        is_utf8 = self.encoding == "utf-8" and not detected.notes
        self.file = file if is_utf8 else convert_to_utf8(file, detected.name)
        self.file.seek(0)
        self._start = _content_start(self.file.read(HEAD))
        self.notes: list[str] = []
        self.seek(0)

    def seek(self, offset: int) -> int:
        """Start again: only 0, which is where the content begins, is supported."""
        self.file.seek(self._start + offset)
        self.notes[:] = self._file_notes
        self._corrections = 0
        self._rest, self._section_end = b"", b""
        return offset

    def read(self, size: int) -> bytes:
        """Return the next bytes, corrected."""
        while True:
            data = self.file.read(max(size, CHUNK))
            chunk = self._rest + data
            self._rest = b""
            if not chunk:
                return b""
            cleaned = chunk.translate(None, _controls)
            self._count(len(chunk) - len(cleaned))
            if self._section_end or _irregular.search(cleaned) or _ends_in_token(cleaned):
                cleaned = self._correct(cleaned, is_last=not data)
            if cleaned:
                return cleaned

    def _count(self, corrections: int) -> None:
        if corrections and not self._corrections:
            self.notes.append(gettext("Characters that XML does not allow, such as a bare “&”, were corrected"))
        self._corrections += corrections

    def _correct(self, chunk: bytes, *, is_last: bool) -> bytes:
        """Return a chunk with its entities corrected; an incomplete end is kept for the next chunk."""
        parts: list[bytes] = []
        position = 0
        while True:
            if self._section_end:
                end = chunk.find(self._section_end, position)
                if end < 0:
                    return b"".join(parts) + self._keep_end(chunk, position, len(self._section_end) - 1, is_last)
                end += len(self._section_end)
                parts.append(chunk[position:end])
                position, self._section_end = end, b""
            match = _token.search(chunk, position)
            if match is None:
                return b"".join(parts) + self._keep_end(chunk, position, SECTION_START, is_last)
            rest = chunk[match.start() :] if match[0] == b"&" and len(chunk) - match.start() < MAX_TOKEN else b";"
            if not is_last and b";" not in rest:  # an entity may continue in the next chunk
                self._rest = rest
                return b"".join([*parts, chunk[position : match.start()]])
            parts.append(chunk[position : match.start()])
            position = match.end()
            if match[0][:1] == b"<":
                self._section_end = _section_ends[match[0]]
                parts.append(match[0])
            else:
                parts.append(self._entity(match[1] or b""))

    def _keep_end(self, chunk: bytes, position: int, size: int, is_last: bool) -> bytes:
        """Return the rest of a chunk, except for an end that may be the start of a token."""
        cut = len(chunk) if is_last else max(position, len(chunk) - size)
        self._rest = chunk[cut:]
        return chunk[position:cut]

    def _entity(self, name: bytes) -> bytes:
        if name in _known or name.startswith(b"#"):
            return b"&%b;" % name
        self._count(1)
        text = html5.get(f"{name.decode()};") if name else None
        if text is None:
            return b"&amp;%b" % (name + b";" if name else b"")
        return text.replace("&", "&amp;").replace("<", "&lt;").encode()


def _ends_in_token(chunk: bytes) -> bool:
    """Whether a chunk may end inside an entity or a CDATA section, or in the start of one."""
    if b"&" in chunk[-MAX_TOKEN:] or b"<" in chunk[-SECTION_START:]:
        return True
    return chunk.rfind(b"<![CDATA[") > chunk.rfind(b"]]>")


def _declared_encoding(head: bytes) -> str | None:
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return None
    match = _declaration.match(head.removeprefix(codecs.BOM_UTF8))
    return match[1].decode("ascii", "replace") if match else None


def _trusted(file: BinaryIO, declared: str | None) -> str | None:
    """Return the declared encoding if the file can be decoded with it and is not plainly UTF-8."""
    if declared is None:
        return None
    name = _ALIASES.get(declared.lower(), declared)
    canonical = _text_codec(name)
    if canonical is None or canonical in ("utf-8", "ascii") or canonical.startswith(("utf-16", "utf-32")):
        return None  # found out without the declaration
    return None if _decodes(file, "utf-8", needs_high=True) or not _decodes(file, name) else name


def _text_codec(name: str) -> str | None:
    """Return the codec of an encoding; None if it is unknown, or converts something else, such as Base64."""
    try:
        canonical = codecs.lookup(name).name
        b"a".decode(name)
    except (LookupError, ValueError):
        return None
    return None if canonical in ("idna", "punycode", "unicode-escape", "raw-unicode-escape", "utf-7") else canonical


def _decodes(file: BinaryIO, encoding: str, *, needs_high: bool = False) -> bool:
    """Whether a file can be decoded; with `needs_high` also whether it has non-ASCII characters."""
    file.seek(0)
    decoder, has_high = codecs.getincrementaldecoder(encoding)(), False
    try:
        while data := file.read(CHUNK):
            decoder.decode(data)
            has_high = has_high or not data.isascii()
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return has_high or not needs_high


def _is_same(declared: str, encoding: str) -> bool:
    canonical = _text_codec(_ALIASES.get(declared.lower(), declared))
    if canonical is None:
        return False
    return (
        canonical == codecs.lookup(encoding).name or canonical.startswith(("utf-16", "ascii")) or encoding == "utf-16"
    )


def _content_start(head: bytes) -> int:
    """Return where the content begins, behind a byte order mark, blanks and the declaration."""
    mark = len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0
    match = _any_declaration.match(head[mark:])
    if match:
        return mark + match.end()
    return len(head) - len(head[mark:].lstrip())
