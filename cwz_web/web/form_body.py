"""Form bodies: parsed once, within limits, and in linear time.

WebOb's parser has no limits and takes quadratic time (`docs/upstream/webob.md`).
"""

from typing import Any
from urllib.parse import parse_qsl

from multipart import MultipartParser, ParserLimitReached, parse_options_header
from pyramid.httpexceptions import HTTPBadRequest, HTTPRequestEntityTooLarge

from cwz_web.i18n import gettext
from cwz_web.web.fields import Fields
from cwz_web.web.problems import is_api_request
from cwz_web.web.request import IN_MEMORY, Request

URLENCODED, MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data"
# The form of a feed with the maximum number of columns has 3,000 fields.
MAX_FIELDS = 10_000
# Bytes of a form without files. Percent-decoding a megabyte takes up to half a second.
MAX_FORM = 4 * 1024 * 1024
# The field of files. A file in any other one is a value that no form expects, and no view could read as text.
FILE_FIELD = "file"
# Bytes of all text fields beside files; users can paste two million characters. The server limits files.
MAX_TEXT = 8 * 1024 * 1024


def read_form_body(request: Request) -> Fields:
    """Return the fields of a form: text, and files with `filename` and `file`. Empty for API requests and other bodies.

    Raises:
        HTTPBadRequest: The form is invalid, or has too many fields.
        HTTPRequestEntityTooLarge: The form is too large.
    """
    if is_api_request(request) or request.method != "POST":
        return Fields()
    content_type = parse_options_header(request.headers.get("Content-Type", ""))[0]
    try:
        if content_type == URLENCODED:
            return _fields(request)
    except ParserLimitReached:
        raise HTTPBadRequest(gettext("The form has too many fields, or field names that are too long")) from None
    except ValueError:  # bytes that are not UTF-8
        raise HTTPBadRequest(gettext("The form is invalid")) from None
    return read_multipart(request) if content_type == MULTIPART else Fields()


def read_multipart(request: Request) -> Fields:
    """Return the fields of a multipart body (RFC 7578), of a page or the API.

    Raises:
        HTTPBadRequest: The form is invalid, has too many fields, or a file in a field of text.
        HTTPRequestEntityTooLarge: Its text fields are too large.
    """
    options = parse_options_header(request.headers.get("Content-Type", ""))[1]
    try:
        return _parts(request, options.get("boundary", ""))
    except ParserLimitReached:
        raise HTTPBadRequest(gettext("The form has too many fields, or field names that are too long")) from None
    except ValueError:  # invalid parts, files as text, and bytes that are not UTF-8
        raise HTTPBadRequest(gettext("The form is invalid")) from None


def _fields(request: Request) -> Fields:
    if (request.content_length or 0) > MAX_FORM:
        raise HTTPRequestEntityTooLarge(gettext("A form can have at most %(number)s MB", number=MAX_FORM // 1024**2))
    body = request.body
    if body.count(b"&") >= MAX_FIELDS:
        raise ParserLimitReached
    return Fields(parse_qsl(body.decode(), keep_blank_values=True, errors="strict"))


def _parts(request: Request, boundary: str) -> Fields:
    fields: list[tuple[str, Any]] = []
    remaining = MAX_TEXT
    length = -1 if request.content_length is None else request.content_length
    parser = MultipartParser(request.body_file, boundary, length, part_limit=MAX_FIELDS, spool_limit=IN_MEMORY)
    for part in parser:
        request.add_finished_callback(lambda _, part=part: part.close())
        if part.filename is not None:
            if part.filename:  # a browser sends an empty file name if no file is chosen
                if part.name != FILE_FIELD:
                    raise ValueError
                fields.append((part.name, part))
            continue
        remaining -= part.size
        if remaining < 0:
            raise HTTPRequestEntityTooLarge(
                gettext("The text fields of a form can have at most %(number)s MB", number=MAX_TEXT // 1024**2)
            )
        fields.append((part.name, part.raw.decode()))
    return Fields(fields)
