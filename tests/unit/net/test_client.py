import io
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests as requests_library
from pydantic import TypeAdapter, ValidationError

from cwz_web.feeds.sources import SourceSpec
from cwz_web.net import client
from cwz_web.net.client import (
    BlockedRequestError,
    Fetcher,
    FetchError,
    HostUnreachableError,
    ResponseTooLargeError,
    UnknownHostError,
    check_url,
)
from cwz_web.net.guard import OutboundPolicy
from cwz_web.notify.webhooks import WebhookUrl
from tests.conftest import RecordingServer

METADATA = "169.254.169.254"


def fetcher_at(server: RecordingServer, **names: str) -> Fetcher:
    """Return a fetcher that may reach the server and resolves these names."""
    return Fetcher(allow=[server.host], resolver=lambda host, port: [names.get(host, host)])


def test_public_url_is_fetched(http_server: RecordingServer) -> None:
    http_server.paths["/a"] = (200, {}, b"hello")
    assert fetcher_at(http_server).get(http_server.url("/a"), max_bytes=100) == b"hello"


@pytest.mark.parametrize("inside", [METADATA, "127.0.0.1", "10.1.2.3", "::1", "fd00:ec2::254"])
def test_host_with_an_internal_address_is_blocked_before_the_connection(
    inside: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client.httpcore.SyncBackend, "connect_tcp", lambda *_, **__: pytest.fail("it connected"))
    with pytest.raises(BlockedRequestError):
        Fetcher(resolver=lambda host, port: [inside]).get("http://shop.example/", max_bytes=10)


def test_one_internal_address_among_public_ones_blocks_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client.httpcore.SyncBackend, "connect_tcp", lambda *_, **__: pytest.fail("it connected"))
    with pytest.raises(BlockedRequestError):
        Fetcher(resolver=lambda host, port: ["93.184.216.34", METADATA]).get("http://shop.example/", max_bytes=10)


