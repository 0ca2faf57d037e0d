"""Signing up, confirming an address, a forgotten password, a changed address: through the pages and the mails."""

import re
from datetime import timedelta

import pytest
from sqlalchemy import select, update
from webtest import TestApp
from webtest.response import TestResponse

from cwz_web.accounts.models import Account, LoginSession, Token
from tests.factories import PASSWORD, Factory, sign_in
from tests.mailbox import Mailbox, text_of

GOOD = "violet harbour 93 teapots"


def fill_in(app: TestApp, email: str, password: str = GOOD, name: str = "Ada") -> TestResponse:
    form = app.get("/signup").forms[0]
    form["name"], form["email"], form["password"] = name, email, password
    return form.submit(status="*")


def try_to_sign_in(app: TestApp, email: str, password: str) -> TestResponse:
    form = app.get("/signin").forms[0]
    form["email"], form["password"] = email, password
    return form.submit(status="*")


def stored(make: Factory, email: str) -> Account | None:
    with make.database.transaction() as db:
        return db.scalar(select(Account).where(Account.email == email))


def test_somebody_signs_up_confirms_and_signs_in(app: TestApp, mailbox: Mailbox) -> None:
    assert "Check your email" in fill_in(app, "Ada@Example.org").text
    mail = mailbox.last("Ada@example.org")
    assert mail.get_body(("html",)) is not None
    link = mailbox.link("Ada@example.org")
    assert re.fullmatch(r"/verify\?token=[0-9a-f]{64}", link)
    page = app.get(link)
    assert "password" not in page.forms[0].fields
    assert page.forms[0].submit(status=303).location.endswith("/signin?done=verified")
    assert try_to_sign_in(app, "ada@example.ORG", GOOD).status_int == 303
    assert "No workspaces yet" in app.get("/").follow().text


def test_until_the_address_is_confirmed_there_is_nothing_but_check_your_mail(app: TestApp, make: Factory) -> None:
    fill_in(app, "ada@example.org")
    page = try_to_sign_in(app, "ada@example.org", GOOD)
    assert "Check your email" in page.text
    assert "cwz_session" not in app.cookies
    assert "Incorrect email address or password" in try_to_sign_in(app, "ada@example.org", "wrong").text


def test_a_program_that_follows_the_link_confirms_nothing(app: TestApp, make: Factory, mailbox: Mailbox) -> None:
    fill_in(app, "ada@example.org")
    link = mailbox.link("ada@example.org")
    for _ in range(3):
        TestApp(app.app).get(link)
        TestApp(app.app).head(link, status="*")
    account = stored(make, "ada@example.org")
    assert account is not None
    assert account.verified_at is None
    assert app.get(link).forms[0].submit().status_int == 303


def test_a_link_works_once_and_the_newest_one_only(app: TestApp, mailbox: Mailbox) -> None:
    page = fill_in(app, "ada@example.org")
    first = mailbox.link("ada@example.org")
    page.forms[0].submit()
    second = mailbox.link("ada@example.org")
    assert first != second
    assert "no longer valid" in app.get(first, status=404).text
    form = app.get(second).forms[0]
    assert form.submit().status_int == 303
    assert form.submit(status=422).status_int == 422
    app.get(second, status=404)


def test_a_link_is_dead_after_its_day(app: TestApp, make: Factory, mailbox: Mailbox) -> None:
    fill_in(app, "ada@example.org")
    link = mailbox.link("ada@example.org")
    form = app.get(link).forms[0]
    with make.database.transaction() as db:
        db.execute(update(Token).values(expires_at=Token.created_at - timedelta(seconds=1)))
    form.submit(status=422)
    app.get(link, status=404)


def test_the_database_keeps_no_link(app: TestApp, make: Factory, mailbox: Mailbox) -> None:
    fill_in(app, "ada@example.org")
    token = mailbox.link("ada@example.org").partition("=")[2]
    with make.database.transaction() as db:
        [row] = db.scalars(select(Token))
        assert token not in str(vars(row))
        assert row.expires_at - row.created_at <= timedelta(hours=24, minutes=1)


