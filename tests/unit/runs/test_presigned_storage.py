"""A render worker without credentials, over presigned URLs of a real S3 server on loopback."""

import dataclasses
import re
import threading
from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import httpx
import pytest
from pydantic import ValidationError
from sqlalchemy import select, text

from cwz_web.generation.image_service import ImageService
from cwz_web.generation.models import Image
from cwz_web.generation.signed_urls import SignedUrls
from cwz_web.jobs import RENDER_QUEUE
from cwz_web.net.guard import OutboundPolicy
from cwz_web.runs.local_client import LocalRenderClient
from cwz_web.runs.models import Run
from cwz_web.runs.presigned_storage import PresignedBucket
from cwz_web.runs.progress import results_after
from cwz_web.runs.protocol import (
    ObjectRequest,
    ObjectResponse,
    PresignedUrls,
    PresignedUrlsRequest,
    RunNotFoundError,
    SpecificationRequest,
    StorageFailure,
)
from cwz_web.runs.render_worker import STORAGE_FAILED, RenderWorker
from cwz_web.storage.connections import (
    create_connection,
    get_default_connection,
    image_key,
    list_connections,
    set_default_connection,
    upload_key,
)
from cwz_web.storage.contract import (
    BlockedAddressError,
    Bucket,
    BucketNotFoundError,
    ObjectNotFoundError,
    ObjectTooLargeError,
    PermissionDeniedError,
    StorageError,
    StorageThrottledError,
    StorageUnreachableError,
    read_at_most,
)
from cwz_web.storage.image_objects import NO_LABEL, ImageLabel
from cwz_web.storage.models import Connection
from cwz_web.storage.plugins import DelegatedConnection, ProviderRegistry
from cwz_web.workspaces.models import Workspace
from tests.emulators import BUCKET, fixed_response_server, host_of, moto_server
from tests.factories import Factory, jpeg, small_document
from tests.jobs import run_jobs

KEY, SECRET = "AKIACANARY0000000002", "canary/secret/of/the/customer/00000002"
IMAGE = "image/jpeg"
KEY_OF_IMAGE = image_key(UUID(int=1), "0" * 64, "jpg")


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    with moto_server() as address:
        yield address


@dataclasses.dataclass
class Web(LocalRenderClient):
    """The web application; records what it sends to the worker, and which objects are requested."""

    sent: str = ""
    requested: list[str] = dataclasses.field(default_factory=list)

    def get_specification(self, request: SpecificationRequest) -> Any:
        specification = super().get_specification(request)
        self.sent += specification.model_dump_json()
        return specification

    def access_object(self, request: ObjectRequest) -> ObjectResponse:
        self.requested.append(request.key)
        response = super().access_object(request)
        self.sent += response.model_dump_json()
        return response


class Shop:
    """A workspace whose storage is S3, and the two sides that talk about it."""

    def __init__(self, make: Factory, address: str) -> None:
        self.make = make
        self.space: Workspace = make.workspace()
        operator = {**make.services.settings.storage, "s3": {"endpoint": address}}
        self.allow = [host_of(address)]
        self.providers = ProviderRegistry(operator, allow=self.allow, ring=make.services.ring)
        self.web = Web(make.database.transaction, self.providers, SignedUrls("a secret"))
        with make.database.transaction(self.space.id) as db:
            self.connection: Connection = create_connection(
                db,
                self.space.id,
                make.services.ring,
                provider="s3",
                name="Our bucket",
                settings={"region": "us-east-1", "bucket": BUCKET, "endpoint": "standard"},
                secrets={"access_key_id": KEY, "secret_access_key": SECRET},
            )
            set_default_connection(db, self.connection)

    @property
    def bucket(self) -> Bucket:
        return self.providers.open(self.connection.spec)

    def set_pattern(self, pattern: str) -> None:
        """Set the pattern of the keys of images."""
        with self.make.database.transaction(self.space.id) as db:
            db.get_one(Connection, (self.space.id, self.connection.id)).key_pattern = pattern

    def images(self) -> dict[str, str]:
        """Return the digests of the recorded images by their keys."""
        with self.make.database.transaction(self.space.id) as db:
            return {image.key: image.digest for image in db.scalars(select(Image).order_by(Image.key))}

    def worker(self, web: Any = None) -> RenderWorker:
        """A render worker without keys and plugins."""
        outbound = partial(OutboundPolicy, allow=self.allow)
        return RenderWorker(web or self.web, self.make.services.image_service, outbound)

    def run(self, rows: bytes, document: dict[str, Any] | None = None) -> Run:
        run: Run = self.make.run(
            self.make.feed(self.space, rows), self.make.template(self.space, document), {"title": "title"}
        )
        return run

    def render(self, run: Run, web: Any = None, *, last_try: bool = False) -> Run:
        request = SpecificationRequest(workspace_id=run.workspace_id, run_id=run.id, chunk=0)
        self.worker(web).render_chunk(request, last_try=last_try)
        rendered: Run = self.make.reload(run)
        return rendered

    def urls_request(self, run: Run, **changed: Any) -> PresignedUrlsRequest:
        values = {"workspace_id": self.space.id, "run_id": run.id, "connection_id": self.connection.id}
        return PresignedUrlsRequest(**(values | {"key": image_key(self.space.id, "0" * 64, "jpg")} | changed))


