"""Sign-in through the identity provider of a workspace, and required single sign-on."""

import base64
import json
import math
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
from joserfc import jws, jwt
from joserfc.jwk import OctKey, RSAKey
from sqlalchemy import select
from webtest import TestApp

from cwz_web.accounts.models import Account, ExternalIdentity, LoginSession
from cwz_web.accounts.tokens import Purpose, issue_token
from cwz_web.workspaces.deletion import tombstone_workspace
from cwz_web.workspaces.invitations import invite, revoke_invitation
from cwz_web.workspaces.members import remove_member
from cwz_web.workspaces.models import (
    AuditEntry,
    EmailDomain,
    IdentityProvider,
    Membership,
    ProviderIdentity,
    Role,
    Workspace,
)
from cwz_web.workspaces.single_sign_on import (
    ProviderSettings,
    remove_domain,
    save_provider,
)
from tests.factories import PASSWORD, Factory, sign_in_with_form
from tests.functional.test_attempt_limits import with_second_factor
from tests.mailbox import Mailbox, text_of
from tests.openid_server import CLIENT_ID, CLIENT_SECRET, OpenIDServer
from tests.single_sign_on import (
    ADA,
    account_of,
    admin,
    app,
    dns_server,
    is_refused,
    member_role,
    provider,
    require,
    session_of,
    set_up,
    shared_provider,
    sign_in_through,
    space,
    sso_wsgi,
    start_path,
)

__all__ = ["admin", "app", "dns_server", "provider", "shared_provider", "space", "sso_wsgi"]


def test_email_leads_to_the_provider_of_its_domain(app: TestApp, space: Workspace, provider: OpenIDServer) -> None:
    assert "Continue with single sign-on" in app.get("/signin").text
    form = app.get("/signin/sso?next=/w").forms[0]
    form["email"] = "Someone@EXAMPLE.org"
    page = form.submit(status=303).follow()
    assert urlsplit(page.request.url).path == f"/signin/sso/{space.id}"
    assert "127.0.0.1" in page.text
    query = parse_qs(urlsplit(page.click("Continue to").location).query)
    assert query["redirect_uri"] == [f"http://localhost/signin/sso/{space.id}/callback"]
    assert query["code_challenge_method"] == ["S256"]
    assert all(len(query[name][0]) >= 43 for name in ("state", "nonce", "code_challenge"))


@pytest.mark.parametrize("email", ["a@elsewhere.net", "a@sub.example.org", "a@xexample.org"])
def test_other_domain_has_no_provider(app: TestApp, space: Workspace, email: str) -> None:
    form = app.get("/signin/sso").forms[0]
    form["email"] = email
    assert "not set up" in form.submit(status=422).text


def test_new_user_joins_with_the_default_role(
    app: TestApp, make: Factory, space: Workspace, provider: OpenIDServer, mailbox: Mailbox
) -> None:
    app.extra_environ["HTTP_ACCEPT_LANGUAGE"] = "de-CH"
    assert sign_in_through(app, provider, space).location == "http://localhost/w"
    account = account_of(make)
    assert (account.name, account.password_hash, account.verified_at is not None) == ("Ada Lovelace", None, True)
    assert account.locale == "de-CH"
    assert member_role(make, space, account) == Role.SUPPORT
    app.get(f"/w/{space.slug}", status=200)
    assert "öffnet nur diesen Arbeitsbereich" in text_of(mailbox.last(account.email))
    with make.database.transaction(space.id) as db:
        [entry] = db.scalars(select(AuditEntry))
        assert (entry.action, entry.actor_id, entry.details["through"]) == ("member.join", account.id, "single sign-on")


def test_returning_user_is_found_by_issuer_and_subject(
    app: TestApp, make: Factory, space: Workspace, provider: OpenIDServer
) -> None:
    sign_in_through(app, provider, space)
    provider.user["email"] = "countess@example.org"
    sign_in_through(TestApp(app.app), provider, space)
    with make.database.transaction() as db:
        assert db.query(Account).count() == 1