@pytest.mark.parametrize("verified", [True, False])
def test_an_address_that_has_an_account_gets_the_same_answer(
    app: TestApp, make: Factory, mailbox: Mailbox, verified: bool
) -> None:
    known = make.account(**({} if verified else {"verified_at": None}))
    answers = [fill_in(TestApp(app.app), email) for email in (known.email, "new@example.org")]
    texts = [re.sub(r"nonce[^ >]*|value=\"[^\"]*\"|X-CSRF[^>]*", "", answer.text) for answer in answers]
    assert texts[0].replace(known.email, "new@example.org") == texts[1]
    assert answers[0].status == answers[1].status
    subject = mailbox.last(known.email)["Subject"]
    assert subject == (
        "You already have a ConnectWyze account" if verified else "Confirm your email address for ConnectWyze"
    )
    account = stored(make, known.email)
    assert account is not None
    assert (account.password_hash == known.password_hash) is verified, "a confirmed account is left alone"


def test_whoever_signs_up_with_anothers_address_gets_no_account_by_the_owners_click(
    app: TestApp, make: Factory, mailbox: Mailbox
) -> None:
    owner, attacker = TestApp(app.app), TestApp(app.app)
    fill_in(owner, "ada@example.org", "owner violet harbour 93")
    fill_in(attacker, "ada@example.org", "attacker violet harbour 93")
    page = owner.get(mailbox.link("ada@example.org"))
    form = page.forms[0]
    form["password"] = "owner violet harbour 93"
    assert "Incorrect password" in form.submit(status=422).text
    account = stored(make, "ada@example.org")
    assert account is not None
    assert account.verified_at is None


@pytest.mark.parametrize("delayed", [False, True])
def test_the_browser_that_counts_is_the_one_that_chose_the_password(
    app: TestApp, make: Factory, mailbox: Mailbox, delayed: bool
) -> None:
    """Neither writing again from the owner's browser nor a mail that was late makes an attacker's password count."""
    owner, attacker = TestApp(app.app), TestApp(app.app)
    page = fill_in(owner, "ada@example.org", "owner violet harbour 93")
    if not delayed:
        mailbox.deliver()
    fill_in(attacker, "ada@example.org", "attacker violet harbour 93")
    page.forms[0].submit()
    form = owner.get(mailbox.link("ada@example.org")).forms[0]
    form.submit(status=422)
    account = stored(make, "ada@example.org")
    assert account is not None
    assert account.verified_at is None


def test_another_browser_may_confirm_with_the_password(app: TestApp, mailbox: Mailbox) -> None:
    fill_in(app, "ada@example.org")
    phone = TestApp(app.app)
    form = phone.get(mailbox.link("ada@example.org")).forms[0]
    form["password"] = GOOD
    assert form.submit(status=303).location.endswith("/signin?done=verified")


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
def test_a_wrong_field_is_said_beside_it(app: TestApp, mailbox: Mailbox, field: str, value: str, message: str) -> None:
    given = {"email": "ada@example.org", "password": GOOD, "name": "Ada Lovelace", field: value}
    page = fill_in(app, **given)
    assert page.status_int == 422
    assert message in page.html.find(id=f"{field}-error").text
    assert mailbox.emails() == []


def test_an_address_that_is_given_twice_is_refused(app: TestApp, mailbox: Mailbox) -> None:
    form = app.get("/forgot").forms[0]
    token = form["csrf_token"].value
    page = app.post(
        "/forgot", [("csrf_token", token), ("email", "a@example.org"), ("email", "b@example.org")], status=422
    )
    assert "once" in page.html.find(id="email-error").text
    assert mailbox.emails() == []


def ask_for_reset(app: TestApp, email: str) -> TestResponse:
    form = app.get("/forgot").forms[0]
    form["email"] = email
    return form.submit()


def test_a_forgotten_password_is_set_anew_and_every_session_ends(app: TestApp, make: Factory, mailbox: Mailbox) -> None:
    account = make.account()
    elsewhere = TestApp(app.app)
    sign_in(elsewhere, account)
    ask_for_reset(app, account.email)
    form = app.get(mailbox.link(account.email)).forms[0]
    form["password"] = GOOD
    assert form.submit(status=303).location.endswith("/signin?done=reset")
    assert elsewhere.get("/account", status=303).location.startswith("http://localhost/signin")
    assert try_to_sign_in(app, account.email, PASSWORD).status_int == 422
    assert try_to_sign_in(app, account.email, GOOD).status_int == 303
    assert mailbox.last(account.email)["Subject"] == "Your ConnectWyze password was changed"
    assert form.submit(status="*").status_int in (400, 422), "the link worked once"


