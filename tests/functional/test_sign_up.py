"""Sign-up, email verification and password reset, through pages and emails."""

import re
from datetime import timedelta

import pytest
from sqlalchemy import select, update
from webtest import TestApp
from webtest.response import TestResponse

from cwz_web.accounts.models import Account, ExternalIdentity, LoginSession, Token
from cwz_web.accounts.passwords import Passwords
from tests.factories import PASSWORD, PEPPER, Factory, put_cookie, sign_in_with_form
from tests.mailbox import Mailbox, text_of

STRONG_PASSWORD = "violet harbour 93 teapots"


def submit_sign_up(app: TestApp, email: str, password: str = STRONG_PASSWORD, name: str = "Ada") -> TestResponse:
    form = app.get("/signup").forms[0]
    form["name"], form["email"], form["password"] = name, email, password
    return form.submit(status="*")


def submit_sign_in(app: TestApp, email: str, password: str) -> TestResponse:
    form = app.get("/signin").forms[0]
    form["email"], form["password"] = email, password
    return form.submit(status="*")


def page_text(page: TestResponse) -> str:
    """Return a page without what differs in each response."""
    return re.sub(r"nonce[^ >]*|value=\"[^\"]*\"|X-CSRF[^>]*", "", page.text)


def is_sent_by_script(page: TestResponse) -> bool:
    """Return whether a script presses the button of a page."""
    return "data-submit-form" in page.text and "submit-form.js" in page.text


def find_account(make: Factory, email: str) -> Account | None:
    with make.database.transaction() as db:
        return db.scalar(select(Account).where(Account.email == email))


def test_sign_up_verification_and_sign_in(app: TestApp, mailbox: Mailbox) -> None:
    assert "Check your email" in submit_sign_up(app, "Ada@Example.org").text
    mail = mailbox.last("Ada@example.org")
    assert mail.get_body(("html",)) is not None
    link = mailbox.link("Ada@example.org")
    assert re.fullmatch(r"/verify\?token=[0-9a-f]{64}", link)
    page = app.get(link)
    assert "password" not in page.forms[0].fields
    assert is_sent_by_script(page)
    page.forms[0].submit(status=303)
    assert app.get("/").follow().request.path == "/w/new", "the browser that signed up is signed in"
    other = TestApp(app.app)
    assert submit_sign_in(other, "ada@example.ORG", STRONG_PASSWORD).status_int == 303
    form = app.get("/w/new").forms[1]
    assert form["name"].value == "Ada’s workspace"
    assert form.submit(status=303).location.endswith("/w/adas-workspace/setup")


def test_unverified_account_cannot_sign_in(app: TestApp, make: Factory) -> None:
    submit_sign_up(app, "ada@example.org")
    page = submit_sign_in(app, "ada@example.org", STRONG_PASSWORD)
    assert "Check your email" in page.text
    assert "cwz_session" not in app.cookies
    assert "Incorrect email address or password" in submit_sign_in(app, "ada@example.org", "wrong").text


def test_opening_the_link_verifies_nothing(app: TestApp, make: Factory, mailbox: Mailbox) -> None:
    submit_sign_up(app, "ada@example.org")
    link = mailbox.link("ada@example.org")
    for _ in range(3):
        assert not is_sent_by_script(TestApp(app.app).get(link)), "a scanner can run scripts"
        TestApp(app.app).head(link, status="*")
    account = find_account(make, "ada@example.org")
    assert account is not None
    assert account.verified_at is None
    assert app.get(link).forms[0].submit().status_int == 303


def test_link_does_not_replace_the_account_that_is_signed_in(app: TestApp, make: Factory, mailbox: Mailbox) -> None:
    submit_sign_up(app, "ada@example.org")
    link = mailbox.link("ada@example.org")
    sign_in_with_form(app, make.account())
    page = app.get(link)
    assert "password" not in page.forms[0].fields
    assert not is_sent_by_script(page)


