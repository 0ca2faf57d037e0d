"""Passkeys through the pages: adding, signing in, the second factor, and what a workspace requires."""

from typing import Any

import pytest
from sqlalchemy import select
from webtest import TestApp

from cwz_web.accounts.models import Account, LoginSession, Passkey
from cwz_web.accounts.passkeys import list_passkeys
from cwz_web.workspaces.models import AuditEntry, Workspace
from tests.authenticator import Authenticator
from tests.factories import PASSWORD, Factory, put_cookie, sign_in
from tests.functional.test_attempt_limits import with_second_factor
from tests.mailbox import Mailbox, text_of

PAGE = "/account/passkeys"


def form_of(page: Any, action: str) -> Any:
    """Return the form of a page with an action."""
    return next(form for form in page.forms.values() if form.action == action)


def challenge(app: TestApp, form: Any, path: str) -> Any:
    return app.post(path, {"csrf_token": form["csrf_token"].value}).json


def add_passkey(app: TestApp, key: Authenticator, name: str = "Laptop", status: int = 303) -> Any:
    form = form_of(app.get(PAGE), PAGE)
    found = challenge(app, form, f"{PAGE}/challenge")
    form["name"], form["challenge"], form["credential"] = name, found["challenge"], key.create(found["options"])
    return form.submit(status=status)


def use_passkey(app: TestApp, page: Any, action: str, path: str, key: Authenticator, status: int = 303) -> Any:
    form = form_of(page, action)
    found = challenge(app, form, path)
    form["challenge"], form["credential"] = found["challenge"], key.get(found["options"])
    return form.submit(status=status)


def sign_in_with(app: TestApp, key: Authenticator, status: int = 303, query: str = "") -> Any:
    page = app.get(f"/signin{query}")
    return use_passkey(app, page, "/signin/passkey", "/signin/passkey-challenge", key, status)


@pytest.fixture
def space(make: Factory) -> Workspace:
    return make.workspace()


@pytest.fixture
def account(make: Factory, space: Workspace) -> Account:
    return make.member(space)


@pytest.fixture
def key(app: TestApp, account: Account) -> Authenticator:
    """A passkey of the account, which is signed in."""
    key = Authenticator()
    sign_in(app, account)
    add_passkey(app, key)
    return key


def passkeys_of(make: Factory, account: Account) -> list[str]:
    with make.database.transaction() as db:
        return [passkey.name for passkey in list_passkeys(db, account)]


def test_several_passkeys_are_added_and_removed(
    app: TestApp, make: Factory, mailbox: Mailbox, account: Account, key: Authenticator
) -> None:
    add_passkey(app, Authenticator(), "Phone")
    assert passkeys_of(make, account) == ["Laptop", "Phone"]
    assert "Phone can now sign in" in text_of(mailbox.last(account.email))
    page = app.get(PAGE)
    assert "Laptop" in page.text
    removal = next(form for form in page.forms.values() if form.action.endswith("/remove"))
    assert "Passkey removed." in removal.submit().follow().text
    assert passkeys_of(make, account) == ["Phone"]
    assert "can no longer sign in to your account: Laptop" in text_of(mailbox.last(account.email))
    sign_in_with(TestApp(app.app), key, status=422)


def remove_passkey(app: TestApp, number: int = 0) -> None:
    removals = [form for form in app.get(PAGE).forms.values() if form.action.endswith("/remove")]
    removals[number].submit(status=303)


def sign_in_with_code(app: TestApp, account: Account, key: Authenticator) -> None:
    """Sign in with the password, and the passkey in place of the code."""
    form = app.get("/signin").forms[0]
    form["email"], form["password"] = account.email, PASSWORD
    use_passkey(app, form.submit().follow(), "/signin/code-passkey", "/signin/code-challenge", key)


def is_signed_in(app: TestApp) -> bool:
    return bool(app.get("/account", status="*").status_int == 200)


