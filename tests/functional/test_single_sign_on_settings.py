"""The settings of single sign-on: the identity provider and the email domains."""

import dataclasses
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from sqlalchemy import select, text
from webtest import TestApp

from cwz_web.accounts.models import Account, LoginSession
from cwz_web.crypto import KeyRing, parse_keys
from cwz_web.web.services import Services
from cwz_web.workspaces.models import (
    AuditEntry,
    EmailDomain,
    IdentityProvider,
    Membership,
    Role,
    Workspace,
)
from cwz_web.workspaces.single_sign_on import (
    add_domain,
    record_name,
    record_value,
    reencrypt_client_secret,
)
from tests.conftest import ENCRYPTION_KEY, change_settings
from tests.dns_server import DnsServer
from tests.factories import Factory, sign_in
from tests.openid_server import CLIENT_SECRET, OpenIDServer
from tests.single_sign_on import (
    ADA,
    account_of,
    admin,
    app,
    dns_server,
    provider,
    require,
    set_up,
    shared_provider,
    sign_in_through,
    space,
    sso_wsgi,
    submit,
)

__all__ = ["admin", "app", "dns_server", "provider", "shared_provider", "space", "sso_wsgi"]


def test_domain_is_verified_by_its_record(
    app: TestApp, make: Factory, space: Workspace, admin: Account, dns_server: DnsServer
) -> None:
    page, domains = f"/w/{space.slug}/single-sign-on", f"/w/{space.slug}/email-domains"
    assert "already been added" in submit(app, page, domains, 422, domain="Example.org").text
    submit(app, page, domains, domain="  Wörk.Example ")
    with make.database.transaction(space.id) as db:
        added = db.scalars(select(EmailDomain).where(EmailDomain.domain == "xn--wrk-sna.example")).one()
    name, value = record_name(added), record_value(added)
    assert name == "_connectwyze.xn--wrk-sna.example"
    assert value in app.get(page).text
    for records in ([], ["connectwyze-verification=wrong"], [value[:-1]], [value + "x"]):
        dns_server.records = {name: records}
        assert "was not found" in submit(app, page, f"{domains}/{added.id}/verify", 422).text
    dns_server.records = {name: ["v=spf1 -all", value]}
    assert "done=verified" in submit(app, page, f"{domains}/{added.id}/verify").location
    assert make.reload(added).verified_at is not None
    submit(app, page, f"{domains}/{added.id}/remove")
    with make.database.transaction(space.id) as db:
        actions = list(db.scalars(select(AuditEntry.action).order_by(AuditEntry.number)))
    assert actions == ["sso.domain-add", "sso.domain-verify", "sso.domain-remove"]


def test_domain_belongs_to_one_workspace(app: TestApp, make: Factory, admin: Account, dns_server: DnsServer) -> None:
    other = make.workspace()
    rival = make.email_domain(other)
    with make.database.transaction(other.id) as db:
        db.add(Membership(workspace_id=other.id, account_id=admin.id, role=Role.ADMIN))
    dns_server.records = {record_name(rival): [record_value(rival)]}
    path = f"/w/{other.slug}/email-domains/{rival.id}/verify"
    assert "Another workspace has verified" in submit(app, f"/w/{other.slug}/single-sign-on", path, 422).text


@pytest.mark.parametrize("domain", ["", "localhost", "192.0.2.1", "a..b", "x" * 64 + ".org", "ex ample.org", "a.org."])
def test_invalid_domain_is_refused(app: TestApp, space: Workspace, admin: Account, domain: str) -> None:
    submit(app, f"/w/{space.slug}/single-sign-on", f"/w/{space.slug}/email-domains", 422, domain=domain)


