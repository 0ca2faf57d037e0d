"""Internal names are refused like unknown ones: the same error, the same message, the same time."""

from types import SimpleNamespace

import pytest
import requests

from cwz_web.net import resolution
from cwz_web.net.client import Fetcher, FetchError, check_url
from cwz_web.net.guard import OutboundPolicy
from cwz_web.net.resolution import REFUSAL_SECONDS, find_public_address
from cwz_web.storage.contract import StorageError
from cwz_web.storage.http import HttpClient

PUBLIC, INTERNAL, UNKNOWN, MIXED = "public.example", "internal.example", "unknown.example", "mixed.example"
ANSWERS = {PUBLIC: ["93.184.216.34"], INTERNAL: ["10.0.0.1"], UNKNOWN: [], MIXED: ["93.184.216.34", "fd00::1"]}
# How long the name server takes, in seconds.
DELAYS = {PUBLIC: 0.02, INTERNAL: 0.001, UNKNOWN: 0.12, MIXED: 0.03}
REFUSED = (INTERNAL, UNKNOWN, MIXED)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that advances by the delays of the name server and by sleeping."""
    clock = SimpleNamespace(now=0.0)

    def sleep(seconds: float) -> None:
        clock.now += seconds

    monkeypatch.setattr(resolution, "time", SimpleNamespace(monotonic=lambda: clock.now, sleep=sleep))
    monkeypatch.setattr(resolution, "REFUSAL_SECONDS", REFUSAL_SECONDS)

    def resolver(host: str, port: int) -> list[str]:
        clock.now += DELAYS[host]
        if host == UNKNOWN:
            raise OSError("Name or service not known")
        return ANSWERS[host]

    clock.resolver = resolver
    return clock


@pytest.mark.parametrize("host", REFUSED)
def test_every_refusal_takes_the_same_time(clock: SimpleNamespace, host: str) -> None:
    assert find_public_address(clock.resolver, host, 443, is_allowed=False) is None
    assert clock.now == pytest.approx(REFUSAL_SECONDS)


def test_public_host_does_not_wait(clock: SimpleNamespace) -> None:
    assert find_public_address(clock.resolver, PUBLIC, 443, is_allowed=False) == "93.184.216.34"
    assert clock.now == DELAYS[PUBLIC]


def refusal_of_fetch(resolver: resolution.Resolver, host: str) -> Exception:
    with pytest.raises(FetchError) as raised:
        Fetcher(resolver=resolver).get(f"https://{host}/", max_bytes=10)
    return raised.value


def refusal_of_post(resolver: resolution.Resolver, host: str) -> Exception:
    with pytest.raises(FetchError) as raised:
        Fetcher(resolver=resolver).post(f"https://{host}/", b"", {}, seconds=5)
    return raised.value


def refusal_of_storage(resolver: resolution.Resolver, host: str) -> Exception:
    client = HttpClient(OutboundPolicy([host], (), resolver), f"https://{host}/")
    with pytest.raises(StorageError) as raised:
        client.request("GET", "a")
    return raised.value


def refusal_of_sdk(resolver: resolution.Resolver, host: str) -> Exception:
    session = OutboundPolicy([host], (), resolver).guard(requests.Session())
    with pytest.raises(FetchError) as raised:
        session.get(f"https://{host}/", timeout=5)
    return raised.value


@pytest.mark.parametrize("refusal", [refusal_of_fetch, refusal_of_post, refusal_of_storage, refusal_of_sdk])
def test_no_caller_can_tell_an_internal_host_from_an_unknown_one(clock: SimpleNamespace, refusal: object) -> None:
    """Feeds, photos and webhooks; storage; OpenID Connect and SDKs."""
    errors = [refusal(clock.resolver, host) for host in REFUSED]  # type: ignore[operator]
    assert len({(type(error), str(error), getattr(error, "is_temporary", None)) for error in errors}) == 1
    assert "unknown, or not on the public internet" in str(errors[0])


@pytest.mark.parametrize("url", [f"https://{host}/" for host in REFUSED])
def test_forms_do_not_resolve(url: str) -> None:
    assert str(check_url(url)) == url
