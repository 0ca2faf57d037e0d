"""Limits of attempts through the pages: parallel attempts, other callers with the same target, and lock-outs."""

import dataclasses
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pyotp
import pytest
from pyramid.router import Router
from webtest import TestApp

from cwz_web.accounts.models import Account
from cwz_web.accounts.second_factor import start_enrollment
from cwz_web.app import create_app
from cwz_web.generation.models import Template
from cwz_web.storage.connections import create_connection
from cwz_web.web.rate_limits import LIMITS, RateLimiter
from cwz_web.web.services import Services
from cwz_web.workspaces.models import Role
from tests.factories import PASSWORD, Factory, put_cookie, sign_in_with_form, token_of
from tests.mailbox import Mailbox

VICTIM = "victim@example.org"
WRONG = "wrong"
PARALLEL, LIMIT = 20, 10
Attempt = Callable[[TestApp], int]


@pytest.fixture(scope="module")
def ten_each() -> RateLimiter:
    """Ten attempts for each target; callers are not limited."""
    targets = ("address", "account", "link", "template")
    scopes = {f"{name}.{scope}": scope in targets for name, scopes in LIMITS.items() for scope in scopes}
    return RateLimiter(
        "memory://", {scope: f"{LIMIT if is_target else 10_000} per hour" for scope, is_target in scopes.items()}
    )


@pytest.fixture(scope="module")
def limited_wsgi(shared_services: Services, ten_each: RateLimiter) -> Router:
    return create_app(dataclasses.replace(shared_services, limiter=ten_each))


@pytest.fixture
def limited(limited_wsgi: Router, services: Services, ten_each: RateLimiter) -> Callable[..., TestApp]:
    """Return a function that opens a browser at an IP address."""
    ten_each.reset()
    return lambda address="192.0.2.1": TestApp(limited_wsgi, extra_environ={"REMOTE_ADDR": address})


def with_second_factor(make: Factory, account: Account) -> pyotp.TOTP:
    """Turn on the second factor of an account."""
    with make.database.transaction() as db:
        stored = db.get_one(Account, account.id)
        start_enrollment(stored, make.services.ring)
        assert stored.encrypted_totp_secret is not None
        secret = make.services.ring.decrypt(stored.encrypted_totp_secret, "accounts", str(account.id), "totp")
        stored.totp_confirmed_at = datetime.now(UTC)
    return pyotp.TOTP(secret)


def csrf_token(browser: TestApp, tokens: dict[str, str] = {}) -> str:  # noqa: B006 - kept on purpose
    """Return the CSRF token, from a page that is requested only once for the cookies of a browser."""
    if str(browser.cookies) not in tokens:
        token = token_of(browser, "/forgot")
        tokens[str(browser.cookies)] = token
    return tokens[str(browser.cookies)]


def post(browser: TestApp, path: str, **fields: str) -> int:
    answer = browser.post(path, {"csrf_token": csrf_token(browser), **fields}, status="*")
    return int(answer.status_int)


def guess_password(browser: TestApp, email: str = VICTIM, password: str = WRONG) -> int:
    return post(browser, "/signin", email=email, password=password)


def pass_first_step(browser: TestApp, account: Account) -> None:
    assert guess_password(browser, account.email, PASSWORD) == 303


PAGES: dict[str, Attempt] = {
    "sign-in": guess_password,
    "forgot": lambda browser: post(browser, "/forgot", email=VICTIM),
    "resend": lambda browser: post(browser, "/resend", email=VICTIM),
    "sign-up": lambda browser: post(browser, "/signup", email=VICTIM, name="Ada", password="violet harbour 93 teapots"),
    "reset link": lambda browser: post(browser, "/reset", token="x", password="violet harbour 93 teapots"),
    "verification link": lambda browser: post(browser, "/verify", token="x"),
    "email link": lambda browser: post(browser, "/email", token="x"),
}


def run_in_parallel(browsers: list[TestApp], attempt: Attempt) -> Counter[bool]:
    """Return how many attempts were let through."""
    with ThreadPoolExecutor(PARALLEL) as pool:
        return Counter(status != 429 for status in pool.map(attempt, browsers))