@pytest.fixture
def shop(make: Factory, moto: str) -> Shop:
    return Shop(make, moto)


def test_worker_without_credentials_stores_images(shop: Shop) -> None:
    run = shop.render(shop.run(b"sku,title\n1,One\n2,Two\n"))
    assert (run.done, run.failed) == (2, 0)
    stored = list(shop.bucket.list(f"{shop.space.id}/images/"))
    assert len(stored) == 2
    assert all(shop.bucket.get(each.key).startswith(b"\xff\xd8") for each in stored)
    assert {shop.bucket.head(each.key).content_type for each in stored} == {IMAGE}
    assert sorted(shop.web.requested) == [each.key for each in stored], "one request per image"
    for secret in (SECRET, shop.connection.spec.encrypted_credentials, BUCKET + '"'):
        assert secret not in shop.web.sent
    assert "X-Amz-Signature" in shop.web.sent


def test_objects_have_headers_and_metadata_with_the_key_of_their_row(shop: Shop) -> None:
    run = shop.render(shop.run("sku,title\nTässe/1,One\n".encode()))
    assert run.done == 1
    [stored] = shop.bucket.list(f"{shop.space.id}/images/")
    info = shop.bucket.head(stored.key)
    assert info.cache_control == "public, max-age=31536000, immutable"
    assert info.content_disposition == "inline; filename=\"Tasse-1.jpg\"; filename*=UTF-8''T%C3%A4sse-1.jpg"
    digest = stored.key.rpartition("/")[2].removesuffix(".jpg")
    assert info.metadata == {"digest": digest, "row-key": "T%C3%A4sse/1", "template-version": "1"}


def test_label_of_an_image_cannot_add_headers(shop: Shop) -> None:
    run = shop.run(b"sku,title\n1,One\n")
    label = ImageLabel(
        name='a"\r\nX-Evil: 1\r\n\r\n<script>', row_key="b\r\nx-amz-acl: public-read", template_version=2
    )
    urls = shop.web.access_object(shop.urls_request(run, label=label))
    assert isinstance(urls, PresignedUrls)
    assert set(urls.put_headers) == {
        "Content-Type",
        "Cache-Control",
        "Content-Disposition",
        "x-amz-meta-digest",
        "x-amz-meta-row-key",
        "x-amz-meta-template-version",
    }
    assert all(value.isascii() and value.isprintable() for value in urls.put_headers.values())
    assert urls.put is not None
    signed = parse_qs(urlsplit(urls.put).query)["X-Amz-SignedHeaders"][0].split(";")
    assert set(signed) == {"host", *map(str.lower, urls.put_headers)}, "the storage refuses other headers"


def test_readable_keys_have_columns_of_the_row_and_the_digest(shop: Shop) -> None:
    shop.set_pattern("{{ color }}-{{ key }}-{{ digest }}")
    run = shop.render(shop.run("sku,title,color\n1,One,Grün\n2/../x,Two,\n".encode()))
    assert (run.done, run.failed) == (2, 0)
    images = shop.images()
    names = sorted(key.removeprefix(f"{shop.space.id}/images/").partition("/")[2] for key in images)
    assert [re.sub(r"[0-9a-f]{64}", "D", name) for name in names] == ["2-x-D.jpg", "grun-1-D.jpg"]
    assert all(digest in key for key, digest in images.items())
    assert sorted(each.key for each in shop.bucket.list(f"{shop.space.id}/images/")) == sorted(images)
    assert all(shop.bucket.get(key).startswith(b"\xff\xd8") for key in images)


