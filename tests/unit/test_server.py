"""How large a body may be, and where, as waitress is told byte by byte; which thread works; how a process ends."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import httpx
import pytest
from waitress.adjustments import Adjustments

from cwz_web.api.feeds import MAX_ITEMS_BODY
from cwz_web.server import FILES_AT_ONCE, MAX_FILE, LastFirst, Parser, Threads
from tests.installation import ROOT, free_port, wait_for

SMALL = 1000


class Work:
    """What a thread does: it waits for leave to end."""

    def __init__(self) -> None:
        self.thread = 0
        self.may_end = threading.Event()

    def service(self) -> None:
        self.thread = threading.get_ident()
        self.may_end.wait(60)


def test_who_worked_last_works_next() -> None:
    threads = Threads()
    threads.set_thread_count(4)
    wait_for(lambda: threads.active_count == 0)
    works = [Work() for _ in range(9)]
    for work in works[:3]:  # three work at the same time, and then one after another becomes idle
        threads.add_task(work)
    wait_for(lambda: all(work.thread for work in works[:3]))
    assert len({work.thread for work in works[:3]}) == 3
    for busy, work in zip((2, 1, 0), works, strict=False):
        work.may_end.set()
        wait_for(lambda busy=busy: threads.active_count == busy)  # type: ignore[misc]
    for work in works[3:]:
        work.may_end.set()
        threads.add_task(work)
        wait_for(lambda work=work: work.thread and threads.active_count == 0)  # type: ignore[misc]
    assert {work.thread for work in works[3:]} == {works[2].thread}
    assert threads.shutdown()
    assert not threads.threads, "all of them have ended"


def test_all_who_wait_are_woken() -> None:
    lock, woken = threading.Lock(), []
    waiting = LastFirst(lock)
    with lock:
        waiting.notify()  # nobody waits: it is not kept for later

    def sleep(name: str) -> None:
        with lock:
            woken.append(f"{name} sleeps")
            waiting.wait()
            woken.append(name)

    sleepers = [threading.Thread(target=sleep, args=[name]) for name in "abc"]
    for number, sleeper in enumerate(sleepers, 1):
        sleeper.start()
        wait_for(lambda number=number: len(woken) == number)  # type: ignore[misc]
    with lock:
        waiting.notify()
    wait_for(lambda: woken[3:] == ["c"])
    with lock:
        waiting.notify_all()
    for sleeper in sleepers:
        sleeper.join(60)
    assert sorted(woken[4:]) == ["a", "b"]


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


@pytest.mark.parametrize("ini", ["development.ini", "production.ini", "deploy/container.ini"])
def test_elsewhere_there_is_room_for_the_rows_of_a_push_and_headers_are_small(ini: str) -> None:
    # WebOb takes an escape of an address the longer the more there are: at 256 KB, waitress' own limit, 0.4 s.
    settings = ConfigParser()
    settings.read(ROOT / ini)
    server = settings["server:main"]
    assert MAX_ITEMS_BODY < int(server["max_request_body_size"]) < 2 * MAX_ITEMS_BODY
    parser = Parser(Adjustments(max_request_header_size=server["max_request_header_size"]))
    parser.received(b"GET /?" + b"%41" * 44_000)
    assert parser.error.code == 431


@pytest.mark.parametrize("blanks", [b" " * 120_000, b"\t" * 120_000])
def test_a_header_of_blanks_is_refused(blanks: bytes) -> None:
    """It took three minutes, in the thread that everybody's requests come through."""
    for header in (b"A:" + blanks + b"b", b"A: b" + blanks + b"c", b"A: b" + blanks):
        parser = Parser(Adjustments())
        parser.received(b"GET / HTTP/1.1\r\n" + header + b"\r\n\r\n")
        assert parser.completed
        assert parser.error.code == 400


@pytest.mark.parametrize("line", [b"f" * 100_000, b"1;a=" + b"b" * 100_000, b"0\r\n" + b"A: b\r\n" * 20_000])
def test_a_chunk_with_more_around_it_than_any_needs_is_refused(line: bytes) -> None:
    """Of 17 MB, two minutes."""
    parser = Parser(Adjustments())
    sent = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + line
    while sent and not parser.completed:
        sent = sent[parser.received(sent[:8192]) :]
    assert parser.error.code == 400
    assert len(sent) > 80_000


