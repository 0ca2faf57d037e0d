"""Limits on request bodies and headers, and how the server stops."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from configparser import ConfigParser
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryFile
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from waitress.adjustments import Adjustments

from cwz_web.api.feeds import MAX_ITEMS_BODY
from cwz_web.web.admission import RequestHead
from cwz_web.web.request_parser import MAX_FILE_BODY, Parser, TooSlow
from tests.installation import ROOT, free_port, is_serving, wait_for
from tests.wsgi_server import serving

MAX_BODY = 1000


@pytest.fixture(autouse=True)
def no_large_body_in_progress() -> Iterator[None]:
    Parser.large_bodies.clear()
    yield
    Parser.large_bodies.clear()


def start_request(path: str, size: int | None, method: str = "POST") -> Parser:
    """Parse a request up to its body."""
    parser = Parser(Adjustments(max_request_body_size=MAX_BODY))
    length = "Transfer-Encoding: chunked" if size is None else f"Content-Length: {size}"
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\n{length}\r\n\r\n".encode()
    assert parser.received(head) == len(head)
    return parser


@pytest.mark.parametrize("ini", ["development.ini", "production.ini", "deploy/container.ini"])
def test_ini_files_limit_bodies_and_headers(ini: str) -> None:
    # WebOb decodes the escapes of a URL in more than linear time: 0.4 s at 256 KB, the default of waitress.
    settings = ConfigParser()
    settings.read(ROOT / ini)
    server = settings["server:main"]
    assert MAX_ITEMS_BODY < int(server["max_request_body_size"]) < 2 * MAX_ITEMS_BODY
    parser = Parser(Adjustments(max_request_header_size=server["max_request_header_size"]))
    parser.received(b"GET /?" + b"%41" * 44_000)
    assert parser.error.code == 431


@pytest.mark.parametrize("blanks", [b" " * 120_000, b"\t" * 120_000])
def test_header_of_blanks_is_rejected(blanks: bytes) -> None:
    """waitress takes three minutes for it, in the thread that reads all connections."""
    for header in (b"A:" + blanks + b"b", b"A: b" + blanks + b"c", b"A: b" + blanks):
        parser = Parser(Adjustments())
        parser.received(b"GET / HTTP/1.1\r\n" + header + b"\r\n\r\n")
        assert parser.completed
        assert parser.error.code == 400


@pytest.mark.parametrize("line", [b"f" * 100_000, b"1;a=" + b"b" * 100_000, b"0\r\n" + b"A: b\r\n" * 20_000])
def test_chunk_with_a_long_control_line_is_rejected(line: bytes) -> None:
    """17 MB of it took two minutes."""
    parser = Parser(Adjustments())
    sent = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + line
    while sent and not parser.completed:
        sent = sent[parser.received(sent[:8192]) :]
    assert parser.error.code == 400
    assert len(sent) > 80_000


def test_chunked_body_is_accepted() -> None:
    parser = Parser(Adjustments())
    for part in (
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"2;a=b\r\nab\r",
        b"\n1\r\nc\r\n0\r\nX: y\r\n\r\n",
    ):
        assert parser.received(part) == len(part)
    assert (parser.completed, parser.error, parser.get_body_stream().read()) == (True, None, b"abc")


@pytest.mark.parametrize("url", ["http://[", "http://[x]/", "http://\u2100.example/"])
def test_invalid_url_gets_a_response(url: str) -> None:
    parser = Parser(Adjustments())
    parser.received(f"GET {url} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert parser.completed
    assert parser.error is None or parser.error.code == 400


@pytest.mark.parametrize(
    "path", ["/w/demo/feeds/new", "/w/demo/feeds/1-2/import", "/w/demo/uploads", "/v1/feeds/1-2/imports?x=1"]
)
def test_file_urls_accept_large_bodies(path: str) -> None:
    assert start_request(path, MAX_FILE_BODY - 1).error is None
    error = start_request(path, MAX_FILE_BODY).error
    assert (error.code, error.body) == (413, "A file can have at most 512 MB")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/signin"),
        ("PUT", "/v1/feeds/1-2/imports"),
        ("POST", "/v1/feeds/1-2/imports/1"),
        ("POST", "/w/demo/feeds/new/x"),
        ("POST", "/x/w/demo/feeds/new"),
        ("POST", "/w/demo/uploads/file"),
    ],
)
def test_other_urls_reject_large_bodies(method: str, path: str) -> None:
    assert start_request(path, MAX_BODY - 1, method).error is None
    assert start_request(path, MAX_BODY, method).error.code == 413


def test_chunked_body_that_grows_too_large_is_rejected() -> None:
    parser = start_request("/signin", None)
    for _ in range(3):
        parser.received(b"190\r\n" + b"x" * 400 + b"\r\n")
    assert parser.error.code == 413
    other = start_request("/w/demo/feeds/new", None)
    for _ in range(3):
        other.received(b"190\r\n" + b"x" * 400 + b"\r\n")
    assert other.error is None


@pytest.mark.parametrize(("path", "limit", "per_sender"), [("/w/demo/feeds/new", 12, 2), ("/v1/images", 32, 8)])
def test_concurrent_large_bodies_are_limited(path: str, limit: int, per_sender: int) -> None:
    def admitted(sender: str | None) -> Parser:
        parser = Parser(Adjustments())
        parser.received(f"POST {path} HTTP/1.1\r\nContent-Length: 2000000\r\n\r\n".encode())
        assert parser.needs_admission
        parser.admit(sender)
        assert not parser.needs_admission
        return parser

    assert admitted(None).error.code == 401
    in_progress = [admitted("a") for _ in range(per_sender)]
    assert [parser.error for parser in in_progress] == [None] * per_sender
    assert admitted("a").error.code == 503, "one sender cannot take all"
    in_progress += [admitted(str(number)) for number in range(limit - per_sender)]
    assert admitted("another").error.code == 503
    in_progress.pop()
    assert admitted("another").error is None


@pytest.mark.parametrize("size", [None, 1024 * 1024 + 1])
def test_body_needs_admission_when_it_is_large(size: int | None) -> None:
    parser = Parser(Adjustments())
    length = "Transfer-Encoding: chunked" if size is None else f"Content-Length: {size}"
    parser.received(f"POST /signin HTTP/1.1\r\n{length}\r\n\r\n".encode())
    assert parser.needs_admission == (size is not None)
    if size is None:
        for _ in range(1025):
            parser.received(b"400\r\n" + b"x" * 1024 + b"\r\n")
        assert parser.needs_admission


def test_slow_requests_are_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("cwz_web.web.request_parser.time.monotonic", lambda: now)
    head, body = Parser(Adjustments()), start_request("/signin", 900)
    fast = start_request("/w/demo/feeds/new", 10_000_000)
    now += 29
    for parser in (head, body, fast):
        parser.received(b"G")
        assert parser.error is None
    fast.received(b"x" * 1_000_000)
    now += 2
    for parser in (head, body):
        parser.received(b"E")
        assert parser.error.code == 408
    assert fast.received(b"x") == 1
    assert fast.error is None
    now += 70
    fast.received(b"x")
    assert isinstance(fast.error, TooSlow)


# What two servers can read differently; each is a head, which the test completes.
AMBIGUOUS = [
    "GET / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked",
    "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3",
    "GET / HTTP/1.1\r\nTRANSFER-encoding: chunked\r\ncontent-LENGTH: 3",
    "GET / HTTP/1.0\r\nTransfer-Encoding: chunked",
    "GET / HTTP/1.1\r\nTransfer-Encoding: chunked, chunked",
    "GET / HTTP/1.1\r\nTransfer-Encoding: identity, chunked",
    "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "GET / HTTP/1.1\r\nTransfer-Encoding : chunked",
    "GET / HTTP/1.1\r\nTransfer-Encoding:\tchunked,",
    "GET / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3",
    "GET / HTTP/1.1\r\nContent-Length: 3, 3",
    "GET / HTTP/1.1\r\nContent-Length: +3",
    "GET / HTTP/1.1\r\nContent-Length: -3",
    "GET / HTTP/1.1\r\nContent-Length: 0x3",
    "GET / HTTP/1.1\r\nContent-Length: 3_0",
    "GET / HTTP/1.1\r\nContent-Length:",
    "GET / HTTP/1.1\r\nHost: a\r\nHost: b",
    "GET / HTTP/1.1\r\nA: b\r\n folded",
    "GET / HTTP/1.1\r\nA: b\r\n\tfolded",
    "GET / HTTP/1.1\r\n folded: x",
    "GET / HTTP/1.1\r\nA: b\rContent-Length: 3",
    "GET / HTTP/1.1\r\nA: b\nContent-Length: 3",
    "GET / HTTP/1.1\r\nA\x00: b",
    "GET / HTTP/1.1\r\nA b: c",
    "GET / HTTP/1.1\r\n: c",
    "GET / HTTP/1.1\r\nno colon",
    "GET http://evil.test/ HTTP/1.1\r\nHost: x",
    "GET / HTTP/1.2",
    "GET / HTTP/2.0",
    "GET / HTTP/0.9",
    "GET / HTTP/1.10",
    "GET / http/1.1",
    "GET / HTTP/1.1 ",
    "GET /",
    "GET  / HTTP/1.1",
    "GET / x HTTP/1.1",
    "get / HTTP/1.1",
    "GET\t/\tHTTP/1.1",
    "PRI * HTTP/2.0",
]


class AppWithUsers:
    """An application that echoes the size of the body, and looks like ours to the server."""

    def __init__(self) -> None:
        settings = SimpleNamespace(development=False)
        self.registry = {"services": SimpleNamespace(settings=settings)}
        self.calls = 0

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        self.calls += 1
        body = str(len(environ["wsgi.input"].read())).encode()
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]


@pytest.fixture
def served() -> Iterator[tuple[AppWithUsers, Callable[[bytes], bytes]]]:
    """A running server, and a function that sends bytes and returns what comes until the server closes."""
    app = AppWithUsers()
    with serving(app, ident="ConnectWyze") as port:

        def send(data: bytes) -> bytes:
            with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
                received = b""
                with suppress(ConnectionError):  # the server closes without having read all
                    client.sendall(data)
                with suppress(ConnectionError):
                    while part := client.recv(65536):
                        received += part
                return received

        yield app, send


@pytest.mark.parametrize("head", AMBIGUOUS)
def test_ambiguous_head_is_refused(served: tuple[AppWithUsers, Callable[[bytes], bytes]], head: str) -> None:
    """With another request behind it, which must not be answered."""
    app, send = served
    answer = send(f"{head}\r\n\r\n".encode("latin-1") + b"0\r\n\r\nGET /second HTTP/1.1\r\nHost: x\r\n\r\n")
    assert re.match(rb"HTTP/1\.[01] (400|501) ", answer), head
    assert answer.count(b"Content-Type: ") == 1
    assert app.calls == 0


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET / HTTP/9.9\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", b"501"),
        (b"POST / HTTP/1.1\r\nContent-Length: 9999999999\r\n\r\n", b"413"),
        (b"GET / HTTP/1.1\r\nA: " + b"b" * 300_000 + b"\r\n\r\n", b"431"),
        (b"POST / HTTP/1.1\r\nContent-Length: 2000000\r\nExpect: 100-continue\r\n\r\n", b"401"),
    ],
)
def test_own_errors_have_the_security_headers(
    served: tuple[AppWithUsers, Callable[[bytes], bytes]],
    monkeypatch: pytest.MonkeyPatch,
    request_bytes: bytes,
    status: bytes,
) -> None:
    monkeypatch.setattr("cwz_web.web.admission.find_sender", lambda *_: None)
    answer = served[1](request_bytes)
    assert answer.split(b" ")[1] == status
    for header in ("Content-Security-Policy", "X-Content-Type-Options", "X-Frame-Options", "Referrer-Policy"):
        assert f"\r\n{header}: ".encode() in answer
    assert b"Strict-Transport-Security: max-age" in answer
    assert b"Connection: close" in answer
    assert b"waitress" not in answer.lower()


@pytest.mark.parametrize(
    ("head", "status", "code"),
    [
        (b"Content-Length: 2000000", 401, "unauthorized"),
        (b"Content-Length: 9999999999", 413, "body_too_large"),
    ],
)
def test_own_errors_are_problems_for_api_clients(
    served: tuple[AppWithUsers, Callable[[bytes], bytes]],
    monkeypatch: pytest.MonkeyPatch,
    head: bytes,
    status: int,
    code: str,
) -> None:
    monkeypatch.setattr("cwz_web.web.admission.find_sender", lambda *_: None)
    answer, _, body = served[1](b"POST /v1/images HTTP/1.1\r\n%s\r\n\r\n" % head).partition(b"\r\n\r\n")
    assert b"Content-Type: application/problem+json" in answer
    problem = json.loads(body)
    assert (problem["status"], problem["code"]) == (status, code)
    assert f"X-Request-Id: {problem['request_id']}".encode() in answer


def test_sender_is_known_before_the_body_is_read(
    served: tuple[AppWithUsers, Callable[[bytes], bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    app, send = served
    heads: list[RequestHead] = []

    def find_sender(_: object, head: RequestHead) -> str | None:
        heads.append(head)
        return "someone" if "AUTHORIZATION" in head.headers else None

    monkeypatch.setattr("cwz_web.web.admission.find_sender", find_sender)
    chunk = b"80000\r\n" + b"x" * 0x80000 + b"\r\n"
    chunked = (
        b"POST /a HTTP/1.1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n%s\r\n" + chunk * 4 + b"0\r\n\r\n"
    )
    assert b" 401 " in send((chunked % b"")[: 3 * 0x80000])
    known = b"Authorization: Bearer x\r\n"
    assert send(chunked % known).endswith(str(4 * 0x80000).encode())
    large = b"POST /b HTTP/1.1\r\nConnection: close\r\nContent-Length: 2000000\r\nExpect: 100-continue\r\n%s\r\n"
    answer = send(large % known + b"y" * 2_000_000)
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK")
    assert answer.endswith(b"2000000")
    assert [head.path for head in heads] == ["/a", "/a", "/b"]
    assert app.calls == 2


def test_client_that_holds_many_connections_stops_no_other() -> None:
    with serving(AppWithUsers(), connection_limit=20) as port, ExitStack() as clients:
        for number in range(60):
            client = clients.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
            client.sendall((b"", b"GET / HT", b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n1")[number % 3])
        assert httpx.get(f"http://127.0.0.1:{port}/", timeout=20).text == "0"


def test_failing_lookup_is_answered(
    served: tuple[AppWithUsers, Callable[[bytes], bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("no database")

    monkeypatch.setattr("cwz_web.web.admission.find_sender", fail)
    answer = served[1](b"POST / HTTP/1.1\r\nContent-Length: 2000000\r\n\r\n")
    assert b" 503 " in answer
    assert b"Retry-After: 60" in answer


STOPPING = """
import sys, time
from pathlib import Path
from cwz_web.ops.health import draining
from cwz_web.server import server_factory

