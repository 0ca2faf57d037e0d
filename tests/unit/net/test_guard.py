"""The SSRF guard of third-party SDKs. Each test chooses the addresses that the host resolves to."""

import socket
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from itertools import chain, repeat

import pytest
import requests

from cwz_web.net import guard
from cwz_web.net.client import BlockedRequestError, UnknownHostError
from cwz_web.net.guard import OutboundPolicy, is_blocked_error
from tests.conftest import RecordingServer

HOST = "storage.example.com"


def outbound(*addresses: str, allow: tuple[str, ...] = (), hosts: tuple[str, ...] = (HOST,)) -> OutboundPolicy:
    return OutboundPolicy(hosts, allow, lambda host, port: list(addresses))


def test_declared_host_resolves_to_its_public_address() -> None:
    assert outbound("93.184.216.34").resolve_address(HOST, 443, secure=True) == "93.184.216.34"
    assert outbound("93.184.216.34").resolve_address(HOST.upper(), 443, secure=True) == "93.184.216.34"


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "168.63.129.16", "::1", "::", "fe80::1", "fc00::1", "fec0::1", "ff02::1", "::ffff:10.0.0.1", "64:ff9b::7f00:1",
        "2002:7f00:1::", "2001::1", "::127.0.0.1", "nonsense",
    ],
)  # fmt: skip
def test_internal_address_is_blocked(address: str) -> None:
    with pytest.raises(BlockedRequestError):
        outbound(address).resolve_address(HOST, 443, secure=True)
    with pytest.raises(BlockedRequestError):
        outbound("93.184.216.34", address).resolve_address(HOST, 443, secure=True)


@pytest.mark.parametrize(
    ("host", "port", "secure"),
    [
        ("other.example.com", 443, True),
        (f"evil.{HOST}", 443, True),
        (f"{HOST}.evil.test", 443, True),
        (HOST, 80, False),
        (HOST, 443, False),
        (HOST, 8443, True),
        ("93.184.216.34", 443, True),
        ("", 443, True),
    ],
)
def test_undeclared_host_port_or_plain_http_is_blocked(host: str, port: int, secure: bool) -> None:
    with pytest.raises(BlockedRequestError):
        outbound("93.184.216.34").resolve_address(host, port, secure=secure)


def test_allowed_private_host_is_reachable_only_if_declared(http_server: RecordingServer) -> None:
    http_server.paths["/x"] = (200, {}, b"inside")
    allowed = OutboundPolicy([http_server.host], [http_server.host])
    assert allowed.guard(requests.Session()).get(http_server.url("/x"), timeout=5).content == b"inside"
    for blocked in (OutboundPolicy([], [http_server.host]), OutboundPolicy([http_server.host])):
        with pytest.raises((BlockedRequestError, requests.RequestException)) as error:
            blocked.guard(requests.Session()).get(http_server.url("/y"), timeout=5)
        assert is_blocked_error(error.value)
    assert http_server.seen == ["/x"]


@pytest.mark.parametrize("target", ["http://127.0.0.1:1/", "https://169.254.169.254/", "https://other.example.com/"])
def test_redirect_to_an_undeclared_host_is_blocked(http_server: RecordingServer, target: str) -> None:
    http_server.paths["/go"] = (302, {"Location": target}, b"")
    session = OutboundPolicy([http_server.host], [http_server.host]).guard(requests.Session())
    with pytest.raises((BlockedRequestError, requests.RequestException)) as error:
        session.get(http_server.url("/go"), timeout=5)
    assert is_blocked_error(error.value)


def test_proxies_and_certificates_of_the_environment_are_ignored(
    http_server: RecordingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere")
    http_server.paths["/x"] = (200, {}, b"direct")
    session = OutboundPolicy([http_server.host], [http_server.host]).guard(requests.Session())
    assert session.get(http_server.url("/x"), timeout=5).content == b"direct"


@pytest.mark.parametrize("addresses", [[], ["10.0.0.1"], ["93.184.216.34", "10.0.0.1"]])
def test_internal_host_is_refused_like_an_unknown_one(addresses: list[str]) -> None:
    with pytest.raises(UnknownHostError, match="its host is unknown, or not on the public internet"):
        outbound(*addresses).resolve_address(HOST, 443, secure=True)


def test_dns_rebinding_is_blocked() -> None:
    answers = iter([["93.184.216.34"], ["127.0.0.1"]])
    rebinding = OutboundPolicy([HOST], (), lambda host, port: next(answers))
    assert rebinding.resolve_address(HOST, 443, secure=True) == "93.184.216.34"
    with pytest.raises(BlockedRequestError):
        rebinding.resolve_address(HOST, 443, secure=True)


class SlowServer:
    """A server that sends the parts of a response with a pause after each."""

    def __init__(self, parts: Iterable[bytes], pause: float) -> None:
        self._parts, self._pause = parts, pause
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._respond, daemon=True).start()

    def _respond(self) -> None:
        with suppress(OSError), self._socket, self._socket.accept()[0] as client:
            client.recv(65536)
            for part in self._parts:
                client.sendall(part)
                time.sleep(self._pause)

    def get(self) -> requests.Response:
        session = OutboundPolicy([self.host], [self.host]).guard(requests.Session())
        return session.get(f"http://{self.host}/", timeout=5)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 400000\r\n\r\n"


@pytest.mark.parametrize("parts", [chain([HEAD], repeat(b".", 1000)), repeat(b"H", 1000)], ids=["body", "headers"])
def test_slow_response_ends_at_the_deadline(monkeypatch: pytest.MonkeyPatch, parts: Iterable[bytes]) -> None:
    """Each byte arrives before the timeout between two reads."""
    monkeypatch.setattr(guard, "RESPONSE_SECONDS", 0.3)
    start = time.monotonic()
    with pytest.raises(requests.RequestException):
        SlowServer(parts, 0.02).get()
    assert time.monotonic() - start < 4


def test_response_before_the_deadline_is_complete() -> None:
    assert len(SlowServer([HEAD, *repeat(bytes(40_000), 10)], 0.02).get().content) == 400_000


def test_blocked_request_is_found_in_any_cause() -> None:
    blocked = BlockedRequestError()
    in_arguments = requests.ConnectionError(blocked)
    in_cause = RuntimeError("other")
    in_cause.__cause__ = in_arguments
    in_kwargs = RuntimeError("botocore")
    in_kwargs.kwargs = {"error": in_cause}  # type: ignore[attr-defined]
    assert all(map(is_blocked_error, (blocked, in_arguments, in_cause, in_kwargs)))
    loop = RuntimeError("loop")
    loop.__cause__ = loop
    assert not is_blocked_error(loop)
    assert not is_blocked_error(None)