def test_rows_with_the_same_image_share_an_object(shop: Shop) -> None:
    shop.set_pattern("{{ sku }}-{{ digest }}")
    run = shop.render(shop.run(b"sku,title\n1,One\n2,One\n3,One\n"))
    assert (run.done, run.failed) == (3, 0)
    [key] = shop.images()
    assert [each.key for each in shop.bucket.list(f"{shop.space.id}/images/")] == [key]


def test_another_pattern_moves_no_image(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    template = shop.make.template(shop.space)
    feed = shop.make.feed(shop.space, b"sku,title\n1,One\n")
    shop.render(shop.make.run(feed, template, {"title": "title"}))
    before = shop.images()
    shop.set_pattern("{{ sku }}-{{ digest }}")
    rendered: list[Any] = []
    monkeypatch.setattr(ImageService, "render", lambda image_service, image: rendered.append(image))
    again = shop.render(shop.make.image_run(template, title="One"))
    assert again.done == 1
    assert shop.images() == before
    assert rendered == []
    assert [each.key for each in shop.bucket.list(f"{shop.space.id}/images/")] == list(before)


def test_storage_without_presigned_urls_has_readable_keys(make: Factory) -> None:
    space = make.workspace()
    with make.database.transaction(space.id) as db:
        get_default_connection(db, space.id).key_pattern = "{{ sku }}-{{ digest }}"
    services = make.services
    web = LocalRenderClient(make.database.transaction, services.providers, SignedUrls("a secret"))
    run = make.run(make.feed(space, b"sku,title\nMug,One\n"), make.template(space), {"title": "title"})
    worker = RenderWorker(web, services.image_service, services.providers.outbound)
    worker.render_chunk(SpecificationRequest(workspace_id=space.id, run_id=run.id, chunk=0), last_try=True)
    assert make.reload(run).done == 1
    with make.database.transaction(space.id) as db:
        image = db.scalars(select(Image)).one()
        bucket = services.providers.open(get_default_connection(db, space.id).spec)
    assert image.key.endswith(f"/mug-{image.digest}.jpg")
    assert bucket.get(image.key).startswith(b"\xff\xd8")


def test_stored_image_is_not_rendered_again(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    rendered: list[Any] = []
    render = ImageService.render
    monkeypatch.setattr(
        ImageService, "render", lambda image_service, image: rendered.append(image) or render(image_service, image)
    )
    template = shop.make.template(shop.space)
    first = shop.render(shop.make.image_run(template, title="One"))
    again = shop.render(shop.make.image_run(template, title="One"))
    assert (first.done, again.done) == (1, 1)
    assert len(shop.web.requested) == 2
    assert len(rendered) == 1


def test_uploads_are_read_with_presigned_urls(shop: Shop) -> None:
    data = jpeg(color=(10, 200, 30))
    digest = sha256(data).hexdigest()
    shop.bucket.put(upload_key(shop.space.id, digest), data, content_type=IMAGE)
    document = small_document()
    document["layers"][0]["source"] = f"upload:{digest}"
    document["layers"][0]["missing"] = "fail"
    run = shop.render(shop.run(b"sku,title\n1,One\n", document))
    assert (run.done, run.failed) == (1, 0)
    assert upload_key(shop.space.id, digest) in shop.web.requested


def test_missing_upload_fails_the_item(shop: Shop) -> None:
    document = small_document()
    document["layers"][0]["source"] = f"upload:{'0' * 64}"
    document["layers"][0]["missing"] = "fail"
    run = shop.render(shop.run(b"sku,title\n1,One\n", document))
    assert (run.done, run.failed) == (0, 1)


def test_keys_of_other_objects_are_rejected(shop: Shop) -> None:
    run = shop.run(b"sku,title\n1,One\n")
    mine = str(shop.space.id)
    for key in (
        image_key(uuid4(), "0" * 64, "jpg"),
        f"{mine}/feeds/secret.csv",
        f"{mine}/images/00/../{'0' * 64}.jpg",
        f"{mine}/images/00/{'0' * 64}.html",
        f"{mine}/images/00/{'0' * 64}",
        f"{mine}/uploads/{'0' * 64}.jpg",
        f"{mine}/uploads/{'0' * 64}\n",
        mine,
        "",
    ):
        with pytest.raises(ValidationError):
            shop.urls_request(run, key=key)


def test_connections_and_runs_of_other_workspaces_are_not_found(shop: Shop, make: Factory, moto: str) -> None:
    other = Shop(make, moto)
    run = shop.run(b"sku,title\n1,One\n")
    for connection_id in (other.connection.id, uuid4()):
        assert isinstance(shop.web.access_object(shop.urls_request(run, connection_id=connection_id)), StorageFailure)
    for run_id in (other.run(b"sku,title\n1,One\n").id, uuid4()):
        with pytest.raises(RunNotFoundError):
            shop.web.access_object(shop.urls_request(run, run_id=run_id))
    assert isinstance(shop.web.access_object(shop.urls_request(run)), PresignedUrls)


def test_removed_connection_does_not_fail_the_chunk(shop: Shop) -> None:
    """Uploads are searched in every connection, also in one that was just removed."""
    document = small_document()
    document["layers"][0]["source"] = f"upload:{'0' * 64}"
    template = shop.make.template(shop.space, document)
    with shop.make.database.transaction(shop.space.id) as db:
        local = next(each for each in list_connections(db, shop.space.id) if each.provider == "local")
        set_default_connection(db, local)
    run = shop.make.run(shop.make.feed(shop.space, b"sku,title\n1,One\n"), template, {"title": "title"})

    class Removed(Web):
        def access_object(self, request: ObjectRequest) -> ObjectResponse:
            return super().access_object(request.model_copy(update={"connection_id": uuid4()}))

    web = Removed(shop.make.database.transaction, shop.providers, SignedUrls("a secret"))
    worker = RenderWorker(web, shop.make.services.image_service, shop.make.services.providers.outbound)
    worker.render_chunk(SpecificationRequest(workspace_id=run.workspace_id, run_id=run.id, chunk=0), last_try=False)
    ended = shop.make.reload(run)
    assert (ended.done + ended.failed, ended.pending) == (1, 0)
    assert web.requested


def test_invalid_settings_of_another_connection_do_not_fail_a_run(shop: Shop) -> None:
    """As after an upgrade of a plugin."""
    with shop.make.database.transaction(shop.space.id) as db:
        local = next(each for each in list_connections(db, shop.space.id) if each.provider == "local")
        set_default_connection(db, local)
        db.get_one(Connection, (shop.space.id, shop.connection.id)).settings = {"unheard": "of"}
    run = shop.run(b"sku,title\n1,One\n")
    worker = RenderWorker(shop.web, shop.make.services.image_service, shop.make.services.providers.outbound)
    worker.render_chunk(SpecificationRequest(workspace_id=run.workspace_id, run_id=run.id, chunk=0), last_try=False)
    assert shop.make.reload(run).done == 1


def test_unreachable_web_application_fails_no_item(shop: Shop) -> None:
    run = shop.run(b"sku,title\n1,One\n2,Two\n")

    class Away(Web):
        def access_object(self, request: ObjectRequest) -> ObjectResponse:
            raise httpx.ConnectError("refused")

    away = Away(shop.make.database.transaction, shop.providers, SignedUrls("a secret"))
    with pytest.raises(httpx.ConnectError):
        shop.render(run, away)
    untouched = shop.make.reload(run)
    assert (untouched.done, untouched.failed) == (0, 0)
    assert shop.render(run).done == 2


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (403, PermissionDeniedError),
        (404, BucketNotFoundError),
        (429, StorageThrottledError),
        (503, StorageThrottledError),
        (500, StorageUnreachableError),
        (302, StorageError),
        (400, StorageError),
    ],
)
def test_status_of_a_put_becomes_a_storage_error(status: int, kind: type[StorageError]) -> None:
    with (
        fixed_response_server(404, "") as nowhere,
        fixed_response_server(status, "<Error/>") as address,
        presigned_bucket(nowhere, store=address) as bucket,
    ):
        assert bucket.find_image(KEY_OF_IMAGE, NO_LABEL) is None
        with pytest.raises(StorageError) as caught:
            bucket.put_image(KEY_OF_IMAGE, b"image", NO_LABEL, content_type=IMAGE)
    assert type(caught.value) is kind