def test_form_of_a_link_is_not_sent_again_after_an_error(app: TestApp, mailbox: Mailbox) -> None:
    submit_sign_up(app, "ada@example.org")
    page = app.get(mailbox.link("ada@example.org"))
    form = page.forms[0]
    fields = {name: form[name].value for name in ("csrf_token", "token")}
    invalid = app.post("/verify", {**fields, "password": "x" * 1000}, status=422)
    assert "password" not in invalid.forms[0].fields
    assert not is_sent_by_script(invalid)


def test_only_the_newest_link_is_valid_and_only_once(app: TestApp, mailbox: Mailbox) -> None:
    page = submit_sign_up(app, "ada@example.org")
    first = mailbox.link("ada@example.org")
    page.forms[0].submit()
    second = mailbox.link("ada@example.org")
    assert first != second
    assert "no longer valid" in app.get(first, status=404).text
    other = TestApp(app.app)
    late = other.get(second).forms[0]
    late["password"] = STRONG_PASSWORD
    assert app.get(second).forms[0].submit().status_int == 303
    late.submit(status=422)
    assert "cwz_session" not in other.cookies
    app.get(second, status=404)


def test_expired_verification_link_is_rejected(app: TestApp, make: Factory, mailbox: Mailbox) -> None:
    submit_sign_up(app, "ada@example.org")
    link = mailbox.link("ada@example.org")
    form = app.get(link).forms[0]
    with make.database.transaction() as db:
        db.execute(update(Token).values(expires_at=Token.created_at - timedelta(seconds=1)))
    form.submit(status=422)
    app.get(link, status=404)


def test_database_stores_no_token(app: TestApp, make: Factory, mailbox: Mailbox) -> None:
    submit_sign_up(app, "ada@example.org")
    token = mailbox.link("ada@example.org").partition("=")[2]
    with make.database.transaction() as db:
        [row] = db.scalars(select(Token))
        assert token not in str(vars(row))
        assert row.expires_at - row.created_at <= timedelta(hours=24, minutes=1)


@pytest.mark.parametrize("verified", [True, False])
def test_sign_up_does_not_reveal_accounts(app: TestApp, make: Factory, mailbox: Mailbox, verified: bool) -> None:
    known = make.account(**({} if verified else {"verified_at": None}))
    pages = [submit_sign_up(TestApp(app.app), email) for email in (known.email, "new@example.org")]
    assert page_text(pages[0]).replace(known.email, "new@example.org") == page_text(pages[1])
    assert pages[0].status == pages[1].status
    subject = mailbox.last(known.email)["Subject"]
    assert subject == (
        "You already have a ConnectWyze account" if verified else "Confirm your email address for ConnectWyze"
    )
    account = find_account(make, known.email)
    assert account is not None
    assert (account.password_hash == known.password_hash) is verified, "a verified account is not changed"


def test_owner_does_not_verify_an_account_with_the_password_of_an_attacker(
    app: TestApp, make: Factory, mailbox: Mailbox
) -> None:
    owner, attacker = TestApp(app.app), TestApp(app.app)
    submit_sign_up(owner, "ada@example.org", "owner violet harbour 93")
    submit_sign_up(attacker, "ada@example.org", "attacker violet harbour 93")
    page = owner.get(mailbox.link("ada@example.org"))
    form = page.forms[0]
    form["password"] = "owner violet harbour 93"
    assert "Incorrect password" in form.submit(status=422).text
    account = find_account(make, "ada@example.org")
    assert account is not None
    assert account.verified_at is None


@pytest.mark.parametrize("delayed", [False, True])
def test_verification_is_bound_to_the_browser_of_the_latest_password(
    app: TestApp, make: Factory, mailbox: Mailbox, delayed: bool
) -> None:
    """Neither a resent nor a delayed email verifies an account with the password of an attacker."""
    owner, attacker = TestApp(app.app), TestApp(app.app)
    page = submit_sign_up(owner, "ada@example.org", "owner violet harbour 93")
    if not delayed:
        mailbox.deliver()
    submit_sign_up(attacker, "ada@example.org", "attacker violet harbour 93")
    page.forms[0].submit()
    form = owner.get(mailbox.link("ada@example.org")).forms[0]
    form.submit(status=422)
    account = find_account(make, "ada@example.org")
    assert account is not None
    assert account.verified_at is None