def test_connection_uses_the_checked_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS rebinding: a second lookup would return an internal address."""
    answers = iter([["93.184.216.34"], ["127.0.0.1"]])
    connected: list[str] = []

    def connect(self: object, host: str, *_: object, **__: object) -> None:
        connected.append(host)
        raise client.httpcore.ConnectError

    monkeypatch.setattr(client.httpcore.SyncBackend, "connect_tcp", connect)
    with pytest.raises(HostUnreachableError):
        Fetcher(resolver=lambda host, port: next(answers)).get("http://shop.example/", max_bytes=10)
    assert connected == ["93.184.216.34"]


def test_redirect_to_an_internal_address_is_blocked(http_server: RecordingServer) -> None:
    inside = RecordingServer()
    try:
        http_server.paths["/a"] = (302, {"Location": inside.url("/secret")}, b"")
        with pytest.raises(BlockedRequestError, match="redirects to a URL that is not on the public internet"):
            fetcher_at(http_server).get(http_server.url("/a"), max_bytes=100)
        assert inside.seen == []
    finally:
        inside.close()


def test_redirect_to_an_unknown_host_is_a_temporary_error(http_server: RecordingServer) -> None:
    """A name server that does not answer for a minute spoils no image for good."""

    def resolve(host: str, port: int) -> list[str]:
        if host == "shop.invalid":
            raise OSError
        return ["127.0.0.1"]

    http_server.paths["/a"] = (302, {"Location": "http://shop.invalid/b"}, b"")
    with pytest.raises(UnknownHostError, match="redirects to a URL that is not on the public internet") as error:
        Fetcher([http_server.host], resolve).get(http_server.url("/a"), max_bytes=100)
    assert error.value.is_temporary


def test_redirects_are_followed_up_to_a_limit(http_server: RecordingServer) -> None:
    http_server.paths |= {
        "/a": (301, {"Location": "/b"}, b""),
        "/b": (200, {}, b"ok"),
        "/loop": (302, {"Location": "/loop"}, b""),
    }
    assert fetcher_at(http_server).get(http_server.url("/a"), max_bytes=10) == b"ok"
    with pytest.raises(FetchError, match="redirects more than 5 times"):
        fetcher_at(http_server).get(http_server.url("/loop"), max_bytes=10)


def test_redirect_may_lead_to_a_path_that_is_not_encoded(http_server: RecordingServer) -> None:
    http_server.paths |= {
        "/a": (302, {"Location": "/my photo%20\u00fc.jpg"}, b""),
        "/my%20photo%20%FC.jpg": (200, {}, b"ok"),
    }
    assert fetcher_at(http_server).get(http_server.url("/a"), max_bytes=10) == b"ok"


@pytest.mark.parametrize(
    ("status", "headers", "is_temporary", "retry_after"),
    [
        (404, {}, False, 0),
        (410, {"Retry-After": "60"}, False, 60),
        (503, {}, True, 0),
        (429, {"Retry-After": "120"}, True, 120),
        (503, {"Retry-After": "999999"}, True, 3600),
        (503, {"Retry-After": "-5"}, True, 0),
        (503, {"Retry-After": "soon"}, True, 0),
        (503, {"Retry-After": "Fri, 01 Jan 2100 00:00:00 GMT"}, True, 3600),
        (503, {"Retry-After": "Fri, 01 Jan 2010 00:00:00 -0000"}, True, 0),
        (504, {}, True, 0),
    ],
)
def test_temporary_and_permanent_errors_are_distinguished(
    http_server: RecordingServer, status: int, headers: dict[str, str], is_temporary: bool, retry_after: float
) -> None:
    http_server.paths["/a"] = (status, headers, b"")
    with pytest.raises(FetchError, match=f"status {status}") as error:
        fetcher_at(http_server).get(http_server.url("/a"), max_bytes=10)
    assert (error.value.is_temporary, error.value.retry_after) == (is_temporary, retry_after)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://example.org/",
        "gopher://example.org/",
        "javascript:alert(1)",
        "",
        "example.org",
        "//example.org/",
        "https://127.0.0.1\\@example.org/",
        "http://user:pass@example.org/",
        "http://user@example.org/",
        "http://example.org\n.evil.test/",
        "http://exa mple.org/",
        "http:///path",
        "http://%31%32%37.0.0.1/",
        "http://[fe80::1%25eth0]/",
        "http://ex\u00e4mple.org/",
        "http://" + "a" * 3000,
    ],
)
def test_ambiguous_url_is_blocked(url: str) -> None:
    with pytest.raises(BlockedRequestError):
        check_url(url)


@pytest.mark.parametrize("port", [22, 25, 5432, 6379, 8080])
def test_ports_other_than_80_and_443_are_blocked(port: int) -> None:
    with pytest.raises(BlockedRequestError, match="only the ports 80 and 443"):
        Fetcher(resolver=lambda host, port: ["93.184.216.34"]).get(f"http://shop.example:{port}/", max_bytes=10)


def test_body_over_the_limit_is_rejected(http_server: RecordingServer) -> None:
    http_server.paths["/big"] = (200, {}, bytes(3_000_000))
    with pytest.raises(ResponseTooLargeError):
        fetcher_at(http_server).get(http_server.url("/big"), max_bytes=1_000_000)


def test_body_shorter_than_its_content_length_is_an_error(http_server: RecordingServer) -> None:
    http_server.paths["/liar"] = (200, {"Content-Length": "1000"}, b"short")
    with pytest.raises(FetchError, match="closed the connection"):
        fetcher_at(http_server).get(http_server.url("/liar"), max_bytes=10_000)


@pytest.mark.parametrize("status", [304, 401, 404, 500])
def test_error_status_is_reported(http_server: RecordingServer, status: int) -> None:
    http_server.paths["/x"] = (status, {}, b"")
    with pytest.raises(FetchError, match=str(status)):
        fetcher_at(http_server).get(http_server.url("/x"), max_bytes=10)


class DrippingServer:
    """A server that sends a byte every 50 ms, without an end."""

    def __init__(self, response: bytes) -> None:
        self._response, self._stop = response, threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError):
            connection, _ = self._socket.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(self._response)
                while not self._stop.wait(0.05):
                    connection.sendall(b"x")

    def close(self) -> None:
        self._stop.set()
        self._socket.close()
        self._thread.join()


@pytest.mark.parametrize("answer", [b"HTTP/1.1 200 OK\r\nX-Slow: ", b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 2"])
def test_slow_response_ends_at_the_time_limit(answer: bytes) -> None:
    """In the head or in the body: each byte arrives before the timeout between two reads."""
    server = DrippingServer(answer)
    began = time.monotonic()
    try:
        with pytest.raises(FetchError):
            Fetcher([server.host]).get(f"http://{server.host}/", max_bytes=10_000_000, seconds=0.5)
    finally:
        server.close()
    assert time.monotonic() - began < 5


def test_preview_ends_after_enough_bytes_or_at_the_time_limit(http_server: RecordingServer) -> None:
    http_server.paths["/long"] = (200, {}, b"line\n" * 100_000)
    file = io.BytesIO()
    fetcher = fetcher_at(http_server)
    fetched = fetcher.fetch(http_server.url("/long"), file=file, max_bytes=1_000_000, seconds=10, stop_after=100_000)
    assert (fetched.is_complete, file.getvalue()[:5]) == (False, b"line\n")
    assert 100_000 <= len(file.getvalue()) < 500_000
    http_server.paths["/short"] = (200, {}, b"line")
    assert fetcher.fetch(http_server.url("/short"), file=file, max_bytes=10, seconds=10, stop_after=100).is_complete
    server = DrippingServer(b"HTTP/1.1 200 OK\r\n\r\nbegun ")
    file = io.BytesIO()
    try:
        fetched = Fetcher([server.host]).fetch(
            f"http://{server.host}/", file=file, max_bytes=1_000_000, seconds=0.5, stop_after=100_000
        )
    finally:
        server.close()
    assert not fetched.is_complete
    assert file.getvalue().startswith(b"begun x")


def test_proxies_of_the_environment_are_ignored(http_server: RecordingServer, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = RecordingServer()
    try:
        monkeypatch.setenv("HTTP_PROXY", proxy.url())
        monkeypatch.setenv("ALL_PROXY", proxy.url())
        http_server.paths["/a"] = (200, {}, b"direct")
        assert fetcher_at(http_server).get(http_server.url("/a"), max_bytes=10) == b"direct"
        assert proxy.seen == []
    finally:
        proxy.close()


def test_unknown_host_is_unreachable() -> None:
    def resolver(host: str, port: int) -> list[str]:
        raise OSError("no such host")

    with pytest.raises(HostUnreachableError):
        Fetcher(resolver=resolver).get("http://unknown.example/", max_bytes=10)


@pytest.mark.parametrize("url", ["http://shop.example:0/", "https://shop.example:0/a", "http://shop.example:00/"])
def test_port_zero_is_refused(url: str) -> None:
    """httpcore would connect to the default port."""
    with pytest.raises(BlockedRequestError, match="port must be a number from 1 to 65535"):
        check_url(url)


def test_conditional_request_returns_no_data_for_304(http_server: RecordingServer) -> None:
    http_server.paths["/a"] = (200, {"ETag": '"v1"', "Last-Modified": "Tue, 24 Nov 2026 10:00:00 GMT"}, b"rows")
    fetcher = fetcher_at(http_server)
    first = fetcher.fetch(http_server.url("/a"), max_bytes=100, seconds=5)
    assert (first.data, first.etag, first.last_modified) == (b"rows", '"v1"', "Tue, 24 Nov 2026 10:00:00 GMT")
    again = fetcher.fetch(http_server.url("/a"), headers={"If-None-Match": '"v1"'}, max_bytes=100, seconds=5)
    assert again.data is None


def test_secret_header_is_not_sent_to_another_origin(http_server: RecordingServer) -> None:
    """Nor to a path of its own origin that the other one has chosen."""
    other = RecordingServer()
    try:
        other.paths["/b"] = (302, {"Location": http_server.url("/chosen")}, b"")
        http_server.paths |= {
            "/a": (302, {"Location": "/here"}, b""),
            "/here": (302, {"Location": other.url("/b")}, b""),
            "/chosen": (200, {}, b"ok"),
        }
        fetcher = Fetcher(allow=[http_server.host, other.host])
        secret = {"X-Api-Key": "planted-canary"}
        fetched = fetcher.fetch(http_server.url("/a"), secret_headers=secret, max_bytes=100, seconds=5)
        assert fetched.data == b"ok"
        assert [seen.get("X-Api-Key") for seen in http_server.headers] == ["planted-canary", "planted-canary", None]
        assert [seen.get("X-Api-Key") for seen in other.headers] == [None]
    finally:
        other.close()


@pytest.fixture
def session_server() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A server that opens a session, by a cookie and on the connection, for a client with credentials.

    Yields its `host:port` and the headers of the requests. An open session gets the private rows.
    """
    requests: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        is_signed_in = False  # of this connection

        def do_GET(self) -> None:
            requests.append(dict(self.headers))
            if "Authorization" in self.headers:
                self.is_signed_in = True
            body = b"private rows" if self.is_signed_in or "Cookie" in self.headers else b"public page"
            self.send_response(200)
            self.send_header("Set-Cookie", "session=1; Path=/; Max-Age=3600")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.is_signed_in = True
            self.do_GET()

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}", requests
        server.shutdown()


