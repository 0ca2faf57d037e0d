"""Connecting storage through the pages, against a real S3 server on loopback; rotation; the nightly test."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import boto3
import psycopg
import pytest
from click.testing import CliRunner
from sqlalchemy import select
from webtest import TestApp

from cwz_web.app import create_app
from cwz_web.cli import keys as keys_command
from cwz_web.crypto import KeyRing
from cwz_web.db.embedded import EmbeddedPostgres
from cwz_web.generation.signed_urls import SignedUrls
from cwz_web.runs.local_client import LocalRenderClient
from cwz_web.runs.protocol import SpecificationRequest
from cwz_web.runs.render_worker import RenderWorker
from cwz_web.settings import Settings
from cwz_web.storage.connections import create_connection, reencrypt_secrets
from cwz_web.storage.models import Connection
from cwz_web.storage.plugins import ProviderRegistry
from cwz_web.storage.tasks import run_all_connection_tests
from cwz_web.web.services import Services
from cwz_web.workspaces.models import AuditEntry, Role, Workspace
from tests.emulators import BUCKET, answering, host_of, moto_server, s3_error, service_account
from tests.factories import Factory, sign_in
from tests.mailbox import Mailbox, text_of

KEY, SECRET = "AKIACANARY0000000001", "canary/secret/of/the/customer/00000001"


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    with moto_server() as address:
        yield address


def with_s3_at(services: Services, address: str) -> Services:
    """The services of an installation whose operator let S3 be this server."""
    operator = {**services.settings.storage, "s3": {"endpoint": address}}
    return dataclasses.replace(services, providers=ProviderRegistry(operator, allow=[host_of(address)], ring=services.ring))


@pytest.fixture
def installed(kept_services: Services, services: Services, moto: str) -> Services:
    return with_s3_at(kept_services, moto)


@pytest.fixture
def app(installed: Services) -> TestApp:
    return TestApp(create_app(installed))


@pytest.fixture
def space(app: TestApp, make: Factory) -> Workspace:
    space = make.workspace()
    sign_in(app, make.member(space))
    return space


def form_of(page: Any, action: str) -> Any:
    return next(form for form in page.forms.values() if form.action == action)


def fill_in(app: TestApp, space: Workspace, **changed: str) -> Any:
    form = form_of(app.get(f"/w/{space.slug}/storage/new?provider=s3"), "")
    typed = {
        "connection_name": "Our bucket",
        "region": "eu-central-1",
        "bucket": BUCKET,
        "access_key_id": KEY,
        "secret_access_key": SECRET,
    }
    for name, value in (typed | changed).items():
        form[name] = value
    return form


def connected(app: TestApp, make: Factory, space: Workspace, **changed: str) -> Connection:
    fill_in(app, space, **changed).submit("action", value="save", status=303)
    with make.database.transaction(space.id) as db:
        return db.scalars(select(Connection).where(Connection.provider == "s3")).one()


def test_every_provider_has_a_card_and_a_form(app: TestApp, space: Workspace) -> None:
    page = app.get(f"/w/{space.slug}/storage/new")
    links = [link["href"] for link in page.html.find("ul", {"class": "cards"}).find_all("a")]
    assert {link.partition("=")[2] for link in links} == {"s3", "r2", "gcs", "firebase", "local"}
    for link in links:
        assert app.get(f"/w/{space.slug}/storage/new{link}").html.find("button", {"value": "test"}) is not None


def test_a_connection_is_tested_saved_and_used_for_a_run(
    app: TestApp, make: Factory, space: Workspace, moto: str, installed: Services
) -> None:
    form = fill_in(app, space)
    tested = form.submit("action", value="test")
    assert "It works" in tested.text
    assert "kept; type to replace" not in tested.text
    with make.database.transaction(space.id) as db:
        assert db.query(Connection).count() == 1, "a test saves nothing"
    connection = connected(app, make, space)
    assert connection.error_message is None
    page = app.get(f"/w/{space.slug}/storage")
    assert "Our bucket" in page.text
    form_of(page, f"/w/{space.slug}/storage/{connection.id}/default").submit(status=303)
    run = make.run(make.feed(space), make.template(space))
    assert run.connection_id == connection.id
    web = LocalRenderClient(make.database.transaction, installed.providers, SignedUrls("a secret"))
    RenderWorker(web, installed.image_service, installed.providers.outbound).render_chunk(
        SpecificationRequest(workspace_id=space.id, run_id=run.id, chunk=0), last_try=True
    )
    assert make.reload(run).done == 3
    client = boto3.client(
        "s3", endpoint_url=moto, region_name="us-east-1", aws_access_key_id=KEY, aws_secret_access_key=SECRET
    )
    found = client.list_objects_v2(Bucket=BUCKET, Prefix=f"{space.id}/")["Contents"]
    assert len(found) == 3, "images, and no probe"
    assert ">3<" in app.get(f"/w/{space.slug}/storage").text
    with_images = form_of(
        app.get(f"/w/{space.slug}/storage/{connection.id}"), f"/w/{space.slug}/storage/{connection.id}/remove"
    )
    assert "first" in with_images.submit(status=422).html.find(id="remove-error").text


def test_the_secret_is_nowhere_again(
    app: TestApp, make: Factory, space: Workspace, postgres: EmbeddedPostgres, database_name: str
) -> None:
    connection = connected(app, make, space)
    pages = ["/storage", f"/storage/{connection.id}", "/audit", "/audit.csv"]
    for page in [*(f"/w/{space.slug}{path}" for path in pages), "/account/export"]:
        text = app.get(page).text
        assert SECRET not in text
        assert KEY not in text
    with psycopg.connect(postgres.admin_url(database_name)) as db:
        tables = [
            row[0]
            for row in db.execute(
                "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
            )
        ]
        for table in tables:
            for row in db.execute(f"SELECT t::text FROM {table} t"):  # noqa: S608
                assert SECRET not in str(row[0]), table
    form = form_of(app.get(f"/w/{space.slug}/storage/{connection.id}"), "")
    form["region"] = "mars-north-1"
    form["secret_access_key"] = SECRET
    assert SECRET not in form.submit("action", value="save", status=422).text


def test_what_fails_says_which_step_and_saves_nothing(app: TestApp, make: Factory, space: Workspace) -> None:
    page = fill_in(app, space, bucket="no-such-bucket").submit("action", value="save", status=422)
    steps = [item.text.strip() for item in page.html.find("ul", {"class": "steps"}).find_all("li")]
    assert steps[0] == "Open"
    assert "There is no bucket of this name" in steps[1]
    assert steps[2:] == ["Read: not tried", "List: not tried", "Delete: not tried"]
    with make.database.transaction(space.id) as db:
        assert db.query(Connection).count() == 1
    form = form_of(page, "")
    form["access_key_id"], form["secret_access_key"], form["anyway"] = KEY, SECRET, True
    form.submit("action", value="save", status=303)
    assert "Does not work" in app.get(f"/w/{space.slug}/storage").text


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("region", "eu-central-1.evil.test/#", "no region of this name"),
        ("region", "mars-north-1", "no region of this name"),
        ("bucket", "evil.test/", "bucket's name"),
        ("bucket", "", "fill this in"),
        ("secret_access_key", "", "fill this in"),
        ("connection_name", "", "fill this in"),
    ],
)
def test_a_wrong_value_is_said_beside_its_field(
    app: TestApp, space: Workspace, field: str, value: str, message: str
) -> None:
    page = fill_in(app, space, **{field: value}).submit("action", value="save", status=422)
    assert message in page.html.find(id=f"{field}-error").text
    assert SECRET not in page.text


@pytest.mark.parametrize("name", ["endpoint_url", "is_default", "sealed"])
def test_a_field_that_the_provider_does_not_have_is_refused(app: TestApp, space: Workspace, name: str) -> None:
    form = fill_in(app, space)
    fields = [*form.submit_fields(), ("action", "save"), (name, "http://127.0.0.1:5000")]
    assert "no field of this name" in app.post(f"/w/{space.slug}/storage/new", fields, status=400).text


def test_an_odd_value_of_a_providers_field_is_refused(app: TestApp, space: Workspace) -> None:
    fields = [*fill_in(app, space).submit_fields(), ("action", "save")]
    twice = app.post(f"/w/{space.slug}/storage/new", [*fields, ("bucket", "another-bucket")], status=422)
    assert "once" in twice.html.find(id="bucket-error").text
    nul = [(name, "a\x00b" if name == "secret_access_key" else value) for name, value in fields]
    app.post(f"/w/{space.slug}/storage/new", nul, status=400)


def test_changing_where_it_points_asks_for_the_secret_again(app: TestApp, make: Factory, space: Workspace) -> None:
    connection = connected(app, make, space)
    at = f"/w/{space.slug}/storage/{connection.id}"
    form = form_of(app.get(at), "")
    form["bucket"] = "attackers-bucket"
    page = form.submit("action", value="test", status=422)
    assert "Type the secrets in again" in page.text
    form = form_of(app.get(at), "")
    form["connection_name"] = "Another name"
    form.submit("action", value="save", status=303)
    with make.database.transaction(space.id) as db:
        kept = db.get_one(Connection, (space.id, connection.id))
        assert (kept.name, kept.sealed) == ("Another name", connection.sealed)


def test_a_row_that_is_copied_to_another_workspace_does_not_open(
    app: TestApp, make: Factory, space: Workspace, installed: Services
) -> None:
    connection = connected(app, make, space)
    other = make.workspace()
    with make.database.transaction(other.id) as db:
        copy = create_connection(db, other.id, installed.ring, provider="s3", name="Copied", settings=connection.settings)
        copy.sealed = connection.sealed
    browser = TestApp(app.app)
    sign_in(browser, make.member(other))
    page = browser.get(f"/w/{other.slug}/storage/{copy.id}")
    answer = form_of(page, f"/w/{other.slug}/storage/{copy.id}/check").submit()
    assert "encrypted for another context" in answer.text


def test_support_tests_a_connection_and_sees_no_form(app: TestApp, make: Factory, space: Workspace) -> None:
    connection = connected(app, make, space)
    browser = TestApp(app.app)
    sign_in(browser, make.member(space, Role.SUPPORT))
    page = browser.get(f"/w/{space.slug}/storage/{connection.id}")
    assert page.html.find(id="connection-form") is None
    tested = form_of(page, f"/w/{space.slug}/storage/{connection.id}/check").submit()
    assert "It works" in tested.text
    with make.database.transaction(space.id) as db:
        assert db.scalars(select(AuditEntry.action).order_by(AuditEntry.number.desc())).first() == "storage.check"


def test_the_button_answers_with_the_steps_alone(app: TestApp, make: Factory, space: Workspace) -> None:
    form = fill_in(app, space)
    fields = [*form.submit_fields(), ("action", "test")]
    part = app.post(f"/w/{space.slug}/storage/new", fields, headers={"HX-Request": "true"})
    assert part.html.find("form") is None
    assert "It works" in part.text


def test_a_template_and_a_run_may_go_elsewhere(app: TestApp, make: Factory, space: Workspace) -> None:
    connection = connected(app, make, space)
    feed, template = make.feed(space), make.template(space)
    form = form_of(
        app.get(f"/w/{space.slug}/templates/{template.id}"), f"/w/{space.slug}/templates/{template.id}/storage"
    )
    form["storage"] = str(connection.id)
    form.submit(status=303)
    assert make.run(feed, make.reload(template)).connection_id == connection.id
    form = form_of(app.get(f"/w/{space.slug}/runs/new"), "")
    here = next(value for value, _, label in form["storage"].options if label == "Here")
    form["storage"] = here
    run = form.submit().forms["run-form"].submit("confirm", status=303).location.rpartition("/")[2]
    assert app.get(f"/w/{space.slug}/runs/{run}").status_int == 200
    form["storage"].force_value(str(make.workspace().id))
    assert "gone" in form.submit(status=422).text


def test_a_plugin_that_is_gone_is_said_so(app: TestApp, make: Factory, space: Workspace, installed: Services) -> None:
    with make.database.transaction(space.id) as db:
        gone = create_connection(db, space.id, installed.ring, provider="tape", name="Tapes")
    assert "not available on this server" in app.get(f"/w/{space.slug}/storage").text
    assert "not available on this server" in app.get(f"/w/{space.slug}/storage/{gone.id}").text


def test_googles_key_file_is_refused_by_name(app: TestApp, space: Workspace) -> None:
    form = form_of(app.get(f"/w/{space.slug}/storage/new?provider=gcs"), "")
    form["bucket"] = "our-images"
    form["service_account"] = service_account(type="external_account")
    page = form.submit("action", value="test", status=422)
    assert "not external_account" in page.html.find(id="service_account-error").text
    assert "PRIVATE KEY" not in page.text


def test_at_night_admins_hear_of_what_broke_and_of_what_works_again(
    app: TestApp, make: Factory, space: Workspace, installed: Services, mailbox: Mailbox
) -> None:
    connection = connected(app, make, space)
    assert run_all_connection_tests(make.database, installed.providers, "http://localhost") == 0
    assert mailbox.mails() == []
    with answering(403, s3_error("InvalidAccessKeyId")) as address:
        broken = with_s3_at(installed, address)
        assert run_all_connection_tests(make.database, broken.providers, "http://localhost") == 1
        assert run_all_connection_tests(make.database, broken.providers, "http://localhost") == 1
    [mail] = mailbox.mails()
    assert mail["Subject"] == "Our bucket does not work"
    assert "does not know this access key" in text_of(mail)
    assert f"/w/{space.slug}/storage/{connection.id}" in text_of(mail)
    assert "Does not work" in app.get(f"/w/{space.slug}/storage").text
    assert run_all_connection_tests(make.database, installed.providers, "http://localhost") == 0
    assert mailbox.mails()[-1]["Subject"] == "Our bucket works again"


def test_keys_are_rotated_row_by_row_and_again_without_harm(
    app: TestApp, make: Factory, space: Workspace, installed: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = connected(app, make, space)
    both = KeyRing([b"N" * 16 + bytes(range(16)), bytes(range(32))])
    monkeypatch.setattr(Settings, "ring", both)
    runner = CliRunner()
    for expected in ("1 secrets were encrypted", "0 secrets were encrypted"):
        with runner.isolation() as (out, _, _):
            assert keys_command.rotate_keys(installed.settings) == 0
            assert expected in out.getvalue().decode()
    after = make.reload(connection)
    assert after.sealed != connection.sealed
    newest = ProviderRegistry(
        installed.providers._operator, allow=installed.providers._allow, ring=KeyRing([b"N" * 16 + bytes(range(16))])
    )
    assert newest.open(after.spec) is not None
    with make.database.transaction(space.id) as db:
        assert not reencrypt_secrets(db, db.get_one(Connection, (space.id, connection.id)), both)