def test_reading_a_missing_object_raises_not_found() -> None:
    with (
        fixed_response_server(404, "") as address,
        presigned_bucket(address) as bucket,
        pytest.raises(ObjectNotFoundError),
    ):
        list(bucket.stream(KEY_OF_IMAGE))


def test_unreachable_storage_does_not_leak_the_presigned_url() -> None:
    with fixed_response_server(200, "") as address:
        pass  # closed: no server listens there any longer
    with (
        presigned_bucket(address, "/?X-Amz-Signature=secret") as bucket,
        pytest.raises(StorageUnreachableError) as caught,
    ):
        list(bucket.stream(KEY_OF_IMAGE))
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "url",
    [
        "https://169.254.169.254/latest/meta-data",
        "https://elsewhere.example/",
        "http://storage.example/",
        "https://storage.example:8443/",
        "https://storage.example/",
    ],
)
def test_urls_outside_the_hosts_or_inside_the_network_are_blocked(url: str) -> None:
    connection = DelegatedConnection(
        workspace_id=UUID(int=1), connection_id=UUID(int=2), is_presigned=True, hosts=("storage.example",)
    )
    outbound = OutboundPolicy(("storage.example",), resolver=lambda host, port: ["10.0.0.8"])
    with PresignedBucket(FixedResponse(PresignedUrls(get=url, put=url)), UUID(int=3), connection, outbound) as bucket:
        with pytest.raises(BlockedAddressError):
            list(bucket.stream(KEY_OF_IMAGE))
        with pytest.raises(BlockedAddressError):
            bucket.find_image(KEY_OF_IMAGE, NO_LABEL)
        with pytest.raises(BlockedAddressError):
            bucket.put_image(KEY_OF_IMAGE, b"", NO_LABEL, content_type=IMAGE)


