import io
import socket
import threading
import time
from contextlib import suppress

import pytest

from cwz_web.net import client
from cwz_web.net.client import (
    Fetcher,
    FetchError,
    HostUnreachableError,
    BlockedRequestError,
    ResponseTooLargeError,
    check_url,
)
from tests.conftest import Canary

METADATA = "169.254.169.254"


def fetcher_at(canary: Canary, **names: str) -> Fetcher:
    """A fetcher that may reach the canary, and for which only the given names exist."""
    return Fetcher(allow=[canary.host], resolver=lambda host, port: [names.get(host, host)])


def test_a_public_page_is_fetched(http_server: Canary) -> None:
    http_server.paths["/a"] = (200, {}, b"hello")
    assert fetcher_at(http_server).get(http_server.url("/a"), max_bytes=100) == b"hello"


@pytest.mark.parametrize("inside", [METADATA, "127.0.0.1", "10.1.2.3", "::1", "fd00:ec2::254"])
def test_a_name_that_leads_inside_is_refused_before_anything_is_sent(
    inside: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client.httpcore.SyncBackend, "connect_tcp", lambda *_, **__: pytest.fail("it connected"))
    with pytest.raises(BlockedRequestError):
        Fetcher(resolver=lambda host, port: [inside]).get("http://shop.example/", max_bytes=10)


def test_one_internal_address_among_public_ones_refuses_them_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client.httpcore.SyncBackend, "connect_tcp", lambda *_, **__: pytest.fail("it connected"))
    with pytest.raises(BlockedRequestError):
        Fetcher(resolver=lambda host, port: ["93.184.216.34", METADATA]).get("http://shop.example/", max_bytes=10)


