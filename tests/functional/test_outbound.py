"""Requests that wait for other servers: they occupy some threads of the server, and the others answer."""

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from typing import Any

import httpx
import pytest
from webtest import TestApp

from cwz_web.api import on_demand
from cwz_web.app import create_app
from cwz_web.generation.image_service import ImageService
from cwz_web.generation.image_sources import ImageSources
from cwz_web.generation.models import Template
from cwz_web.imaging.engine import Engine
from cwz_web.net import client
from cwz_web.net.client import Fetcher
from cwz_web.web.outbound import MAX_PER_CALLER, OutboundRequests
from cwz_web.web.rate_limits import RateLimiter
from cwz_web.web.services import Services
from tests.conftest import ROOT, RecordingServer
from tests.factories import Factory
from tests.wsgi_server import serving

CLIENTS = 64


def with_fetcher(services: Services, *allowed: str, **more: Any) -> Services:
    """Return services whose photos can be on a loopback host."""
    outbound = OutboundRequests()
    fetcher = Fetcher(allowed, admit=outbound.slot)
    image_service = ImageService(Engine(), ImageSources(fetcher))
    return replace(services, outbound=outbound, fetcher=fetcher, image_service=image_service, **more)


class SilentHost:
    """A host that accepts connections and does not answer, until it is closed."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0), backlog=CLIENTS)
        self._accepted: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()
        self.name = f"127.0.0.1:{self._server.getsockname()[1]}"

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                self._accepted.append(self._server.accept()[0])

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        for connection in (self._server, *self._accepted):
            connection.close()


@contextmanager
def served(services: Services) -> Iterator[str]:
    """The application in the server, with the threads that the .ini files configure."""
    assert "threads = 24" in (ROOT / "production.ini").read_text()
    with serving(create_app(services), threads=24) as port:
        yield f"http://127.0.0.1:{port}"


def test_pages_are_answered_while_a_photo_host_is_silent(
    services: Services, make: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The silent host holds the threads of one caller; 56 more requests are refused at once."""
    monkeypatch.setattr(on_demand, "FETCH_SECONDS", 120.0)
    monkeypatch.setitem(client.TIMEOUTS, "read", 120.0)
    space = make.workspace()
    template, key = make.template(space), make.key(space)
    every = httpx.Limits(max_connections=None)
    with (
        served(with_fetcher(services, (host := SilentHost()).name)) as url,
        httpx.Client(base_url=url, headers={"Host": "localhost"}, timeout=120, limits=every) as browser,
        ThreadPoolExecutor(CLIENTS) as pool,
        closing(host),
    ):

        def request(number: int) -> httpx.Response:
            data = {"title": str(number), "image": f"http://{host.name}/{number}.jpg"}
            headers = {"Authorization": f"Bearer {key}"}
            return browser.post("/v1/images", json={"template": template.slug, "data": data}, headers=headers)

        waiting: set[Future[httpx.Response]] = {pool.submit(request, number) for number in range(CLIENTS)}
        refused: list[httpx.Response] = []
        while len(waiting) > MAX_PER_CALLER:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            refused += [future.result() for future in done]
        assert {(answer.status_code, answer.json()["code"]) for answer in refused} == {(503, "busy")}
        assert all(int(answer.headers["Retry-After"]) > 0 for answer in refused)
        assert browser.get("/signin").status_code == 200
        assert not any(future.done() for future in waiting), "the page did not wait for them"
    assert {future.result().status_code for future in waiting} == {201}


def test_visitor_over_the_limit_causes_no_fetch(
    services: Services, make: Factory, http_server: RecordingServer
) -> None:
    template: Template = make.template(make.workspace())
    with make.database.transaction(template.workspace_id) as db:
        db.merge(template).unsigned_parameters = ["image"]
    limiter = RateLimiter("memory://", {"unsigned-image.network": "3 per minute"})
    app = TestApp(create_app(with_fetcher(services, http_server.host, limiter=limiter)))
    photos = [http_server.url(f"/{number}.jpg") for number in range(5)]
    answers = [app.get(f"/i/{template.id}.jpg", {"image": photo}, status="*").status_int for photo in photos]
    assert answers == [200, 200, 200, 429, 429]
    assert http_server.seen == ["/0.jpg", "/1.jpg", "/2.jpg"]