def test_other_browser_verifies_with_the_password(app: TestApp, mailbox: Mailbox) -> None:
    submit_sign_up(app, "ada@example.org")
    phone = TestApp(app.app)
    form = phone.get(mailbox.link("ada@example.org")).forms[0]
    form["password"] = "wrong"
    form = form.submit(status=422).forms[0]
    assert "cwz_session" not in phone.cookies
    form["password"] = STRONG_PASSWORD
    form.submit(status=303)
    assert phone.get("/account").status_int == 200


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("email", "no address", "name@example.com"),
        ("email", "a@example.org, b@example.org", "name@example.com"),
        ("email", "Ada <ada@example.org>", "name@example.com"),
        ("email", "ada@example.org\r\nBcc: eve@example.org", "name@example.com"),
        ("email", "ада@example.org", "name@example.com"),
        ("email", "ada@localhost", "name@example.com"),
        ("name", "", "Enter a value"),
        ("name", "visit https://evil.test", "common punctuation"),
        ("password", "short", "at least 10"),
        ("password", "x" * 257, "at most 256"),
        ("password", "password123", "easy to guess"),
        ("password", "ada@example.org", "easy to guess"),
        ("password", "Ada Lovelace Ada", "easy to guess"),
    ],
)
def test_invalid_field_shows_an_error_beside_it(
    app: TestApp, mailbox: Mailbox, field: str, value: str, message: str
) -> None:
    given = {"email": "ada@example.org", "password": STRONG_PASSWORD, "name": "Ada Lovelace", field: value}
    page = submit_sign_up(app, **given)
    assert page.status_int == 422
    assert message in page.html.find(id=f"{field}-error").text
    assert mailbox.emails() == []


def test_repeated_field_is_rejected(app: TestApp, mailbox: Mailbox) -> None:
    form = app.get("/forgot").forms[0]
    token = form["csrf_token"].value
    page = app.post(
        "/forgot", [("csrf_token", token), ("email", "a@example.org"), ("email", "b@example.org")], status=422
    )
    assert "once" in page.html.find(id="email-error").text
    assert mailbox.emails() == []


def request_reset(app: TestApp, email: str) -> TestResponse:
    form = app.get("/forgot").forms[0]
    form["email"] = email
    return form.submit()


def test_password_reset_ends_all_sessions(app: TestApp, make: Factory, mailbox: Mailbox) -> None:
    account = make.account()
    elsewhere = TestApp(app.app)
    sign_in_with_form(elsewhere, account)
    request_reset(app, account.email)
    form = app.get(mailbox.link(account.email)).forms[0]
    form["password"] = STRONG_PASSWORD
    assert form.submit(status=303).location.endswith("/signin?done=reset")
    assert elsewhere.get("/account", status=303).location.startswith("http://localhost/signin")
    assert submit_sign_in(app, account.email, PASSWORD).status_int == 422
    assert submit_sign_in(app, account.email, STRONG_PASSWORD).status_int == 303
    assert mailbox.last(account.email)["Subject"] == "Your ConnectWyze password was changed"
    assert form.submit(status="*").status_int in (400, 422), "the link is valid once"


def test_form_of_a_reset_link_keeps_its_token(app: TestApp, make: Factory, mailbox: Mailbox) -> None:
    """A token in the query of the form's URL does not replace that of the body."""
    one, other = make.account(), make.account()
    for account in (one, other):
        request_reset(app, account.email)
    form = app.get(mailbox.link(one.email)).forms[0]
    token = form["token"].value
    form["password"] = "short"
    form.action = mailbox.link(other.email)
    assert form.submit(status=422).forms[0]["token"].value == token


def test_sign_in_invalidates_the_reset_link(app: TestApp, make: Factory, mailbox: Mailbox) -> None:
    account = make.account()
    request_reset(app, account.email)
    link = mailbox.link(account.email)
    sign_in_with_form(TestApp(app.app), account)
    app.get(link, status=404)


def test_reset_link_expires_after_an_hour(app: TestApp, make: Factory, mailbox: Mailbox) -> None:
    account = make.account()
    request_reset(app, account.email)
    link = mailbox.link(account.email)
    with make.database.transaction() as db:
        [row] = db.scalars(select(Token))
        assert row.expires_at - row.created_at <= timedelta(hours=1, minutes=1)
        row.expires_at = row.created_at - timedelta(seconds=1)
    app.get(link, status=404)


