"""The images of a run as a zip file: requested on its page, created by a job, downloaded."""

import zipfile
from collections.abc import Iterator
from io import BytesIO
from urllib.parse import urlsplit

import pytest
import requests
from sqlalchemy import text
from webtest import TestApp

from cwz_web.jobs import EXPORT_QUEUE
from cwz_web.notify.tasks import EmailService
from cwz_web.ops import tasks as ops_tasks
from cwz_web.ops.exports import delete_expired_exports
from cwz_web.ops.models import Export
from cwz_web.runs.local_client import LocalRenderClient
from cwz_web.runs.models import Run
from cwz_web.runs.protocol import SpecificationRequest
from cwz_web.runs.render_worker import RenderWorker
from cwz_web.storage.connections import create_connection, set_default_connection
from cwz_web.storage.plugins import ProviderRegistry
from cwz_web.web.services import Services
from cwz_web.workspaces.models import Role, Workspace
from tests.emulators import BUCKET, host_of, moto_server
from tests.factories import Factory, local_bucket, sign_in
from tests.jobs import run_jobs

ROWS = b"sku,title\n../../etc/passwd,One\nT\xc3\xb6pfe & Pfannen,Two\n"
NAMES = ["00001-etc-passwd-300x200.jpg", "00002-topfe-pfannen-300x200.jpg"]
assert ops_tasks, "importing the module declares the job"


class Shop:
    """A workspace with a finished run, and its user's browser."""

    def __init__(self, make: Factory, app: TestApp, providers: ProviderRegistry, space: Workspace) -> None:
        self.make, self.app, self.space, self.providers = make, app, space, providers
        sign_in(app, make.member(space, Role.USER))
        self.run: Run = make.run(make.feed(space, ROWS), make.template(space))
        services = make.services
        client = LocalRenderClient(make.database.transaction, providers, services.signed_urls)
        request = SpecificationRequest(workspace_id=space.id, run_id=self.run.id, chunk=0)
        RenderWorker(client, services.image_service, providers.outbound).render_chunk(request, last_try=True)
        self.path = f"/w/{space.slug}/runs/{self.run.id}"

    def prepare(self) -> None:
        page = self.app.get(self.path)
        [form] = [form for form in page.forms.values() if form.action.endswith("/zip")]
        form.submit(status=303)

    def work(self) -> None:
        services = self.make.services
        email_service = EmailService.of(services.settings)
        context = {"database": services.database, "providers": self.providers, "email_service": email_service}
        run_jobs(services.settings.database.url.get_secret_value(), EXPORT_QUEUE, context)


@pytest.fixture
def shop(make: Factory, app: TestApp, services: Services) -> Shop:
    return Shop(make, app, services.providers, make.workspace())


def names_in(data: bytes) -> list[str]:
    archive = zipfile.ZipFile(BytesIO(data))
    assert archive.testzip() is None
    return archive.namelist()


def test_zip_is_prepared_and_downloaded(shop: Shop) -> None:
    assert "Prepare zip" in shop.app.get(shop.path).text
    shop.prepare()
    page = shop.app.get(shop.path)
    assert "Preparing zip" in page.text
    assert page.html.find(id="results")["hx-trigger"] == "every 1s"
    assert shop.app.get(f"{shop.path}/images.zip", status=303).location.endswith(shop.path)
    shop.work()
    page = shop.app.get(shop.path)
    assert "Prepare zip" not in page.text
    assert "hx-trigger" not in page.html.find(id="results").attrs
    assert page.html.find("a", attrs={"data-zip": "ready"})["href"].endswith("/images.zip"), "the script follows it"
    download = page.click("Download zip")
    assert download.headers["Content-Disposition"].startswith("attachment")
    assert download.headers["Content-Disposition"].endswith('.zip"')
    assert names_in(download.body) == NAMES


def test_second_request_does_not_start_a_second_export(shop: Shop) -> None:
    shop.prepare()
    shop.app.post(f"{shop.path}/zip", {"csrf_token": shop.app.get(shop.path).forms[0]["csrf_token"].value}, status=303)
    assert shop.make.count(Export, shop.space.id) == 1