def test_the_address_that_was_checked_is_the_one_that_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rebinding: a second look-up would answer with an internal address."""
    answers = iter([["93.184.216.34"], ["127.0.0.1"]])
    connected: list[str] = []

    def connect(self: object, host: str, *_: object, **__: object) -> None:
        connected.append(host)
        raise client.httpcore.ConnectError

    monkeypatch.setattr(client.httpcore.SyncBackend, "connect_tcp", connect)
    with pytest.raises(HostUnreachableError):
        Fetcher(resolver=lambda host, port: next(answers)).get("http://shop.example/", max_bytes=10)
    assert connected == ["93.184.216.34"]


def test_a_redirect_inside_is_refused_and_the_inside_never_hears_of_it(http_server: Canary) -> None:
    inside = Canary()
    try:
        http_server.paths["/a"] = (302, {"Location": inside.url("/secret")}, b"")
        with pytest.raises(BlockedRequestError):
            fetcher_at(http_server).get(http_server.url("/a"), max_bytes=100)
        assert inside.seen == []
    finally:
        inside.close()


def test_redirects_are_followed_but_not_for_ever(http_server: Canary) -> None:
    http_server.paths |= {
        "/a": (301, {"Location": "/b"}, b""),
        "/b": (200, {}, b"ok"),
        "/loop": (302, {"Location": "/loop"}, b""),
    }
    assert fetcher_at(http_server).get(http_server.url("/a"), max_bytes=10) == b"ok"
    with pytest.raises(FetchError, match="redirected more than 5 times"):
        fetcher_at(http_server).get(http_server.url("/loop"), max_bytes=10)


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
def test_an_address_that_could_be_read_in_two_ways_is_refused(url: str) -> None:
    with pytest.raises(BlockedRequestError):
        check_url(url)


@pytest.mark.parametrize("port", [22, 25, 5432, 6379, 8080])
def test_only_web_ports(port: int) -> None:
    with pytest.raises(BlockedRequestError):
        Fetcher(resolver=lambda host, port: ["93.184.216.34"]).get(f"http://shop.example:{port}/", max_bytes=10)


def test_a_body_that_is_too_large_is_not_read_to_its_end(http_server: Canary) -> None:
    http_server.paths["/big"] = (200, {}, bytes(3_000_000))
    with pytest.raises(ResponseTooLargeError):
        fetcher_at(http_server).get(http_server.url("/big"), max_bytes=1_000_000)


def test_a_server_that_lies_about_the_length_gets_a_plain_error(http_server: Canary) -> None:
    http_server.paths["/liar"] = (200, {"Content-Length": "1000"}, b"short")
    with pytest.raises(FetchError, match="broke off"):
        fetcher_at(http_server).get(http_server.url("/liar"), max_bytes=10_000)


@pytest.mark.parametrize("status", [401, 404, 500])
def test_an_error_status_is_told(http_server: Canary, status: int) -> None:
    http_server.paths["/x"] = (status, {}, b"")
    with pytest.raises(FetchError, match=str(status)):
        fetcher_at(http_server).get(http_server.url("/x"), max_bytes=10)


def test_the_whole_answer_has_a_time(http_server: Canary, monkeypatch: pytest.MonkeyPatch) -> None:
    http_server.paths["/slow"] = (200, {}, bytes(200_000))
    clock = iter(range(0, 1000, 15))
    monkeypatch.setattr(client.time, "monotonic", lambda: next(clock))
    with pytest.raises(FetchError, match="too long"):
        fetcher_at(http_server).get(http_server.url("/slow"), max_bytes=1_000_000)


class Dripping:
    """A server that sends a byte of its answer now and then, and never comes to the end."""

    def __init__(self, answer: bytes) -> None:
        self._answer, self._over = answer, threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError):
            connection, _ = self._socket.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(self._answer)
                while not self._over.wait(0.05):
                    connection.sendall(b"x")

    def close(self) -> None:
        self._over.set()
        self._socket.close()
        self._thread.join()


@pytest.mark.parametrize("answer", [b"HTTP/1.1 200 OK\r\nX-Slow: ", b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 2"])
def test_a_server_that_drips_does_not_hold_us(answer: bytes) -> None:
    """Neither by its header nor by its body: each byte comes well before a timeout of its own."""
    server = Dripping(answer)
    began = time.monotonic()
    try:
        with pytest.raises(FetchError):
            Fetcher([server.host]).get(f"http://{server.host}/", max_bytes=10_000_000, seconds=0.5)
    finally:
        server.close()
    assert time.monotonic() - began < 5


def test_a_look_takes_what_has_come_when_it_is_enough_or_the_time_is_over(http_server: Canary) -> None:
    http_server.paths["/long"] = (200, {}, b"line\n" * 100_000)
    file = io.BytesIO()
    fetcher = fetcher_at(http_server)
    fetched = fetcher.fetch(http_server.url("/long"), into=file, max_bytes=1_000_000, seconds=10, enough=100_000)
    assert (fetched.whole, file.getvalue()[:5]) == (False, b"line\n")
    assert 100_000 <= len(file.getvalue()) < 500_000
    http_server.paths["/short"] = (200, {}, b"line")
    assert fetcher.fetch(http_server.url("/short"), into=file, max_bytes=10, seconds=10, enough=100).whole
    server = Dripping(b"HTTP/1.1 200 OK\r\n\r\nbegun ")
    file = io.BytesIO()
    try:
        fetched = Fetcher([server.host]).fetch(
            f"http://{server.host}/", into=file, max_bytes=1_000_000, seconds=0.5, enough=100_000
        )
    finally:
        server.close()
    assert not fetched.whole
    assert file.getvalue().startswith(b"begun x")


def test_proxies_of_the_environment_are_not_used(http_server: Canary, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = Canary()
    try:
        monkeypatch.setenv("HTTP_PROXY", proxy.url())
        monkeypatch.setenv("ALL_PROXY", proxy.url())
        http_server.paths["/a"] = (200, {}, b"direct")
        assert fetcher_at(http_server).get(http_server.url("/a"), max_bytes=10) == b"direct"
        assert proxy.seen == []
    finally:
        proxy.close()


def test_an_unknown_host_is_unreached() -> None:
    def nobody(host: str, port: int) -> list[str]:
        raise OSError("no such host")

    with pytest.raises(HostUnreachableError):
        Fetcher(resolver=nobody).get("http://nobody.example/", max_bytes=10)


def test_what_has_not_changed_is_not_sent_again(http_server: Canary) -> None:
    http_server.paths["/a"] = (200, {"ETag": '"v1"', "Last-Modified": "Tue, 24 Nov 2026 10:00:00 GMT"}, b"rows")
    fetcher = fetcher_at(http_server)
    first = fetcher.fetch(http_server.url("/a"), max_bytes=100, seconds=5)
    assert (first.data, first.etag, first.last_modified) == (b"rows", '"v1"', "Tue, 24 Nov 2026 10:00:00 GMT")
    again = fetcher.fetch(http_server.url("/a"), headers={"If-None-Match": '"v1"'}, max_bytes=100, seconds=5)
    assert again.data is None


def test_a_secret_never_follows_a_redirect_to_somebody_else(http_server: Canary) -> None:
    other = Canary()
    try:
        other.paths["/b"] = (200, {}, b"ok")
        http_server.paths |= {
            "/a": (302, {"Location": "/here"}, b""),
            "/here": (302, {"Location": other.url("/b")}, b""),
        }
        fetcher = Fetcher(allow=[http_server.host, other.host])
        secret = {"X-Api-Key": "planted-canary"}
        fetched = fetcher.fetch(http_server.url("/a"), secret_headers=secret, max_bytes=100, seconds=5)
        assert fetched.data == b"ok"
        assert [seen.get("X-Api-Key") for seen in http_server.headers] == ["planted-canary"] * 2
        assert [seen.get("X-Api-Key") for seen in other.headers] == [None]
    finally:
        other.close()
