"""Connections of foreign SDKs: the refusal comes before a packet could leave. Names resolve to where the test says."""

import socket
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from itertools import chain, repeat
from typing import Any

import pytest
import requests

from cwz_web.net import guard
from cwz_web.net.client import BlockedRequestError
from cwz_web.net.guard import OutboundPolicy, is_blocked_error
from tests.conftest import Canary

HOST = "storage.example.com"


def outbound(*addresses: str, allow: tuple[str, ...] = (), hosts: tuple[str, ...] = (HOST,)) -> OutboundPolicy:
    return OutboundPolicy(hosts, allow, lambda host, port: list(addresses))


def test_a_declared_host_with_a_public_address_is_connected_to_at_that_address() -> None:
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
def test_an_address_within_is_refused(address: str) -> None:
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
def test_only_declared_hosts_over_tls(host: str, port: int, secure: bool) -> None:
    with pytest.raises(BlockedRequestError):
        outbound("93.184.216.34").resolve_address(host, port, secure=secure)


def test_what_the_operator_opened_is_reached_by_whoever_declares_it(http_server: Canary) -> None:
    http_server.paths["/x"] = (200, {}, b"inside")
    opened = OutboundPolicy([http_server.host], [http_server.host])
    assert opened.guard(requests.Session()).get(http_server.url("/x"), timeout=5).content == b"inside"
    for closed in (OutboundPolicy([], [http_server.host]), OutboundPolicy([http_server.host])):
        with pytest.raises((BlockedRequestError, requests.RequestException)) as refusal:
            closed.guard(requests.Session()).get(http_server.url("/y"), timeout=5)
        assert is_blocked_error(refusal.value)
    assert http_server.seen == ["/x"], "nothing else arrived"


@pytest.mark.parametrize("target", ["http://127.0.0.1:1/", "https://169.254.169.254/", "https://other.example.com/"])
def test_a_redirect_does_not_lead_out(http_server: Canary, target: str) -> None:
    http_server.paths["/go"] = (302, {"Location": target}, b"")
    session = OutboundPolicy([http_server.host], [http_server.host]).guard(requests.Session())
    with pytest.raises((BlockedRequestError, requests.RequestException)) as refusal:
        session.get(http_server.url("/go"), timeout=5)
    assert is_blocked_error(refusal.value)


def test_proxies_and_certificates_of_the_environment_are_not_used(
    http_server: Canary, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere")
    http_server.paths["/x"] = (200, {}, b"direct")
    session = OutboundPolicy([http_server.host], [http_server.host]).guard(requests.Session())
    assert session.get(http_server.url("/x"), timeout=5).content == b"direct"


def test_a_name_that_nobody_knows_is_no_refusal() -> None:
    with pytest.raises(OSError, match="unknown host"):
        outbound().resolve_address(HOST, 443, secure=True)


def test_a_rebound_name_is_connected_to_where_it_was_checked() -> None:
    answers = iter([["93.184.216.34"], ["127.0.0.1"]])
    rebinding = OutboundPolicy([HOST], (), lambda host, port: next(answers))
    assert rebinding.resolve_address(HOST, 443, secure=True) == "93.184.216.34"
    with pytest.raises(BlockedRequestError):
        rebinding.resolve_address(HOST, 443, secure=True)


class Trickling:
    """A server that sends what it is told, a part at a time, with a pause after each."""

    def __init__(self, parts: Iterable[bytes], pause: float) -> None:
        self._parts, self._pause = parts, pause
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._answer, daemon=True).start()

    def _answer(self) -> None:
        with suppress(OSError), self._listening, self._listening.accept()[0] as client:
            client.recv(65536)
            for part in self._parts:
                client.sendall(part)
                time.sleep(self._pause)

    def get(self, **options: Any) -> requests.Response:
        session = OutboundPolicy([self.host], [self.host]).guard(requests.Session())
        return session.get(f"http://{self.host}/", timeout=5, **options)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 400000\r\n\r\n"


@pytest.mark.parametrize("parts", [chain([HEAD], repeat(b".", 1000)), repeat(b"H", 1000)], ids=["body", "headers"])
def test_a_byte_now_and_then_holds_nobody_for_long(monkeypatch: pytest.MonkeyPatch, parts: Iterable[bytes]) -> None:
    monkeypatch.setattr(guard, "ANSWER_SECONDS", 0.3)
    begun = time.monotonic()
    with pytest.raises(requests.RequestException):
        Trickling(parts, 0.02).get()
    assert time.monotonic() - begun < 4, "no byte was five seconds late"


def test_what_comes_at_a_pace_may_take_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "ANSWER_SECONDS", 0.3)
    assert len(Trickling([HEAD, *repeat(bytes(40_000), 10)], 0.1).get().content) == 400_000


def test_the_time_of_whoever_reads_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "ANSWER_SECONDS", 0.3)
    monkeypatch.setattr(guard, "BYTES_A_SECOND", 10**9)
    with Trickling([HEAD, bytes(400_000)], 0).get(stream=True) as answer:
        received = 0
        for part in answer.iter_content(100_000):
            received += len(part)
            time.sleep(0.2)
    assert received == 400_000