def test_a_body_in_chunks_is_taken() -> None:
    parser = Parser(Adjustments())
    for part in (
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"2;a=b\r\nab\r",
        b"\n1\r\nc\r\n0\r\nX: y\r\n\r\n",
    ):
        assert parser.received(part) == len(part)
    assert (parser.completed, parser.error, parser.get_body_stream().read()) == (True, None, b"abc")


@pytest.mark.parametrize("address", ["http://[", "http://[x]/", "http://\u2100.example/"])
def test_an_address_that_is_none_is_answered(address: str) -> None:
    parser = Parser(Adjustments())
    parser.received(f"GET {address} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert parser.completed
    assert parser.error is None or parser.error.code == 400


@pytest.mark.parametrize("path", ["/w/demo/feeds/new", "/w/demo/feeds/1-2/import", "/v1/feeds/1-2/imports?x=1"])
def test_where_files_are_taken_a_body_may_be_large(path: str) -> None:
    assert begin(path, MAX_FILE - 1).error is None
    refused = begin(path, MAX_FILE).error
    assert (refused.code, refused.body) == (413, "A file may have 512 MB at most")


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


STOPPING = """
import sys, time
from cwz_web.ops.health import draining
from cwz_web.server import server_factory

begun = []

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/slow":
        begun.append(path)
        time.sleep(1.5)
        body = b"x" * 3_000_000
    else:
        body = str(len(begun) if path == "/begun" else draining.is_set()).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]

server_factory({}, listen="127.0.0.1:" + sys.argv[1], drain_seconds=sys.argv[2], threads="8")(app)
"""


IN_BETWEEN = """
import contextlib, signal, sys
from cwz_web.server import StopSignal

for line in range(1, 30):
    told, seen = StopSignal.by_signals(), 0

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
    assert told.times
"""


def test_a_signal_may_come_at_any_line_of_what_another_one_does() -> None:
    subprocess.run([sys.executable, "-c", IN_BETWEEN], timeout=60, check=True)


TOLD_THRICE = """
import signal
from cwz_web.server import StopSignal

told = StopSignal.by_signals()
signal.raise_signal(signal.SIGTERM)
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    signal.raise_signal(signal.SIGINT)
    print(told.times)
"""


def test_the_second_signal_breaks_off_and_a_third_does_not_break_into_the_closing() -> None:
    ended = subprocess.run([sys.executable, "-c", TOLD_THRICE], timeout=60, capture_output=True, text=True, check=True)
    assert ended.stdout == "3\n"


@pytest.fixture
def stopping(tmp_path: Path) -> Iterator[Callable[[float], "tuple[subprocess.Popen[bytes], str]"]]:
    """A process that serves, and how long it drains."""
    script, started = tmp_path / "serve.py", []
    script.write_text(STOPPING)

    def start(drain: float) -> "tuple[subprocess.Popen[bytes], str]":
        port = free_port()
        environment = {name: value for name, value in os.environ.items() if name != "PORT"}
        process = subprocess.Popen([sys.executable, script, str(port), str(drain)], env=environment)
        started.append(process)
        url = f"http://127.0.0.1:{port}"
        wait_for(lambda: answers(url))
        return process, url

    yield start
    for process in started:
        process.kill()
        process.wait()


def answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_what_is_at_hand_is_finished_before_the_process_ends(stopping: Any, how: int) -> None:
    process, url = stopping(0)
    with ThreadPoolExecutor(4) as pool, httpx.Client(base_url=url, timeout=20) as idle:
        idle.get("/")  # a connection that is kept and does nothing
        slow = [pool.submit(httpx.get, f"{url}/slow", timeout=20) for _ in range(4)]
        wait_for(lambda: httpx.get(f"{url}/begun").text == "4")
        process.send_signal(how)
        assert [len(answer.result().content) for answer in slow] == [3_000_000] * 4
    assert process.wait(20) == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)


def test_while_it_drains_it_serves_on_and_says_that_it_stops(stopping: Any) -> None:
    process, url = stopping(2)
    assert httpx.get(url).text == "False"
    process.send_signal(signal.SIGTERM)
    wait_for(lambda: httpx.get(url).text == "True")
    assert process.wait(20) == 0


def test_told_twice_it_ends_at_once(stopping: Any) -> None:
    process, url = stopping(60)
    process.send_signal(signal.SIGTERM)
    wait_for(lambda: httpx.get(url).text == "True")
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