def test_storage_failures_become_storage_errors() -> None:
    for trouble, kind in (
        (StorageFailure(message="later", is_temporary=True), StorageUnreachableError),
        (StorageFailure(message="no", is_temporary=False), StorageError),
    ):
        connection = delegated()
        with PresignedBucket(FixedResponse(trouble), UUID(int=3), connection, OutboundPolicy(())) as bucket:
            with pytest.raises(StorageError, match=trouble.message) as caught:
                list(bucket.stream(KEY_OF_IMAGE))
            assert type(caught.value) is kind


def test_unreachable_storage_retries_the_chunk_and_fails_it_on_the_last_try(make: Factory) -> None:
    with fixed_response_server(503, "<Error><Code>SlowDown</Code></Error>") as address:
        shop = Shop(make, address)
        run = shop.run(b"sku,title\n1,One\n")
        with pytest.raises(StorageUnreachableError):
            shop.render(run)
        assert shop.make.reload(run).failed == 0
        run = shop.render(run, last_try=True)
        assert run.failed == 1
    with make.database.transaction(shop.space.id) as db:
        assert [item.error for item, _ in results_after(db, run)] == [STORAGE_FAILED]


def test_throttling_storage_delays_a_run_without_losses(make: Factory) -> None:
    """The job is retried after at most a minute, and the run is completed once the storage answers."""
    with fixed_response_server(503, "<Error><Code>SlowDown</Code></Error>") as address:
        shop = Shop(make, address)
        run = shop.run(b"sku,title\n1,One\n2,Two\n")
        waits = []
        for _ in range(8):
            run_jobs(
                make.services.settings.database.url.get_secret_value(), RENDER_QUEUE, {"render_worker": shop.worker()}
            )
            waits.append(seconds_until_retry(make))
            make_job_due(make)
    assert [round(wait, -1) for wait in waits[-3:]] == [30, 60, 60]
    assert sorted(waits) == pytest.approx(waits, abs=1)
    run = make.reload(run)
    assert (run.done, run.failed, run.finished_at) == (0, 0, None)
    with moto_server() as address:
        again = ProviderRegistry({"s3": {"endpoint": address}}, allow=[host_of(address)], ring=make.services.ring)
        web = dataclasses.replace(shop.web, providers=again)
        outbound = partial(OutboundPolicy, allow=[host_of(address)])
        worker = RenderWorker(web, make.services.image_service, outbound)
        run_jobs(make.services.settings.database.url.get_secret_value(), RENDER_QUEUE, {"render_worker": worker})
    run = make.reload(run)
    assert (run.done, run.failed) == (2, 0)
    assert run.finished_at is not None


