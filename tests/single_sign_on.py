"""Fixtures and steps of single sign-on, with an OpenID provider and a name server on loopback."""

import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from pyramid.router import Router
from sqlalchemy import select
from webtest import TestApp

from cwz_web.accounts.models import Account, LoginSession
from cwz_web.app import create_app
from cwz_web.web.services import Services
from cwz_web.workspaces.models import (
    IdentityProvider,
    Membership,
    Role,
    Workspace,
)
from cwz_web.workspaces.single_sign_on import (
    ProviderSettings,
    save_provider,
)
from tests.conftest import change_settings
from tests.dns_server import DnsServer
from tests.factories import Factory, sign_in
from tests.openid_server import CLIENT_ID, CLIENT_SECRET, OpenIDServer

ADA = {"sub": "ada-1", "email": "ada@example.org", "email_verified": True, "name": "Ada Lovelace"}


@pytest.fixture(scope="module")
def shared_provider() -> Iterator[OpenIDServer]:
    server = OpenIDServer()
    yield server
    server.close()


@pytest.fixture
def provider(shared_provider: OpenIDServer) -> OpenIDServer:
    """The provider, which tells the truth."""
    shared_provider.user, shared_provider.documents = dict(ADA), {}
    shared_provider.change_claims, shared_provider.sign = dict, shared_provider.sign_with_newest_key
    shared_provider.requests.clear()
    return shared_provider


@pytest.fixture(scope="module")
def dns_server() -> Iterator[DnsServer]:
    server = DnsServer()
    yield server
    server.close()


@pytest.fixture(scope="module")
def sso_wsgi(shared_paid_services: Services, shared_provider: OpenIDServer, dns_server: DnsServer) -> Router:
    """With plans, the provider allowed and the name server."""
    network = {"network.allow": (shared_provider.host,), "network.dns": (dns_server.address,)}
    return create_app(
        dataclasses.replace(shared_paid_services, settings=change_settings(shared_paid_services.settings, network))
    )


@pytest.fixture
def app(sso_wsgi: Router, services: Services) -> TestApp:
    return TestApp(sso_wsgi)


@pytest.fixture
def space(make: Factory, provider: OpenIDServer) -> Workspace:
    """A workspace with the provider, whose domain is verified."""
    space = make.workspace(plan="scale")
    make.email_domain(space, verified_at=datetime.now(UTC))
    set_up(make, space, provider)
    return space


def set_up(make: Factory, space: Workspace, provider: OpenIDServer, is_required: bool = False) -> None:
    entered = ProviderSettings(provider.issuer, CLIENT_ID, CLIENT_SECRET, Role.SUPPORT, is_required)
    with make.database.transaction(space.id) as db:
        save_provider(db, space.id, make.services.ring, entered, admin=LoginSession(id=uuid4()))


def start_path(space: Workspace, next_path: str = "/") -> str:
    return f"/signin/sso/{space.id}/start?next={next_path}"


def sign_in_through(app: TestApp, provider: OpenIDServer, space: Workspace, next_path: str = "/w") -> Any:
    """Run the whole flow and return the response of the callback."""
    return app.get(provider.authorize(app.get(start_path(space, next_path), status=303).location))


def is_refused(answer: Any, space: Workspace, done: str = "failed") -> bool:
    return bool(answer.location == f"http://localhost/signin/sso/{space.id}?done={done}")


def session_of(make: Factory) -> LoginSession | None:
    with make.database.transaction() as db:
        return db.scalars(select(LoginSession).where(LoginSession.ended_at.is_(None))).one_or_none()


def account_of(make: Factory, email: str = "ada@example.org") -> Account:
    with make.database.transaction() as db:
        return db.scalars(select(Account).where(Account.email == email)).one()


def member_role(make: Factory, space: Workspace, account: Account) -> str | None:
    with make.database.transaction(space.id) as db:
        found = db.get(Membership, (space.id, account.id))
        return found.role if found else None


def submit(app: TestApp, page: str, action: str, status: int = 303, **fields: Any) -> Any:
    form = next(form for form in app.get(page).forms.values() if form.action == action)
    for name, value in fields.items():
        form[name] = value
    return form.submit(status=status)


def require(make: Factory, space: Workspace) -> None:
    with make.database.transaction(space.id) as db:
        db.get_one(IdentityProvider, space.id).is_required = True


@pytest.fixture
def admin(app: TestApp, make: Factory, space: Workspace) -> Account:
    """An admin who is signed in."""
    admin = make.member(space)
    sign_in(app, admin)
    return admin