@pytest.mark.parametrize("page", PAGES)
def test_parallel_attempts_do_not_pass_together(limited: Callable[..., TestApp], page: str) -> None:
    browsers = [limited(f"192.0.2.{number}") for number in range(PARALLEL)]
    assert run_in_parallel(browsers, PAGES[page]) == {True: LIMIT, False: PARALLEL - LIMIT}


def test_parallel_codes_do_not_pass_together(limited: Callable[..., TestApp], make: Factory) -> None:
    account = make.account()
    with_second_factor(make, account)
    browsers = [limited(f"192.0.2.{number}") for number in range(PARALLEL)]
    for browser in browsers:
        pass_first_step(browser, account)
    through = run_in_parallel(browsers, lambda browser: post(browser, "/signin/code", code="000000"))
    assert through == {True: LIMIT, False: PARALLEL - LIMIT}


def test_parallel_invitations_do_not_pass_together(limited: Callable[..., TestApp], make: Factory) -> None:
    browsers = [limited(f"192.0.2.{number}") for number in range(PARALLEL)]
    for browser in browsers:
        sign_in_with_form(browser, make.account())
    through = run_in_parallel(browsers, lambda browser: post(browser, "/invitation", token="x"))
    assert through == {True: LIMIT, False: PARALLEL - LIMIT}


def test_parallel_unsigned_images_do_not_pass_together(limited: Callable[..., TestApp], make: Factory) -> None:
    template = make.template(make.workspace())
    with make.database.transaction(template.workspace_id) as db:
        db.get_one(Template, (template.workspace_id, template.id)).unsigned_parameters = ["title"]
    titles = iter(range(1000))

    def render(browser: TestApp) -> int:
        answer = browser.get(f"/i/{template.id}.png?title={next(titles)}", status="*")
        return int(answer.status_int)

    browsers = [limited(f"192.0.2.{number}") for number in range(PARALLEL)]
    assert run_in_parallel(browsers, render) == {True: LIMIT, False: PARALLEL - LIMIT}


@pytest.mark.parametrize("page", PAGES)
def test_caller_does_not_change_the_target(limited: Callable[..., TestApp], make: Factory, page: str) -> None:
    """A user who is signed in, or in the second step of a sign-in, has no further attempts."""
    for number in range(LIMIT):
        assert PAGES[page](limited(f"192.0.2.{number}")) != 429
    signed_in = limited("198.51.100.1")
    sign_in_with_form(signed_in, make.account())
    holding_step = limited("198.51.100.2")
    other = make.account()
    with_second_factor(make, other)
    pass_first_step(holding_step, other)
    assert [PAGES[page](browser) for browser in (limited("198.51.100.3"), signed_in, holding_step)] == [429] * 3


def test_signed_in_user_does_not_guess_codes_under_their_own_name(
    limited: Callable[..., TestApp], make: Factory
) -> None:
    account = make.account()
    with_second_factor(make, account)
    browsers = []
    for number in range(LIMIT + 1):
        browsers.append(limited(f"192.0.2.{number}"))
        pass_first_step(browsers[-1], account)
    for browser in browsers[:LIMIT]:
        assert post(browser, "/signin/code", code="000000") == 422
    step = browsers[LIMIT].cookies["cwz_step"]
    signed_in = limited("198.51.100.1")
    sign_in_with_form(signed_in, make.account())
    put_cookie(signed_in, "cwz_step", step)
    assert post(signed_in, "/signin/code", code="000000") == 429


@pytest.mark.parametrize(
    "spelling",
    [
        "VICTIM@example.org",
        " victim@example.org ",
        "victim+tag@example.org",
        "victim@ｅxample.org",
        "victim@EXAMPLE.org",
    ],
)
def test_spellings_of_one_address_count_together(limited: Callable[..., TestApp], spelling: str) -> None:
    for number in range(LIMIT):
        assert PAGES["forgot"](limited(f"192.0.2.{number}")) == 200
    assert post(limited("198.51.100.1"), "/forgot", email=spelling) == 429


