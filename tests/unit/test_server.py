"""Limits on request bodies and headers, and how the server stops."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from configparser import ConfigParser
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import httpx
import pytest
from waitress import wasyncore
from waitress.adjustments import Adjustments

from cwz_web.api.feeds import MAX_ITEMS_BODY
from cwz_web.server import MAX_CONCURRENT_FILES, MAX_FILE_BODY, Parser, create_server
from tests.installation import ROOT, free_port, is_serving, wait_for

MAX_BODY = 1000


@pytest.fixture(autouse=True)
def no_file_in_progress() -> Iterator[None]:
    Parser.file_parsers.clear()
    yield
    Parser.file_parsers.clear()


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


@pytest.mark.parametrize("path", ["/w/demo/feeds/new", "/w/demo/feeds/1-2/import", "/v1/feeds/1-2/imports?x=1"])
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


def test_concurrent_large_files_are_limited() -> None:
    in_progress = [start_request("/w/demo/feeds/new", 10_000) for _ in range(MAX_CONCURRENT_FILES)]
    assert start_request("/w/demo/feeds/new", 10_000).error.code == 503
    assert start_request("/w/demo/feeds/new", MAX_BODY - 1).error is None, "a small one is accepted"
    in_progress.pop()
    assert start_request("/w/demo/feeds/new", 10_000).error is None


def test_port_in_use_is_reported() -> None:
    """In a separate process, since waitress leaves its sockets open."""
    with socket.create_server(("127.0.0.1", 0)) as used:
        port = used.getsockname()[1]
        serve = f"from cwz_web.server import server_factory; server_factory({{}}, listen='127.0.0.1:{port}')(id)"
        ended = subprocess.run(
            [sys.executable, "-c", serve], env={**os.environ, "PORT": ""}, capture_output=True, text=True, check=False
        )
    assert ended.returncode == 1
    assert ended.stderr == f"127.0.0.1:{port} is already in use. Choose another port: PORT=6544\n"


STOPPING = """
import sys, time
from cwz_web.ops.health import draining
from cwz_web.server import server_factory

started = []

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/slow":
        started.append(path)
        time.sleep(1.5)
        body = b"x" * 3_000_000
    else:
        body = str(len(started) if path == "/started" else draining.is_set()).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]

server_factory({}, listen="127.0.0.1:" + sys.argv[1], drain_seconds=sys.argv[2], threads="8")(app)
"""


INTERRUPTED_HANDLER = """
import contextlib, signal, sys
from cwz_web.server import StopSignal

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
"""


def test_signal_can_interrupt_the_handler_at_any_line() -> None:
    subprocess.run([sys.executable, "-c", INTERRUPTED_HANDLER], timeout=60, check=True)


THREE_SIGNALS = """
import signal
from cwz_web.server import StopSignal

stop = StopSignal.install()
signal.raise_signal(signal.SIGTERM)
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    signal.raise_signal(signal.SIGINT)
    print(stop.count)
"""


def test_second_signal_raises_and_later_ones_are_ignored() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", THREE_SIGNALS], timeout=60, capture_output=True, text=True, check=True
    )
    assert ended.stdout == "3\n"


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[[float], "tuple[subprocess.Popen[bytes], str]"]]:
    """Starts a server process, given its drain time."""
    script, processes = tmp_path / "serve.py", []
    script.write_text(STOPPING)

    def start(drain: float) -> "tuple[subprocess.Popen[bytes], str]":
        port = free_port()
        environment = {name: value for name, value in os.environ.items() if name != "PORT"}
        process = subprocess.Popen([sys.executable, script, str(port), str(drain)], env=environment)
        processes.append(process)
        url = f"http://127.0.0.1:{port}"
        wait_for(lambda: is_serving(url))
        return process, url

    yield start
    for process in processes:
        process.kill()
        process.wait()


@pytest.mark.parametrize("stop_signal", [signal.SIGTERM, signal.SIGINT])
def test_requests_in_progress_finish_before_the_process_ends(start_server: Any, stop_signal: int) -> None:
    process, url = start_server(0)
    with ThreadPoolExecutor(4) as pool, httpx.Client(base_url=url, timeout=20) as client:
        client.get("/")  # an idle keep-alive connection
        slow = [pool.submit(client.get, "/slow") for _ in range(4)]
        wait_for(lambda: client.get("/started").text == "4")
        process.send_signal(stop_signal)
        assert [len(response.result().content) for response in slow] == [3_000_000] * 4
    assert process.wait(20) == 0
    assert not is_serving(url)


def test_server_keeps_serving_while_it_drains(start_server: Any) -> None:
    process, url = start_server(2)
    assert httpx.get(url).text == "False"
    process.send_signal(signal.SIGTERM)
    wait_for(lambda: httpx.get(url).text == "True")
    assert process.wait(20) == 0


def test_second_signal_ends_the_process_at_once(start_server: Any) -> None:
    process, url = start_server(60)
    process.send_signal(signal.SIGTERM)
    wait_for(lambda: httpx.get(url).text == "True")
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0


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
    connections: dict[int, Any] = {}
    server = create_server(send_file, connections, listen="127.0.0.1:0", threads=2)
    stopping = threading.Event()

    def serve() -> None:
        while not stopping.is_set():
            wasyncore.loop(timeout=0.1, map=connections, count=1)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with ExitStack() as clients:
            for _ in range(4):
                client = clients.enter_context(
                    socket.create_connection(("127.0.0.1", server.effective_port), timeout=20)
                )
                client.sendall(b"GET /file HTTP/1.1\r\nHost: x\r\n\r\n")
                assert client.recv(12).startswith(b"HTTP/1.1 200")
            assert httpx.get(f"http://127.0.0.1:{server.effective_port}/", timeout=10).text == "ok"
        wait_for(lambda: not server.active_channels)
    finally:
        stopping.set()
        thread.join()
        server.task_dispatcher.shutdown()
        wasyncore.close_all(connections)
