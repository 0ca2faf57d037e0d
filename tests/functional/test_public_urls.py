"""Public base URLs of connections on pages, in output feeds, the API and webhooks; moto has the public bucket."""

import csv
import dataclasses
import json
from collections.abc import Callable, Iterator
from io import StringIO
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import boto3
import pytest
import requests
from sqlalchemy import select, text
from webtest import TestApp

from cwz_web.generation.api_keys import Scope
from cwz_web.generation.models import Image
from cwz_web.net.client import Fetcher
from cwz_web.notify.models import WebhookDelivery
from cwz_web.runs.local_client import LocalRenderClient
from cwz_web.runs.protocol import SpecificationRequest
from cwz_web.runs.render_worker import RenderWorker
from cwz_web.settings import Network
from cwz_web.storage.connections import get_default_connection, set_default_connection
from cwz_web.storage.models import Connection
from cwz_web.storage.plugins import ProviderRegistry
from cwz_web.storage.tasks import check_connections, run_all_connection_tests
from cwz_web.web.services import Services
from cwz_web.workspaces.models import AuditEntry, Role, Workspace
from tests.emulators import BUCKET, fixed_response_server, host_of, moto_server
from tests.factories import Factory, sign_in
from tests.functional.test_storage import KEY, SECRET, form_of
from tests.mailbox import Mailbox, text_of


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    """A bucket that everyone can read."""
    statement = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{BUCKET}/*"}
    with moto_server() as url:
        client = boto3.client(
            "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id=KEY, aws_secret_access_key=SECRET
        )
        client.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
        yield url


@pytest.fixture(scope="module")
def closed_bucket() -> Iterator[str]:
    """A public URL that refuses access."""
    with fixed_response_server(403, "no") as url:
        yield url


@pytest.fixture
def installed(services: Services, moto: str, closed_bucket: str) -> Services:
    """Services that may reach the servers on loopback."""
    allow = [host_of(moto), host_of(closed_bucket)]
    operator = {**services.settings.storage, "s3": {"endpoint": moto}}
    return dataclasses.replace(
        services,
        settings=services.settings.model_copy(update={"network": Network(allow=tuple(allow))}),
        providers=ProviderRegistry(operator, allow=allow, ring=services.ring),
        fetcher=Fetcher(allow),
    )


@pytest.fixture
def app(app_with: Callable[[Services], TestApp], installed: Services) -> TestApp:
    return app_with(installed)


@pytest.fixture
def space(app: TestApp, make: Factory) -> Workspace:
    space = make.workspace()
    sign_in(app, make.member(space))
    return space


class Bucket:
    """A connection of a workspace, and what uses it."""

    def __init__(self, app: TestApp, make: Factory, services: Services, space: Workspace) -> None:
        self.app, self.make, self.services, self.space = app, make, services, space
        self.feed, self.template = make.feed(space), make.template(space)

    def connect(self, base_url: str, *, anyway: bool = False) -> Any:
        """Submit the form of a new connection, and make it the default."""
        form = form_of(self.app.get(f"/w/{self.space.slug}/storage/new?provider=s3"), "")
        typed = {
            "connection_name": "Our bucket",
            "region": "eu-central-1",
            "bucket": BUCKET,
            "public_base_url": base_url,
        }
        for name, value in {**typed, "access_key_id": KEY, "secret_access_key": SECRET}.items():
            form[name] = value
        answer = form.submit("action", value="save", expect_errors=True)
        if anyway:
            form = form_of(answer, "")
            form["access_key_id"], form["secret_access_key"], form["save_anyway"] = KEY, SECRET, True
            answer = form.submit("action", value="save", status=303)
        if answer.status_int == 303:
            with self.make.database.transaction(self.space.id) as db:
                set_default_connection(db, db.scalars(select(Connection).where(Connection.provider == "s3")).one())
        return answer

    @property
    def connection(self) -> Connection:
        with self.make.database.transaction(self.space.id) as db:
            return db.scalars(select(Connection).where(Connection.provider == "s3")).one()

    @property
    def path(self) -> str:
        return f"/w/{self.space.slug}/storage/{self.connection.id}"

    def change(self, base_url: str, *, anyway: bool = False) -> Any:
        """Submit the form of the connection with another public base URL."""
        form = form_of(self.app.get(self.path), "")
        form["public_base_url"] = base_url
        answer = form.submit("action", value="save", expect_errors=True)
        if anyway:
            form = form_of(answer, "")
            form["save_anyway"] = True
            answer = form.submit("action", value="save", status=303)
        return answer

    def render(self) -> UUID:
        """Render a run and return its id."""
        run = self.make.run(self.feed, self.template)
        web = LocalRenderClient(self.make.database.transaction, self.services.providers, self.services.signed_urls)
        worker = RenderWorker(web, self.services.image_service, self.services.providers.outbound)
        worker.render_chunk(SpecificationRequest(workspace_id=self.space.id, run_id=run.id, chunk=0), last_try=True)
        return run.id

    def output_feed(self, **headers: str) -> Any:
        with self.make.database.transaction(self.space.id) as db:
            space = db.get_one(Workspace, self.space.id)
        parts = urlsplit(self.services.signed_urls.output_feed(space, self.feed.id, self.template.id))
        return self.app.get(f"{parts.path}?{parts.query}", headers=headers)

    def urls(self) -> list[str]:
        return [row["image_url"] for row in csv.DictReader(StringIO(self.output_feed().text))]


@pytest.fixture
def bucket(app: TestApp, make: Factory, installed: Services, space: Workspace) -> Bucket:
    return Bucket(app, make, installed, space)


def test_proven_url_is_in_feeds_pages_the_api_and_webhooks(bucket: Bucket, make: Factory, moto: str) -> None:
    base_url = f"{moto}/{BUCKET}"
    make.webhook(bucket.space)
    assert bucket.connect(f"{base_url}/").status_int == 303
    assert (bucket.connection.public_base_url, bucket.connection.proven_base_url) == (base_url, base_url)
    run_id = bucket.render()
    urls = bucket.urls()
    assert all(url.startswith(f"{base_url}/{bucket.space.id}/images/") for url in urls)
    assert {requests.get(url, timeout=10).content[:2] for url in urls} == {b"\xff\xd8"}
    headers = {"Authorization": f"Bearer {make.key(bucket.space, *Scope)}"}
    listed = bucket.app.get("/v1/images", headers=headers).json["images"]
    assert {image["url"] for image in listed} == set(urls)
    items = bucket.app.get(f"/v1/runs/{run_id}/items", headers=headers).json["items"]
    assert [item["url"] for item in items] == urls
    assert bucket.app.get(f"/v1/images/{listed[0]['id']}", headers=headers).json["url"] in urls
    with make.database.transaction(bucket.space.id) as db:
        created = db.scalars(select(WebhookDelivery.body).where(WebhookDelivery.event == "image.created")).all()
    assert {json.loads(body)["data"]["url"] for body in created} == set(urls)
    pages = bucket.app.get(f"/w/{bucket.space.slug}/images")
    assert {box["data-url"] for box in pages.html.select("input[name=image][data-url]")} == set(urls)
    assert all(image["src"].startswith("/i/") for image in pages.html.select("main img[src]")), "thumbnails are ours"
    shown = bucket.app.get(f"/w/{bucket.space.slug}/images/{listed[0]['id']}")
    assert listed[0]["url"] in shown.text


def test_etag_of_the_output_feed_changes_with_the_base_url(bucket: Bucket, moto: str) -> None:
    bucket.connect("")
    bucket.render()
    before = bucket.output_feed()
    assert all("/i/images/" in url for url in bucket.urls())
    assert bucket.output_feed(**{"If-None-Match": before.headers["ETag"]}).status_int == 304
    assert bucket.change(f"{moto}/{BUCKET}").status_int == 303
    after = bucket.output_feed(**{"If-None-Match": before.headers["ETag"]})
    assert after.status_int == 200
    assert f"{moto}/{BUCKET}" in after.text
    bucket.change("")
    assert bucket.output_feed().headers["ETag"] == before.headers["ETag"]


def test_channels_are_written_again_only_if_the_base_url_changes(bucket: Bucket, make: Factory, moto: str) -> None:
    def queued() -> int:
        with make.database.transaction() as db:
            jobs = "DELETE FROM procrastinate_jobs WHERE task_name = 'channels.write_workspace' RETURNING 1"
            return len(db.execute(text(jobs)).all())

    bucket.connect("")
    assert queued() == 0
    for base_url, jobs in ((f"{moto}/{BUCKET}", 1), (f"{moto}/{BUCKET}", 0), ("", 1), ("", 0)):
        bucket.change(base_url)
        assert queued() == jobs
    # One that a test has not proven is not used, until the nightly test proves it.
    with make.database.transaction(bucket.space.id) as db:
        db.get_one(Connection, (bucket.space.id, bucket.connection.id)).public_base_url = f"{moto}/{BUCKET}"
    services = bucket.services
    for jobs in (1, 0):
        run_all_connection_tests(services.database, services.providers, services.fetcher, "http://localhost")
        assert queued() == jobs


def test_url_that_fails_is_not_saved_or_not_used(bucket: Bucket, moto: str, closed_bucket: str) -> None:
    answer = bucket.connect(closed_bucket)
    assert answer.status_int == 422
    step = answer.html.select("#test-result li")[-1].text
    assert "Public URL: The public URL refuses access (HTTP 403). Turn off Block Public Access" in " ".join(
        step.split()
    )
    bucket.connect(closed_bucket, anyway=True)
    bucket.render()
    assert all("/i/images/" in url for url in bucket.urls())
    assert "Not used yet" in bucket.app.get(bucket.path).text
    assert bucket.change(f"{moto}/{BUCKET}").status_int == 303
    assert "In use" in bucket.app.get(bucket.path).html.find(id="public-url").text
    bucket.change(closed_bucket, anyway=True)
    assert bucket.connection.public_base_url == closed_bucket
    assert all(url.startswith(moto) for url in bucket.urls()), "the proven URL stays until the new one is proven"
    assert "Until then" in bucket.app.get(bucket.path).text


def test_failing_nightly_test_is_emailed_and_changes_no_url(
    bucket: Bucket, moto: str, closed_bucket: str, mailbox: Mailbox
) -> None:
    bucket.connect(f"{moto}/{BUCKET}")
    bucket.render()
    urls = bucket.urls()
    services = bucket.services
    unreachable = Fetcher([], resolver=lambda host, port: ["93.184.216.34"])  # no port but 80 and 443
    arguments = services.database, services.providers
    assert run_all_connection_tests(*arguments, unreachable, "http://localhost") == 1
    [email] = mailbox.emails()
    assert email["Subject"] == "Storage connection Our bucket fails"
    assert "Public URL: The public URL does not work" in text_of(email)
    assert bucket.urls() == urls
    assert run_all_connection_tests(*arguments, services.fetcher, "http://localhost") == 0
    assert mailbox.emails()[-1]["Subject"] == "Storage connection Our bucket works again"


def test_nightly_job_finds_its_services(bucket: Bucket, moto: str) -> None:
    bucket.connect(f"{moto}/{BUCKET}")
    services = bucket.services
    before = bucket.connection.checked_at
    context: Any = SimpleNamespace(
        additional_context={
            "database": services.database,
            "providers": services.providers,
            "fetcher": services.fetcher,
            "email_service": SimpleNamespace(url="http://localhost"),
        }
    )
    check_connections(context, 0)
    after = bucket.connection.checked_at
    assert before
    assert after
    assert after > before


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("http://images.example.com", "begins with https://"),
        ("https://images.example.com:8443", "has no port"),
        ("https://user:secret@images.example.com", "without a user name"),
        ("https://images.example.com/?a=1", "without a query"),
        ("https://images.example.com/a/../b", "no dots alone"),
        ("https://images.example.com/" + "a" * 300, "at most 300"),
    ],
)
def test_invalid_url_has_a_message_beside_its_field(bucket: Bucket, typed: str, message: str) -> None:
    page = bucket.connect(typed)
    assert page.status_int == 422
    assert message in page.html.find(id="public_base_url-error").text


def test_change_is_audited_and_rotation_keeps_the_url(bucket: Bucket, make: Factory, moto: str) -> None:
    base_url = f"{moto}/{BUCKET}"
    bucket.connect("")
    bucket.change(base_url)
    rotation = bucket.app.get(bucket.path).forms["rotation"]
    rotation["access_key_id"], rotation["secret_access_key"] = KEY, f"new {SECRET}"
    rotation.submit("action", value="save", status=303)
    assert bucket.connection.proven_base_url == base_url
    with make.database.transaction(bucket.space.id) as db:
        entries = db.scalars(
            select(AuditEntry).where(AuditEntry.action == "storage.change").order_by(AuditEntry.number)
        ).all()
    assert [entry.details.get("public_base_url") for entry in entries] == [base_url, None]


def test_names_of_images_are_entered_and_checked(bucket: Bucket, make: Factory, moto: str) -> None:
    bucket.connect(f"{moto}/{BUCKET}")
    form = form_of(bucket.app.get(bucket.path), "")
    form["key_pattern"] = "{{ sku }}.jpg"
    page = form.submit("action", value="save", status=422)
    assert "Add {{ digest }} once" in page.html.find(id="key_pattern-error").text
    form["key_pattern"] = "{{ sku }}-{{ digest }}.jpg"
    form.submit("action", value="save", status=303)
    assert bucket.connection.key_pattern == "{{ sku }}-{{ digest }}"
    bucket.render()
    urls = bucket.urls()
    assert [url.rpartition("/")[2].partition("-")[0] for url in urls] == ["1", "2", "3"]
    assert {requests.get(url, timeout=10).content[:2] for url in urls} == {b"\xff\xd8"}


def test_image_on_demand_is_named_by_its_fields(app: TestApp, make: Factory, space: Workspace) -> None:
    with make.database.transaction(space.id) as db:
        get_default_connection(db, space.id).key_pattern = "{{ title }}-{{ sku }}-{{ digest }}"
    headers = {"Authorization": f"Bearer {make.key(space, *Scope)}"}
    body = {"template": str(make.template(space).id), "data": {"title": "Größe 1/2"}}
    created = app.post_json("/v1/images", body, headers=headers, status=201).json
    with make.database.transaction(space.id) as db:
        [image] = db.scalars(select(Image))
    assert image.key.endswith(f"/grosse-1-2-{created['digest']}.jpg")
    parts = urlsplit(created["url"])
    shown = app.get(f"{parts.path}?{parts.query}")
    assert shown.body.startswith(b"\xff\xd8")
    assert shown.headers["Content-Disposition"].startswith('inline; filename="')
    again = app.post_json("/v1/images", body, headers=headers, status=200).json
    assert (again["id"], again["cached"]) == (created["id"], True)


def test_support_agent_can_test_but_not_enter_a_url(bucket: Bucket, make: Factory, moto: str) -> None:
    bucket.connect("")
    browser = TestApp(bucket.app.app)
    sign_in(browser, make.member(bucket.space, Role.SUPPORT))
    page = browser.get(bucket.path)
    assert page.html.find(id="connection-form") is None
    token = next(form["csrf_token"].value for form in page.forms.values() if "csrf_token" in form.fields)
    typed = {
        "csrf_token": token,
        "connection_name": "x",
        "region": "eu-central-1",
        "bucket": BUCKET,
        "endpoint": "standard",
    }
    browser.post(bucket.path, {**typed, "public_base_url": f"{moto}/{BUCKET}"}, status=403)
