"""Public base URLs of connections: what may be entered, and the test that fetches an object from one."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID

import pytest

from cwz_web.net.client import Fetcher
from cwz_web.net.guard import OutboundPolicy
from cwz_web.storage.connection_test import first_error, run_connection_test, save_result
from cwz_web.storage.contract import Bucket, ObjectInfo, PermissionDeniedError
from cwz_web.storage.models import Connection
from cwz_web.storage.public_urls import (
    CACHE_CONTROL,
    PROBE_IMAGE,
    PublicAccess,
    check_base_url_policy,
    normalize_base_url,
    public_url,
)

WORKSPACE_ID = UUID(int=7)
ADVICE = "Make the bucket public"


class MemoryBucket(Bucket):
    """Objects with their headers."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, dict[str, str]]] = {}
        self.keys: list[str] = []

    def put(self, key: str, body: Any, *, content_type: str, cache_control: str = "", **options: Any) -> None:
        self.objects[key] = (body, {"Content-Type": content_type, "Cache-Control": cache_control})
        self.keys.append(key)

    def get(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        return self.objects[key][0]

    def head(self, key: str) -> ObjectInfo:
        return ObjectInfo(key, len(self.objects[key][0]))

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        return iter([ObjectInfo(key, 1) for key in self.objects if key.startswith(prefix)])

    def delete(self, key: str) -> None:
        self.objects.pop(key, None)


class Cdn:
    """A server that sends the objects of a bucket below `/files/`, unless a test changes that.

    Attributes:
        status: what it answers with.
        changed: headers to replace; None leaves one out.
        body: what it sends instead of the objects.
        seen: the paths of the requests.
    """

    def __init__(self, bucket: MemoryBucket) -> None:
        self.status, self.body = 200, b""
        self.changed: dict[str, str | None] = {}
        self.seen: list[str] = []
        cdn = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                cdn.seen.append(self.path)
                found = bucket.objects.get(self.path.removeprefix("/files/"))
                body, headers = found or (b"", {})
                self.send_response(cdn.status if found or cdn.status != 200 else 404)
                body = cdn.body or body
                for name, value in {**headers, "Content-Length": str(len(body)), **cdn.changed}.items():
                    if value is not None:
                        self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def bucket() -> MemoryBucket:
    return MemoryBucket()


@pytest.fixture
def cdn(bucket: MemoryBucket) -> Iterator[Cdn]:
    server = Cdn(bucket)
    yield server
    server.close()


def run_test(bucket: Bucket, base_url: str, *allowed: str) -> str:
    """Return the error of the connection test; empty if it passed."""
    access = PublicAccess(base_url, Fetcher(allowed).fetch, ADVICE)
    return first_error(run_connection_test(lambda: bucket, WORKSPACE_ID, access)) or ""


@pytest.mark.parametrize(
    ("text", "normalized"),
    [
        ("", ""),
        ("https://images.example.com", "https://images.example.com"),
        ("https://Images.Example.com/", "https://images.example.com"),
        ("https://images.example.com:443/a/b//", "https://images.example.com/a/b"),
        ("https://cdn.example.com/our-bucket/v1.2/~x", "https://cdn.example.com/our-bucket/v1.2/~x"),
        ("http://127.0.0.1:8080/b", "http://127.0.0.1:8080/b"),
        ("https://[2001:db8::1]/b", "https://[2001:db8::1]/b"),
    ],
)
def test_base_url_is_normalized(text: str, normalized: str) -> None:
    assert normalize_base_url(text) == normalized


@pytest.mark.parametrize(
    "text",
    [
        "images.example.com",
        "ftp://images.example.com",
        "https://",
        "https://user:password@images.example.com",
        "https://user@images.example.com",
        "https://images.example.com?x=1",
        "https://images.example.com/a?",
        "https://images.example.com/#a",
        "https://images.example.com/a/../b",
        "https://images.example.com/./b",
        "https://images.example.com/%2e%2e/b",
        "https://images.example.com/a%0d%0aSet-Cookie:x",
        "https://images.example.com/a//b",
        "https://images.example.com/a b",
        "https://images.example.com\\@evil.example",
        "https://images.example.com/a\r\nX: y",
        "https://images.example.com/<script>",
        "https://images.example.com:0",
        "https://images.example.com:99999",
        "javascript:alert(1)",
        "https://bücher.example",
    ],
)
def test_ambiguous_base_url_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="Enter "):
        normalize_base_url(text)


def test_http_and_other_ports_need_the_permission_of_the_operator() -> None:
    policy = OutboundPolicy(None, ["127.0.0.1:8080"])
    check_base_url_policy("https://images.example.com/a", policy)
    check_base_url_policy("http://127.0.0.1:8080/a", policy)
    for base_url in ("http://images.example.com", "https://images.example.com:8443", "http://127.0.0.1:8081"):
        with pytest.raises(ValueError, match="begins with https"):
            check_base_url_policy(base_url, policy)


def test_key_is_percent_encoded() -> None:
    url = public_url("https://images.example.com/a", "w/images/ab/Größe 1?#&.jpg")
    assert url == "https://images.example.com/a/w/images/ab/Gr%C3%B6%C3%9Fe%201%3F%23%26.jpg"