def test_reset_does_not_reveal_accounts(app: TestApp, make: Factory, mailbox: Mailbox) -> None:
    known = make.account()
    pages = [request_reset(TestApp(app.app), email) for email in (known.email, "unknown@example.org")]
    assert page_text(pages[0]).replace(known.email, "unknown@example.org") == page_text(pages[1])
    assert pages[0].status == pages[1].status
    assert pages[0].html.h1.text == "Check your email"
    assert [mail["To"] for mail in mailbox.emails()] == [known.email]


def test_reset_of_an_account_without_password_refers_to_google(app: TestApp, make: Factory, mailbox: Mailbox) -> None:
    account = make.account(password_hash=None)
    google = {"issuer": "https://accounts.google.com", "subject": "1", "email": account.email}
    with make.database.transaction() as db:
        db.add(ExternalIdentity(account_id=account.id, **google))
    request_reset(app, account.email)
    assert "Google" in mailbox.last(account.email)["Subject"]
    assert "/reset" not in text_of(mailbox.last(account.email))


def test_weak_new_password_is_rejected_and_the_link_stays_valid(app: TestApp, make: Factory, mailbox: Mailbox) -> None:
    account = make.account()
    request_reset(app, account.email)
    form = app.get(mailbox.link(account.email)).forms[0]
    form["password"] = "password123"
    page = form.submit(status=422)
    assert "easy to guess" in page.html.find(id="password-error").text
    page.forms[0]["password"] = STRONG_PASSWORD
    assert page.forms[0].submit().status_int == 303


def test_token_is_valid_for_one_purpose_only(app: TestApp, make: Factory, mailbox: Mailbox) -> None:
    account = make.account()
    request_reset(app, account.email)
    token = mailbox.link(account.email).partition("=")[2]
    for path in ("/verify", "/email", "/invitation"):
        app.get(f"{path}?token={token}", status=404)


@pytest.mark.parametrize("token", ["", "x", "0" * 64, "ü" * 40, "0" * 5000])
@pytest.mark.parametrize("path", ["/verify", "/reset", "/email", "/invitation"])
def test_invalid_token_is_not_found(app: TestApp, path: str, token: str) -> None:
    assert app.get(path, {"token": token}, status=404).html.h1 is not None


def test_spaces_are_part_of_the_password(app: TestApp, mailbox: Mailbox) -> None:
    submit_sign_up(app, "ada@example.org", f"  {STRONG_PASSWORD}  ")
    app.get(mailbox.link("ada@example.org")).forms[0].submit()
    other = TestApp(app.app)
    assert submit_sign_in(other, "ada@example.org", STRONG_PASSWORD).status_int == 422
    assert submit_sign_in(other, "ada@example.org", f"  {STRONG_PASSWORD}  ").status_int == 303


def test_sign_in_renews_a_hash_of_another_cost(app: TestApp, make: Factory) -> None:
    account = make.account(password_hash=Passwords(PEPPER, cost=5).hash(PASSWORD))
    sign_in_with_form(app, account)
    renewed = find_account(make, account.email)
    assert renewed is not None
    assert renewed.password_hash is not None
    assert renewed.password_hash.startswith("v1:$2b$04$")


def test_sign_in_replaces_the_session_of_the_browser(app: TestApp, make: Factory) -> None:
    account = make.account()
    sign_in_with_form(app, account)
    before = app.cookies["cwz_session"]
    other = TestApp(app.app)
    put_cookie(other, "cwz_session", before)
    page = app.get("/account")
    token = page.html.find("input", {"name": "csrf_token"})["value"]
    app.post("/signin", {"csrf_token": token, "email": account.email, "password": PASSWORD}, status=303)
    assert app.cookies["cwz_session"] != before
    assert other.get("/account").status_int == 303
    with make.database.transaction() as db:
        assert len(db.scalars(select(LoginSession).where(LoginSession.ended_at.is_(None))).all()) == 1