@pytest.mark.parametrize("kind", ["new email", "invitation"])
def test_signed_in_user_does_not_send_more_emails_to_one_address(
    limited: Callable[..., TestApp], make: Factory, mailbox: Mailbox, kind: str
) -> None:
    for _ in range(LIMIT + 1):
        space = make.workspace()
        admin = make.member(space)
        browser = limited()
        sign_in_with_form(browser, admin)
        if kind == "new email":
            status = post(browser, "/account/email", email=VICTIM, email_password=PASSWORD)
        else:
            status = post(browser, f"/w/{space.slug}/members", email=VICTIM, role="user")
    assert status == 429
    assert len(mailbox.emails()) == LIMIT


@pytest.fixture
def default_limits(app: TestApp, wsgi: Router) -> Callable[..., TestApp]:
    return lambda address="192.0.2.1": TestApp(wsgi, extra_environ={"REMOTE_ADDR": address})


def lock_out(browser: TestApp, account: Account) -> None:
    """Guess until no further attempt is allowed."""
    statuses = [guess_password(browser, account.email) for _ in range(12)]
    assert statuses == [422] * 10 + [429] * 2


def test_guesses_lock_out_their_own_network_only(default_limits: Callable[..., TestApp], make: Factory) -> None:
    account = make.account()
    lock_out(default_limits("192.0.2.1"), account)
    assert guess_password(default_limits("192.0.2.1"), account.email, PASSWORD) == 429, "also with other cookies"
    assert guess_password(default_limits("192.0.2.2"), account.email, PASSWORD) == 303


def test_known_device_gets_in_during_a_lock_out(default_limits: Callable[..., TestApp], make: Factory) -> None:
    account = make.account()
    office = default_limits("192.0.2.1")
    sign_in_with_form(office, account)
    post(office, "/signout")
    for number in range(11):
        for _ in range(10):
            guess_password(default_limits(f"203.0.113.{number}"), account.email)
    lock_out_all = guess_password(default_limits("198.51.100.7"), account.email, PASSWORD)
    assert lock_out_all == 429, "a hundred guesses from anywhere lock unknown devices"
    assert guess_password(office, account.email, PASSWORD) == 303
    post(office, "/signout")
    lock_out(office, account)


def test_known_device_has_no_further_guesses_at_other_accounts(
    default_limits: Callable[..., TestApp], make: Factory
) -> None:
    browser, victim = default_limits(), make.account()
    sign_in_with_form(browser, make.account())
    post(browser, "/signout")
    lock_out(browser, victim)
    assert guess_password(default_limits(), victim.email) == 429, "counted by the network"


def test_ending_all_sessions_forgets_devices(default_limits: Callable[..., TestApp], make: Factory) -> None:
    account = make.account()
    lost, browser = default_limits("192.0.2.1"), default_limits("192.0.2.2")
    sign_in_with_form(lost, account)
    sign_in_with_form(browser, account)
    post(browser, "/account/sessions/end-all")
    lock_out(default_limits("192.0.2.1"), account)
    assert guess_password(lost, account.email, PASSWORD) == 429
    post(browser, "/signout")
    lock_out(default_limits("192.0.2.2"), account)
    assert guess_password(browser, account.email, PASSWORD) == 303, "this browser stays known"


def test_password_reset_makes_the_browser_known(
    default_limits: Callable[..., TestApp], make: Factory, mailbox: Mailbox
) -> None:
    account, browser = make.account(), default_limits()
    lock_out(default_limits(), account)
    assert post(browser, "/forgot", email=account.email) == 200
    token = mailbox.link(account.email).partition("=")[2]
    assert post(browser, "/reset", token=token, password="violet harbour 93 teapots") == 303
    assert guess_password(browser, account.email, "violet harbour 93 teapots") == 303


@pytest.mark.parametrize("cookie", ["", "x", "eyJhbGciOiJub25lIn0.e30."])
def test_forged_device_is_unknown(default_limits: Callable[..., TestApp], make: Factory, cookie: str) -> None:
    account = make.account()
    lock_out(default_limits(), account)
    browser = default_limits()
    put_cookie(browser, "cwz_device", cookie)
    assert guess_password(browser, account.email, PASSWORD) == 429


