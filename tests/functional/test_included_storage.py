"""The operator's own storage in the interface: connected to new workspaces, replaced by their own, never shown."""

import dataclasses
from collections.abc import Callable
from uuid import UUID

import pytest
from pydantic import SecretStr
from sqlalchemy import select
from webtest import TestApp

from cwz_web.billing.plans import PlanLimit, count_usage
from cwz_web.settings import IncludedStorage
from cwz_web.storage.connections import connect_included_storage, create_connection
from cwz_web.storage.included import INCLUDED
from cwz_web.storage.models import Connection
from cwz_web.storage.plugins import ProviderRegistry
from cwz_web.web.services import Services
from cwz_web.workspaces.access import list_workspaces
from tests.factories import Factory, sign_in

SECRET, BUCKET, TITLE = "canary/secret/of/the/operator/0001", "operators-canary-bucket", "Storage of Bilder GmbH"
OPTIONS = {
    "provider": "s3",
    "bucket": BUCKET,
    "region": "eu-central-1",
    "label": TITLE,
    "credentials": SecretStr(f'{{"access_key_id": "AKIACANARY0000000002", "secret_access_key": "{SECRET}"}}'),
}


@pytest.fixture
def providers(services: Services) -> ProviderRegistry:
    included = IncludedStorage.model_validate(OPTIONS)
    return ProviderRegistry(services.settings.storage, ring=services.ring, included=included)


@pytest.fixture
def app(services: Services, providers: ProviderRegistry, app_with: Callable[[Services], TestApp]) -> TestApp:
    return app_with(dataclasses.replace(services, providers=providers))


def connections(services: Services, space_id: UUID) -> list[tuple[str, bool]]:
    with services.database.transaction(space_id) as db:
        return [(row.provider, row.is_default) for row in db.scalars(select(Connection).order_by(Connection.id))]


def test_new_workspace_has_the_included_storage_until_it_brings_its_own(
    app: TestApp, make: Factory, services: Services
) -> None:
    account = make.account()
    sign_in(app, account)
    token = app.get("/w/new").html.find("input", {"name": "csrf_token"})["value"]
    app.post("/w/new", {"csrf_token": token, "name": "Bilder", "slug": "bilder"}, status=303)
    with services.database.transaction() as db:
        [access] = list_workspaces(db, account.id)
    workspace_id = access.workspace_id
    assert connections(services, workspace_id) == [(INCLUDED, True)]
    shown = [app.get(f"/w/bilder/{path}") for path in ("storage", "setup", "exports", "storage/new", "settings")]
    [link] = [a["href"] for a in shown[0].html.find_all("a", string=TITLE)]
    shown.append(app.get(link))
    for answer in shown:
        for secret in (SECRET, BUCKET, "AKIACANARY", "eu-central-1"):
            assert secret not in answer.text
    with services.database.transaction(workspace_id) as db:
        assert count_usage(db, workspace_id)[PlanLimit.CONNECTIONS] == 0
        create_connection(db, workspace_id, services.ring, provider="local", name="Ours")
    assert connections(services, workspace_id) == [(INCLUDED, False), ("local", True)]


def test_own_storage_is_not_replaced(make: Factory, services: Services, providers: ProviderRegistry) -> None:
    space = make.workspace()
    with services.database.transaction(space.id) as db:
        create_connection(db, space.id, services.ring, provider="s3", name="Ours")
    for _ in range(2):
        with services.database.transaction(space.id) as db:
            connect_included_storage(db, space.id, services.ring, providers)
    assert INCLUDED not in dict(connections(services, space.id))


def test_installation_without_included_storage(make: Factory, services: Services) -> None:
    space = make.workspace()
    before = connections(services, space.id)
    with services.database.transaction(space.id) as db:
        connect_included_storage(db, space.id, services.ring, services.providers)
    assert connections(services, space.id) == before