def test_object_is_written_fetched_compared_and_removed(bucket: MemoryBucket, cdn: Cdn) -> None:
    assert run_test(bucket, f"http://{cdn.host}/files", cdn.host) == ""
    assert len(cdn.seen) == 1
    assert cdn.seen[0].startswith(f"/files/{WORKSPACE_ID}/images/probe-")
    assert bucket.objects == {}


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (403, f"The public URL refuses access (HTTP 403). {ADVICE}"),
        (401, f"The public URL refuses access (HTTP 401). {ADVICE}"),
        (404, f"where one was just written (HTTP 404). Check that it leads to the root of this bucket: .*{ADVICE}"),
        (500, "answers with an error (HTTP 500). Check the CDN"),
    ],
)
def test_status_says_what_to_do(bucket: MemoryBucket, cdn: Cdn, status: int, message: str) -> None:
    cdn.status = status
    error = run_test(bucket, f"http://{cdn.host}/files", cdn.host)
    assert all(part in error for part in message.split(".*"))
    assert error.startswith("Public URL: ")
    assert bucket.objects == {}


def test_wrong_path_is_explained(bucket: MemoryBucket, cdn: Cdn) -> None:
    assert "root of this bucket" in run_test(bucket, f"http://{cdn.host}/other/files", cdn.host)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("Cache-Control", "max-age=60", "Cache-Control “max-age=60” instead of"),
        ("Cache-Control", None, "Cache-Control “” instead of"),
        ("Content-Type", "text/html", "Content-Type “text/html” instead of “image/png”"),
        ("Cache-Control", "immutable,PUBLIC , max-age=31536000", ""),
        ("Content-Type", "image/png; charset=binary", ""),
    ],
)
def test_headers_are_compared(bucket: MemoryBucket, cdn: Cdn, name: str, value: str | None, message: str) -> None:
    cdn.changed = {name: value}
    error = run_test(bucket, f"http://{cdn.host}/files", cdn.host)
    assert message in error
    assert bool(error) == bool(message)


def test_changed_image_is_found(bucket: MemoryBucket, cdn: Cdn) -> None:
    cdn.body = PROBE_IMAGE + b"\0"
    assert "sends other bytes" in run_test(bucket, f"http://{cdn.host}/files", cdn.host)


def test_large_response_is_refused(bucket: MemoryBucket, cdn: Cdn) -> None:
    cdn.body = b"x" * 200_000
    assert "larger than" in run_test(bucket, f"http://{cdn.host}/files", cdn.host)


@pytest.mark.parametrize(
    "location", ["http://169.254.169.254/latest/meta-data", "https://other.example/a", "http://user@10.0.0.1/"]
)
def test_redirect_is_not_followed(bucket: MemoryBucket, cdn: Cdn, location: str) -> None:
    cdn.status, cdn.changed = 302, {"Location": location}
    error = run_test(bucket, f"http://{cdn.host}/files", cdn.host)
    assert "redirects to" in error
    assert len(cdn.seen) == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "10.0.0.8", "169.254.169.254", "[::1]", "localhost"])
def test_private_address_is_not_fetched(bucket: MemoryBucket, host: str) -> None:
    error = run_test(bucket, f"https://{host}/files")
    assert "The public URL does not work. This URL cannot be fetched" in error
    assert bucket.objects == {}


def test_bucket_that_fails_is_no_fault_of_the_url(cdn: Cdn) -> None:
    class FailingBucket(MemoryBucket):
        def put(self, key: str, body: Any, **options: Any) -> None:
            raise PermissionDeniedError("not allowed to write")

    assert run_test(FailingBucket(), f"http://{cdn.host}/files", cdn.host) == "Write: not allowed to write"
    assert cdn.seen == []


def test_url_is_used_once_it_is_proven_and_stays_when_it_fails(bucket: MemoryBucket, cdn: Cdn) -> None:
    base_url = f"http://{cdn.host}/files"
    connection = Connection(public_base_url=base_url, proven_base_url="")
    access = PublicAccess(base_url, Fetcher([cdn.host]).fetch)

    def test() -> None:
        save_result(connection, run_connection_test(lambda: bucket, WORKSPACE_ID, access), base_url)

    cdn.status = 403
    test()
    assert connection.proven_base_url == ""
    cdn.status = 200
    test()
    assert connection.proven_base_url == base_url
    cdn.status = 403
    test()
    assert connection.error_message is not None
    assert connection.proven_base_url == base_url, "published URLs do not change"


def test_result_of_an_earlier_url_does_not_prove_the_new_one(bucket: MemoryBucket, cdn: Cdn) -> None:
    base_url = f"http://{cdn.host}/files"
    connection = Connection(public_base_url="https://images.example.com", proven_base_url="")
    access = PublicAccess(base_url, Fetcher([cdn.host]).fetch)
    save_result(connection, run_connection_test(lambda: bucket, WORKSPACE_ID, access), base_url)
    assert connection.proven_base_url == ""
    assert CACHE_CONTROL == "public, max-age=31536000, immutable"
