"""A run over a hostile photo host, from the API's request to the page of the run, and its retry."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID

import pytest
from webtest import TestApp

from cwz_web.generation import image_sources
from cwz_web.generation.api_keys import Scope
from cwz_web.generation.image_service import ImageService
from cwz_web.generation.image_sources import ImageSources
from cwz_web.generation.usage import monthly_usage
from cwz_web.imaging.engine import Engine
from cwz_web.jobs import RENDER_QUEUE
from cwz_web.net.client import Fetcher
from cwz_web.runs import missing_photos
from cwz_web.runs.local_client import LocalRenderClient
from cwz_web.runs.models import Run
from cwz_web.runs.render_worker import RenderWorker
from cwz_web.web.services import Services
from tests.conftest import RecordingServer
from tests.factories import Factory, jpeg, sign_in
from tests.jobs import run_jobs

ROWS = ("ok", "busy", "gone", "slow", "large", "moved", "inward", "page", "limited")
TRUE_STATES = {
    "ok": ("done", ""),
    "busy": ("done", ""),
    "gone": ("incomplete", "status 404"),
    "slow": ("incomplete", "took too long"),
    "large": ("incomplete", "larger than 20 MB"),
    "moved": ("done", ""),
    "inward": ("incomplete", "redirects to a URL that is not on the public internet"),
    "page": ("incomplete", "web page"),
    "limited": ("incomplete", "status 429"),
}


class HostileHost:
    """A photo host that answers each photo in another way, until it is well."""

    def __init__(self, inside: str) -> None:
        self.is_well = False
        self.requests: Counter[str] = Counter()
        self.stopped = threading.Event()
        host = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.strip("/").removesuffix(".jpg")
                host.requests[name] += 1
                getattr(self, f"send_{name}" if not host.is_well else "send_ok", self.send_ok)()

            def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
                self.send_response(status)
                for header, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(header.replace("_", "-"), value)
                self.end_headers()
                self.wfile.write(body)

            def send_ok(self) -> None:
                self.answer(200, jpeg(40 + len(self.path)), ETag='"1"')

            def send_busy(self) -> None:
                self.send_ok() if host.requests["busy"] > 2 else self.answer(503)

            def send_gone(self) -> None:
                self.answer(404)

            def send_slow(self) -> None:
                self.send_response(200)
                self.end_headers()
                while not host.stopped.wait(0.1):
                    self.wfile.write(b"x")

            def send_large(self) -> None:
                self.answer(200, bytes(20 * 1024**2 + 1))

            def send_moved(self) -> None:
                self.answer(302, Location="/ok.jpg")

            def send_inward(self) -> None:
                self.answer(302, Location=inside)

            def send_page(self) -> None:
                self.answer(200, b"<!doctype html><title>Log in</title>")

            def send_limited(self) -> None:
                self.answer(429, Retry_After="1")

            def log_message(self, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *args: object) -> None:
                """Ignore clients that close the connection early."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.name = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        self.stopped.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def inside() -> Iterator[RecordingServer]:
    server = RecordingServer()
    yield server
    server.close()


@pytest.fixture
def host(inside: RecordingServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[HostileHost]:
    monkeypatch.setattr(missing_photos, "RETRY_DELAYS", (0.0, 0.0, 0.0))
    monkeypatch.setattr(missing_photos, "MAX_DELAY", 0.0)
    monkeypatch.setattr(image_sources, "FETCH_SECONDS", 1.0)
    host = HostileHost(inside.url("/secret"))
    yield host
    host.close()


def render(services: Services, make: Factory, host: HostileHost) -> None:
    """Run all queued chunks, and those that they postpone."""
    client = LocalRenderClient(make.database.transaction, services.providers, services.signed_urls)
    image_service = ImageService(Engine(), ImageSources(Fetcher([host.name])))
    worker = RenderWorker(client, image_service, services.providers.outbound)
    run_jobs(services.settings.database.url.get_secret_value(), RENDER_QUEUE, {"render_worker": worker})


def test_run_over_a_hostile_photo_host(
    app: TestApp, make: Factory, services: Services, host: HostileHost, inside: RecordingServer
) -> None:
    space = make.workspace()
    template = make.template(space)
    lines = [f"{name},Title,http://{host.name}/{name}.jpg" for name in ROWS]
    feed = make.feed(space, "\n".join(["sku,title,image", *lines]).encode())
    headers = {"Authorization": f"Bearer {make.key(space, Scope.ADMIN)}"}
    body = json.dumps({"feed": str(feed.id), "template": template.slug})
    answer = app.post("/v1/runs", body, headers=headers, content_type="application/json", status=201)
    path = f"/v1/runs/{answer.json['id']}"

    render(services, make, host)
    run = app.get(path, headers=headers).json
    assert run["state"] == "completed_with_findings"
    assert (run["done"], run["incomplete"], run["failed"], run["total"]) == (3, 6, 0, 9)
    items = app.get(f"{path}/items", headers=headers).json["items"]
    found = {item["key"]: (item["state"], *(finding["message"] for finding in item["findings"])) for item in items}
    for name, (state, reason) in TRUE_STATES.items():
        assert found[name][0] == state, name
        assert not reason or reason in found[name][1], (name, found[name])
    assert {count["images"] for count in run["finding_counts"]} == {1}
    incomplete = app.get(f"{path}/items?state=incomplete", headers=headers).json["items"]
    assert len(incomplete) == 6
    app.get(f"{path}/items?state=nonsense", headers=headers, status=422)
    assert inside.seen == []
    attempts = len(missing_photos.RETRY_DELAYS) + 1
    expected = dict.fromkeys(ROWS, 1) | {"ok": 2, "busy": 3, "slow": attempts, "limited": attempts}
    assert host.requests == expected
    assert used(make, space.id) == 9

    sign_in(app, make.member(space))
    here = f"/w/{space.slug}/runs/{run['id']}"
    page = app.get(here)
    assert page.html.find(id="results").find(class_="badge").text == "Completed, 6 findings"
    findings = app.get(f"{here}?tab=findings")
    listed = findings.html.find("section", attrs={"aria-label": "Incomplete images"}).find_all("li")
    assert {item.strong.text for item in listed} == {
        name for name, (state, _) in TRUE_STATES.items() if state != "done"
    }
    assert len(app.get(f"{here}?state=incomplete").html.select(".result-rows img")) == 6
    assert "Completed, 6 findings" in app.get(f"/w/{space.slug}/runs").text

    host.is_well = True
    app.post(f"{path}/retry", headers=headers)
    render(services, make, host)
    run = app.get(path, headers=headers).json
    assert (run["state"], run["done"], run["incomplete"], run["findings"]) == ("completed", 9, 0, 0)
    assert app.get(here).html.find(id="results").find(class_="badge").text == "Completed"
    assert used(make, space.id) == 9, "a retried image that replaces an incomplete one does not count again"
    assert make.count(Run, space.id) == 1


def used(make: Factory, workspace_id: UUID) -> int:
    with make.database.transaction(workspace_id) as db:
        images: Any = monthly_usage(db, workspace_id, workspace_id)
    return int(images)