def test_zip_of_a_resumed_run_can_be_prepared_again(shop: Shop) -> None:
    shop.prepare()
    shop.work()
    with shop.make.database.transaction(shop.space.id) as db:
        db.execute(text("UPDATE runs SET finished_at = now() + interval '1 second'"))
    page = shop.app.get(shop.path)
    actions = page.html.find(class_="sticky-actions")
    assert actions.select_one(".primary").text.strip() == "Prepare zip"
    [earlier] = actions.select("a")
    assert earlier.text.strip().startswith("Download earlier zip of 2 images (")
    assert "data-zip" not in earlier.attrs, "it is not what was requested"


def test_zip_is_offered_once_the_run_has_finished(shop: Shop) -> None:
    with shop.make.database.transaction(shop.space.id) as db:
        db.execute(text("UPDATE runs SET finished_at = NULL, done = 1"))
    page = shop.app.get(shop.path)
    assert "Prepare zip" not in page.text
    token = page.forms[0]["csrf_token"].value
    refused = shop.app.post(f"{shop.path}/zip", {"csrf_token": token}, status=409)
    assert "Wait until the run has finished" in refused.text
    assert shop.make.count(Export, shop.space.id) == 0


def test_missing_images_are_listed_in_the_zip(shop: Shop, services: Services) -> None:
    bucket = local_bucket(services)
    first, *_ = bucket.list(f"{shop.space.id}/images/")
    bucket.delete(first.key)
    shop.prepare()
    shop.work()
    data = shop.app.get(f"{shop.path}/images.zip").body
    with shop.make.database.transaction(shop.space.id) as db:
        assert db.query(Export).one().images == 1, "only what it has"
    assert sorted(names_in(data))[-1] == "missing.txt"
    assert zipfile.ZipFile(BytesIO(data)).read("missing.txt").decode() in NAMES


def test_zip_expires_and_is_no_export_of_the_workspace(shop: Shop, services: Services) -> None:
    shop.prepare()
    shop.work()
    with shop.make.database.transaction(shop.space.id) as db:
        db.execute(text("UPDATE exports SET created_at = now() - interval '8 days'"))
    assert delete_expired_exports(services.database, services.providers, days=7) == 1
    assert not list(local_bucket(services).list(f"{shop.space.id}/exports/"))
    assert "Download zip" not in shop.app.get(shop.path).text
    assert "Prepare zip" in shop.app.get(shop.path).text


def test_zip_of_another_workspace_is_not_found(shop: Shop, make: Factory) -> None:
    other = make.workspace()
    run = make.run(make.feed(other), make.template(other))
    shop.app.get(f"/w/{shop.space.slug}/runs/{run.id}/images.zip", status=404)


@pytest.fixture
def moto() -> Iterator[str]:
    with moto_server() as url:
        yield url


def test_download_redirects_to_a_presigned_url(make: Factory, services: Services, moto: str, app: TestApp) -> None:
    operator = {**services.settings.storage, "s3": {"endpoint": moto}}
    ring = services.settings.secrets.key_ring
    space = make.workspace()
    with make.database.transaction(space.id) as db:
        connection = create_connection(
            db,
            space.id,
            ring,
            provider="s3",
            name="Our bucket",
            settings={"region": "us-east-1", "bucket": BUCKET, "endpoint": "standard"},
            secrets={
                "access_key_id": "AKIACANARY0000000004",
                "secret_access_key": "a/secret/of/the/customer/000000000004",
            },
        )
        set_default_connection(db, connection)
    providers = ProviderRegistry(operator, allow=[host_of(moto)], ring=ring)
    shop = Shop(make, app, providers, space)
    shop.prepare()
    shop.work()
    installed = app.app.registry["services"]
    app.app.registry["services"] = type(installed)(**{**vars(installed), "providers": providers})
    try:
        redirect = app.get(f"{shop.path}/images.zip", status=303)
    finally:
        app.app.registry["services"] = installed
    assert urlsplit(redirect.location).path.endswith(".zip")
    assert redirect.headers["Cache-Control"] == "no-store"
    assert names_in(requests.get(redirect.location, timeout=30).content) == NAMES
