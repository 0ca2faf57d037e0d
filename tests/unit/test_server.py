"""How large a body may be, and where, as waitress is told byte by byte."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
from waitress.adjustments import Adjustments

from cwz_web.server import FILES_AT_ONCE, MAX_FILE, Parser

SMALL = 1000


@pytest.fixture(autouse=True)
def nothing_on_its_way() -> Iterator[None]:
    Parser.on_their_way.clear()
    yield
    Parser.on_their_way.clear()


def begin(path: str, size: int | None, method: str = "POST") -> Parser:
    """A request up to its body."""
    parser = Parser(Adjustments(max_request_body_size=SMALL))
    length = "Transfer-Encoding: chunked" if size is None else f"Content-Length: {size}"
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\n{length}\r\n\r\n".encode()
    assert parser.received(head) == len(head)
    return parser


@pytest.mark.parametrize("path", ["/w/demo/feeds/new", "/w/demo/feeds/1-2/import", "/v1/feeds/1-2/imports?x=1"])
def test_where_files_are_taken_a_body_may_be_large(path: str) -> None:
    assert begin(path, MAX_FILE - 1).error is None
    refused = begin(path, MAX_FILE).error
    assert (refused.code, refused.body) == (413, "A file may have 512 MB at the most")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/signin"),
        ("PUT", "/v1/feeds/1-2/imports"),
        ("POST", "/v1/feeds/1-2/imports/1"),
        ("POST", "/w/demo/feeds/new/x"),
        ("POST", "/x/w/demo/feeds/new"),
    ],
)
def test_elsewhere_it_may_not(method: str, path: str) -> None:
    assert begin(path, SMALL - 1, method).error is None
    assert begin(path, SMALL, method).error.code == 413


def test_a_body_of_unknown_length_is_ended_when_it_is_too_large() -> None:
    parser = begin("/signin", None)
    for _ in range(3):
        parser.received(b"190\r\n" + b"x" * 400 + b"\r\n")
    assert parser.error.code == 413
    other = begin("/w/demo/feeds/new", None)
    for _ in range(3):
        other.received(b"190\r\n" + b"x" * 400 + b"\r\n")
    assert other.error is None


def test_only_so_many_large_files_are_taken_at_once() -> None:
    under_way = [begin("/w/demo/feeds/new", 10_000) for _ in range(FILES_AT_ONCE)]
    assert begin("/w/demo/feeds/new", 10_000).error.code == 503
    assert begin("/w/demo/feeds/new", SMALL - 1).error is None, "a small one goes through"
    under_way.pop()
    assert begin("/w/demo/feeds/new", 10_000).error is None


def test_a_port_that_is_taken_is_told_in_a_sentence() -> None:
    """In a process of its own: what waitress had opened by then is nobody's to close."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        serve = f"from cwz_web.server import server_factory; server_factory({{}}, listen='127.0.0.1:{port}')(id)"
        ended = subprocess.run(
            [sys.executable, "-c", serve], env={**os.environ, "PORT": ""}, capture_output=True, text=True, check=False
        )
    assert ended.returncode == 1
    assert ended.stderr == f"127.0.0.1:{port} is taken. Name another port in the environment: PORT=6544\n"
