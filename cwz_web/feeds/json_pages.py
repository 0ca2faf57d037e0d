"""Paged JSON: the pages of an API are fetched one after another and joined into one file.

The next page is found in the `Link` header (RFC 8288), in a field with its URL, by a cursor, or by its number. The
joined file has the structure of the first page with the lists of all pages, and its numbers as they were written.
"""

import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO
from urllib.parse import quote, urljoin, urlsplit

import orjson

from cwz_web.feeds.columns import normalize_name
from cwz_web.feeds.json_reader import reject_constant
from cwz_web.feeds.limits import InvalidFileError
from cwz_web.i18n import gettext, number
from cwz_web.net.client import FetchError

MAX_PAGES = 1000
MAX_PAGE_BYTES = 8 * 1024 * 1024
MAX_TOTAL_BYTES = 128 * 1024 * 1024
MAX_SECONDS = 300.0
# The part at each end of a large file that is searched for a link to the next page.
SEARCHED_BYTES = 64 * 1024
# Lists of rows are at most this deep in a page.
MAX_DEPTH = 2
MAX_PAGING_DEPTH = 3
MAX_CURSOR = 2000

# Names are compared without case and punctuation.
NEXT_URL_NAMES = {"next", "nexturl", "nexturi", "nextlink", "nexthref", "nextpage", "nextpageurl", "nextpagelink"}
NEXT_URL_NAMES |= {"odatanextlink", "nextrecordsurl"}
PAGING_OBJECTS = {"links", "link", "paging", "pagination", "pager", "meta", "metadata", "pageinfo", "page", "cursors"}
PAGING_OBJECTS |= {"cursor", "responsemetadata", "response"}
# The parameter of the request for each field with a cursor.
CURSOR_PARAMETERS = {
    "next": "cursor",
    "nextcursor": "cursor",
    "nextpagetoken": "page_token",
    "nexttoken": "next_token",
    "continuationtoken": "continuation_token",
    "nextcontinuationtoken": "continuation_token",
    "nextoffset": "offset",
    "nextpage": "page",
    "nextpagenumber": "page",
    "after": "after",
    "endcursor": "after",
}
# Fields that are cursors at the top level only, and only as texts.
TOP_CURSORS = {"cursor": "cursor", "offset": "offset"}
HAS_MORE_NAMES = {"hasmore", "hasnext", "hasnextpage", "hasmorepages", "morepages"}
PAGE_NUMBER_NAMES = {"page", "currentpage", "pagenumber", "number"}
PAGE_COUNT_NAMES = {"totalpages", "lastpage", "pagecount", "pagetotal", "numpages"}

_link = re.compile(r"<([^<>]{1,2048})>([^<]*)")
_relation = re.compile(r"""\brel\s*=\s*(?:"([^"]*)"|([^\s";,]*))""", re.IGNORECASE)
_next_field = re.compile(
    rb'"(?:next|next_?(?:url|link|page|page_?url|cursor|page_?token)|@odata\.nextlink)"\s*:\s*["{]', re.IGNORECASE
)

# Fetches a page within so many seconds. Returns its body and its Link header.
PageFetcher = Callable[[str, float], tuple[bytes, str]]


@dataclass(frozen=True)
class _Paging:
    """The objects of a page that may tell where the next one is, and whether there is one at all."""

    objects: list[dict[str, Any]]

    def values(self, names: set[str]) -> Iterator[tuple[str, Any]]:
        for found in self.objects:
            yield from ((name, value) for name, value in found.items() if normalize_name(name) in names)


def join_pages(file: BinaryIO, url: str, links: str, fetch: PageFetcher) -> bytes | None:
    """Fetch the pages after the first one and join them.

    Args:
        file: The first page.
        url: Its URL.
        links: Its Link header.
        fetch: Fetches another page.

    Returns:
        The joined JSON; None if the file is not paged.

    Raises:
        FetchError: A page cannot be fetched or read, or there are too many. Nothing is joined in part.
    """
    page = _load_first(file, links)
    next_url = find_next_page(url, links, page) if page is not None else None
    if page is None or next_url is None:
        return None
    joined, seen, size, deadline = _compact(page), {url}, file.tell(), time.monotonic() + MAX_SECONDS
    while next_url is not None:
        if next_url in seen:
            message = gettext("Page %(number)s of the file is a page that was already fetched", number=len(seen) + 1)
            raise FetchError(message)
        _check_limits(len(seen), size, deadline)
        seen.add(next_url)
        data, links = fetch(next_url, deadline - time.monotonic())
        size += len(data)
        page = _load(data, len(seen))
        if not _extend(joined, _compact(page)):
            break  # some APIs return cursors without end
        next_url = find_next_page(next_url, links, page)
    return orjson.dumps(joined)