def seconds_until_retry(make: Factory) -> float:
    """In how many seconds the chunk's job is due."""
    with make.database.transaction() as db:
        due = "SELECT extract(epoch FROM scheduled_at - now()) FROM procrastinate_jobs WHERE queue_name = :queue"
        return float(db.scalars(text(due), {"queue": RENDER_QUEUE}).one())


def make_job_due(make: Factory) -> None:
    with make.database.transaction() as db:
        due = "UPDATE procrastinate_jobs SET scheduled_at = NULL WHERE queue_name = :queue"
        db.execute(text(due), {"queue": RENDER_QUEUE})


class FixedResponse:
    """A web application with one response."""

    def __init__(self, response: ObjectResponse) -> None:
        self._response = response

    def access_object(self, request: ObjectRequest) -> ObjectResponse:
        return self._response


def delegated(hosts: tuple[str, ...] = ()) -> DelegatedConnection:
    return DelegatedConnection(workspace_id=UUID(int=1), connection_id=UUID(int=2), is_presigned=True, hosts=hosts)


def presigned_bucket(address: str, path: str = "/", store: str = "") -> PresignedBucket:
    """A bucket whose URLs lead to one server, or to one for GET and one for PUT, which the operator allows."""
    hosts = (host_of(address), host_of(store or address))
    connection = DelegatedConnection(
        workspace_id=UUID(int=1), connection_id=UUID(int=2), is_presigned=True, hosts=hosts
    )
    urls = PresignedUrls(get=address + path, put=(store or address) + path)
    return PresignedBucket(FixedResponse(urls), UUID(int=3), connection, OutboundPolicy(hosts, hosts))


@pytest.mark.parametrize(
    ("status", "headers", "size"),
    [
        (206, {"Content-Range": "bytes 0-0/12345"}, 12345),
        (200, {}, 8),
        (403, {}, None),
        (404, {}, None),
        (416, {"Content-Range": "bytes */0"}, None),
        (206, {"Content-Range": "bytes 0-0/*"}, None),
    ],
)
def test_head_requests_the_first_byte(http_server: Any, status: int, headers: dict[str, str], size: int | None) -> None:
    http_server.paths["/image"] = (status, headers, b"an image")
    with presigned_bucket(http_server.url(""), "/image") as bucket:
        assert bucket.find_image(KEY_OF_IMAGE, NO_LABEL) == size


def test_large_object_is_streamed_in_parts(http_server: Any) -> None:
    body = bytes(range(256)) * 4096
    http_server.paths["/image"] = (200, {}, body)
    with presigned_bucket(http_server.url(""), "/image") as bucket:
        parts = list(bucket.stream(KEY_OF_IMAGE))
        assert (b"".join(parts), len(parts)) == (body, 4)
        assert read_at_most(bucket, KEY_OF_IMAGE, len(body)) == body
        with pytest.raises(ObjectTooLargeError):
            read_at_most(bucket, KEY_OF_IMAGE, len(body) - 1)


def test_images_of_a_chunk_reuse_the_connection() -> None:
    """A TLS handshake takes longer than an image."""
    connections = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def setup(self) -> None:
            connections.append(self)
            super().setup()

        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.answer(200, b"<Stored/>")

        def do_GET(self) -> None:
            self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")

        def answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    with presigned_bucket(f"http://127.0.0.1:{server.server_port}") as bucket:
        for number in range(5):
            key = image_key(UUID(int=1), f"{number:064x}", "jpg")
            assert bucket.find_image(key, NO_LABEL) is None
            bucket.put_image(key, b"image", NO_LABEL, content_type=IMAGE)
    server.shutdown()
    server.server_close()
    thread.join()
    assert len(connections) == 1
