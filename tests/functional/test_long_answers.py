"""Downloads that take for ever keep nobody else waiting: a real server, and clients that do not read on."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import repeat
from typing import Any

import httpx
import pytest
from pyramid.router import Router
from waitress import wasyncore
from webtest import TestApp

from cwz_web.runs import planning
from cwz_web.runs.models import Run
from cwz_web.server import create_server
from cwz_web.views import runs as views
from cwz_web.web.stream_limits import PLACES_EACH
from cwz_web.workspaces.models import Workspace
from tests.factories import Factory, sign_in
from tests.functional.test_api_terms import Program
from tests.installation import wait_for

THREADS = 8


@pytest.fixture
def server(wsgi: Router) -> Iterator[Any]:
    """The server, as the .ini files have it."""
    connections: dict[int, Any] = {}
    server = create_server(wsgi, connections, listen="127.0.0.1:0", threads=THREADS)
    ending = threading.Event()

    def serve() -> None:
        while not ending.is_set():
            wasyncore.loop(timeout=0.1, map=connections, count=1)

    thread = threading.Thread(target=serve)
    thread.start()
    yield server
    try:
        wait_for(lambda: not server.active_channels)
    finally:
        ending.set()
        thread.join()
        server.task_dispatcher.shutdown()
        wasyncore.close_all(connections)


@pytest.fixture
def space(app: TestApp, make: Factory) -> Workspace:
    """A workspace whose member is signed in."""
    space = make.workspace()
    sign_in(app, make.member(space))
    return space


def slow(server: Any, path: str, cookies: str) -> socket.socket:
    """A client that asks for something, sees that it comes, and reads no further."""
    client = socket.create_connection(("127.0.0.1", server.effective_port), timeout=20)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nCookie: {cookies}\r\n\r\n".encode())
    assert client.recv(12).startswith(b"HTTP/1.1 ")
    return client


def test_who_downloads_slowly_keeps_nobody_else_waiting(
    app: TestApp, make: Factory, space: Workspace, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make.run(make.feed(space), make.template(space))
    monkeypatch.setattr(views, "zip_stream", lambda entries, bucket: repeat(bytes(65536)))  # without end
    cookies = "; ".join(f"{name}={value}" for name, value in app.cookies.items())
    path = f"/w/{space.slug}/runs/{run.id}/images.zip"
    with ExitStack() as clients:
        for _ in range(THREADS):
            clients.enter_context(slow(server, path, cookies))
        anybody = f"http://127.0.0.1:{server.effective_port}/signin"
        assert httpx.get(anybody, headers={"Host": "localhost"}, timeout=10).status_code == 200
        answer = app.get(path, status=503)
        assert "still on their way" in answer.text
        assert answer.headers["Retry-After"] == "5"


def test_what_is_refused_is_not_looked_for(
    app: TestApp, make: Factory, space: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, looked = make.run(make.feed(space), make.template(space)), []
    monkeypatch.setattr(views, "entries_of", lambda db, run: looked.append(run) or [])
    with ExitStack() as taken:
        for _ in range(PLACES_EACH):
            taken.enter_context(make.services.stream_limiter.place(space.id))
        app.get(f"/w/{space.slug}/runs/{run.id}/images.zip", status=503)
    assert looked == []
    app.get(f"/w/{space.slug}/runs/{run.id}/images.zip", status=200)
    assert len(looked) == 1


def test_a_download_gives_its_place_back(app: TestApp, make: Factory, space: Workspace) -> None:
    run = make.run(make.feed(space), make.template(space))
    for _ in range(PLACES_EACH + 1):
        app.get(f"/w/{space.slug}/runs/{run.id}/images.zip", status=200)
        app.head(f"/w/{space.slug}/runs/{run.id}/images.zip", status="*")


def test_what_is_counted_for_long_takes_a_place(wsgi: Router, make: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    program = Program(wsgi, make)
    feed = make.feed(program.space)
    body = {"feed": str(feed.id), "template": program.template.slug}
    with ExitStack() as taken:
        for _ in range(PLACES_EACH):
            taken.enter_context(make.services.stream_limiter.place(program.space.id))
        program.send(body, 200, path="/v1/runs/plan")
        monkeypatch.setattr(planning, "AT_ONCE", 2)
        program.send(body, 200, path="/v1/runs/plan")  # of a feed that was never rendered no row is looked at
        run = make.run(feed, program.template)
        with make.database.transaction(program.space.id) as db:
            db.get_one(Run, (program.space.id, run.id)).done = 1
        assert program.send(body, 503, path="/v1/runs/plan").json["code"] == "busy"
    program.send(body, 200, path="/v1/runs/plan")
