import dataclasses
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from limits.errors import StorageError
from webtest import TestApp

from cwz_web.app import create_app
from cwz_web.settings import SettingsError
from cwz_web.web import rate_limits
from cwz_web.web.rate_limits import LIMITS, Limiter, RateLimitedError, network_of
from cwz_web.web.services import Services
from tests.factories import Factory, sign_in
from tests.installation import wait_for


def attempts(limiter: Limiter, name: str, who: dict[str, str], most: int = 200) -> int:
    """How many attempts there are until one is too many."""
    for count in range(most):
        try:
            limiter.look(name, who)
        except RateLimitedError:
            return count
        limiter.count(name, who)
    return most


def test_attempts_are_counted_by_address_and_by_account() -> None:
    limiter = Limiter("memory://", {"sign-in.address": "4 per minute", "sign-in.account": "2 per minute"})
    assert attempts(limiter, "sign-in", {"address": "a", "account": "ada"}) == 2
    assert attempts(limiter, "sign-in", {"address": "b", "account": "ada"}) == 0, "from anywhere"
    assert attempts(limiter, "sign-in", {"address": "a", "account": "bob"}) == 2
    assert attempts(limiter, "sign-in", {"address": "a", "account": "dora"}) == 0, "for anybody"
    assert attempts(limiter, "sign-in", {"address": "c", "account": "cleo"}) == 2
    limiter.forget()
    assert attempts(limiter, "sign-in", {"address": "a"}) == 4


def test_the_wait_is_told() -> None:
    limiter = Limiter("memory://", {"proof.account": "1 per minute"})
    limiter.count("proof", {"account": "ada"})
    with pytest.raises(RateLimitedError) as refusal:
        limiter.look("proof", {"account": "ada"})
    assert 1 <= refusal.value.seconds <= 61


def test_what_has_run_out_is_thrown_away_but_not_by_a_thread_for_each_request(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[threading.Thread] = []
    start = threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", lambda thread: (begun.append(thread), start(thread)))
    limiter = Limiter("memory://", {"proof.account": "1 per second"})
    for number in range(50):
        assert limiter.take("api", f"key {number}", 1).allowed
    assert len(begun) == 1
    assert begun[0].daemon, "it does not hold up the end of the process"
    monkeypatch.setattr(rate_limits, "SWEEP_SECONDS", 0.05)
    limiter = Limiter("memory://", {"proof.account": "1 per second"})
    limiter.count("proof", {"account": "ada"})
    events = limiter._storage.events

    def look() -> bool:
        limiter.count("proof", {"account": "bob"})
        return not any(kept for key, kept in events.items() if "ada" in key)

    assert any(kept for key, kept in events.items() if "ada" in key)
    wait_for(look)


def test_a_minute_is_exact_however_many_ask_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()  # so that no minute ends meanwhile
    monkeypatch.setattr("limits.storage.memory.time", SimpleNamespace(time=lambda: now))
    limiter = Limiter("memory://", {})
    with ThreadPoolExecutor(16) as pool:
        through = list(pool.map(lambda _: limiter.take("api", "a key", 100).allowed, range(400)))
    assert sum(through) == 100


@pytest.mark.parametrize("changed", [{"sign-in.adress": "1 per minute"}, {"sign-in.address": "a lot"}])
def test_a_limit_that_is_none_is_refused_at_start(changed: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="sign-in"):
        Limiter("memory://", changed)


def test_a_storage_that_nobody_knows_is_refused_at_start() -> None:
    with pytest.raises(SettingsError, match=r"cwz\.rate_limits: unknown storage scheme : redi://"):
        Limiter("redi://127.0.0.1:6379", {})


def test_a_broken_storage_lets_people_in(monkeypatch: pytest.MonkeyPatch) -> None:
    limiter = Limiter("memory://", {"proof.account": "1 per minute"})

    def broken(*args: object, **kwargs: object) -> bool:
        raise StorageError(ConnectionError("no Valkey"))

    monkeypatch.setattr(limiter._strategy, "hit", broken)
    monkeypatch.setattr(limiter._strategy, "test", broken)
    assert attempts(limiter, "proof", {"account": "ada"}, most=5) == 5
    monkeypatch.setattr(limiter._counter, "hit", broken)
    monkeypatch.setattr(limiter._counter, "get_window_stats", broken)
    left = limiter.take("api", "a key", 7)
    assert (left.allowed, left.headers["RateLimit-Limit"]) == (True, "7")


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("", ""),
        ("unix", "unix"),
    ],
)
def test_of_ipv6_the_network_counts(address: str, counted: str) -> None:
    assert network_of(address) == counted


@pytest.fixture
def strict(kept_services: Services, services: Services) -> TestApp:
    """An application in which everything may be done once an hour."""
    once = {f"{name}.{scope}": "1 per hour" for name, scopes in LIMITS.items() for scope in scopes}
    return TestApp(create_app(dataclasses.replace(kept_services, limiter=Limiter("memory://", once))))


@pytest.mark.parametrize("path", ["/signin", "/signup", "/forgot", "/resend", "/verify", "/reset", "/email"])
def test_a_page_that_is_tried_too_often_says_when_to_come_back(strict: TestApp, path: str) -> None:
    fields = {"csrf_token": strict.get("/signin").forms[0]["csrf_token"].value}
    fields |= {"token": "x"} if path in ("/verify", "/reset", "/email") else {"email": "ada@example.org"}
    strict.post(path, fields, status="*")
    answer = strict.post(path, fields, status=429)
    assert 3500 < int(answer.headers["Retry-After"]) <= 3601
    assert "try again in 60 minutes" in answer.text


def test_an_address_that_somebody_claims_to_have_does_not_count(strict: TestApp) -> None:
    fields = {"csrf_token": strict.get("/signin").forms[0]["csrf_token"].value, "email": "ada@example.org"}
    strict.post("/signin", fields, status=422)
    for header in ("X-Forwarded-For", "X-Real-Ip", "Forwarded"):
        strict.post("/signin", fields | {"email": f"{header}@example.org"}, headers={header: "192.0.2.9"}, status=429)


def test_signing_in_often_locks_nobody_out(strict: TestApp, make: Factory) -> None:
    account = make.account()
    for _ in range(3):
        sign_in(TestApp(strict.app), account)


def test_a_request_that_is_forged_uses_up_nobodys_attempts(strict: TestApp, make: Factory) -> None:
    account = make.account()
    form = strict.get("/signin").forms[0]
    strict.post("/signin", {"email": account.email, "password": "x", "csrf_token": "forged"}, status=400)
    form["email"], form["password"] = account.email, "x"
    form.submit(status=422)
