"""Photo URLs in the cells of a feed, as shops write them.

A cell has one URL or several: separated by commas, semicolons, pipes, line breaks or blanks; in parentheses behind a
name (`front.jpg (https://…)`, as in Airtable and Markdown); or in a JSON list. A separator counts only where a URL
begins behind it, since URLs contain commas, semicolons and blanks themselves.

`normalize_url` does what browsers do with such a URL (https://url.spec.whatwg.org): it encodes the host (RFC 5891)
and percent-encodes the path and the query (RFC 3986).
"""

import re

import idna

from cwz_web.i18n import gettext_lazy, number_lazy
from cwz_web.net.urls import MAX_URL_LENGTH, percent_encode

MAX_URLS = 50
QUOTES = "\"'`“”„‟‘’‚‛«»‹›<>"
# How many quotes may stand between a separator and a URL.
MAX_QUOTES = 3
SEPARATORS = ",;|"
NO_PHOTO = gettext_lazy("The row has no image")
NOT_A_URL = gettext_lazy("The value is not a URL that begins with https:// or http://")

_start = re.compile(r"(?:https?:)?//", re.IGNORECASE)
_scheme = re.compile(r"([a-z][a-z0-9+.-]*):", re.IGNORECASE)
# A host has at most 253 characters (RFC 1035). The possessive quantifiers keep the time linear.
_protocol_relative = re.compile(r"//[^\s/?#,;|.]{1,253}+\.[^\s/?#,;|]{1,253}+/")
_path_start = re.compile(r"[/?#\\]")
_port = re.compile(r"[0-9]{1,5}")
# A percent sign that does not begin an encoded byte.
_bare_percent = re.compile(r"%(?![0-9A-Fa-f]{2})")
# Byte order marks, zero-width spaces and soft hyphens, which word processors and spreadsheets leave behind.
_invisible = dict.fromkeys(map(ord, "\ufeff\u200b\u200c\u200d\u2060\u00ad\x00"))


class InvalidPhotoUrlError(ValueError):
    """The text is not the URL of a photo; the message says why."""


def split_urls(cell: str) -> list[str]:
    """Return the URLs in a cell as they are written there, the first MAX_URLS of them.

    A text without any URL is returned as the only one, so that `normalize_url` says what is wrong with it.
    """
    text = _trim(cell.translate(_invisible))
    if text.startswith("[") and text.endswith("]"):  # a list in JSON
        text = _trim(text[1:-1].replace("\\/", "/"))
    urls: list[str] = []
    position = 0
    while len(urls) < MAX_URLS and (start := _find_start(text, position, in_parentheses=True)) is not None:
        is_enclosed = start > 0 and text[start - 1] == "("
        position = _closing_parenthesis(text, start) if is_enclosed else _find_end(text, start)
        urls.append(_trim(text[start:position]))
    return urls or ([text] if text else [])


def normalize_url(text: str) -> str:
    """Return a URL from a cell in ASCII, with its scheme. Raises InvalidPhotoUrlError."""
    text = text.replace("&amp;", "&")
    if text.startswith("//"):
        text = f"https:{text}"
    scheme, slashes, rest = text.partition("://")
    if not slashes or scheme.lower() not in ("http", "https"):
        raise InvalidPhotoUrlError(_explain(text))
    found = _path_start.search(rest)
    end = found.start() if found else len(rest)
    path = _bare_percent.sub("%25", rest[end:].replace("\\", "/"))
    url = f"{scheme.lower()}://{_normalize_authority(rest[:end])}{percent_encode(path)}"
    if len(url) > MAX_URL_LENGTH:
        raise InvalidPhotoUrlError(
            gettext_lazy("The URL is longer than %(max)s characters", max=number_lazy(MAX_URL_LENGTH))
        )
    return url


def _find_start(text: str, position: int, *, in_parentheses: bool) -> int | None:
    """Return where the next URL begins: at the start of the text, behind a separator, or in parentheses."""
    for match in _start.finditer(text, position):
        before = match.start()
        while before > 0 and match.start() - before < MAX_QUOTES and text[before - 1] in QUOTES:
            before -= 1
        if before == 0:
            return match.start()
        preceding = text[before - 1]
        is_separated = preceding in SEPARATORS or preceding.isspace() or (preceding == "(" and in_parentheses)
        if is_separated and (not match[0].startswith("/") or _protocol_relative.match(text, match.start())):
            return match.start()
    return None


def _find_end(text: str, start: int) -> int:
    """Return where a URL outside of parentheses ends: at a line break, or before the next URL."""
    following = _find_start(text, start + 1, in_parentheses=False)
    end = len(text) if following is None else following
    line_end = min((found for mark in "\r\n" if (found := text.find(mark, start, end)) >= 0), default=end)
    return min(end, line_end)


def _closing_parenthesis(text: str, start: int) -> int:
    depth = 0
    for position in range(start, len(text)):
        if text[position] == "(":
            depth += 1
        elif text[position] == ")":
            depth -= 1
            if depth < 0:
                return position
    return len(text)


def _trim(text: str) -> str:
    """Drop blanks, quotes and separators around a URL."""
    start, end = 0, len(text)
    while start < end and (text[start] in QUOTES + SEPARATORS or text[start].isspace()):
        start += 1
    while end > start and (text[end - 1] in QUOTES + SEPARATORS or text[end - 1].isspace()):
        end -= 1
    return text[start:end]


def _explain(text: str) -> str:
    """Say why a text is not a URL. The text itself is left out, so that equal reasons can be counted."""
    if not text.strip():
        return NO_PHOTO
    scheme = _scheme.match(text)
    if scheme and len(scheme[1]) == 1:
        return gettext_lazy("The value is a path on a computer, not a URL")
    if scheme and scheme[1].lower() not in ("http", "https"):
        return gettext_lazy(
            "The value begins with %(scheme)s:, but only https:// and http:// URLs can be fetched",
            scheme=scheme[1][:20].lower(),
        )
    if text.startswith(("/", "./", "../")):
        return gettext_lazy("The value is a path without a host. Use a URL that begins with https://")
    return NOT_A_URL


def _normalize_authority(authority: str) -> str:
    """Return a host in ASCII, with its port. Raises InvalidPhotoUrlError."""
    if "@" in authority:
        raise InvalidPhotoUrlError(gettext_lazy("The URL contains a user name or password"))
    host, colon, port = (authority, "", "") if authority.endswith("]") else authority.partition(":")
    if authority.startswith("[") and not authority.endswith("]"):
        host, colon, port = authority.rpartition(":")
    if colon and not _port.fullmatch(port):
        raise InvalidPhotoUrlError(gettext_lazy("The URL’s port is not a number"))
    if not host:
        raise InvalidPhotoUrlError(gettext_lazy("The URL has no host"))
    if not host.isascii():
        try:
            host = idna.encode(host, uts46=True).decode("ascii")
        except UnicodeError:
            raise InvalidPhotoUrlError(gettext_lazy("The URL’s host name is not valid")) from None
    if not re.fullmatch(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]", host):
        raise InvalidPhotoUrlError(gettext_lazy("The URL’s host name is not valid"))
    return f"{host.lower()}{colon}{port}"