def test_members_join_within_the_plan(app: TestApp, make: Factory, provider: OpenIDServer) -> None:
    space = make.workspace(plan="free")  # of the tests: two members
    make.email_domain(space, verified_at=datetime.now(UTC))
    set_up(make, space, provider)
    make.member(space)
    sign_in_through(app, provider, space)
    provider.user = ADA | {"sub": "bob-1", "email": "bob@example.org"}
    assert is_refused(sign_in_through(TestApp(app.app), provider, space), space, "full")
    with make.database.transaction() as db:
        assert db.scalar(select(Account).where(Account.email == "bob@example.org")) is None


def test_session_of_a_provider_opens_its_workspace_only(
    app: TestApp, make: Factory, space: Workspace, provider: OpenIDServer
) -> None:
    other = make.workspace()
    account = make.member(other)
    provider.user = ADA | {"email": account.email}
    sign_in_through(app, provider, space)
    app.get(f"/w/{space.slug}", status=200)
    app.get(f"/w/{other.slug}", status=404)
    assert other.name not in app.get("/w").text
    assert other.name not in app.get(f"/w/{space.slug}").text
    for path in (
        "/account",
        "/account/passkeys",
        "/account/export",
        "/account/delete",
        "/w/new",
        "/account/second-factor",
    ):
        assert "Single sign-on opens the workspace" in app.get(path, status=403).text, path
    token = app.get("/w").forms[0]["csrf_token"].value
    changes = {
        "/account/password": {"password": "violet harbour 93 teapots"},
        "/account/email": {"email": "x@evil.test"},
    }
    for path, fields in changes.items():
        app.post(path, {"csrf_token": token, **fields}, status=403)
    stored = account_of(make, account.email)
    assert stored.password_hash == account.password_hash
    app.get("/ops", status="4*")
    app.post("/signout", {"csrf_token": token}, status=303)


def test_session_of_a_provider_links_no_google_account(
    app: TestApp, make: Factory, space: Workspace, provider: OpenIDServer
) -> None:
    sign_in_through(app, provider, space)
    app.get("/signin/google?link=1", status="*")
    with make.database.transaction() as db:
        assert db.query(ExternalIdentity).count() == 0


def test_existing_account_keeps_its_password_and_sessions(
    app: TestApp, make: Factory, space: Workspace, provider: OpenIDServer
) -> None:
    account, own = make.account(), TestApp(app.app)
    sign_in_with_form(own, account)
    provider.user = ADA | {"email": account.email}
    sign_in_through(app, provider, space)
    assert account_of(make, account.email).password_hash == account.password_hash
    own.get("/account", status=200)
    sign_in_with_form(TestApp(app.app), account)


def test_unverified_account_loses_its_password(
    app: TestApp, make: Factory, space: Workspace, provider: OpenIDServer
) -> None:
    account = make.account(verified_at=None)
    provider.user = ADA | {"email": account.email}
    sign_in_through(app, provider, space)
    assert account_of(make, account.email).password_hash is None


@pytest.mark.parametrize("domain", ["elsewhere.net", "example.org.elsewhere.net", "sub.example.org"])
def test_address_in_another_domain_is_refused(
    app: TestApp, make: Factory, space: Workspace, provider: OpenIDServer, domain: str
) -> None:
    victim = make.account(email=f"victim@{domain}")
    provider.user = ADA | {"email": victim.email}
    assert is_refused(sign_in_through(app, provider, space), space, "domain")
    assert member_role(make, space, victim) is None
    assert session_of(make) is None


def test_domain_of_another_workspace_does_not_count(app: TestApp, make: Factory, provider: OpenIDServer) -> None:
    owner, attacker = make.workspace(), make.workspace(plan="scale")
    make.email_domain(owner, verified_at=datetime.now(UTC))
    make.email_domain(attacker)  # claimed, and not verified
    set_up(make, attacker, provider)
    assert is_refused(sign_in_through(app, provider, attacker), attacker, "domain")


def test_removed_domain_no_longer_counts(app: TestApp, make: Factory, space: Workspace, provider: OpenIDServer) -> None:
    sign_in_through(app, provider, space)
    with make.database.transaction(space.id) as db:
        db.query(EmailDomain).delete()
    assert is_refused(sign_in_through(TestApp(app.app), provider, space), space, "domain")