port, drain_seconds, released = sys.argv[1:]
started = []

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/slow":
        started.append(path)
        while not Path(released).exists():
            time.sleep(0.05)
        body = b"x" * 3_000_000
    else:
        body = str(len(started) if path == "/started" else draining.is_set()).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]

serve = server_factory({}, listen="127.0.0.1:" + port, drain_seconds=drain_seconds, threads="8")
try:
    serve(app)
except KeyboardInterrupt:
    sys.exit(3)
"""


# In a process of its own, since waitress leaves its sockets open and signals end processes. A signal can interrupt the
# handler at any line; the second signal raises, and later ones are ignored.
SIGNALS = """
import contextlib, signal, sys
from cwz_web.server import StopSignal, server_factory

for line in range(1, 30):
    stop, seen = StopSignal.install(), 0

    def trace(frame, event, arg):
        global seen
        seen += event == "line"
        if seen == line:
            seen += 1
            signal.raise_signal(signal.SIGINT)
        return trace

    with contextlib.suppress(KeyboardInterrupt):
        sys.settrace(trace)
        signal.raise_signal(signal.SIGINT)
        sys.settrace(None)
    sys.settrace(None)
    assert stop.count

stop = StopSignal.install()
signal.raise_signal(signal.SIGTERM)
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    signal.raise_signal(signal.SIGINT)
    print(stop.count)
