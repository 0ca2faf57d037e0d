"""Storage connections in the interface, against moto's S3 server; key rotation; the nightly test."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import psycopg
import pytest
from click.testing import CliRunner
from sqlalchemy import delete, select
from webtest import TestApp

from cwz_web.cli import keys as keys_command
from cwz_web.crypto import KeyRing
from cwz_web.db.embedded import EmbeddedPostgres
from cwz_web.generation.models import Image
from cwz_web.generation.signed_urls import SignedUrls
from cwz_web.runs.local_client import LocalRenderClient
from cwz_web.runs.models import RunItem
from cwz_web.runs.protocol import SpecificationRequest
from cwz_web.runs.render_worker import RenderWorker
from cwz_web.settings import Secrets
from cwz_web.storage.connections import create_connection, reencrypt_secrets, usage_by_connection
from cwz_web.storage.models import Connection
from cwz_web.storage.plugins import ProviderRegistry
from cwz_web.storage.tasks import run_all_connection_tests
from cwz_web.web.services import Services
from cwz_web.workspaces.models import AuditEntry, Role, Workspace
from tests.emulators import BUCKET, fixed_response_server, host_of, moto_server, s3_error, service_account
from tests.factories import Factory, sign_in
from tests.mailbox import Mailbox, text_of

KEY, SECRET = "AKIACANARY0000000001", "canary/secret/of/the/customer/00000001"


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    with moto_server() as url:
        yield url


def with_s3_at(services: Services, url: str) -> Services:
    """Return services whose S3 provider connects to this server."""
    operator = {**services.settings.storage, "s3": {"endpoint": url}}
    return dataclasses.replace(services, providers=ProviderRegistry(operator, allow=[host_of(url)], ring=services.ring))


@pytest.fixture
def installed(shared_services: Services, services: Services, moto: str) -> Services:
    return with_s3_at(shared_services, moto)


@pytest.fixture
def app(app_with: Callable[[Services], TestApp], installed: Services) -> TestApp:
    return app_with(installed)


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


def test_every_provider_can_be_chosen_and_has_a_form(app: TestApp, space: Workspace) -> None:
    page = app.get(f"/w/{space.slug}/storage/new")
    links = [link["href"] for link in page.html.find("ul", {"class": "cards"}).find_all("a")]
    assert {link.partition("=")[2] for link in links} == {"s3", "r2", "gcs", "firebase", "local"}
    for link in links:
        assert app.get(f"/w/{space.slug}/storage/new{link}").html.find("button", {"value": "test"}) is not None


def test_connection_is_tested_saved_and_used_for_a_run(
    app: TestApp, make: Factory, space: Workspace, moto: str, installed: Services
) -> None:
    form = fill_in(app, space)
    tested = form.submit("action", value="test")
    assert "Connection test passed" in tested.text
    assert "saved; type to replace" not in tested.text
    with make.database.transaction(space.id) as db:
        assert db.query(Connection).count() == 1, "a test does not save"
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
    objects = client.list_objects_v2(Bucket=BUCKET, Prefix=f"{space.id}/")["Contents"]
    assert len(objects) == 3, "images without the probe"
    assert ">3<" in app.get(f"/w/{space.slug}/storage").text
    page = app.get(f"/w/{space.slug}/storage/{connection.id}")
    assert [item.text.strip() for item in page.html.select("#test-result li")][-1] == "Delete", "the last test"
    assert next(cell.text for cell in page.html.select("tbody .number")) == "3", "images of the template"
    rotation = page.forms["rotation"]
    rotation["access_key_id"], rotation["secret_access_key"] = KEY, f"new {SECRET}"
    rotation.submit("action", value="save", status=303)
    rotated = make.reload(connection)
    assert rotated.encrypted_credentials != connection.encrypted_credentials
    assert (rotated.settings, rotated.name) == (connection.settings, connection.name)
    with make.database.transaction(space.id) as db:
        db.execute(delete(RunItem))
        db.delete(db.scalars(select(Image).limit(1)).one())
        db.flush()
        assert usage_by_connection(db, space.id)[connection.id].images == 2
    delete_form = form_of(
        app.get(f"/w/{space.slug}/storage/{connection.id}"), f"/w/{space.slug}/storage/{connection.id}/delete"
    )
    assert "default" in delete_form.submit(status=422).html.find(id="delete-error").text


def test_secrets_are_never_shown_or_stored_in_plain_text(
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


def test_failed_test_names_the_step_and_saves_nothing(app: TestApp, make: Factory, space: Workspace) -> None:
    page = fill_in(app, space, bucket="no-such-bucket").submit("action", value="save", status=422)
    steps = [item.text.strip() for item in page.html.find("ul", {"class": "steps"}).find_all("li")]
    assert steps[0] == "Open bucket"
    assert "The bucket does not exist" in steps[1]
    assert steps[2:] == ["Read: not run", "List objects: not run", "Delete: not run"]
    with make.database.transaction(space.id) as db:
        assert db.query(Connection).count() == 1
    form = form_of(page, "")
    form["access_key_id"], form["secret_access_key"], form["save_anyway"] = KEY, SECRET, True
    form.submit("action", value="save", status=303)
    assert "Failing" in app.get(f"/w/{space.slug}/storage").text


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("region", "eu-central-1.evil.test/#", "Enter an AWS Region"),
        ("region", "mars-north-1", "Enter an AWS Region"),
        ("bucket", "evil.test/", "Enter a bucket name"),
        ("bucket", "", "Enter a value"),
        ("secret_access_key", "", "Enter a value"),
        ("connection_name", "", "Enter a value"),
    ],
)
def test_invalid_value_has_a_message_beside_its_field(
    app: TestApp, space: Workspace, field: str, value: str, message: str
) -> None:
    page = fill_in(app, space, **{field: value}).submit("action", value="save", status=422)
    assert message in page.html.find(id=f"{field}-error").text
    assert SECRET not in page.text


@pytest.mark.parametrize("name", ["endpoint_url", "is_default", "encrypted_credentials"])
def test_unknown_field_is_rejected(app: TestApp, space: Workspace, name: str) -> None:
    form = fill_in(app, space)
    fields = [*form.submit_fields(), ("action", "save"), (name, "http://127.0.0.1:5000")]
    assert "Unknown form field" in app.post(f"/w/{space.slug}/storage/new", fields, status=400).text


def test_repeated_field_and_control_character_are_rejected(app: TestApp, space: Workspace) -> None:
    fields = [*fill_in(app, space).submit_fields(), ("action", "save")]
    twice = app.post(f"/w/{space.slug}/storage/new", [*fields, ("bucket", "another-bucket")], status=422)
    assert "once" in twice.html.find(id="bucket-error").text
    nul = [(name, "a\x00b" if name == "secret_access_key" else value) for name, value in fields]
    app.post(f"/w/{space.slug}/storage/new", nul, status=400)


def test_changed_bucket_requires_the_credentials_again(app: TestApp, make: Factory, space: Workspace) -> None:
    connection = connected(app, make, space)
    at = f"/w/{space.slug}/storage/{connection.id}"
    form = form_of(app.get(at), "")
    form["bucket"] = "attackers-bucket"
    page = form.submit("action", value="test", status=422)
    assert "Enter the credentials again" in page.text
    form = form_of(app.get(at), "")
    form["connection_name"] = "Another name"
    form.submit("action", value="save", status=303)
    with make.database.transaction(space.id) as db:
        saved = db.get_one(Connection, (space.id, connection.id))
        assert (saved.name, saved.encrypted_credentials) == ("Another name", connection.encrypted_credentials)


def test_secrets_copied_to_another_workspace_cannot_be_decrypted(
    app: TestApp, make: Factory, space: Workspace, installed: Services
) -> None:
    connection = connected(app, make, space)
    other = make.workspace()
    with make.database.transaction(other.id) as db:
        copy = create_connection(
            db, other.id, installed.ring, provider="s3", name="Copied", settings=connection.settings
        )
        copy.encrypted_credentials = connection.encrypted_credentials
    browser = TestApp(app.app)
    sign_in(browser, make.member(other))
    page = browser.get(f"/w/{other.slug}/storage/{copy.id}")
    answer = form_of(page, f"/w/{other.slug}/storage/{copy.id}/test").submit()
    assert "encrypted for another context" in answer.text


def test_support_agent_can_test_but_not_change_a_connection(app: TestApp, make: Factory, space: Workspace) -> None:
    connection = connected(app, make, space)
    browser = TestApp(app.app)
    sign_in(browser, make.member(space, Role.SUPPORT))
    page = browser.get(f"/w/{space.slug}/storage/{connection.id}")
    assert page.html.find(id="connection-form") is None
    tested = form_of(page, f"/w/{space.slug}/storage/{connection.id}/test").submit()
    assert "Connection test passed" in tested.text
    with make.database.transaction(space.id) as db:
        assert db.scalars(select(AuditEntry.action).order_by(AuditEntry.number.desc())).first() == "storage.test"


def test_htmx_request_gets_only_the_result(app: TestApp, make: Factory, space: Workspace) -> None:
    form = fill_in(app, space)
    fields = [*form.submit_fields(), ("action", "test")]
    part = app.post(f"/w/{space.slug}/storage/new", fields, headers={"HX-Request": "true"})
    assert part.html.find("form") is None
    assert "Connection test passed" in part.text


def test_template_and_run_can_use_another_connection(app: TestApp, make: Factory, space: Workspace) -> None:
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
    assert "was deleted" in form.submit(status=422).text


def test_missing_plugin_is_reported(app: TestApp, make: Factory, space: Workspace, installed: Services) -> None:
    with make.database.transaction(space.id) as db:
        connection = create_connection(db, space.id, installed.ring, provider="tape", name="Tapes")
    assert "not installed on this server" in app.get(f"/w/{space.slug}/storage").text
    assert "not installed on this server" in app.get(f"/w/{space.slug}/storage/{connection.id}").text


def test_key_file_of_another_type_is_rejected(app: TestApp, space: Workspace) -> None:
    form = form_of(app.get(f"/w/{space.slug}/storage/new?provider=gcs"), "")
    form["bucket"] = "our-images"
    form["service_account"] = service_account(type="external_account")
    page = form.submit("action", value="test", status=422)
    assert "not external_account" in page.html.find(id="service_account-error").text
    assert "PRIVATE KEY" not in page.text


def test_admins_get_an_email_when_a_connection_fails_and_when_it_works_again(
    app: TestApp, make: Factory, space: Workspace, installed: Services, mailbox: Mailbox
) -> None:
    connection = connected(app, make, space)
    assert run_all_connection_tests(make.database, installed.providers, installed.fetcher, "http://localhost") == 0
    assert mailbox.emails() == []
    with fixed_response_server(403, s3_error("InvalidAccessKeyId")) as url:
        broken = with_s3_at(installed, url)
        assert run_all_connection_tests(make.database, broken.providers, installed.fetcher, "http://localhost") == 1
        assert run_all_connection_tests(make.database, broken.providers, installed.fetcher, "http://localhost") == 1
    [mail] = mailbox.emails()
    assert mail["Subject"] == "Storage connection Our bucket fails"
    assert "rejects this access key" in text_of(mail)
    assert f"/w/{space.slug}/storage/{connection.id}" in text_of(mail)
    assert "Failing" in app.get(f"/w/{space.slug}/storage").text
    assert run_all_connection_tests(make.database, installed.providers, installed.fetcher, "http://localhost") == 0
    assert mailbox.emails()[-1]["Subject"] == "Storage connection Our bucket works again"


def test_key_rotation_reencrypts_secrets_once(
    app: TestApp, make: Factory, space: Workspace, installed: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = connected(app, make, space)
    both = KeyRing([b"N" * 16 + bytes(range(16)), bytes(range(32))])
    monkeypatch.setattr(Secrets, "key_ring", both)
    runner = CliRunner()
    for expected in ("Re-encrypted 1 of", "Re-encrypted 0 of"):
        with runner.isolation() as (out, _, _):
            assert keys_command.rotate_keys(installed.settings) == 0
            assert expected in out.getvalue().decode()
    after = make.reload(connection)
    assert after.encrypted_credentials != connection.encrypted_credentials
    newest = KeyRing([b"N" * 16 + bytes(range(16))])
    assert SECRET in newest.decrypt(after.encrypted_credentials, *after.spec.context)
    with make.database.transaction(space.id) as db:
        assert not reencrypt_secrets(db, db.get_one(Connection, (space.id, connection.id)), both)
