"""The operator's own storage in the interface: connected to new workspaces, replaced by their own, never shown."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest
from pydantic import SecretStr
from sqlalchemy import select
from webtest import TestApp

from cwz_web.billing.plans import PlanLimit, count_usage
from cwz_web.settings import IncludedStorage
from cwz_web.storage.connection_test import Step
from cwz_web.storage.connections import connect_ready_storage, create_connection
from cwz_web.storage.included import INCLUDED
from cwz_web.storage.models import Connection
from cwz_web.storage.plugins import ProviderRegistry
from cwz_web.views import storage
from cwz_web.web.services import Services
from cwz_web.workspaces.access import list_workspaces
from cwz_web.workspaces.models import Workspace
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
            connect_ready_storage(db, space.id, services.ring, providers)
    assert INCLUDED not in dict(connections(services, space.id))


def offered(app: TestApp, space: Workspace) -> set[str]:
    page = app.get(f"/w/{space.slug}/storage/new")
    return {link["href"].partition("=")[2] for link in page.html.find("ul", {"class": "cards"}).find_all("a")}


def test_included_storage_is_connected_once_and_is_in_every_plan(
    services: Services,
    shared_paid_services: Services,
    app_with: Callable[[Services], TestApp],
    make: Factory,
    tmp_path: Path,
) -> None:
    included = IncludedStorage.model_validate({"provider": "local"})
    registry = ProviderRegistry({"local": {"root": str(tmp_path)}}, ring=services.ring, included=included)
    app = app_with(dataclasses.replace(shared_paid_services, providers=registry))
    space = make.workspace()  # with a connection, as many as its plan allows
    sign_in(app, make.member(space))
    path = f"/w/{space.slug}/storage/new"
    assert INCLUDED in offered(app, space)
    assert "plan allows 1 connection" in app.get(f"{path}?provider=local", status=402).text
    form = next(form for form in app.get(f"{path}?provider={INCLUDED}").forms.values() if form.action == "")
    form["connection_name"] = "Included"
    saved = [form.submit("action", value="save", status=status) for status in (303, 422)]
    assert "Choose a storage provider" in saved[1].text
    assert [provider for provider, _ in connections(services, space.id)].count(INCLUDED) == 1
    app.get(f"{path}?provider={INCLUDED}", status=402)


def test_included_storage_connected_during_the_test_is_not_connected_again(
    app: TestApp, services: Services, make: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = make.workspace()
    sign_in(app, make.member(space))
    page = app.get(f"/w/{space.slug}/storage/new?provider={INCLUDED}")
    form = next(form for form in page.forms.values() if form.action == "")
    form["connection_name"] = "Included"

    def connect_meanwhile(*_: object) -> list[Step]:
        with services.database.transaction(space.id) as db:
            create_connection(db, space.id, services.ring, provider=INCLUDED, name="Included")
        return []

    monkeypatch.setattr(storage, "run_connection_test", connect_meanwhile)
    form.submit("action", value="save", status=422)
    assert [provider for provider, _ in connections(services, space.id)].count(INCLUDED) == 1


def test_storage_that_needs_no_settings_is_connected(make: Factory, services: Services) -> None:
    space = make.workspace()
    with services.database.transaction(space.id) as db:
        for connection in db.scalars(select(Connection)):
            db.delete(connection)
        db.flush()
        assert connect_ready_storage(db, space.id, services.ring, services.providers, only_included=True) is None
        connect_ready_storage(db, space.id, services.ring, services.providers)
    assert connections(services, space.id) == [("local", True)]
