import dataclasses
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from limits.errors import StorageError
from webtest import TestApp

from cwz_web.app import create_app
from cwz_web.settings import SettingsError
from cwz_web.web.rate_limits import LIMITS, RateLimitedError, RateLimiter, client_network
from cwz_web.web.services import Services
from tests.factories import Factory, sign_in


def attempts(limiter: RateLimiter, name: str, client: dict[str, str], most: int = 200) -> int:
    """Return how many attempts are allowed."""
    for count in range(most):
        try:
            limiter.check(name, client)
        except RateLimitedError:
            return count
        limiter.record(name, client)
    return most


def test_attempts_are_counted_by_ip_and_account() -> None:
    limiter = RateLimiter("memory://", {"sign-in.ip": "4 per minute", "sign-in.account": "2 per minute"})
    assert attempts(limiter, "sign-in", {"ip": "a", "account": "ada"}) == 2
    assert attempts(limiter, "sign-in", {"ip": "b", "account": "ada"}) == 0, "from any IP address"
    assert attempts(limiter, "sign-in", {"ip": "a", "account": "bob"}) == 2
    assert attempts(limiter, "sign-in", {"ip": "a", "account": "dora"}) == 0, "for any account"
    assert attempts(limiter, "sign-in", {"ip": "c", "account": "cleo"}) == 2
    limiter.reset()
    assert attempts(limiter, "sign-in", {"ip": "a"}) == 4


def test_error_has_the_waiting_time() -> None:
    limiter = RateLimiter("memory://", {"reauthentication.account": "1 per minute"})
    limiter.record("reauthentication", {"account": "ada"})
    with pytest.raises(RateLimitedError) as raised:
        limiter.check("reauthentication", {"account": "ada"})
    assert 1 <= raised.value.seconds <= 61


def test_limit_per_minute_is_exact_under_concurrency(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()  # no minute ends during the test
    monkeypatch.setattr("limits.storage.memory.time", SimpleNamespace(time=lambda: now))
    limiter = RateLimiter("memory://", {})
    with ThreadPoolExecutor(16) as pool:
        through = list(pool.map(lambda _: limiter.hit("api", "a key", 100).allowed, range(400)))
    assert sum(through) == 100


@pytest.mark.parametrize("overrides", [{"sign-in.ipp": "1 per minute"}, {"sign-in.ip": "a lot"}])
def test_invalid_override_is_rejected(overrides: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="sign-in"):
        RateLimiter("memory://", overrides)


def test_unknown_storage_is_rejected() -> None:
    with pytest.raises(SettingsError, match=r"cwz\.rate_limits: unknown storage scheme : redi://"):
        RateLimiter("redi://127.0.0.1:6379", {})


def test_failed_storage_allows_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    limiter = RateLimiter("memory://", {"reauthentication.account": "1 per minute"})

    def fail(*args: object, **kwargs: object) -> bool:
        raise StorageError(ConnectionError("no Valkey"))

    monkeypatch.setattr(limiter._strategy, "hit", fail)
    monkeypatch.setattr(limiter._strategy, "test", fail)
    assert attempts(limiter, "reauthentication", {"account": "ada"}, most=5) == 5
    monkeypatch.setattr(limiter._counter, "hit", fail)
    monkeypatch.setattr(limiter._counter, "get_window_stats", fail)
    status = limiter.hit("api", "a key", 7)
    assert (status.allowed, status.headers["RateLimit-Limit"]) == (True, "7")


@pytest.mark.parametrize(
    ("ip", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("", ""),
        ("unix", "unix"),
    ],
)
def test_ipv6_is_counted_by_network(ip: str, network: str) -> None:
    assert client_network(ip) == network


@pytest.fixture
def strict(shared_services: Services, services: Services) -> TestApp:
    """An application in which every limit is one per hour."""
    once = {f"{name}.{scope}": "1 per hour" for name, scopes in LIMITS.items() for scope in scopes}
    return TestApp(create_app(dataclasses.replace(shared_services, limiter=RateLimiter("memory://", once))))


@pytest.mark.parametrize("path", ["/signin", "/signup", "/forgot", "/resend", "/verify", "/reset", "/email"])
def test_too_many_attempts_get_a_page_with_the_waiting_time(strict: TestApp, path: str) -> None:
    fields = {"csrf_token": strict.get("/signin").forms[0]["csrf_token"].value}
    fields |= {"token": "x"} if path in ("/verify", "/reset", "/email") else {"email": "ada@example.org"}
    strict.post(path, fields, status="*")
    answer = strict.post(path, fields, status=429)
    assert 3500 < int(answer.headers["Retry-After"]) <= 3601
    assert "Try again in 60 minutes" in answer.text


def test_forwarded_headers_of_clients_are_ignored(strict: TestApp) -> None:
    fields = {"csrf_token": strict.get("/signin").forms[0]["csrf_token"].value, "email": "ada@example.org"}
    strict.post("/signin", fields, status=422)
    for header in ("X-Forwarded-For", "X-Real-Ip", "Forwarded"):
        strict.post("/signin", fields | {"email": f"{header}@example.org"}, headers={header: "192.0.2.9"}, status=429)


def test_frequent_sign_ins_are_not_limited(strict: TestApp, make: Factory) -> None:
    account = make.account()
    for _ in range(3):
        sign_in(TestApp(strict.app), account)


def test_forged_requests_do_not_count(strict: TestApp, make: Factory) -> None:
    account = make.account()
    form = strict.get("/signin").forms[0]
    strict.post("/signin", {"email": account.email, "password": "x", "csrf_token": "forged"}, status=400)
    form["email"], form["password"] = account.email, "x"
    form.submit(status=422)
