"""Parsing of form bodies, and the forms that are rejected."""

from contextlib import suppress
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyramid.httpexceptions import HTTPBadRequest, HTTPRequestEntityTooLarge

from cwz_web.web import form_body
from cwz_web.web.form_body import MULTIPART, URLENCODED, read_form_body
from cwz_web.web.request import Request

HEAD = b'--x\r\nContent-Disposition: form-data; name="a"'
PART = HEAD + b"\r\n\r\n1\r\n"
END = b"--x--\r\n"


def request_of(content_type: str, body: bytes, path: str = "/signin", method: str = "POST") -> Request:
    return Request.blank(path, method=method, body=body, headers={"Content-Type": content_type})


def read(content_type: str, body: bytes, **more: Any) -> list[tuple[str, Any]]:
    return list(read_form_body(request_of(content_type, body, **more)).items())


def test_fields_are_parsed() -> None:
    body = b"a=1+2&b=&a=%C3%A9&c&%26=%3d;"
    assert read(URLENCODED, body) == [("a", "1 2"), ("b", ""), ("a", "é"), ("c", ""), ("&", "=;")]
    assert read(f"{URLENCODED}; charset=UTF-8", b"") == []


def test_files_are_open_until_the_request_ends() -> None:
    files = {"file": ("töst.csv", b"a,b\r\n1,2\r\n" * 40_000, "text/csv")}
    sent = httpx.Request("POST", "http://x/", data={"name": "Größe", "pasted": "x" * 300_000}, files=files)
    request = request_of(sent.headers["Content-Type"], sent.read())
    form = read_form_body(request)
    assert (form["name"], len(form["pasted"])) == ("Größe", 300_000)
    file = form["file"]
    assert (file.filename, file.file.read()) == ("töst.csv", files["file"][1])
    request._process_finished_callbacks()
    assert file.file is None


def test_empty_file_field_is_ignored() -> None:
    no_file = HEAD + b'; filename=""\r\nContent-Type: application/octet-stream\r\n\r\n\r\n'
    assert read(f"{MULTIPART}; boundary=x", no_file + PART + END) == [("a", "1")]


texts = st.text(st.characters(codec="utf-8"), max_size=20)


@given(st.lists(st.tuples(texts.filter(bool), texts), min_size=1, max_size=5))
def test_any_text_is_parsed(fields: list[tuple[str, str]]) -> None:
    assert read(URLENCODED, urlencode(fields).encode()) == fields
    values = [(f"f{number}", value) for number, (_, value) in enumerate(fields)]
    sent = httpx.Request("POST", "http://x/", files=[(name, (None, value)) for name, value in values])
    assert read(sent.headers["Content-Type"], sent.read()) == values


@given(st.sampled_from([URLENCODED, MULTIPART, f"{MULTIPART}; boundary=x", f'{MULTIPART}; boundary="']), st.binary())
def test_any_body_is_parsed_or_rejected(content_type: str, body: bytes) -> None:
    for sent in (body, HEAD + body, PART + body):
        with suppress(HTTPBadRequest):  # anything else fails the test
            read(content_type, sent)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (MULTIPART, PART + END),
        (f"{MULTIPART}; boundary=", PART + END),
        (f"{MULTIPART}; boundary=x", PART),
        (f"{MULTIPART}; boundary=x", b"a=1"),
        (f"{MULTIPART}; boundary=x", b"--x\r\nContent-Disposition: attachment\r\n\r\n1\r\n" + END),
        (f"{MULTIPART}; boundary=x", HEAD + b"\r\n\r\n\xff\r\n" + END),
        (f"{MULTIPART}; boundary=x", HEAD + b"\r\nContent-Type: text/plain; charset=punycode\r\n\r\n\xff\r\n" + END),
        (f"{MULTIPART}; boundary=x", HEAD + b'; filename="b.txt"\r\n\r\n1\r\n' + END),
        (URLENCODED, b"a=%ff"),
        (URLENCODED, b"a=\xff&\xff=1"),
    ],
)
def test_invalid_form_is_rejected(content_type: str, body: bytes) -> None:
    with pytest.raises(HTTPBadRequest, match="form is invalid"):
        read(content_type, body)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (URLENCODED, b"a=1&" * 10_000),
        (URLENCODED, b"&" * 10_000),
        (f"{URLENCODED}; boundary=x", b"a=1&" * 10_000),
        (f"{MULTIPART}; boundary=x", PART * 10_001 + END),
        (f'{MULTIPART}; boundary=no; boundary="x"', PART * 10_001 + END),
        (f"{MULTIPART}; boundary=x", HEAD + b";" * 5_000 + b"\r\n\r\n1\r\n" + END),
        (f"{MULTIPART}; boundary=x", HEAD + b"\r\nA: b" * 10 + b"\r\n\r\n1\r\n" + END),
    ],
)
def test_too_many_fields_are_rejected(monkeypatch: pytest.MonkeyPatch, content_type: str, body: bytes) -> None:
    monkeypatch.setattr(form_body, "parse_qsl", None)
    with pytest.raises(HTTPBadRequest, match="too many fields"):
        read(content_type, body)


def test_too_much_text_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(form_body, "MAX_FORM", 1000)
    monkeypatch.setattr(form_body, "MAX_TEXT", 1000)
    large = HEAD + b"\r\n\r\n" + b"x" * 600 + b"\r\n"
    for content_type, body in ((URLENCODED, b"a=" + b"%41" * 333), (f"{MULTIPART}; boundary=x", large * 2 + END)):
        with pytest.raises(HTTPRequestEntityTooLarge):
            read(content_type, body)
    file = large.replace(b'"a"', b'"file"; filename="b"')
    assert [name for name, _ in read(f"{MULTIPART}; boundary=x", file * 2 + large + END)] == ["file", "file", "a"]


@pytest.mark.parametrize("name", [b"; " * 500_000, b'";' * 500_000, b'\\";' * 300_000, b"x" * 1_000_000])
def test_long_names_are_parsed_in_linear_time(name: bytes) -> None:
    """WebOb took from a quarter of an hour to days for each."""
    with pytest.raises(HTTPBadRequest):
        read(f"{MULTIPART}; boundary=x", HEAD[:-2] + name + b"\r\n\r\n1\r\n" + END)
    with pytest.raises(HTTPBadRequest):
        read(f'{MULTIPART}; boundary="{name.decode()}', PART + END)


@pytest.mark.parametrize(
    ("content_type", "more"),
    [
        (URLENCODED, {"path": "/v1/feeds/1/imports"}),
        (URLENCODED, {"path": "/hooks/slack"}),
        (URLENCODED, {"method": "PUT"}),
        ("application/json", {}),
        ("", {}),
    ],
)
def test_other_bodies_are_not_parsed_as_forms(content_type: str, more: dict[str, str]) -> None:
    assert read(content_type, b"a=1", **more) == []