def test_unreachable_name_server_is_named(
    shared_paid_services: Services,
    make: Factory,
    services: Services,
    space: Workspace,
    app_with: Callable[[Services], TestApp],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cwz_web.net.dns.TOTAL_SECONDS", 0.2)
    settings = change_settings(shared_paid_services.settings, {"network.dns": ("127.0.0.1:9",)})
    app = app_with(dataclasses.replace(shared_paid_services, settings=settings))
    sign_in(app, make.member(space))
    domain = make.email_domain(space, "other.example")
    path = f"/w/{space.slug}/email-domains/{domain.id}/verify"
    assert "No name server responded" in submit(app, f"/w/{space.slug}/single-sign-on", path, 422).text


@pytest.mark.parametrize(
    "issuer",
    [
        "http://id.example.com",
        "id.example.com",
        "https://user@id.example.com",
        "https://id.example.com/?a=b",
        "https://id.example.com/.well-known/openid-configuration",
        "https://id.example.com/#x",
        "https://id.example.com:8443",
        "javascript:alert(1)",
        "file:///etc/passwd",
    ],
)
def test_invalid_issuer_is_refused(app: TestApp, space: Workspace, admin: Account, issuer: str) -> None:
    page = f"/w/{space.slug}/single-sign-on"
    answer = submit(app, page, page, 422, issuer=issuer, client_id="x", client_secret="y")
    assert "issuer-error" in answer.text


def test_provider_is_saved_with_an_encrypted_secret(
    app: TestApp, make: Factory, space: Workspace, admin: Account, provider: OpenIDServer
) -> None:
    page = f"/w/{space.slug}/single-sign-on"
    with make.database.transaction(space.id) as db:
        before = db.get_one(IdentityProvider, space.id).encrypted_client_secret
    submit(app, page, page, default_role="user")
    with make.database.transaction(space.id) as db:
        kept = db.get_one(IdentityProvider, space.id)
        assert (kept.encrypted_client_secret, kept.default_role) == (before, Role.USER)
        assert CLIENT_SECRET.encode() not in before
    assert CLIENT_SECRET not in app.get(page).text
    assert "Enter the client secret" in submit(app, page, page, 422, issuer="https://id.example.com").text
    fields = {"issuer": "https://id.example.com/", "client_secret": "new"}
    submit(app, page, page, **fields)
    with make.database.transaction(space.id) as db:
        assert db.get_one(IdentityProvider, space.id).issuer == "https://id.example.com"
    submit(app, page, f"{page}/remove")
    app.get(f"/signin/sso/{space.id}", status=404)


@pytest.mark.parametrize("change", ["issuer", "removal"])
def test_sessions_of_the_previous_provider_end(
    app: TestApp, make: Factory, space: Workspace, admin: Account, provider: OpenIDServer, change: str
) -> None:
    page, user, own = f"/w/{space.slug}/single-sign-on", TestApp(app.app), TestApp(app.app)
    sign_in_through(user, provider, space)
    member = make.member(space)
    provider.user = ADA | {"sub": "2", "email": member.email}
    sign_in(own, member)
    sign_in_through(own, provider, space)
    if change == "issuer":
        submit(app, page, page, issuer="https://id.example.com", client_secret="new")
    else:
        submit(app, page, f"{page}/remove")
    assert user.get(f"/w/{space.slug}").location.startswith("http://localhost/signin")
    own.get(f"/w/{space.slug}", status=200)
    with make.database.transaction() as db:
        assert (
            db.scalars(select(LoginSession.sso_workspace_id).where(LoginSession.ended_at.is_(None))).all() == [None] * 2
        )
        assert db.scalars(select(LoginSession).where(LoginSession.ended_at.is_not(None))).one().method == "sso"


def test_client_secret_is_encrypted_again_with_a_new_key(make: Factory, space: Workspace) -> None:
    ring = KeyRing([b"n" * 32, *parse_keys(ENCRYPTION_KEY)])
    with make.database.transaction(space.id) as db:
        saved = db.get_one(IdentityProvider, space.id)
        before = saved.encrypted_client_secret
        assert reencrypt_client_secret(saved, ring)
        assert not reencrypt_client_secret(saved, ring)
        assert saved.encrypted_client_secret != before
        assert ring.decrypt(saved.encrypted_client_secret, "identity_providers", str(space.id), "client_secret")
        assert list(db.execute(text("SELECT workspace_id FROM all_identity_providers()"))) == [(space.id,)]


def test_new_members_are_no_admins(app: TestApp, space: Workspace, admin: Account) -> None:
    page = f"/w/{space.slug}/single-sign-on"
    form = next(form for form in app.get(page).forms.values() if form.action == page)
    form["default_role"].force_value("admin")
    assert "Choose another role" in form.submit(status=422).text


def test_requirement_locks_no_member_out(
    app: TestApp, make: Factory, space: Workspace, admin: Account, provider: OpenIDServer
) -> None:
    page = f"/w/{space.slug}/single-sign-on"
    assert "Sign in through the identity provider once" in submit(app, page, page, 422, is_required=True).text
    sign_in_through(TestApp(app.app), provider, space)
    assert "Turn on two-factor" in submit(app, page, page, 422, is_required=True).text
    provider.user = ADA | {"sub": "admin-1", "email": admin.email}
    sign_in_through(app, provider, space)
    submit(app, page, page, is_required=True)
    app.get(page, status=200)


def test_error_of_a_domain_keeps_the_saved_provider(
    app: TestApp, make: Factory, space: Workspace, admin: Account, provider: OpenIDServer
) -> None:
    page = f"/w/{space.slug}/single-sign-on"
    set_up(make, space, provider, is_required=True)
    provider.user = ADA | {"sub": "admin-1", "email": admin.email}
    sign_in_through(app, provider, space)
    answer = submit(app, page, f"/w/{space.slug}/email-domains", 422, domain="com")
    form = next(form for form in answer.forms.values() if form.action == page)
    assert form["is_required"].checked


def test_last_verified_domain_remains_while_the_provider_is_required(
    app: TestApp, make: Factory, space: Workspace, admin: Account, provider: OpenIDServer
) -> None:
    page = f"/w/{space.slug}/single-sign-on"
    with make.database.transaction(space.id) as db:
        only = db.scalars(select(EmailDomain)).one()
    pending = make.email_domain(space, "pending.example")
    provider.user = ADA | {"sub": "admin-1", "email": admin.email}
    sign_in_through(app, provider, space)
    require(make, space)
    path = f"/w/{space.slug}/email-domains/{only.id}/remove"
    assert "Verify another domain" in submit(app, page, path, 422).text
    submit(app, page, f"/w/{space.slug}/email-domains/{pending.id}/remove")
    make.email_domain(space, "second.example", verified_at=datetime.now(UTC))
    assert "done=domain-removed" in submit(app, page, path).location


def test_workspace_has_a_limited_number_of_domains(
    app: TestApp, make: Factory, space: Workspace, admin: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cwz_web.workspaces.single_sign_on.MAX_DOMAINS", 1)
    answer = submit(
        app, f"/w/{space.slug}/single-sign-on", f"/w/{space.slug}/email-domains", 422, domain="second.example"
    )
    assert "at most 1 domains" in answer.text


def test_two_admins_at_once_do_not_exceed_the_number_of_domains(
    make: Factory, space: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cwz_web.workspaces.single_sign_on.MAX_DOMAINS", 3)

    def add(number: int) -> None:
        with make.database.transaction(space.id) as db:
            add_domain(db, space.id, f"domain{number}.example")

    with ThreadPoolExecutor(4) as pool:
        outcomes = [pool.submit(add, number) for number in range(8)]
    assert [outcome.exception() for outcome in outcomes].count(None) == 2
    assert make.count(EmailDomain, space.id) == 3


@pytest.mark.parametrize("moved", [False, True])
def test_sessions_of_a_removed_domain_end(
    app: TestApp, make: Factory, space: Workspace, admin: Account, provider: OpenIDServer, moved: bool
) -> None:
    page, domains = f"/w/{space.slug}/single-sign-on", f"/w/{space.slug}/email-domains"
    second = make.email_domain(space, "second.example", verified_at=datetime.now(UTC))
    pending = make.email_domain(space, "pending.example")
    user, other = TestApp(app.app), TestApp(app.app)
    provider.user = ADA | {"sub": "2", "email": "bob@second.example"}
    sign_in_through(user, provider, space)
    provider.user = ADA
    sign_in_through(other, provider, space)
    if moved:
        with make.database.transaction() as db:
            db.get_one(Account, account_of(make, "bob@second.example").id).email = "bob@pending.example"
    submit(app, page, f"{domains}/{pending.id}/remove")
    user.get(f"/w/{space.slug}", status=200)
    submit(app, page, f"{domains}/{second.id}/remove")
    assert user.get(f"/w/{space.slug}").location.startswith("http://localhost/signin")
    other.get(f"/w/{space.slug}", status=200)


def test_test_sign_in_is_confirmed(app: TestApp, space: Workspace, admin: Account, provider: OpenIDServer) -> None:
    provider.user = ADA | {"sub": "admin-1", "email": admin.email}
    page = app.get(f"/w/{space.slug}/single-sign-on")
    answer = app.get(provider.authorize(page.click("Test sign-in").location)).follow()
    assert "You signed in through the identity provider" in answer.text
