import pytest
from webtest import TestApp

from cwz_web.accounts.models import LoginSession
from tests.factories import PASSWORD, Factory, sign_in


def test_somebody_signs_in_and_out(app: TestApp, make: Factory) -> None:
    space = make.workspace()
    account = make.member(space)
    page = app.get(f"/w/{space.slug}/feeds").follow()
    form = page.forms[0]
    form["email"], form["password"] = account.email, PASSWORD
    answer = form.submit(status=303)
    assert answer.location == f"http://localhost/w/{space.slug}/feeds"
    [cookie] = [c for c in answer.headers.getall("Set-Cookie") if c.startswith("cwz_session=")]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    kept = app.cookies["cwz_session"]
    answer.follow().forms[0].submit(status=303)
    assert "cwz_session" not in app.cookies
    app.set_cookie("cwz_session", kept)
    assert app.get(f"/w/{space.slug}", status=303).location.startswith("http://localhost/signin")


@pytest.mark.parametrize("email", ["nobody@example.org", None])
def test_a_refusal_says_the_same_whether_the_account_exists(app: TestApp, make: Factory, email: str | None) -> None:
    account = make.account()
    form = app.get("/signin").forms[0]
    form["email"], form["password"] = email or account.email, "wrong"
    page = form.submit(status=422)
    assert page.html.find(id="password-error").text == "Incorrect email address or password"
    assert page.html.find(id="email")["value"] == (email or account.email)
    assert page.html.find(id="password").get("value") is None
    assert "cwz_session" not in app.cookies


def test_an_empty_field_is_named_beside_it(app: TestApp) -> None:
    page = app.get("/signin").forms[0].submit(status=422)
    assert page.html.find(id="email-error").text == "Enter a value"
    assert page.html.find(id="email")["aria-invalid"] == "true"


def test_a_password_of_great_length_is_refused_plainly(app: TestApp, make: Factory) -> None:
    form = app.get("/signin").forms[0]
    form["email"], form["password"] = make.account().email, "x" * 5000
    assert "at most 256" in form.submit(status=422).html.find(id="password-error").text


@pytest.mark.parametrize("target", ["//evil.test", "https://evil.test/", "/\\evil.test"])
def test_nobody_is_sent_outside_after_sign_in(app: TestApp, make: Factory, target: str) -> None:
    form = app.get("/signin", {"next": target}).forms[0]
    form["email"], form["password"] = make.account().email, PASSWORD
    assert form.submit(status=303).location == "http://localhost/"


def test_a_refused_sign_in_leaves_no_session(app: TestApp, make: Factory) -> None:
    form = app.get("/signin").forms[0]
    form["email"], form["password"] = make.account().email, "wrong"
    form.submit(status=422)
    with make.database.transaction() as db:
        assert db.query(LoginSession).count() == 0


def test_somebody_in_no_workspace_is_told(app: TestApp, make: Factory) -> None:
    sign_in(app, make.account())
    assert "No workspaces yet" in app.get("/").follow().text
