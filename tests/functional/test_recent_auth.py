"""Fresh proof of identity: the views that need it, from Pyramid's registry, and what they do without it."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pyramid.router import Router
from sqlalchemy import update
from webtest import TestApp

from cwz_web.accounts.models import Account, LoginSession
from cwz_web.accounts.sessions import AUTHENTICATION_LIFETIME
from cwz_web.resources.permissions import API_PERMISSIONS, Permission
from cwz_web.web.recent_auth import OPTION
from cwz_web.workspaces.models import AuditEntry, Role
from tests.factories import PASSWORD, Factory, sign_in, token_of
from tests.functional.test_access import Page, SampleWorkspace, all_pages

P = Permission
# Permissions of changes to content: they are in the activity log, and can be undone by the members who see them.
CONTENT = {P.VIEW, P.COMMENT, P.FEED_EDIT, P.TEMPLATE_EDIT, P.RUN_START, P.RUN_RETRY, P.IMAGE_DELETE} | {
    P.CAMPAIGN_EDIT,
    P.CAMPAIGN_APPROVE,
}
# Every other view that changes something without a fresh proof, and why it may.
WITHOUT_PROOF = {
    "POST AccountRoot/prove": "asks for the proof",
    "POST AccountRoot/prove-challenge": "asks for the proof",
    "POST AccountRoot/prove-passkey": "asks for the proof",
    "POST AccountRoot/profile": "the display name",
    "POST AccountRoot/mails": "notifications",
    "POST AccountRoot/keep": "cancels a deletion",
    "POST Root/invitation": "the proof is the link of the email",
    "POST Root/signout": "ends access",
    "POST WorkspaceCollection/new": "a workspace of the user's own",
    "POST WorkspaceCollection/resend-invitation": "an email to the user",
    "POST WorkspaceCollection/restore": "cancels a deletion",
    "POST OpsRoot/retry": "repeats a job",
    "POST ConnectionResource/test": "changes no setting",
    "POST WebhookResource/resend": "repeats a delivery",
}
# Views that ask for the password in their own form, or decide by the request.
OWN_PROOF = {
    "POST AccountRoot/password",
    "POST AccountRoot/email",
    "POST AccountRoot/delete",
    "POST SecondFactor/begin",
    "POST SecondFactor/codes",
    "POST SecondFactor/off",
    "GET GoogleSignIn/",
}
# Views that read, and whose answer outlives the session.
SENSITIVE_READS = {
    "GET AccountRoot/export",
    "GET ConnectionCollection/new",
    "GET ExportResource/export.zip",
    "GET ShopCollection/new",
    "GET ShopResource/connection",
    "GET SlackResource/connect",
    "GET WorkspaceResource/delete",
}


@pytest.fixture(scope="module")
def wsgi(wsgi_paid: Router) -> Router:
    """With billing and Slack, so their pages exist."""
    return wsgi_paid


def options(wsgi: Any) -> dict[str, Any]:
    """Return the view option of each view."""
    found = {}
    for entry in wsgi.registry.introspector.get_category("views"):
        view = entry["introspectable"]
        methods = view["request_methods"] or ("GET",)
        for method in {methods} if isinstance(methods, str) else set(methods):
            found[f"{method} {getattr(view['context'], '__name__', '')}/{view['name'] or ''}"] = view.get(OPTION)
    return found


def test_every_change_that_outlives_the_session_needs_proof(wsgi: Any) -> None:
    """A new view with a permission of administration or of the account fails here until it is listed."""
    declared = options(wsgi)
    changes = [page for page in all_pages(wsgi) if page.method != "GET" and isinstance(page.permission, Permission)]
    pages = {str(page) for page in changes if page.permission not in CONTENT | API_PERMISSIONS}
    assert {page for page in pages if declared[page] is None} == WITHOUT_PROOF.keys()
    assert {page for page, option in declared.items() if option == "view"} == OWN_PROOF
    with_proof = {page for page, option in declared.items() if option is True}
    assert with_proof - pages == SENSITIVE_READS | {
        "POST FeedResource/webhook",
        "POST MemberCollection/leave",
        "POST ShopResource/delete",
        "POST TemplateResource/links",
    }


def protected_pages(wsgi: Any) -> list[Page]:
    declared = options(wsgi)
    return [page for page in all_pages(wsgi) if declared[str(page)] is True]


def expire_proof(make: Factory) -> None:
    with make.database.transaction() as db:
        db.execute(update(LoginSession).values(authenticated_at=datetime.now(UTC) - AUTHENTICATION_LIFETIME))


@pytest.fixture
def stale(app: TestApp, make: Factory) -> tuple[TestApp, SampleWorkspace, Account]:
    """A browser of an admin, signed in some time ago."""
    sample = SampleWorkspace(make)
    admin = make.member(sample.space, Role.ADMIN)
    sign_in(app, admin)
    expire_proof(make)
    return app, sample, admin


def test_stale_session_is_redirected_and_changes_nothing(
    stale: tuple[TestApp, SampleWorkspace, Account], make: Factory, wsgi: Any
) -> None:
    app, sample, _ = stale
    pages = protected_pages(wsgi)
    assert len(pages) > 25
    for page in pages:
        path, token = sample.path(page), token_of(app, "/w")
        answer = (
            app.post(path, {"csrf_token": token}, status="*") if page.method == "POST" else app.get(path, status="*")
        )
        assert answer.status_int == 303, str(page)
        assert answer.location.startswith("http://localhost/account/prove?next="), str(page)
    assert make.count(AuditEntry, sample.space.id) == 0


def test_proof_leads_back_to_the_page_of_the_form(
    stale: tuple[TestApp, SampleWorkspace, Account], make: Factory
) -> None:
    app, sample, _ = stale
    page = f"/w/{sample.space.slug}/members"
    referer = {"Referer": f"http://localhost{page}?done=invited"}
    fields = {"csrf_token": token_of(app, "/w"), "email": "new@example.org", "role": "user"}
    proof = app.post(page, fields, headers=referer, status=303).follow()
    form = next(form for form in proof.forms.values() if form.action == "/account/prove")
    form["proof"] = "wrong"
    form = next(form for form in form.submit(status=422).forms.values() if form.action == "/account/prove")
    form["proof"] = PASSWORD
    assert form.submit(status=303).location == f"http://localhost{page}?done=invited"
    assert app.post(page, fields, status=303).location.endswith("done=invited")


@pytest.mark.parametrize(
    "referer", ["", "https://evil.test/x", "http://localhost.evil.test/", "http://[", "http://localhost//evil.test/"]
)
def test_proof_leads_to_no_other_site(stale: tuple[TestApp, SampleWorkspace, Account], referer: str) -> None:
    app, sample, _ = stale
    path = f"/w/{sample.space.slug}/members"
    answer = app.post(path, {"csrf_token": token_of(app, "/w")}, headers={"Referer": referer}, status=303)
    assert "evil" not in answer.location
    page = app.get("/account/prove?next=//evil.test/")
    assert page.html.find("input", {"name": "next"})["value"] == "/"


def test_form_of_htmx_is_redirected_as_a_page(stale: tuple[TestApp, SampleWorkspace, Account]) -> None:
    app, sample, _ = stale
    path = f"/w/{sample.space.slug}/storage/new"
    answer = app.post(path, {"csrf_token": token_of(app, "/w")}, headers={"HX-Request": "true"}, status=200)
    assert answer.headers["HX-Redirect"].startswith("/account/prove?next=")
    assert answer.body == b""


def test_secrets_are_shown_after_a_proof_only(stale: tuple[TestApp, SampleWorkspace, Account], make: Factory) -> None:
    app, sample, admin = stale
    base = f"/w/{sample.space.slug}"
    key = make.services.signed_urls.key(sample.space.id, 1)
    pages = (f"{base}/keys", f"{base}/webhooks", f"{base}/webhooks/{sample.rows['webhooks']}")
    for path in pages:
        page = app.get(path)
        assert "Confirm your identity" in page.text
        assert "whsec_" not in page.text
        assert key not in page.text
    fresh = TestApp(app.app)
    sign_in(fresh, admin)
    assert key in fresh.get(pages[0]).text
    assert all("whsec_" in fresh.get(path).text for path in pages[1:])
    assert "Confirm your identity" not in fresh.get(pages[0]).text


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/account/password", {"password": "violet harbour 93 teapots"}),
        ("/account/email", {"email": "new@example.org"}),
        ("/account/delete", {}),
        ("/account/second-factor/begin", {}),
    ],
)
@pytest.mark.parametrize("has_password", [True, False])
def test_forms_with_a_password_need_it_or_a_recent_sign_in(
    app: TestApp, make: Factory, path: str, fields: dict[str, str], has_password: bool
) -> None:
    account = make.account()
    sign_in(app, account)
    expire_proof(make)
    fields = fields | {"csrf_token": token_of(app, "/w")} | ({"confirm": account.email} if "delete" in path else {})
    if not has_password:
        with make.database.transaction() as db:
            db.get_one(Account, account.id).password_hash = None
    app.post(path, fields, status=422)
    with make.database.transaction() as db:
        stored = db.get_one(Account, account.id)
        assert (stored.email, stored.delete_at, stored.encrypted_totp_secret) == (account.email, None, None)
        assert stored.password_hash == (account.password_hash if has_password else None)
