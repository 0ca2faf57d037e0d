"""What a form holds: read once, at the door, within limits, and in a time that grows with its length only.

WebOb's own way has no limits, and takes minutes for a part whose name is half a megabyte of semicolons.
"""

from typing import Any
from urllib.parse import parse_qsl

from multipart import MultipartParser, ParserLimitReached, parse_options_header
from pyramid.httpexceptions import HTTPBadRequest, HTTPRequestEntityTooLarge
from webob.multidict import MultiDict

from cwz_web.web.problems import is_machine
from cwz_web.web.request import IN_MEMORY, Request

URLENCODED, MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data"
# The form of a feed with as many columns as one may have has 3,000.
MAX_FIELDS = 10_000
# Without files. Each escape is read by itself, so that a megabyte of them takes up to half a second.
MAX_FORM = 4 * 1024 * 1024
# All texts beside files: two million characters may be pasted. How large files may be, the server says.
MAX_TEXT = 8 * 1024 * 1024


def read_posted(request: Request) -> MultiDict[str, Any]:
    """The fields of a form: texts, and files with `filename` and `file`. None where programs ask, and of no other body.

    Raises HTTPBadRequest and HTTPRequestEntityTooLarge.
    """
    if is_machine(request) or request.method != "POST":
        return MultiDict()
    kind, options = parse_options_header(request.headers.get("Content-Type", ""))
    try:
        if kind == URLENCODED:
            return _fields(request)
        if kind == MULTIPART:
            return _parts(request, options.get("boundary", ""))
    except ParserLimitReached:
        raise HTTPBadRequest("The form has more fields than any of ours, or longer names") from None
    except ValueError:  # what is wrong with its parts, and bytes that are no text
        raise HTTPBadRequest("The form cannot be read") from None
    return MultiDict()


def _fields(request: Request) -> MultiDict[str, Any]:
    if (request.content_length or 0) > MAX_FORM:
        raise HTTPRequestEntityTooLarge(f"A form may have {MAX_FORM // 1024**2} MB at most")
    body = request.body
    if body.count(b"&") >= MAX_FIELDS:
        raise ParserLimitReached
    return MultiDict(parse_qsl(body.decode(), keep_blank_values=True, errors="strict"))


def _parts(request: Request, boundary: str) -> MultiDict[str, Any]:
    fields: MultiDict[str, Any] = MultiDict()
    left = MAX_TEXT
    length = -1 if request.content_length is None else request.content_length
    parser = MultipartParser(request.body_file, boundary, length, part_limit=MAX_FIELDS, spool_limit=IN_MEMORY)
    for part in parser:
        request.add_finished_callback(lambda _, part=part: part.close())
        if part.filename is not None:
            if part.filename:  # a browser's field for files comes without a name when nobody chose one
                fields.add(part.name, part)
            continue
        left -= part.size
        if left < 0:
            raise HTTPRequestEntityTooLarge(f"The texts of a form may have {MAX_TEXT // 1024**2} MB at most")
        fields.add(part.name, part.raw.decode())
    return fields