def test_answer_for_one_workspace_is_refused_by_another(
    app: TestApp, make: Factory, space: Workspace, provider: OpenIDServer
) -> None:
    other = make.workspace(plan="scale")
    set_up(make, other, provider)
    callback = provider.authorize(app.get(start_path(space), status=303).location)
    assert is_refused(app.get(callback.replace(str(space.id), str(other.id))), other)
    assert session_of(make) is None


def test_callback_in_another_browser_is_refused(
    app: TestApp, make: Factory, space: Workspace, provider: OpenIDServer
) -> None:
    callback = provider.authorize(app.get(start_path(space)).location)
    assert is_refused(TestApp(app.app).get(callback), space)
    app.get(callback)
    assert is_refused(app.get(callback), space), "valid once"


@pytest.mark.parametrize("change", ["state=wrong", "code=wrong", "iss=https://evil.test", "code="])
def test_modified_callback_is_refused(
    app: TestApp, make: Factory, space: Workspace, provider: OpenIDServer, change: str
) -> None:
    callback = urlsplit(provider.authorize(app.get(start_path(space)).location))
    name, _, value = change.partition("=")
    query = {key: values[0] for key, values in parse_qs(callback.query).items()} | {name: value}
    assert is_refused(app.get(callback.path, query), space)
    assert session_of(make) is None


def lie(**changes: Any) -> Callable[[OpenIDServer], None]:
    def change(provider: OpenIDServer) -> None:
        provider.change_claims = lambda claims: {k: v for k, v in (claims | changes).items() if v is not None}

    return change


def signed_with(key: Any, **header: str) -> Callable[[OpenIDServer], None]:
    def change(provider: OpenIDServer) -> None:
        provider.sign = lambda claims: jwt.encode(header, claims, key, algorithms=[header["alg"]])

    return change


def signed_with_a_new_key(kid: str) -> Callable[[OpenIDServer], None]:
    return lambda provider: signed_with(RSAKey.generate_key(2048, {"kid": kid}), alg="RS256", kid=kid)(provider)


