"""Deadlines of responses: a server that drips bytes holds no thread."""

from itertools import chain, repeat

import pytest
import requests
from authlib.integrations.requests_client import OAuth2Session

from cwz_web.accounts.openid import WELL_KNOWN, AuthorizationRequest, OpenIDError, OpenIDProvider
from cwz_web.net.deadlines import DeadlineAdapter
from cwz_web.net.guard import OutboundPolicy
from tests.unit.net.test_guard import HEAD, SlowServer


@pytest.mark.parametrize("beginning", [[HEAD], [b"HTTP/1.1 200 OK\r\n"], []], ids=["body", "headers", "status"])
@pytest.mark.parametrize("session_class", [requests.Session, OAuth2Session])
def test_dripping_response_ends_at_the_deadline(beginning: list[bytes], session_class: type[requests.Session]) -> None:
    """Each of the 100,000 bytes arrives before the timeout between two reads."""
    server = SlowServer(chain(beginning, repeat(b"x", 100_000)), 0.02)
    session = session_class()
    session.mount("http://", DeadlineAdapter(0.3))
    options = {"withhold_token": True} if session_class is OAuth2Session else {}
    with pytest.raises(requests.RequestException):
        session.get(f"http://{server.host}/", timeout=5, **options)


def test_response_in_time_is_complete() -> None:
    server = SlowServer([HEAD, *repeat(bytes(40_000), 10)], 0)
    session = requests.Session()
    session.mount("http://", DeadlineAdapter(20))
    assert len(session.get(f"http://{server.host}/", timeout=5).content) == 400_000


def test_dripping_provider_ends_the_sign_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cwz_web.accounts.openid.TIMEOUT_SECONDS", 0.3)
    server = SlowServer(chain([HEAD], repeat(b" ", 100_000)), 0.02)
    provider = OpenIDProvider(f"http://{server.host}/.well-known/openid-configuration", "id", "secret", "http://x/")
    with pytest.raises(OpenIDError, match="discovery"):
        provider.authorization_url(AuthorizationRequest.create())


def test_dripping_provider_of_a_workspace_ends_the_sign_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """All responses together have one deadline, and each has a largest size."""
    monkeypatch.setattr("cwz_web.accounts.openid.TOTAL_SECONDS", 0.3)
    server = SlowServer(chain([HEAD], repeat(b"x")), 0.05)
    outbound = OutboundPolicy(None, [server.host])
    provider = OpenIDProvider(f"http://{server.host}{WELL_KNOWN}", "id", "secret", "http://x/", outbound)
    with pytest.raises(OpenIDError, match="discovery"):
        provider.authorization_url(AuthorizationRequest.create())