server_factory({}, listen=sys.argv[1])(id)
"""


@pytest.mark.slow
def test_signals_and_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as used:
        address = f"127.0.0.1:{used.getsockname()[1]}"
        command = [sys.executable, "-c", SIGNALS, address]
        environment = {**os.environ, "PORT": ""}
        ended = subprocess.run(command, env=environment, timeout=60, capture_output=True, text=True, check=False)
    assert ended.stderr == f"{address} is already in use. Choose another port: PORT=6544\n"
    assert ended.stdout == "3\n"
    assert ended.returncode == 1


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[[float], "tuple[subprocess.Popen[bytes], str]"]]:
    """Starts a server process, given its drain time; `/slow` waits for the file `released`."""
    script, processes = tmp_path / "serve.py", []
    script.write_text(STOPPING)

    def start(drain: float) -> "tuple[subprocess.Popen[bytes], str]":
        port = free_port()
        environment = {name: value for name, value in os.environ.items() if name != "PORT"}
        command = [sys.executable, script, str(port), str(drain), tmp_path / "released"]
        process = subprocess.Popen(command, env=environment)
        processes.append(process)
        url = f"http://127.0.0.1:{port}"
        wait_for(lambda: is_serving(url))
        return process, url

    yield start
    for process in processes:
        process.kill()
        process.wait()


def test_server_drains_and_finishes_requests_before_its_process_ends(start_server: Any, tmp_path: Path) -> None:
    process, url = start_server(2)
    with ThreadPoolExecutor(4) as pool, httpx.Client(base_url=url, timeout=20) as client:
        assert client.get("/").text == "False"  # its connection stays, idle
        slow = [pool.submit(client.get, "/slow") for _ in range(4)]
        wait_for(lambda: client.get("/started").text == "4")
        process.send_signal(signal.SIGTERM)
        wait_for(lambda: client.get("/").text == "True")
        wait_for(lambda: not is_serving(url))
        (tmp_path / "released").touch()
        assert [len(response.result().content) for response in slow] == [3_000_000] * 4
    assert process.wait(20) == 0


@pytest.mark.slow
def test_second_signal_ends_the_process_at_once(start_server: Any) -> None:
    process, url = start_server(60)
    process.send_signal(signal.SIGINT)
    wait_for(lambda: httpx.get(url).text == "True")
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 3, "the caller learns of it"


def send_file(environ: dict[str, Any], start_response: Any) -> Any:
    """A WSGI application: 20 MB from a file at `/file`."""
    if environ["PATH_INFO"] != "/file":
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]
    file = TemporaryFile()  # noqa: SIM115 - the server closes it
    file.truncate(20_000_000)
    file.seek(0)
    start_response("200 OK", [("Content-Length", "20000000")])
    return environ["wsgi.file_wrapper"](file)


def test_slow_clients_of_files_occupy_no_thread() -> None:
    with serving(send_file) as port, ExitStack() as clients:
        for _ in range(4):
            client = clients.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
            client.sendall(b"GET /file HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.recv(12).startswith(b"HTTP/1.1 200")
        assert httpx.get(f"http://127.0.0.1:{port}/", timeout=10).text == "ok"