def test_no_session_reaches_the_next_fetch(session_server: tuple[str, list[dict[str, str]]]) -> None:
    """Cookies and sessions of a connection end with the fetch that opened them: the next is another workspace's."""
    host, requests = session_server
    url = f"http://{host}/rows.csv"
    fetcher = Fetcher(allow=[host])
    limits = {"max_bytes": 100, "seconds": 5.0}
    secret = {"Authorization": "Basic c2hvcDpwbGFudGVk"}
    assert fetcher.fetch(url, secret_headers=secret, **limits).data == b"private rows"  # type: ignore[arg-type]
    assert fetcher.post(url, b"{}", {"Authorization": "Bearer x", "Content-Length": "2"}, seconds=5) == 200
    for _ in range(3):
        assert fetcher.get(url, max_bytes=100) == b"public page"
    assert [headers for headers in requests if "Cookie" in headers] == []
    fetcher.close()


def test_storage_sessions_keep_no_cookies(session_server: tuple[str, list[dict[str, str]]]) -> None:
    host, requests = session_server
    session = OutboundPolicy([host], [host]).guard(requests_library.Session())
    for _ in range(2):
        assert session.get(f"http://{host}/x", timeout=5).content == b"public page"
    assert [headers for headers in requests if "Cookie" in headers] == []


@pytest.mark.parametrize("model", [SourceSpec, None])
def test_forms_say_that_the_port_is_invalid(model: type[SourceSpec] | None) -> None:
    adapter: Any = TypeAdapter(model or WebhookUrl)
    url = "https://shop.example:0/"
    with pytest.raises(ValidationError, match="The port must be a number from 1 to 65535"):
        adapter.validate_python({"url": url} if model else url)
