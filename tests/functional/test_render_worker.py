"""`cwz render-worker` as a real process: it renders whole runs, and has no keys."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from cwz_web.app import create_app
from cwz_web.runs.models import Run
from cwz_web.settings import ENVIRONMENT
from cwz_web.storage.connections import create_connection, set_default_connection
from cwz_web.storage.plugins import ProviderRegistry
from cwz_web.web.services import Services
from cwz_web.workspaces.models import Workspace
from tests.emulators import BUCKET, host_of, moto_server
from tests.factories import Factory
from tests.installation import CWZ, ROOT, free_port, wait_for
from tests.wsgi_server import serving

KEY, SECRET = "AKIACANARY0000000003", "canary/secret/of/the/customer/00000003"


@contextmanager
def web_application(services: Services) -> Iterator[str]:
    """The web application on a free port; yields its URL."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    services = replace(services, settings=services.settings.model_copy(update={"url": url}))
    with serving(create_app(services), port=port, threads=8):
        yield url


@contextmanager
def render_worker(folder: Path, services: Services, url: str, queue_url: str, allow: str = "") -> Iterator[int]:
    """A render worker with nothing but its two secrets; yields its process id."""
    ini = folder / "render-worker.ini"
    ini.write_text(
        "[app:main]\nuse = egg:cwz-web\ncwz.environment = development\n"
        f"cwz.url = {url}\ncwz.var = {folder}\ncwz.node_modules = {ROOT / 'node_modules'}\n"
        f"cwz.rendering.processes = 0\ncwz.network.allow = {allow}\n"
    )
    environment = {name: value for name, value in os.environ.items() if name not in {*ENVIRONMENT.values(), "PORT"}}
    environment["CWZ_RENDER_SECRET"] = services.settings.secrets.render.get_secret_value()
    environment["DATABASE_QUEUE_URL"] = queue_url
    with open(folder / "render-worker.log", "wb") as log:
        command = [CWZ, "-c", str(ini), "render-worker"]
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait(30)
    assert process.returncode == 0, (folder / "render-worker.log").read_text()


def assert_has_no_keys(pid: int, services: Services) -> None:
    environment = Path(f"/proc/{pid}/environ").read_bytes()
    secrets = services.settings.secrets
    for secret in (secrets.encryption_keys, secrets.session, secrets.csrf, secrets.signing, secrets.password_pepper):
        assert secret.get_secret_value().encode() not in environment
    assert SECRET.encode() not in environment
    assert b"DATABASE_URL" not in environment


def start_run(make: Factory, space: Workspace) -> Run:
    rows = b"sku,title\n" + b"".join(b"%d,Title %d\n" % (n, n) for n in range(20))
    run: Run = make.run(make.feed(space, rows), make.template(space))
    return run


@pytest.fixture
def moto() -> Iterator[str]:
    with moto_server() as url:
        yield url


@pytest.mark.slow
def test_runs_are_rendered_with_and_without_presigned_urls(
    make: Factory, services: Services, queue_url: str, tmp_path: Path, moto: str
) -> None:
    """A bucket of S3 gets the images from the worker; a local folder, through the web application."""
    operator = {**services.settings.storage, "s3": {"endpoint": moto}}
    providers = ProviderRegistry(operator, allow=[host_of(moto)], ring=services.settings.secrets.key_ring)
    local, space = make.workspace(), make.workspace()
    with make.database.transaction(space.id) as db:
        connection = create_connection(
            db,
            space.id,
            services.settings.secrets.key_ring,
            provider="s3",
            name="Our bucket",
            settings={"region": "us-east-1", "bucket": BUCKET, "endpoint": "standard"},
            secrets={"access_key_id": KEY, "secret_access_key": SECRET},
        )
        set_default_connection(db, connection)
    runs = [start_run(make, local), start_run(make, space)]
    with (
        web_application(replace(services, providers=providers)) as url,
        render_worker(tmp_path, services, url, queue_url, host_of(moto)) as pid,
    ):
        wait_for(lambda: all(make.reload(run).finished_at for run in runs))
        assert_has_no_keys(pid, services)
    for run in runs:
        ended = make.reload(run)
        assert (ended.done, ended.failed) == (20, 0)
    folder = Path(services.settings.storage["local"]["root"]) / str(local.id) / "images"
    assert len(list(folder.rglob("*.jpg"))) == 20
    assert len(list(providers.open(connection.spec).list(f"{space.id}/images/"))) == 20
