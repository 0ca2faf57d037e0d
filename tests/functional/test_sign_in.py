"""Sign-in with a password, and sign-out."""

import pytest
from webtest import TestApp

from cwz_web.accounts.models import LoginSession
from tests.factories import PASSWORD, Factory, put_cookie, sign_in_with_form


def test_sign_in_and_sign_out(app: TestApp, make: Factory) -> None:
    space = make.workspace()
    account = make.member(space)
    page = app.get(f"/w/{space.slug}/feeds").follow()
    form = page.forms[0]
    form["email"], form["password"] = account.email, PASSWORD
    response = form.submit(status=303)
    assert response.location == f"http://localhost/w/{space.slug}/feeds"
    [cookie] = [c for c in response.headers.getall("Set-Cookie") if c.startswith("cwz_session=")]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    session_cookie = app.cookies["cwz_session"]
    response.follow().forms[0].submit(status=303)
    assert "cwz_session" not in app.cookies
    put_cookie(app, "cwz_session", session_cookie)
    assert app.get(f"/w/{space.slug}", status=303).location.startswith("http://localhost/signin")


@pytest.mark.parametrize("email", ["unknown@example.org", None])
def test_failed_sign_in_does_not_reveal_accounts(app: TestApp, make: Factory, email: str | None) -> None:
    account = make.account()
    form = app.get("/signin").forms[0]
    form["email"], form["password"] = email or account.email, "wrong"
    page = form.submit(status=422)
    assert page.html.find(id="password-error").text == "Incorrect email address or password"
    assert page.html.find(id="email")["value"] == (email or account.email)
    assert page.html.find(id="password").get("value") is None
    assert "cwz_session" not in app.cookies


def test_empty_field_shows_an_error_beside_it(app: TestApp) -> None:
    page = app.get("/signin").forms[0].submit(status=422)
    assert page.html.find(id="email-error").text == "Enter a value"
    assert page.html.find(id="email")["aria-invalid"] == "true"


def test_overlong_password_is_rejected(app: TestApp, make: Factory) -> None:
    form = app.get("/signin").forms[0]
    form["email"], form["password"] = make.account().email, "x" * 5000
    assert "at most 256" in form.submit(status=422).html.find(id="password-error").text


@pytest.mark.parametrize("target", ["//evil.test", "https://evil.test/", "/\\evil.test"])
def test_sign_in_does_not_redirect_to_another_site(app: TestApp, make: Factory, target: str) -> None:
    form = app.get("/signin", {"next": target}).forms[0]
    form["email"], form["password"] = make.account().email, PASSWORD
    assert form.submit(status=303).location == "http://localhost/"


def test_failed_sign_in_creates_no_session(app: TestApp, make: Factory) -> None:
    form = app.get("/signin").forms[0]
    form["email"], form["password"] = make.account().email, "wrong"
    form.submit(status=422)
    with make.database.transaction() as db:
        assert db.query(LoginSession).count() == 0


def test_user_without_workspace_sees_an_empty_list(app: TestApp, make: Factory) -> None:
    sign_in_with_form(app, make.account())
    assert "Create your workspace" in app.get("/").follow().text
