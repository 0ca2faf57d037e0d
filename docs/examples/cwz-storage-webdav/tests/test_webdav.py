"""The conformance suite against a small WebDAV server on loopback."""

from base64 import b64encode
from collections.abc import Callable, Iterator
from html import escape
from threading import Event, Lock, Thread
from typing import Any
from urllib.parse import quote

import pytest
from cwz_storage_webdav import WebDavProvider
from defusedxml.ElementTree import fromstring
from waitress import wasyncore
from waitress.server import create_server
from webob import Request, Response
from webob.dec import wsgify

from cwz_web.storage import Bucket
from cwz_web.storage.testing import ProviderSetup, StorageConformance

USER, PASSWORD = "images", "canary-password"
ITEM = (
    "<response><href>{}</href><propstat><prop><resourcetype>{}</resourcetype><getcontentlength>{}</getcontentlength>"
    '<info xmlns="urn:cwz">{}</info></prop><status>HTTP/1.1 200 OK</status></propstat></response>'
)


class WebDavServer:
    """The methods of RFC 4918 that the plugin uses, in memory. `status` replaces every response."""

    def __init__(self) -> None:
        self.folders, self.objects, self.properties = {"/images"}, {}, {}  # type: ignore[var-annotated]
        self.status = 0
        self._lock = Lock()
        self._sockets: dict[int, Any] = {}
        handler = wsgify(self._handle)
        self._server = create_server(handler, map=self._sockets, host="127.0.0.1", port=0, threads=16)
        self.host = f"127.0.0.1:{self._server.effective_port}"
        self._stopping = Event()
        self._thread = Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while not self._stopping.is_set():
            wasyncore.loop(timeout=0.1, map=self._sockets, count=1)

    def close(self) -> None:
        """End the thread before its sockets are closed: it cannot poll a socket that another thread closes."""
        self._stopping.set()
        self._thread.join()
        self._server.task_dispatcher.shutdown()
        wasyncore.close_all(self._sockets)

    def _handle(self, request: Request) -> Response:
        credentials = b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if request.authorization != ("Basic", credentials):
            return Response(status=401)
        if self.status:
            return Response(status=self.status)
        with self._lock:
            return getattr(self, f"_{request.method.lower()}")(request, request.path_info.rstrip("/"))

    def _put(self, request: Request, path: str) -> Response:
        if request.headers.get("If-None-Match") == "*" and path in self.objects:
            return Response(status=412)
        if path.rpartition("/")[0] not in self.folders:
            return Response(status=409)
        self.objects[path] = request.body
        return Response(status=201)

    def _get(self, request: Request, path: str) -> Response:
        if path not in self.objects:
            return Response(status=404)
        return Response(body=self.objects[path], content_type="application/octet-stream")

    def _delete(self, request: Request, path: str) -> Response:
        return Response(status=404 if self.objects.pop(path, None) is None else 204)

    def _mkcol(self, request: Request, path: str) -> Response:
        if path.rpartition("/")[0] not in self.folders:
            return Response(status=409)
        is_new = path not in self.folders
        self.folders.add(path)
        return Response(status=201 if is_new else 405)

    def _proppatch(self, request: Request, path: str) -> Response:
        self.properties[path] = fromstring(request.body).findtext(".//{urn:cwz}info")
        return Response(status=207)

    def _propfind(self, request: Request, path: str) -> Response:
        if path not in self.folders and path not in self.objects:
            return Response(status=404)
        children = (p for p in (*self.folders, *self.objects) if p.rpartition("/")[0] == path)
        items = [self._item(p) for p in (path, *(children if request.headers["Depth"] == "1" else ()))]
        body = f'<multistatus xmlns="DAV:">{"".join(items)}</multistatus>'
        return Response(status=207, body=body.encode(), content_type="application/xml")

    def _item(self, path: str) -> str:
        is_folder = path in self.folders
        size = "" if is_folder else len(self.objects[path])
        info = escape(self.properties.get(path, ""), quote=False)
        return ITEM.format(quote(path) + "/" * is_folder, "<collection/>" if is_folder else "", size, info)


@pytest.fixture(scope="module")
def server() -> Iterator[WebDavServer]:
    server = WebDavServer()
    yield server
    server.close()


class TestWebDav(StorageConformance):
    listing_size = 30  # WebDAV lists a folder in one response

    @pytest.fixture
    def provider_setup(self, server: WebDavServer) -> ProviderSetup:
        settings = {"url": f"http://{server.host}/images", "username": USER}
        return ProviderSetup(WebDavProvider(), settings, {"password": PASSWORD}, allow=[server.host])

    @pytest.fixture
    def broken_bucket(self, provider_setup: ProviderSetup, server: WebDavServer) -> Iterator[Callable[[str], Bucket]]:
        def broken(failure: str) -> Bucket:
            if failure == "credentials":
                return provider_setup.bucket(credentials={"password": "another-password"})
            if failure == "bucket":
                return provider_setup.bucket(settings={"url": f"http://{server.host}/missing"})
            server.status = {"permission": 403, "down": 500}[failure]
            return provider_setup.bucket()

        yield broken
        server.status = 0


def test_response_without_xml_is_reported(server: WebDavServer) -> None:
    settings = {"url": f"http://{server.host}/images", "username": USER}
    bucket = ProviderSetup(WebDavProvider(), settings, {"password": PASSWORD}, allow=[server.host]).bucket()
    server.status = 200
    with pytest.raises(Exception, match="not the expected XML"):
        bucket.head("a")
    server.status = 0