def test_a_reset_link_dies_with_a_sign_in(app: TestApp, make: Factory, mailbox: Mailbox) -> None:
    account = make.account()
    ask_for_reset(app, account.email)
    link = mailbox.link(account.email)
    sign_in(TestApp(app.app), account)
    app.get(link, status=404)


def test_a_reset_link_lives_an_hour(app: TestApp, make: Factory, mailbox: Mailbox) -> None:
    account = make.account()
    ask_for_reset(app, account.email)
    link = mailbox.link(account.email)
    with make.database.transaction() as db:
        [row] = db.scalars(select(Token))
        assert row.expires_at - row.created_at <= timedelta(hours=1, minutes=1)
        row.expires_at = row.created_at - timedelta(seconds=1)
    app.get(link, status=404)


def test_a_reset_for_nobody_is_answered_alike_and_writes_to_nobody(
    app: TestApp, make: Factory, mailbox: Mailbox
) -> None:
    known = make.account()
    pages = [ask_for_reset(TestApp(app.app), email) for email in (known.email, "nobody@example.org")]
    assert [page.html.h1.text for page in pages] == ["Check your email"] * 2
    assert [mail["To"] for mail in mailbox.emails()] == [known.email]


def test_a_reset_of_somebody_without_a_password_says_google(app: TestApp, make: Factory, mailbox: Mailbox) -> None:
    account = make.account(password_hash=None)
    ask_for_reset(app, account.email)
    assert "Google" in mailbox.last(account.email)["Subject"]
    assert "/reset" not in text_of(mailbox.last(account.email))


def test_a_weak_new_password_is_refused_and_the_link_still_works(app: TestApp, make: Factory, mailbox: Mailbox) -> None:
    account = make.account()
    ask_for_reset(app, account.email)
    form = app.get(mailbox.link(account.email)).forms[0]
    form["password"] = "password123"
    page = form.submit(status=422)
    assert "easy to guess" in page.html.find(id="password-error").text
    page.forms[0]["password"] = GOOD
    assert page.forms[0].submit().status_int == 303


def test_a_link_for_one_thing_does_no_other(app: TestApp, make: Factory, mailbox: Mailbox) -> None:
    account = make.account()
    ask_for_reset(app, account.email)
    token = mailbox.link(account.email).partition("=")[2]
    for path in ("/verify", "/email", "/invitation"):
        app.get(f"{path}?token={token}", status=404)


@pytest.mark.parametrize("token", ["", "x", "0" * 64, "ü" * 40, "0" * 5000])
@pytest.mark.parametrize("path", ["/verify", "/reset", "/email", "/invitation"])
def test_a_made_up_link_is_plainly_refused(app: TestApp, path: str, token: str) -> None:
    assert app.get(path, {"token": token}, status=404).html.h1 is not None


def test_a_password_is_taken_as_it_was_typed(app: TestApp, mailbox: Mailbox) -> None:
    fill_in(app, "ada@example.org", f"  {GOOD}  ")
    app.get(mailbox.link("ada@example.org")).forms[0].submit()
    assert try_to_sign_in(app, "ada@example.org", GOOD).status_int == 422
    assert try_to_sign_in(app, "ada@example.org", f"  {GOOD}  ").status_int == 303


def test_the_hash_is_renewed_at_sign_in_when_its_cost_has_grown(app: TestApp, make: Factory) -> None:
    old = make.services.passwords.hash(PASSWORD).replace("$04$", "$04$")
    account = make.account(password_hash=old)
    make.services.passwords._cost = 5
    try:
        sign_in(app, account)
    finally:
        make.services.passwords._cost = 4
    renewed = stored(make, account.email)
    assert renewed is not None
    assert renewed.password_hash is not None
    assert renewed.password_hash.startswith("v1:$2b$05$")


def test_a_new_sign_in_replaces_the_session_of_the_browser(app: TestApp, make: Factory) -> None:
    account = make.account()
    sign_in(app, account)
    before = app.cookies["cwz_session"]
    other = TestApp(app.app)
    other.set_cookie("cwz_session", before)
    page = app.get("/account")
    token = page.html.find("input", {"name": "csrf_token"})["value"]
    app.post("/signin", {"csrf_token": token, "email": account.email, "password": PASSWORD}, status=303)
    assert app.cookies["cwz_session"] != before
    assert other.get("/account").status_int == 303
    with make.database.transaction() as db:
        assert len(db.scalars(select(LoginSession).where(LoginSession.ended_at.is_(None))).all()) == 1
