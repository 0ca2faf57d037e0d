"""The account pages: profile, password, email, sessions, second factor, export and deletion."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pyotp
import pytest
from sqlalchemy import select, update
from webtest import TestApp

from cwz_web.accounts.models import Account, LoginSession, RecoveryCode
from cwz_web.accounts.sessions import AUTHENTICATION_LIFETIME
from cwz_web.workspaces.account_deletion import delete_due_accounts
from cwz_web.workspaces.models import Membership, Role, Workspace
from tests.factories import PASSWORD, Factory, put_cookie, sign_in, sign_in_with_form
from tests.mailbox import Mailbox, text_of

GOOD = "violet harbour 93 teapots"


def form_of(page: Any, action: str) -> Any:
    return next(form for form in page.forms.values() if form.action == action)


@pytest.fixture
def account(app: TestApp, make: Factory) -> Account:
    account = make.account()
    sign_in(app, account)
    return account


def reload(make: Factory, account: Account) -> Account | None:
    with make.database.transaction() as db:
        return db.get(Account, account.id)


def test_name_is_changed(app: TestApp, account: Account) -> None:
    form = form_of(app.get("/account"), "/account/profile")
    form["name"] = "Another Name"
    assert "Profile saved" in form.submit().follow().text
    assert app.get("/account").forms[1]["name"].value == "Another Name"


def test_password_change_ends_all_other_sessions(
    app: TestApp, make: Factory, mailbox: Mailbox, account: Account
) -> None:
    elsewhere = TestApp(app.app)
    sign_in(elsewhere, account)
    stale = app.cookies["cwz_session"]
    form = form_of(app.get("/account"), "/account/password")
    form["current"], form["password"] = PASSWORD, GOOD
    assert "Password changed" in form.submit(status=303).follow().text
    assert app.get("/account").status_int == 200, "this browser stays signed in"
    assert elsewhere.get("/account").status_int == 303
    put_cookie(elsewhere, "cwz_session", stale)
    assert elsewhere.get("/account").status_int == 303, "the previous token is no longer valid"
    assert "password was changed" in mailbox.last(account.email)["Subject"]
    sign_in_with_form(TestApp(app.app), account, GOOD)


@pytest.mark.parametrize(
    ("current", "password", "field", "message"),
    [
        ("wrong", GOOD, "current", "Incorrect password"),
        ("", GOOD, "current", "Enter a value"),
        (PASSWORD, "short", "password", "at least 10"),
        (PASSWORD, "password123", "password", "easy to guess"),
    ],
)
def test_password_change_needs_the_current_and_a_strong_new_password(
    app: TestApp, make: Factory, account: Account, current: str, password: str, field: str, message: str
) -> None:
    form = form_of(app.get("/account"), "/account/password")
    form["current"], form["password"] = current, password
    assert message in form.submit(status=422).html.find(id=f"{field}-error").text
    now = reload(make, account)
    assert now is not None
    assert now.password_hash == account.password_hash


def test_email_change_is_confirmed_by_link(app: TestApp, make: Factory, mailbox: Mailbox, account: Account) -> None:
    form = form_of(app.get("/account"), "/account/email")
    form["email"], form["email_password"] = "new@example.org", PASSWORD
    form.submit(status=303)
    link = mailbox.link("new@example.org")
    assert "Waiting for confirmation of new@example.org" in app.get("/account").text
    unchanged = reload(make, account)
    assert unchanged is not None
    assert unchanged.email == account.email
    assert app.get(link).forms[0].submit(status=303).location.endswith("/account?done=email")
    assert "new@example.org" in text_of(mailbox.last(account.email))
    changed = reload(make, account)
    assert changed is not None
    assert changed.email == "new@example.org"
    app.get(link, status=404)


def test_email_change_to_a_registered_email_is_not_revealed(
    app: TestApp, make: Factory, mailbox: Mailbox, account: Account
) -> None:
    other = make.account()
    form = form_of(app.get("/account"), "/account/email")
    form["email"], form["email_password"] = other.email, PASSWORD
    assert form.submit(status=303).location.endswith("done=email-requested")
    assert "already have a ConnectWyze account" in mailbox.last(other.email)["Subject"]


def test_email_registered_before_confirmation_is_rejected(
    app: TestApp, make: Factory, mailbox: Mailbox, account: Account
) -> None:
    form = form_of(app.get("/account"), "/account/email")
    form["email"], form["email_password"] = "new@example.org", PASSWORD
    form.submit(status=303)
    page = app.get(mailbox.link("new@example.org"))
    make.account(email="new@example.org")
    page.forms[0].submit(status=422)
    unchanged = reload(make, account)
    assert unchanged is not None
    assert unchanged.email == account.email


def test_email_change_needs_the_password(app: TestApp, mailbox: Mailbox, account: Account) -> None:
    form = form_of(app.get("/account"), "/account/email")
    form["email"], form["email_password"] = "new@example.org", "wrong"
    assert "Incorrect password" in form.submit(status=422).text
    assert mailbox.emails() == []


def test_session_is_listed_and_ended(app: TestApp, account: Account) -> None:
    phone = TestApp(app.app, extra_environ={"HTTP_USER_AGENT": "Mozilla (iPhone) Safari/1", "REMOTE_ADDR": "192.0.2.7"})
    sign_in_with_form(phone, account)
    page = app.get("/account")
    assert "Safari on iPhone" in page.text
    assert "192.0.2.7" in page.text
    assert "This browser" in page.text
    form = next(form for form in page.forms.values() if form.action.endswith("/end"))
    form.submit(status=303)
    assert phone.get("/account").status_int == 303
    assert app.get("/account").status_int == 200
    form.submit(status=404)


def test_all_other_sessions_are_ended(app: TestApp, account: Account) -> None:
    others = [TestApp(app.app) for _ in range(2)]
    for other in others:
        sign_in(other, account)
    form_of(app.get("/account"), "/account/sessions/end-all").submit(status=303)
    assert [other.get("/account").status_int for other in others] == [303, 303]
    assert app.get("/account").status_int == 200


def test_ending_sessions_needs_recent_authentication(app: TestApp, make: Factory, account: Account) -> None:
    other = TestApp(app.app)
    sign_in(other, account)
    with make.database.transaction() as db:
        db.execute(update(LoginSession).values(authenticated_at=datetime.now(UTC) - AUTHENTICATION_LIFETIME))
    for action in (
        "/account/sessions/end-all",
        next(form.action for form in app.get("/account").forms.values() if form.action.endswith("/end")),
    ):
        location = form_of(app.get("/account"), action).submit().location
        assert location == "http://localhost/account/prove?next=%2Faccount"
    assert other.get("/account").status_int == 200
    form = form_of(app.get("/account/prove"), "/account/prove")
    form["proof"] = "wrong"
    form = form_of(form.submit(status=422), "/account/prove")
    form["proof"] = PASSWORD
    form.submit(status=303)
    form_of(app.get("/account"), "/account/sessions/end-all").submit()
    assert other.get("/account").status_int == 303


def test_session_of_another_account_cannot_be_ended(app: TestApp, make: Factory, account: Account) -> None:
    stranger = TestApp(app.app)
    sign_in(stranger, make.account())
    other = TestApp(app.app)
    sign_in(other, account)
    action = next(form.action for form in app.get("/account").forms.values() if form.action.endswith("/end"))
    token = stranger.get("/account").forms[0]["csrf_token"].value
    stranger.post(action, {"csrf_token": token}, status=404)
    assert other.get("/account").status_int == 200


# -- second factor -------------------------------------------------------------------------------------------------


def enable_second_factor(app: TestApp) -> tuple[pyotp.TOTP, list[str]]:
    form = app.get("/account/second-factor").forms[1]
    form["proof"] = PASSWORD
    page = form.submit(status=303).follow()
    totp = pyotp.TOTP(page.html.find("details").code.text)
    form = page.forms[1]
    form["code"] = totp.at(datetime.now(UTC) - timedelta(seconds=30))
    return totp, form.submit(status=200).html.find("pre").text.split()


def sign_in_with(app: TestApp, account: Account, code: str, status: int) -> Any:
    form = app.get("/signin").forms[0]
    form["email"], form["password"] = account.email, PASSWORD
    page = form.submit(status=303)
    assert page.location.endswith("/signin/code")
    form = page.follow().forms[0]
    form["code"] = code
    return form.submit(status=status)


def test_sign_in_requires_the_code(app: TestApp, mailbox: Mailbox, account: Account) -> None:
    totp, codes = enable_second_factor(app)
    assert len(codes) == len(set(codes)) == 10
    assert "is now on" in mailbox.last(account.email)["Subject"]
    other = TestApp(app.app)
    assert "not valid" in sign_in_with(other, account, "000000", 422).html.find(id="code-error").text
    assert other.get("/account").status_int == 303, "the password alone does not sign in"
    sign_in_with(other, account, totp.now(), 303)
    assert other.get("/account").status_int == 200


@pytest.mark.parametrize("code", ["١٢٣٤٥٦", "１２３４５６", "ü", "-", "0" * 40, "😀"])
def test_malformed_code_is_rejected(app: TestApp, account: Account, code: str) -> None:
    form = app.get("/account/second-factor").forms[1]
    form["proof"] = PASSWORD
    form = form.submit(status=303).follow().forms[1]
    form["code"] = code
    assert form.submit(status=422).html.find(id="code-error") is not None
    finish_enrollment(app)
    sign_in_with(TestApp(app.app), account, code, 422)


def finish_enrollment(app: TestApp) -> None:
    """Finish an enrollment that was started."""
    page = app.get("/account/second-factor")
    page.forms[1]["code"] = pyotp.TOTP(page.html.find("details").code.text).now()
    page.forms[1].submit(status=200)


def test_code_is_valid_once(app: TestApp, account: Account) -> None:
    totp, _ = enable_second_factor(app)
    code = totp.now()
    sign_in_with(TestApp(app.app), account, code, 303)
    sign_in_with(TestApp(app.app), account, code, 422)


def test_recovery_code_is_valid_once_and_its_use_is_emailed(
    app: TestApp, make: Factory, mailbox: Mailbox, account: Account
) -> None:
    _, codes = enable_second_factor(app)
    sign_in_with(TestApp(app.app), account, codes[3].upper(), 303)
    sign_in_with(TestApp(app.app), account, codes[3], 422)
    assert "Codes left: 9" in text_of(mailbox.last(account.email))
    with make.database.transaction() as db:
        digests = db.scalars(select(RecoveryCode.digest)).all()
    assert not set(digests) & {code.replace("-", "") for code in codes}


def test_new_recovery_codes_replace_the_old_ones(app: TestApp, account: Account) -> None:
    _, codes = enable_second_factor(app)
    form = form_of(app.get("/account/second-factor"), "/account/second-factor/codes")
    form["codes_password"] = "wrong"
    page = form.submit(status=422)
    assert page.html.find(id="codes_password-error").text == "Incorrect password"
    assert page.html.find(id="off_password-error") is None, "the error is beside the form that was submitted"
    form = form_of(page, "/account/second-factor/codes")
    form["codes_password"] = PASSWORD
    fresh = form.submit(status=200).html.find("pre").text.split()
    assert not set(fresh) & set(codes)
    sign_in_with(TestApp(app.app), account, codes[0], 422)
    sign_in_with(TestApp(app.app), account, fresh[0], 303)


def test_disabling_the_second_factor_needs_the_password(app: TestApp, account: Account) -> None:
    enable_second_factor(app)
    form = form_of(app.get("/account/second-factor"), "/account/second-factor/off")
    form["off_password"] = "wrong"
    form = form_of(form.submit(status=422), "/account/second-factor/off")
    form["off_password"] = PASSWORD
    form.submit(status=303)
    sign_in_with_form(TestApp(app.app), account)


def test_secret_is_shown_only_until_confirmation(app: TestApp, make: Factory, account: Account) -> None:
    app.get("/account/second-factor/qr.png", status=404)
    form = app.get("/account/second-factor").forms[1]
    form["proof"] = PASSWORD
    page = form.submit().follow()
    secret = page.html.find("details").code.text
    assert app.get("/account/second-factor/qr.png").content_type == "image/png"
    now = reload(make, account)
    assert now is not None
    assert now.encrypted_totp_secret is not None
    assert secret.encode() not in now.encrypted_totp_secret
    page.forms[1]["code"] = pyotp.TOTP(secret).now()
    page.forms[1].submit(status=200)
    app.get("/account/second-factor/qr.png", status=404)
    assert secret not in app.get("/account/second-factor").text
    assert secret not in app.get("/account/export").text


def test_code_attempts_are_rate_limited(app: TestApp, account: Account) -> None:
    enable_second_factor(app)
    statuses = []
    for _ in range(8):
        other = TestApp(app.app)
        form = other.get("/signin").forms[0]
        form["email"], form["password"] = account.email, PASSWORD
        form = form.submit(status=303).follow().forms[0]
        form["code"] = "000000"
        statuses.append(form.submit(status="*").status_int)
    assert statuses[-1] == 429, statuses
    assert statuses.count(422) <= 6


def test_password_change_invalidates_a_pending_sign_in(app: TestApp, make: Factory, account: Account) -> None:
    totp, _ = enable_second_factor(app)
    other = TestApp(app.app)
    form = other.get("/signin").forms[0]
    form["email"], form["password"] = account.email, PASSWORD
    code = form.submit(status=303).follow().forms[0]
    change = form_of(app.get("/account"), "/account/password")
    change["current"], change["password"] = PASSWORD, GOOD
    change.submit(status=303)
    code["code"] = totp.now()
    assert code.submit().location == "http://localhost/signin"
    assert other.get("/account").status_int == 303


def test_workspace_can_require_the_second_factor(app: TestApp, make: Factory) -> None:
    space = make.workspace()
    admin, user = make.member(space), make.member(space, Role.USER)
    sign_in(app, admin)
    form = form_of(app.get(f"/w/{space.slug}/settings"), "")
    form["second_factor_required"] = True
    assert "for your own account first" in form.submit(status=422).text
    enable_second_factor(app)
    form = form_of(app.get(f"/w/{space.slug}/settings"), "")
    form["second_factor_required"] = True
    form.submit(status=303)
    assert app.get(f"/w/{space.slug}").status_int == 200
    other = TestApp(app.app)
    sign_in(other, user)
    assert other.get(f"/w/{space.slug}/feeds").location == "http://localhost/account/second-factor"
    assert space.name in other.get("/account/second-factor").text
    enable_second_factor(other)
    assert other.get(f"/w/{space.slug}/feeds").status_int == 200


# -- export and deletion -------------------------------------------------------------------------------------------


def test_export_contains_personal_data_without_secrets(app: TestApp, make: Factory) -> None:
    space = make.workspace()
    account = make.member(space)
    sign_in(app, account)
    form = form_of(app.get(f"/w/{space.slug}/keys/new"), f"/w/{space.slug}/keys")
    form["name"] = "Export key"
    form.submit()
    answer = app.get("/account/export")
    assert "attachment" in answer.headers["Content-Disposition"]
    exported = json.loads(answer.text)
    assert exported["account"]["email"] == account.email
    assert exported["workspaces"][0]["slug"] == space.slug
    assert exported["workspaces"][0]["activity"][0]["target"] == "Export key"
    assert len(exported["sessions"]) == 1
    assert account.password_hash is not None
    assert account.password_hash not in answer.text


def submit_deletion(app: TestApp, account: Account, proof: str = PASSWORD) -> Any:
    form = form_of(app.get("/account/delete"), "")
    form["confirm"], form["proof"] = account.email, proof
    return form.submit(status="*")


def test_deletion_can_be_canceled(app: TestApp, make: Factory, mailbox: Mailbox, account: Account) -> None:
    elsewhere = TestApp(app.app)
    sign_in(elsewhere, account)
    assert submit_deletion(app, account).status_int == 303
    assert elsewhere.get("/account").status_int == 303
    assert mailbox.link(account.email) == "/account/delete"
    page = app.get("/account")
    assert "will be deleted on" in page.text
    form_of(page, "/account/keep").submit(status=303)
    now = reload(make, account)
    assert now is not None
    assert now.delete_at is None
    assert "was canceled" in mailbox.last(account.email)["Subject"]


def test_deletion_needs_the_password_and_the_email(app: TestApp, make: Factory, account: Account) -> None:
    assert submit_deletion(app, account, "wrong").status_int == 422
    form = form_of(app.get("/account/delete"), "")
    form["confirm"], form["proof"] = "other@example.org", PASSWORD
    assert "to confirm" in form.submit(status=422).html.find(id="confirm-error").text
    now = reload(make, account)
    assert now is not None
    assert now.delete_at is None


def test_account_is_deleted_after_thirty_days(app: TestApp, make: Factory, mailbox: Mailbox) -> None:
    alone, shared = make.workspace(), make.workspace()
    account = make.member(alone)
    make.feed(alone)
    make.member(shared)
    with make.database.transaction(shared.id) as db:
        db.add(Membership(workspace_id=shared.id, account_id=account.id, role=Role.ADMIN))
    sign_in(app, account)
    page = app.get("/account/delete").text
    assert f"{alone.name} is deleted too" in page
    assert f"{shared.name} is kept" in page
    submit_deletion(app, account)
    with make.database.transaction() as db:
        assert delete_due_accounts(db) == 0
        stored = db.get_one(Account, account.id)
        assert stored.delete_at is not None
        assert timedelta(days=29, hours=23) < stored.delete_at - datetime.now(UTC) <= timedelta(days=30)
        stored.delete_at = datetime.now(UTC)
    with make.database.transaction() as db:
        assert delete_due_accounts(db) == 1
    assert reload(make, account) is None
    with make.database.transaction(alone.id) as db:
        assert db.get(Workspace, alone.id) is None
    with make.database.transaction(shared.id) as db:
        assert db.get(Workspace, shared.id) is not None
        assert db.query(Membership).count() == 1
    assert "was deleted" in mailbox.last(account.email)["Subject"]
    assert app.get("/account").status_int == 303
