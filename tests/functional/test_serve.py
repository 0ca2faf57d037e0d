"""`cwz serve` with real processes and signals."""

import json
import os
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import httpx
import plaster
import pytest

from cwz_web import app
from cwz_web.cli.serve import WorkerProcess
from cwz_web.db.embedded import EmbeddedPostgres
from tests.conftest import ENCRYPTION_KEY, url_of
from tests.installation import CWZ, ROOT, Installation, wait_for


def test_demo_details_are_usable_by_scripts(installation: Installation) -> None:
    demo = installation.demo_details
    assert set(demo) == {"url", "email", "password", "workspace", "api_key", "template", "image_url", "signed_url"}
    assert demo["url"] == installation.url
    for name in ("image_url", "signed_url"):
        response = httpx.get(demo[name])
        assert response.status_code == 200
        assert response.headers["Content-Type"].startswith("image/")
    assert httpx.get(demo["signed_url"].replace("first", "second")).status_code == 403
    image = httpx.post(
        f"{demo['url']}/v1/images",
        json={"template": demo["template"], "data": {}},
        headers={"Authorization": f"Bearer {demo['api_key']}", "Accept": "image/webp"},
    )
    assert image.headers["Content-Type"] == "image/webp"


@pytest.mark.slow
def test_demo_command_can_be_repeated(installation: Installation) -> None:
    """The function is repeated in tests/functional/test_workspace_deletion.py."""
    assert installation.demo() == installation.demo_details


def test_greeting_has_the_url_and_the_demo_login(installation: Installation) -> None:
    demo, log = installation.demo_details, installation.log()
    for value in ("url", "email", "password", "signed_url"):
        assert demo[value] in log
    assert demo["api_key"] not in log


def test_log_has_no_secrets(installation: Installation) -> None:
    secrets = (installation.folder / "var" / "secrets.json").read_text()
    for secret in re.findall(r'"([^"]{40,})"', secrets):
        assert secret not in installation.log()


@pytest.mark.slow
def test_small_run_does_not_wait_for_a_large_one(installation: Installation) -> None:
    """The wait of ten images is measured in images of the large run: hardly more than a chunk."""
    demo = installation.demo_details
    with installation.browser() as browser:
        browser.submit("/w/new", name="Small shop", slug="small")
        browser.submit("/w/small/storage/new?provider=local", provider="local", connection_name="Here", action="save")
        browser.submit("/w/small/templates/new", starter="blank")
        page = browser.submit("/w/small/keys", name="Programs", admin="on").text
        [key, *_] = re.findall(r"cwz_live_[\w-]{20,}", page)

    def api(key: str) -> httpx.Client:
        headers = {"Authorization": f"Bearer {key}"}
        return httpx.Client(base_url=f"{installation.url}/v1", headers=headers, timeout=30)

    def start_run(client: httpx.Client, template: str, rows: int) -> str:
        feed = client.post("/feeds", json={"name": "Rows"}).raise_for_status().json()["id"]
        for first in range(0, rows, 1000):
            numbers = range(first, min(first + 1000, rows))
            items = [{"key": str(n), "data": {"title": f"{template} {n}"}} for n in numbers]
            client.post(f"/feeds/{feed}/items", json={"items": items}).raise_for_status()
        body = {"feed": feed, "template": template}
        return str(client.post("/runs", json=body).raise_for_status().json()["id"])

    with api(demo["api_key"]) as large, api(key) as small:
        template = small.get("/templates").json()["templates"][0]["slug"]
        many = start_run(large, demo["template"], 1000)
        wait_for(lambda: installation.rendered(many) > 0)
        before = installation.rendered(many)
        few = start_run(small, template, 10)
        wait_for(lambda: installation.rendered(few) == 10)
        after = installation.rendered(many)
        large.post(f"/runs/{many}/cancel").raise_for_status()
    assert after < 1000, "the large run should not have finished"
    assert after - before < 400


class FailingWorker(WorkerProcess):
    """A worker that cannot start; records the waits before its restarts."""

    def __init__(self) -> None:
        super().__init__(["false"], os.environ)
        self.waits: list[float] = []
        waits = self.waits

        class Stopping(threading.Event):
            def wait(self, timeout: float | None = None) -> bool:
                waits.append(timeout or 0)
                if len(waits) == 8:
                    self.set()
                return self.is_set()

        self._stopping = Stopping()


def test_worker_that_cannot_start_is_restarted_less_and_less_often() -> None:
    worker = FailingWorker()
    worker._keep_running()
    assert worker.waits == [2, 4, 8, 16, 32, 60, 60, 60]


PSERVE = str(Path(CWZ).with_name("pserve"))