def find_next_page(url: str, links: str, page: Any) -> str | None:
    """Return the URL of the page after a page, or None after the last one.

    Args:
        url: The URL of the page.
        links: Its Link header, or an empty text.
        page: Its JSON.

    Raises:
        FetchError: There is another page, but its URL is not known.
    """
    if target := _next_link(links):
        return _resolve(url, target)
    if not isinstance(page, dict) or not _has_rows(page):
        return None
    paging = _Paging(list(_paging_objects(page)))
    more = [value for _, value in paging.values(HAS_MORE_NAMES) if isinstance(value, bool)]
    if False in more:
        return None
    found = _next_url(url, paging) or _next_cursor(url, page, paging) or _next_number(url, paging)
    if found is None and more:
        raise FetchError(
            gettext("The file says that it has more pages, but not where; connect a URL that returns all rows")
        )
    return found


def read_page(file: BinaryIO) -> Any:
    """Return the JSON of a small file, or None if it is something else."""
    file.seek(0)
    data = file.read(MAX_PAGE_BYTES + 1)
    if len(data) > MAX_PAGE_BYTES or data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] not in (b"{", b"["):
        return None
    try:
        return _parse(data)
    except (ValueError, RecursionError):
        return None  # the reader reports the error, or reads it as JSON Lines