def test_sessions_end_with_their_passkey(app: TestApp, make: Factory, account: Account, key: Authenticator) -> None:
    with_second_factor(make, account)
    other_key = Authenticator()
    add_passkey(app, other_key, "Phone")
    alone, second, other, remover = (TestApp(app.app) for _ in range(4))
    sign_in_with(alone, key)
    sign_in_with_code(second, account, key)
    sign_in_with(other, other_key)
    sign_in_with_code(remover, account, key)
    remove_passkey(remover)
    assert [is_signed_in(browser) for browser in (alone, second, other, remover, app)] == [
        False, False, True, True, True,
    ]  # fmt: skip


def test_session_that_removes_its_own_passkey_remains(app: TestApp, key: Authenticator) -> None:
    browser, stolen = TestApp(app.app), TestApp(app.app)
    sign_in_with(browser, key)
    sign_in_with(stolen, key)
    remove_passkey(browser)
    assert [is_signed_in(each) for each in (browser, stolen, app)] == [True, False, True]


def test_changes_are_in_the_activity_log_of_each_workspace(
    app: TestApp, make: Factory, account: Account, key: Authenticator, space: Workspace
) -> None:
    next(form for form in app.get(PAGE).forms.values() if form.action.endswith("/remove")).submit()
    with make.database.transaction(space.id) as db:
        entries = db.scalars(select(AuditEntry).order_by(AuditEntry.number))
        assert [(entry.action, entry.target, entry.actor_id) for entry in entries] == [
            ("account.passkey-add", "Laptop", account.id),
            ("account.passkey-remove", "Laptop", account.id),
        ]


def test_passkey_signs_in_without_password_and_code(
    app: TestApp, make: Factory, account: Account, key: Authenticator
) -> None:
    with_second_factor(make, account)
    browser = TestApp(app.app)
    assert sign_in_with(browser, key, query="?next=/account").location == "http://localhost/account"
    assert account.email in browser.get("/account").text
    assert sign_in_with(TestApp(app.app), key, query="?next=//evil.test").location == "http://localhost/"


def test_passkey_replaces_the_code(app: TestApp, make: Factory, account: Account, key: Authenticator) -> None:
    with_second_factor(make, account)
    browser = TestApp(app.app)
    form = browser.get("/signin?next=/w").forms[0]
    form["email"], form["password"] = account.email, PASSWORD
    page = form.submit().follow()
    wrong = use_passkey(browser, page, "/signin/code-passkey", "/signin/code-challenge", Authenticator(), 422)
    assert "not known here" in wrong.text
    answer = use_passkey(browser, wrong, "/signin/code-passkey", "/signin/code-challenge", key)
    assert answer.location == "http://localhost/w"
    assert account.email in browser.get("/account").text


def test_second_step_needs_the_first(app: TestApp, account: Account, key: Authenticator) -> None:
    browser = TestApp(app.app)
    token = browser.get("/signin").forms[0]["csrf_token"].value
    assert "/signin" in browser.post("/signin/code-challenge", {"csrf_token": token}, status=303).location
    fields = {"csrf_token": token, "challenge": "x", "credential": "x"}
    assert browser.post("/signin/code-passkey", fields).location == "http://localhost/signin"


def test_passkey_of_another_account_is_no_second_factor(
    app: TestApp, make: Factory, account: Account, key: Authenticator
) -> None:
    victim, browser = make.account(), TestApp(app.app)
    with_second_factor(make, victim)
    with make.database.transaction() as db:
        db.add(Passkey(account_id=victim.id, credential_id=b"v", public_key=b"", sign_count=0, name="Own"))
    form = browser.get("/signin").forms[0]
    form["email"], form["password"] = victim.email, PASSWORD
    page = form.submit().follow()
    use_passkey(browser, page, "/signin/code-passkey", "/signin/code-challenge", key, 422)
    assert "cwz_session" not in browser.cookies