def start_pserve(installation: Installation, environment: Mapping[str, str]) -> None:
    installation.process = subprocess.Popen(
        [PSERVE, str(installation.ini)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    wait_for(installation.answers)


@pytest.mark.slow
def test_pserve_serves_development_ini(own_installation: Installation) -> None:
    """The database stops with it, even by a second signal while it waits for a request."""
    start_pserve(own_installation, own_installation.environment)
    assert own_installation.process is not None
    with socket.create_connection(("127.0.0.1", own_installation.port)) as unfinished:
        unfinished.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
        own_installation.answers()  # the server has read it
        own_installation.process.send_signal(signal.SIGTERM)
        wait_for(lambda: not own_installation.accepts_connections())
        own_installation.stop(signal.SIGTERM)
    assert not own_installation.database_runs()


@pytest.fixture
def start_production(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Start the application of `production.ini` in this process; return why it does not start."""

    def start(**environment: str) -> str:
        for name in [name for name in os.environ if name.startswith(("CWZ_", "DATABASE_"))]:
            monkeypatch.delenv(name)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        for name in ("configure_logs", "configure_error_reports"):  # those of the tests stay
            monkeypatch.setattr(app, name, lambda *_, **__: None)
        ini = plaster.get_loader(str(ROOT / "production.ini"), protocols=["wsgi"]).get_wsgi_app_settings()
        with pytest.raises(SystemExit) as stopped:
            app.main({}, **ini)
        return str(stopped.value)

    return start


def test_production_does_not_start_without_secrets(start_production: Callable[..., str]) -> None:
    message = start_production()
    for name in (
        "DATABASE_URL",
        "CWZ_SESSION_SECRET",
        "CWZ_CSRF_SECRET",
        "CWZ_PASSWORD_PEPPER",
        "CWZ_RENDER_SECRET",
        "CWZ_SIGNING_SECRET",
        "CWZ_ENCRYPTION_KEYS",
    ):
        assert f"{name} is missing" in message


def test_production_does_not_start_before_migration(
    start_production: Callable[..., str], postgres: EmbeddedPostgres, strong: dict[str, str]
) -> None:
    message = start_production(DATABASE_URL=url_of(postgres, "cwz_app", "postgres"), **strong)
    assert "cwz -c production.ini migrate" in message


def test_render_worker_gets_no_secrets_but_its_own(installation: Installation) -> None:
    secrets = json.loads((installation.folder / "var" / "secrets.json").read_text())
    environments = {pid: Path(f"/proc/{pid}/environ").read_bytes() for pid in installation.workers()}
    [environment] = [text for text in environments.values() if b"CWZ_RENDER_SECRET" in text]
    assert secrets.pop("render").encode() in environment
    assert not any(secret.encode() in environment for secret in secrets.values())
    assert b"cwz_render@" in environment


def test_second_ctrl_c_kills_the_workers_and_stops_the_database(installation: Installation) -> None:
    """The last test of the installation, which another one would have to start again."""
    assert installation.process is not None
    workers, before = installation.workers(), installation.log().count("stopping the workers")
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)  # they do not react to SIGTERM
    installation.process.send_signal(signal.SIGINT)
    wait_for(lambda: installation.log().count("stopping the workers") > before)
    installation.stop(signal.SIGINT)  # waits twice as long as the server for one worker
    assert not installation.database_runs()
    for pid in workers:
        with suppress(ProcessLookupError):  # orphaned stopped processes may have been ended by the kernel
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def strong() -> dict[str, str]:
    names = ("SESSION_SECRET", "CSRF_SECRET", "PASSWORD_PEPPER", "RENDER_SECRET", "SIGNING_SECRET")
    secrets = {f"CWZ_{name}": f"{name} 0123456789 abcdefghijklmnop" for name in names}
    return secrets | {"CWZ_ENCRYPTION_KEYS": ENCRYPTION_KEY}


def test_production_serves_with_an_external_database(
    tmp_path: Path, app_url: str, owner_url: str, services: object, strong: dict[str, str]
) -> None:
    installation = Installation(tmp_path)
    text = (ROOT / "production.ini").read_text().replace("%(here)s/node_modules", str(ROOT / "node_modules"))
    installation.ini.write_text(text.replace("drain_seconds = 5", "drain_seconds = 0"))
    environment = {**installation.environment, **strong, "DATABASE_URL": app_url, "DATABASE_OWNER_URL": owner_url}
    try:
        start_pserve(installation, environment)
        proxied = {"Host": "connectwyze.example.com", "X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.7"}
        page = httpx.get(f"{installation.url}/signin", headers=proxied)
        assert page.status_code == 200
        assert "demo" not in page.text
        assert page.headers["Strict-Transport-Security"]
        assert "__Host-cwz_visitor=" in page.headers["Set-Cookie"]
        assert "secure" in page.headers["Set-Cookie"].lower()
    finally:
        installation.stop()