def test_token_of_a_session_is_no_device(default_limits: Callable[..., TestApp], make: Factory) -> None:
    account = make.account()
    browser: Any = default_limits()
    sign_in_with_form(browser, account)
    session = browser.cookies["cwz_session"]
    lock_out(default_limits(), account)
    fresh = default_limits()
    put_cookie(fresh, "cwz_device", session)
    assert guess_password(fresh, account.email, PASSWORD) == 429


# Limits that views or other code reserve themselves, since they depend on more than the request.
RESERVED_IN_CODE = {"api", "refusal", "unsigned-image", "signed-image", "stored-image", "output-feed"}
# Views that reach other servers or write exports, and their limits.
COSTLY_VIEWS = {
    "POST FeedCollection/connect": "feed-source",
    "POST FeedCollection/connect-source": "feed-source",
    "POST FeedResource/url": "feed-source",
    "POST FeedResource/connection": "feed-source",
    "POST FeedResource/fetch": "feed-fetch",
    "POST FeedResource/retry-fetch": "feed-fetch",
    "POST ChannelResource/write": "feed-fetch",
    "POST ConnectionCollection/new": "storage",
    "POST ConnectionResource/": "storage",
    "POST ConnectionResource/test": "storage-test",
    "POST WebhookResource/resend": "webhook-resend",
    "POST SlackResource/": "slack",
    "POST SlackResource/disconnect": "slack",
    "GET AccountRoot/export": "account-export",
    "POST ExportCollection/": "workspace-export",
}


def test_every_limit_is_used_and_costly_views_have_theirs(wsgi_paid: Router) -> None:
    declared = {}
    for entry in wsgi_paid.registry.introspector.get_category("views"):
        view = entry["introspectable"]
        methods = view["request_methods"] or ("GET",)
        for method in {methods} if isinstance(methods, str) else set(methods):
            name = f"{method} {getattr(view['context'], '__name__', '')}/{view['name'] or ''}"
            declared[name] = view.get("rate_limit")
    assert {limit for limit in declared.values() if limit} == LIMITS.keys() - RESERVED_IN_CODE
    assert {name: declared.get(name) for name in COSTLY_VIEWS} == COSTLY_VIEWS


def test_tests_of_one_role_leave_those_of_admins(
    services: Services, app_with: Callable[[Services], TestApp], make: Factory
) -> None:
    space = make.workspace()
    with make.database.transaction(space.id) as db:
        connection = create_connection(db, space.id, services.ring, provider="local", name="Ours")
        path = f"/w/{space.slug}/storage/{connection.id}/test"
    limiter = RateLimiter("memory://", {"storage-test.workspace-role": "2 per hour"})
    app = app_with(dataclasses.replace(services, limiter=limiter))
    browsers = {role: TestApp(app.app) for role in (Role.SUPPORT, Role.ADMIN)}
    for role, browser in browsers.items():
        sign_in_with_form(browser, make.member(space, role))
    assert [post(browsers[Role.SUPPORT], path) for _ in range(3)] == [200, 200, 429]
    assert post(browsers[Role.ADMIN], path) == 200


def test_parallel_exports_do_not_pass_together(
    services: Services, app_with: Callable[[Services], TestApp], make: Factory
) -> None:
    account = make.account()
    limiter = RateLimiter("memory://", {"account-export.user": f"{LIMIT} per hour"})
    app = app_with(dataclasses.replace(services, limiter=limiter))
    browsers = [TestApp(app.app, extra_environ={"REMOTE_ADDR": f"192.0.2.{number}"}) for number in range(PARALLEL)]
    sign_in_with_form(browsers[0], account)
    for browser in browsers[1:]:
        for cookie in browsers[0].cookiejar:
            browser.cookiejar.set_cookie(cookie)
    through = run_in_parallel(browsers, lambda browser: int(browser.get("/account/export", status="*").status_int))
    assert through == {True: LIMIT, False: PARALLEL - LIMIT}