def test_challenge_of_another_browser_is_refused(app: TestApp, account: Account, key: Authenticator) -> None:
    victim, attacker = TestApp(app.app), TestApp(app.app)
    form = form_of(attacker.get("/signin"), "/signin/passkey")
    found = challenge(attacker, form, "/signin/passkey-challenge")
    form = form_of(victim.get("/signin"), "/signin/passkey")
    form["challenge"], form["credential"] = found["challenge"], key.get(found["options"])
    assert "another browser" in form.submit(status=422).text


def test_answer_is_accepted_once(app: TestApp, account: Account, key: Authenticator) -> None:
    browser = TestApp(app.app)
    form = form_of(browser.get("/signin"), "/signin/passkey")
    found = challenge(browser, form, "/signin/passkey-challenge")
    form["challenge"], form["credential"] = found["challenge"], key.get(found["options"])
    form.submit(status=303)
    put_cookie(browser, "cwz_session", "x")
    assert "used before" in form.submit(status=422).text


def test_passkey_renews_the_proof_of_identity(
    app: TestApp, make: Factory, account: Account, key: Authenticator
) -> None:
    with make.database.transaction() as db:
        session = db.scalars(select(LoginSession)).one()
        session.authenticated_at = session.authenticated_at.replace(year=2020)
    form = form_of(app.get(PAGE), PAGE)
    refused = app.post(f"{PAGE}/challenge", {"csrf_token": form["csrf_token"].value}, status=303)
    assert "/account/prove" in refused.location
    page = app.get(f"/account/prove?next={PAGE}")
    action = "/account/prove-passkey"
    use_passkey(app, page, action, "/account/prove-challenge", Authenticator(), 422)
    assert use_passkey(app, page, action, "/account/prove-challenge", key).location == f"http://localhost{PAGE}"
    add_passkey(app, Authenticator(), "Second")


def test_workspace_that_requires_a_second_factor_accepts_a_passkey(
    app: TestApp, make: Factory, account: Account, key: Authenticator, space: Workspace
) -> None:
    with make.database.transaction(space.id) as db:
        db.get_one(Workspace, space.id).second_factor_required = True
    assert app.get(f"/w/{space.slug}").location == "http://localhost/account/second-factor"
    browser = TestApp(app.app)
    sign_in_with(browser, key)
    browser.get(f"/w/{space.slug}", status=200)


def test_reset_lists_and_removes_passkeys(
    app: TestApp, make: Factory, mailbox: Mailbox, account: Account, key: Authenticator
) -> None:
    browser, passkey_browser = TestApp(app.app), TestApp(app.app)
    sign_in_with(passkey_browser, key)
    form = browser.get("/forgot").forms[0]
    form["email"] = account.email
    form.submit()
    link = mailbox.link(account.email)
    assert "Passkeys: Laptop." in text_of(mailbox.last(account.email))
    form = browser.get(link).forms[0]
    form["password"], form["remove_passkeys"] = "violet harbour 93 teapots", True
    form.submit(status=303)
    assert passkeys_of(make, account) == []
    assert not is_signed_in(passkey_browser)
    sent = {mail["Subject"]: text_of(mail) for mail in mailbox.emails()}
    assert "Passkeys: none." in sent["Your ConnectWyze password was changed"]
    sign_in_with(TestApp(app.app), key, status=422)


def test_passkey_of_another_is_not_found(app: TestApp, make: Factory, account: Account, key: Authenticator) -> None:
    path = next(form for form in app.get(PAGE).forms.values() if form.action.endswith("/remove")).action
    other = TestApp(app.app)
    sign_in(other, make.account())
    token = form_of(other.get(PAGE), PAGE)["csrf_token"].value
    other.post(path, {"csrf_token": token}, status=404)
    assert passkeys_of(make, account) == ["Laptop"]


def test_export_names_passkeys_without_their_keys(app: TestApp, account: Account, key: Authenticator) -> None:
    [passkey] = app.get("/account/export").json["passkeys"]
    assert (passkey["name"], sorted(passkey)) == ("Laptop", ["added_at", "last_used_at", "name"])