def unsigned(provider: OpenIDServer) -> None:
    def part(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    provider.sign = lambda claims: f"{part({'alg': 'none'})}.{part(claims)}."


def signed_with_the_client_secret(provider: OpenIDServer) -> None:
    signed_with(OctKey.import_key(CLIENT_SECRET), alg="HS256", kid="1")(provider)


# More claims are in tests/unit/accounts/test_openid.py; here is what depends on the provider of the workspace.
LIES: dict[str, Callable[[OpenIDServer], None]] = {
    "issuer": lie(iss="https://evil.test"),
    "audience": lie(aud="another client"),
    "nonce": lie(nonce="another"),
    "expired": lie(exp=int(time.time()) - 3600),
    "no signature": unsigned,
    "shared secret": signed_with_the_client_secret,
    "another key": signed_with_a_new_key("1"),
    "unknown key": signed_with_a_new_key("9"),
}


@pytest.mark.parametrize("name", LIES)
def test_forged_token_is_refused(
    app: TestApp, make: Factory, space: Workspace, provider: OpenIDServer, name: str
) -> None:
    LIES[name](provider)
    assert is_refused(sign_in_through(app, provider, space), space)
    assert session_of(make) is None
    with make.database.transaction() as db:
        assert db.query(Account).count() == 0


@pytest.mark.parametrize(
    ("claim", "value", "done"),
    [
        ("sub", "\ud800", "failed"),
        ("sub", "a\0b", "failed"),
        ("exp", math.inf, "failed"),
        ("iat", -math.inf, "failed"),
        ("email", "a\0b@example.org", "unverified"),
        ("email", "\ud800@example.org", "unverified"),
    ],
)
def test_claim_that_cannot_be_stored_is_refused(
    app: TestApp, make: Factory, space: Workspace, provider: OpenIDServer, claim: str, value: object, done: str
) -> None:
    key = provider.keys[-1]
    provider.change_claims = lambda claims: claims | {claim: value}
    provider.sign = lambda claims: jws.serialize_compact(
        {"alg": "RS256", "kid": key.kid}, json.dumps(claims).encode(), key
    )
    assert is_refused(sign_in_through(app, provider, space), space, done)
    assert session_of(make) is None


@pytest.mark.parametrize("verified", [False, None, "true", 1])
def test_unverified_address_is_refused(
    app: TestApp, make: Factory, space: Workspace, provider: OpenIDServer, verified: object
) -> None:
    provider.user["email_verified"] = verified
    assert is_refused(sign_in_through(app, provider, space), space, "unverified")
    assert session_of(make) is None


def test_keys_are_rotated(app: TestApp, space: Workspace, provider: OpenIDServer) -> None:
    sign_in_through(app, provider, space)
    provider.rotate()
    assert sign_in_through(TestApp(app.app), provider, space).location == "http://localhost/w"


WEIRD = [b"", b"[]", b"7", b"null", b'"text"', b"[" * 200_000, b"{" + b" " * 600_000 + b"}", b"\xff", b'{"keys": 7}']


@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/token", "/jwks"])
def test_malformed_answers_are_refused(
    app: TestApp, make: Factory, space: Workspace, provider: OpenIDServer, path: str
) -> None:
    for body in WEIRD:
        provider.documents = {}
        url = app.get(start_path(space)).location
        callback = provider.authorize(url)
        provider.documents = {path: body}
        answer = app.get(start_path(space)) if "well-known" in path else app.get(callback)
        assert is_refused(answer, space), body[:20]
    assert session_of(make) is None


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": "https://evil.test"},
        {"token_endpoint": "http://169.254.169.254/token"},
        {"jwks_uri": "file:///etc/passwd"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": "http://elsewhere.test/"},
        {"authorization_endpoint": "{issuer}/\0"},
        {"authorization_endpoint": "{issuer}/a\r\nX-Evil: 1"},
        {"authorization_endpoint": "{issuer}/a b"},
        {"authorization_endpoint": "{issuer}/\u0416"},
        {"authorization_endpoint": "{issuer}/\ud800"},
        {"authorization_endpoint": "{issuer}/" + "a" * 3000},
        {"authorization_endpoint": "https://elsewhere.test\\@127.0.0.1/"},
        {"authorization_endpoint": "https://user@elsewhere.test/"},
        {"authorization_endpoint": "https:elsewhere.test"},
        {"authorization_endpoint": "https://elsewhere.test:0/"},
        {"issuer": "{issuer}" + "/" * 3000},
    ],
)
def test_configuration_leads_to_no_other_place(
    app: TestApp, space: Workspace, provider: OpenIDServer, change: dict[str, str]
) -> None:
    document = {name: f"{provider.issuer}/{name}" for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")}
    change = {name: url.replace("{issuer}", provider.issuer) for name, url in change.items()}
    configuration = json.dumps({"issuer": provider.issuer} | document | change).encode()
    provider.documents = {"/.well-known/openid-configuration": configuration}
    assert is_refused(app.get(start_path(space)), space)


@pytest.mark.parametrize("issuer", ["https://127.0.0.1", "https://localhost", "https://10.0.0.1", "https://[::1]"])
def test_internal_provider_is_not_requested(
    app: TestApp, make: Factory, space: Workspace, provider: OpenIDServer, issuer: str
) -> None:
    with make.database.transaction(space.id) as db:
        db.get_one(IdentityProvider, space.id).issuer = issuer
    assert is_refused(app.get(start_path(space)), space)


def test_workspace_without_provider_has_no_page(app: TestApp, make: Factory, space: Workspace) -> None:
    for path in (f"/signin/sso/{make.workspace().id}", f"/signin/sso/{make.workspace().id}/start", "/signin/sso/x"):
        app.get(path, status=404)
    with make.database.transaction(space.id) as db:
        tombstone_workspace(db, db.get_one(Workspace, space.id))
    app.get(f"/signin/sso/{space.id}", status=404)


# Requiring single sign-on.


def test_required_provider_closes_the_workspace_to_passwords(
    app: TestApp, make: Factory, space: Workspace, provider: OpenIDServer
) -> None:
    account = make.member(space, Role.USER)
    sign_in_with_form(app, account)
    app.get(f"/w/{space.slug}", status=200)
    require(make, space)
    refused = app.get(f"/w/{space.slug}/feeds", status=303)
    assert refused.location.startswith(f"http://localhost/signin/sso/{space.id}?next=")
    provider.user = ADA | {"email": account.email}
    answer = sign_in_through(app, provider, space, f"/w/{space.slug}/feeds")
    answer.follow(status=200)
    app.get("/account", status=200)  # their own session remains, and is extended


def change_email(make: Factory, app: TestApp, account: Account, email: str) -> None:
    """Follow the link that was sent to a new address, in a browser of the account."""
    with make.database.transaction() as db:
        token = issue_token(db, db.get_one(Account, account.id), Purpose.EMAIL, email=email)
    form = next(form for form in app.get(f"/email?token={token}").forms.values() if "token" in form.fields)
    assert "done=email" in form.submit(status=303).location


def is_open(app: TestApp, space: Workspace) -> bool:
    """Return whether a user can open a workspace without its provider."""
    answer = app.get(f"/w/{space.slug}", status="*")
    assert answer.status_int == 200 or "/signin/sso/" in answer.location
    return bool(answer.status_int == 200)


@pytest.mark.parametrize("has_used", [False, True])
def test_new_address_does_not_evade_the_provider(
    app: TestApp, make: Factory, space: Workspace, provider: OpenIDServer, has_used: bool
) -> None:
    account = make.member(space, Role.USER)
    if has_used:
        provider.user = ADA | {"email": account.email}
        sign_in_through(TestApp(app.app), provider, space)
    sign_in_with_form(app, account)
    change_email(make, app, account, "private@elsewhere.net")
    assert is_open(app, space), "not required yet"
    require(make, space)
    assert not is_open(app, space)
    change_email(make, app, account, "other@elsewhere.net")
    assert not is_open(app, space)


def test_another_issuer_leaves_single_sign_on_required(
    app: TestApp, make: Factory, space: Workspace, provider: OpenIDServer
) -> None:
    account = make.member(space, Role.USER)
    provider.user = ADA | {"email": account.email}
    sign_in_through(TestApp(app.app), provider, space)
    sign_in_with_form(app, account)
    change_email(make, app, account, "private@elsewhere.net")
    entered = ProviderSettings("https://id.example.com", CLIENT_ID, CLIENT_SECRET, Role.USER, is_required=True)
    with make.database.transaction(space.id) as db:
        save_provider(db, space.id, make.services.ring, entered, admin=LoginSession(id=uuid4()))
    assert not is_open(app, space)


def test_removed_domain_locks_no_member_out(
    app: TestApp, make: Factory, space: Workspace, provider: OpenIDServer
) -> None:
    second = make.email_domain(space, "second.example", verified_at=datetime.now(UTC))
    account = make.member(space, Role.USER)
    provider.user = ADA | {"email": "ada@second.example"}
    with make.database.transaction() as db:
        db.get_one(Account, account.id).email = "ada@second.example"
    sign_in_through(TestApp(app.app), provider, space)
    form = app.get("/signin").forms[0]
    form["email"], form["password"] = "ada@second.example", PASSWORD
    form.submit(status=303)
    change_email(make, app, account, "private@elsewhere.net")
    require(make, space)
    assert not is_open(app, space)
    with make.database.transaction(space.id) as db:
        remove_domain(db, db.get_one(EmailDomain, (space.id, second.id)), admin=LoginSession(id=uuid4()))
    assert is_open(app, space)


def test_required_provider_does_not_concern_other_domains(app: TestApp, make: Factory, space: Workspace) -> None:
    require(make, space)
    guest = make.account(email="guest@elsewhere.test")
    with make.database.transaction(space.id) as db:
        db.add(Membership(workspace_id=space.id, account_id=guest.id, role=Role.USER))
    sign_in_with_form(app, guest)
    app.get(f"/w/{space.slug}", status=200)


def test_admin_with_a_second_factor_gets_in_without_the_provider(app: TestApp, make: Factory, space: Workspace) -> None:
    require(make, space)
    admin = make.member(space)
    sign_in_with_form(app, admin)
    app.get(f"/w/{space.slug}", status=303)
    totp, browser = with_second_factor(make, admin), TestApp(app.app)
    form = browser.get("/signin").forms[0]
    form["email"], form["password"] = admin.email, PASSWORD
    form = form.submit().follow().forms[0]
    form["code"] = totp.now()
    form.submit(status=303)
    browser.get(f"/w/{space.slug}", status=200)


def test_provider_replaces_the_second_factor_that_its_workspace_requires(
    app: TestApp, make: Factory, space: Workspace, provider: OpenIDServer
) -> None:
    with make.database.transaction(space.id) as db:
        db.get_one(Workspace, space.id).second_factor_required = True
    sign_in_through(app, provider, space)
    app.get(f"/w/{space.slug}", status=200)


def test_proof_of_identity_comes_from_the_provider(
    app: TestApp, make: Factory, space: Workspace, provider: OpenIDServer
) -> None:
    admin = make.member(space)
    provider.user = ADA | {"email": admin.email}
    sign_in_through(app, provider, space)
    with make.database.transaction() as db:
        session = db.scalars(select(LoginSession)).one()
        session.authenticated_at = session.authenticated_at.replace(year=2020)
    page = f"/w/{space.slug}/settings"
    form = next(form for form in app.get(page).forms.values() if "second_factor_required" in form.fields)
    proof = form.submit(status=303).follow()
    answer = app.get(provider.authorize(proof.click("Continue with single sign-on").location))
    assert answer.location.startswith(f"http://localhost{page}")
    form = next(form for form in app.get(page).forms.values() if "second_factor_required" in form.fields)
    assert "done=saved" in form.submit(status=303).location


def test_removed_member_loses_the_identity(
    app: TestApp, make: Factory, space: Workspace, provider: OpenIDServer
) -> None:
    sign_in_through(app, provider, space)
    with make.database.transaction(space.id) as db:
        db.delete(db.get_one(Membership, (space.id, account_of(make).id)))
        db.flush()
        assert db.query(ProviderIdentity).count() == 0
    app.get(f"/w/{space.slug}", status=404)


@pytest.mark.parametrize("evasion", ["none", "email", "deletion"])
def test_removed_member_joins_again_by_invitation_only(
    app: TestApp, make: Factory, space: Workspace, provider: OpenIDServer, evasion: str
) -> None:
    sign_in_through(app, provider, space)
    account, admin = account_of(make), make.member(space)
    with make.database.transaction(space.id) as db:
        remove_member(db, db.get_one(Membership, (space.id, account.id)))
    with make.database.transaction() as db:
        if evasion == "email":
            db.get_one(Account, account.id).email = "private@elsewhere.net"
        if evasion == "deletion":
            db.delete(db.get_one(Account, account.id))
    again = TestApp(app.app)
    refused = sign_in_through(again, provider, space)
    assert is_refused(refused, space, "removed")
    assert "invite you again" in refused.follow().text
    with make.database.transaction(space.id) as db:
        invitation = invite(db, space.id, email="Ada@example.org", role=Role.USER, invited_by=admin)
        revoke_invitation(invitation)
    assert is_refused(sign_in_through(again, provider, space), space, "removed")
    with make.database.transaction(space.id) as db:
        invite(db, space.id, email="Ada@example.org", role=Role.USER, invited_by=admin)
    assert sign_in_through(again, provider, space).location == "http://localhost/w"


def test_account_without_credentials_can_set_a_password(
    app: TestApp, make: Factory, space: Workspace, provider: OpenIDServer, mailbox: Mailbox
) -> None:
    sign_in_through(app, provider, space)
    browser = TestApp(app.app)
    form = browser.get("/forgot").forms[0]
    form["email"] = "ada@example.org"
    form.submit()
    form = browser.get(mailbox.link("ada@example.org")).forms[0]
    form["password"] = "violet harbour 93 teapots"
    form.submit(status=303)


def test_other_sites_start_no_sign_in(app: TestApp, space: Workspace) -> None:
    app.get(start_path(space), headers={"Sec-Fetch-Site": "cross-site"}, status=400)
    app.get(start_path(space), headers={"Sec-Fetch-Site": "same-origin"}, status=303)


def test_account_export_names_the_identity(
    app: TestApp, space: Workspace, admin: Account, provider: OpenIDServer
) -> None:
    provider.user = ADA | {"sub": "admin-1", "email": admin.email}
    sign_in_through(app, provider, space)
    exported = app.get("/account/export").json
    [identity] = exported["workspaces"][0]["single_sign_on"]
    assert (identity["issuer"], identity["subject"], identity["email"]) == (provider.issuer, "admin-1", admin.email)
    assert exported["sessions"][0]["method"] == "password"