def _load_first(file: BinaryIO, links: str) -> Any:
    page = read_page(file)
    if page is not None or file.tell() <= MAX_PAGE_BYTES:
        return page
    file.seek(0)
    start = file.read(SEARCHED_BYTES).lstrip(b"\xef\xbb\xbf \t\r\n")
    file.seek(-SEARCHED_BYTES, 2)
    is_object = start.startswith(b"{") and (_next_field.search(start) or _next_field.search(file.read()))
    is_list = start.startswith(b"[") and _next_link(links)
    if is_object or is_list:
        message = gettext(
            "A page of the file is larger than %(number)s MB; ask for fewer rows a page",
            number=number(MAX_PAGE_BYTES // 1024**2),
        )
        raise FetchError(message)
    return None


def _load(data: bytes, page: int) -> Any:
    try:
        return _parse(data)
    except (ValueError, RecursionError):
        raise FetchError(gettext("Page %(number)s of the file is not valid JSON", number=page)) from None


def _parse(data: bytes) -> Any:
    return json.loads(data, parse_float=orjson.Fragment, parse_int=_parse_int, parse_constant=reject_constant)


def _parse_int(digits: str) -> int | orjson.Fragment:
    return int(digits) if len(digits) < 19 else orjson.Fragment(digits)


def _compact(value: Any, depth: int = 0) -> Any:
    """Return a page with the items of its lists as JSON, which takes a fraction of the memory."""
    try:
        if isinstance(value, list):
            return [orjson.Fragment(orjson.dumps(item)) for item in value]
    except orjson.JSONEncodeError:
        raise InvalidFileError(
            gettext("The JSON is nested too deeply, or contains text that is not valid Unicode")
        ) from None
    if isinstance(value, dict) and depth < MAX_DEPTH:
        return {name: _compact(nested, depth + 1) for name, nested in value.items()}
    return value


def _extend(joined: Any, page: Any, depth: int = 0) -> int:
    """Add the rows of a page to the same lists and objects of the joined pages. Return how many there were."""
    if isinstance(joined, list) and isinstance(page, list):
        joined.extend(page)
        return len(page)
    if not isinstance(joined, dict) or not isinstance(page, dict) or depth > MAX_DEPTH:
        return 0
    added = 0
    for name, value in page.items():
        if name in joined:
            added += _extend(joined[name], value, depth + 1)
        elif isinstance(value, list | dict):
            joined[name] = value
            added += 1
    return added


def _check_limits(pages: int, size: int, deadline: float) -> None:
    if pages >= MAX_PAGES:
        message = gettext("The file has more than %(number)s pages; ask for more rows a page", number=number(MAX_PAGES))
        raise FetchError(message)
    if size > MAX_TOTAL_BYTES:
        message = gettext(
            "The pages of the file have more than %(number)s MB", number=number(MAX_TOTAL_BYTES // 1024**2)
        )
        raise FetchError(message)
    if time.monotonic() >= deadline:
        message = gettext(
            "Fetching the pages of the file took more than %(seconds)s seconds", seconds=number(MAX_SECONDS, 0)
        )
        raise FetchError(message)


def _has_rows(page: dict[str, Any], depth: int = 0) -> bool:
    return any(
        isinstance(value, list) or (isinstance(value, dict) and depth < MAX_DEPTH and _has_rows(value, depth + 1))
        for value in page.values()
    )


def _paging_objects(page: dict[str, Any], depth: int = 0) -> Iterator[dict[str, Any]]:
    yield page
    for name, value in page.items():
        if normalize_name(name) not in PAGING_OBJECTS:
            continue
        if isinstance(value, dict) and depth < MAX_PAGING_DEPTH:
            yield from _paging_objects(value, depth + 1)
        elif isinstance(value, list):  # [{"rel": "next", "href": "…"}]
            yield from ({"next": each} for each in value if isinstance(each, dict) and each.get("rel") == "next")


def _next_url(url: str, paging: _Paging) -> str | None:
    for _, value in paging.values(NEXT_URL_NAMES):
        target = value.get("href", value.get("url")) if isinstance(value, dict) else value
        if isinstance(target, str) and target.startswith(("http://", "https://", "/", "?")):
            return _resolve(url, target)
    return None


def _next_link(links: str) -> str | None:
    """Return the target of the Link header whose relation is `next`."""
    for target, parameters in _link.findall(links):
        for quoted, plain in _relation.findall(parameters):
            if "next" in (quoted or plain).lower().split():
                return str(target)
    return None


def _resolve(url: str, target: str) -> str:
    try:
        return urljoin(url, target)
    except ValueError:
        raise FetchError(gettext("The file's link to the next page is not a URL")) from None


def _next_cursor(url: str, page: dict[str, Any], paging: _Paging) -> str | None:
    for name, value in paging.values(set(CURSOR_PARAMETERS)):
        is_text = isinstance(value, str) and 0 < len(value) <= MAX_CURSOR
        if is_text or (isinstance(value, int) and not isinstance(value, bool)):
            parameter = CURSOR_PARAMETERS[normalize_name(name)]
            return _with_parameter(url, name, parameter if is_text or parameter != "cursor" else "page", str(value))
    for name, parameter in TOP_CURSORS.items():
        value = page.get(name)
        if isinstance(value, str) and 0 < len(value) <= MAX_CURSOR and not value.isdecimal():
            return _with_parameter(url, name, parameter, value)
    return None


def _next_number(url: str, paging: _Paging) -> str | None:
    for found in paging.objects:
        one = _Paging([found])
        numbers, counts = (
            [(name, value) for name, value in one.values(names) if type(value) is int]
            for names in (PAGE_NUMBER_NAMES, PAGE_COUNT_NAMES)
        )
        if numbers and counts and numbers[0][1] < counts[0][1]:
            return _with_parameter(url, numbers[0][0], "page", str(numbers[0][1] + 1))
    return None


def _with_parameter(url: str, field: str, parameter: str, value: str) -> str:
    """Return a URL with another value of a query parameter, which is named like one that the URL has already."""
    parts = urlsplit(url)
    kept, name = [], parameter
    if field[:1].islower() and "_" not in field and field != field.lower():
        first, *rest = parameter.split("_")
        name = first + "".join(map(str.capitalize, rest))
    for each in filter(None, parts.query.split("&")):
        given = each.partition("=")[0]
        if normalize_name(given) == normalize_name(parameter):
            name = given
        else:
            kept.append(each)
    return parts._replace(query="&".join([*kept, f"{name}={quote(value, safe='')}"])).geturl()
