"""A worker without credentials, over signed addresses of a real S3 server on loopback."""

import dataclasses
import threading
from collections.abc import Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from pydantic import ValidationError
from sqlalchemy import text

from cwz_web.generation.image_service import ImageService
from cwz_web.generation.signed_urls import SignedUrls
from cwz_web.jobs import RENDER_QUEUE
from cwz_web.runs.local_client import LocalRenderClient
from cwz_web.runs.models import Run
from cwz_web.runs.presigned_storage import PresignedBucket
from cwz_web.runs.progress import results_after
from cwz_web.runs.protocol import Address, AskAddress, AskSpecification, RunGoneError, Trouble
from cwz_web.runs.worker import STORAGE_GAVE_UP, Worker
from cwz_web.storage.connections import connect, image_key, list_connections, make_default, upload_key
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
from cwz_web.storage.models import Connection
from cwz_web.storage.plugins import DelegatedConnection, Providers
from cwz_web.workspaces.models import Workspace
from tests.emulators import BUCKET, answering, host_of, moto_server
from tests.factories import Factory, jpeg, small_document
from tests.jobs import run_jobs

KEY, SECRET = "AKIACANARY0000000002", "canary/secret/of/the/customer/00000002"
IMAGE = "image/jpeg"
PLACE = image_key(UUID(int=1), "0" * 64, "jpg")


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    with moto_server() as address:
        yield address


@dataclasses.dataclass
class Web(LocalRenderClient):
    """The web application; notes what it told the worker, and what it was asked."""

    told: str = ""
    asked: list[str] = dataclasses.field(default_factory=list)

    def specification(self, ask: AskSpecification) -> Any:
        specification = super().specification(ask)
        self.told += specification.model_dump_json()
        return specification

    def address(self, ask: AskAddress) -> Address | Trouble:
        self.asked.append(ask.key)
        address = super().address(ask)
        self.told += address.model_dump_json()
        return address


class Shop:
    """A workspace whose storage is S3, and the two sides that talk about it."""

    def __init__(self, make: Factory, address: str) -> None:
        self.make = make
        self.space: Workspace = make.workspace()
        operator = {**make.services.settings.storage, "s3": {"endpoint": address}}
        self.allow = [host_of(address)]
        self.providers = Providers(operator, allow=self.allow, ring=make.services.ring)
        self.web = Web(make.database.transaction, self.providers, SignedUrls("a secret"))
        with make.database.transaction(self.space.id) as db:
            self.connection: Connection = connect(
                db,
                self.space.id,
                make.services.ring,
                provider="s3",
                name="Our bucket",
                settings={"region": "us-east-1", "bucket": BUCKET, "endpoint": "standard"},
                secrets={"access_key_id": KEY, "secret_access_key": SECRET},
            )
            make_default(db, self.connection)

    @property
    def bucket(self) -> Bucket:
        return self.providers.open(self.connection.place)

    def worker(self, web: Any = None) -> Worker:
        """A worker that has no keys, and was told nothing of S3."""
        return Worker(web or self.web, self.make.services.image_service, Providers({}, allow=self.allow))

    def run(self, rows: bytes, document: dict[str, Any] | None = None) -> Run:
        run: Run = self.make.run(
            self.make.feed(self.space, rows), self.make.template(self.space, document), {"title": "title"}
        )
        return run

    def render(self, run: Run, web: Any = None, *, last_try: bool = False) -> Run:
        ask = AskSpecification(workspace_id=run.workspace_id, run_id=run.id, chunk=0)
        self.worker(web).render_chunk(ask, last_try=last_try)
        rendered: Run = self.make.reload(run)
        return rendered

    def ask(self, run: Run, **changed: Any) -> AskAddress:
        about = {"workspace_id": self.space.id, "run_id": run.id, "connection_id": self.connection.id}
        return AskAddress(**(about | {"key": image_key(self.space.id, "0" * 64, "jpg")} | changed))


@pytest.fixture
def shop(make: Factory, moto: str) -> Shop:
    return Shop(make, moto)


def test_images_are_stored_by_a_worker_that_holds_no_credentials(shop: Shop) -> None:
    run = shop.render(shop.run(b"sku,title\n1,One\n2,Two\n"))
    assert (run.done, run.failed) == (2, 0)
    stored = list(shop.bucket.list(f"{shop.space.id}/images/"))
    assert len(stored) == 2
    assert all(shop.bucket.get(each.key).startswith(b"\xff\xd8") for each in stored)
    assert {shop.bucket.head(each.key).content_type for each in stored} == {IMAGE}
    assert sorted(shop.web.asked) == [each.key for each in stored], "one question an image"
    for secret in (SECRET, shop.connection.place.sealed, BUCKET + '"'):
        assert secret not in shop.web.told
    assert "X-Amz-Signature" in shop.web.told


def test_a_image_that_is_stored_already_is_not_rendered_again(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    rendered: list[Any] = []
    finish = ImageService.finish
    monkeypatch.setattr(
        ImageService, "finish", lambda image_service, order: rendered.append(order) or finish(image_service, order)
    )
    template = shop.make.template(shop.space)
    first = shop.render(shop.make.order(template, title="One"))
    again = shop.render(shop.make.order(template, title="One"))
    assert (first.done, again.done) == (1, 1)
    assert len(shop.web.asked) == 2
    assert len(rendered) == 1


def test_originals_are_read_by_a_signed_address(shop: Shop) -> None:
    data = jpeg(color=(10, 200, 30))
    digest = sha256(data).hexdigest()
    shop.bucket.put(upload_key(shop.space.id, digest), data, content_type=IMAGE)
    document = small_document()
    document["layers"][0]["source"] = f"original:{digest}"
    document["layers"][0]["missing"] = "fail"
    run = shop.render(shop.run(b"sku,title\n1,One\n", document))
    assert (run.done, run.failed) == (1, 0)
    assert upload_key(shop.space.id, digest) in shop.web.asked


def test_an_original_that_is_nowhere_is_missing_in_words(shop: Shop) -> None:
    document = small_document()
    document["layers"][0]["source"] = f"original:{'0' * 64}"
    document["layers"][0]["missing"] = "fail"
    run = shop.render(shop.run(b"sku,title\n1,One\n", document))
    assert (run.done, run.failed) == (0, 1)


def test_only_keys_of_the_workspace_can_be_asked_for(shop: Shop) -> None:
    run = shop.run(b"sku,title\n1,One\n")
    mine = str(shop.space.id)
    for key in (
        image_key(uuid4(), "0" * 64, "jpg"),
        f"{mine}/feeds/secret.csv",
        f"{mine}/images/00/../{'0' * 64}.jpg",
        f"{mine}/images/00/{'0' * 64}.html",
        f"{mine}/images/00/{'0' * 64}",
        f"{mine}/originals/{'0' * 64}.jpg",
        f"{mine}/originals/{'0' * 64}\n",
        mine,
        "",
    ):
        with pytest.raises(ValidationError):
            shop.ask(run, key=key)


def test_a_connection_or_a_run_of_another_workspace_is_not_there(shop: Shop, make: Factory, moto: str) -> None:
    other = Shop(make, moto)
    run = shop.run(b"sku,title\n1,One\n")
    for connection_id in (other.connection.id, uuid4()):
        assert isinstance(shop.web.address(shop.ask(run, connection_id=connection_id)), Trouble)
    for run_id in (other.run(b"sku,title\n1,One\n").id, uuid4()):
        with pytest.raises(RunGoneError):
            shop.web.address(shop.ask(run, run_id=run_id))
    assert isinstance(shop.web.address(shop.ask(run)), Address)


def test_a_connection_that_is_removed_meanwhile_ends_no_chunk(shop: Shop) -> None:
    """Only an original may be looked for in another connection than the run's; it is then nowhere, in words."""
    document = small_document()
    document["layers"][0]["source"] = f"original:{'0' * 64}"
    template = shop.make.template(shop.space, document)
    with shop.make.database.transaction(shop.space.id) as db:
        local = next(each for each in list_connections(db, shop.space.id) if each.provider == "local")
        make_default(db, local)
    run = shop.make.run(shop.make.feed(shop.space, b"sku,title\n1,One\n"), template, {"title": "title"})

    class Removed(Web):
        def address(self, ask: AskAddress) -> Address | Trouble:
            return super().address(ask.model_copy(update={"connection_id": uuid4()}))

    web = Removed(shop.make.database.transaction, shop.providers, SignedUrls("a secret"))
    worker = Worker(web, shop.make.services.image_service, shop.make.services.providers)
    worker.render_chunk(AskSpecification(workspace_id=run.workspace_id, run_id=run.id, chunk=0), last_try=False)
    ended = shop.make.reload(run)
    assert (ended.done + ended.failed, ended.pending) == (1, 0)
    assert web.asked


def test_settings_that_are_valid_no_more_end_no_other_connections_run(shop: Shop) -> None:
    """As after an upgrade of a plugin: the run goes elsewhere, and does not need them."""
    with shop.make.database.transaction(shop.space.id) as db:
        local = next(each for each in list_connections(db, shop.space.id) if each.provider == "local")
        make_default(db, local)
        db.get_one(Connection, (shop.space.id, shop.connection.id)).settings = {"unheard": "of"}
    run = shop.run(b"sku,title\n1,One\n")
    worker = Worker(shop.web, shop.make.services.image_service, shop.make.services.providers)
    worker.render_chunk(AskSpecification(workspace_id=run.workspace_id, run_id=run.id, chunk=0), last_try=False)
    assert shop.make.reload(run).done == 1


def test_a_web_that_goes_away_while_a_chunk_is_rendered_fails_no_row(shop: Shop) -> None:
    run = shop.run(b"sku,title\n1,One\n2,Two\n")

    class Away(Web):
        def address(self, ask: AskAddress) -> Address | Trouble:
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
def test_what_the_storage_answers_to_an_upload_becomes_an_error_in_words(status: int, kind: type[StorageError]) -> None:
    with (
        answering(404, "") as nowhere,
        answering(status, "<Error/>") as address,
        lent(nowhere, store=address) as bucket,
    ):
        with pytest.raises(ObjectNotFoundError):
            bucket.head(PLACE)
        with pytest.raises(StorageError) as caught:
            bucket.put(PLACE, b"image", content_type=IMAGE)
    assert type(caught.value) is kind


def test_reading_what_is_not_there_is_not_found() -> None:
    with answering(404, "") as address, lent(address) as bucket, pytest.raises(ObjectNotFoundError):
        list(bucket.stream(PLACE))


def test_a_storage_that_does_not_answer_is_tried_again_and_its_address_is_in_no_message() -> None:
    with answering(200, "") as address:
        pass  # closed: nobody listens there any more
    with lent(address, "/?X-Amz-Signature=secret") as bucket, pytest.raises(StorageUnreachableError) as caught:
        list(bucket.stream(PLACE))
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
def test_an_address_beside_the_storages_hosts_or_inside_the_network_is_refused(url: str) -> None:
    place = DelegatedConnection(workspace_id=UUID(int=1), connection_id=UUID(int=2), hosts=("storage.example",))
    inward = Providers({}, resolver=lambda host, port: ["10.0.0.8"])
    with PresignedBucket(
        Says(Address(read=url, store=url)), UUID(int=3), place, inward.outbound(place.hosts)
    ) as bucket:
        with pytest.raises(BlockedAddressError):
            list(bucket.stream(PLACE))
        with pytest.raises(BlockedAddressError):
            bucket.head(PLACE)
        with pytest.raises(BlockedAddressError):
            bucket.put(PLACE, b"", content_type=IMAGE)


def test_trouble_of_the_storage_reaches_the_worker_as_what_it_is() -> None:
    for trouble, kind in (
        (Trouble(message="later", passing=True), StorageUnreachableError),
        (Trouble(message="no", passing=False), StorageError),
    ):
        place = DelegatedConnection(workspace_id=UUID(int=1), connection_id=UUID(int=2), hosts=())
        with PresignedBucket(Says(trouble), UUID(int=3), place, Providers({}).outbound(())) as bucket:
            with pytest.raises(StorageError, match=trouble.message) as caught:
                list(bucket.stream(PLACE))
            assert type(caught.value) is kind


def test_a_storage_that_is_down_makes_the_chunk_wait_and_on_the_last_try_fail_in_words(make: Factory) -> None:
    with answering(503, "<Error><Code>SlowDown</Code></Error>") as address:
        shop = Shop(make, address)
        run = shop.run(b"sku,title\n1,One\n")
        with pytest.raises(StorageUnreachableError):
            shop.render(run)
        assert shop.make.reload(run).failed == 0
        run = shop.render(run, last_try=True)
        assert run.failed == 1
    with make.database.transaction(shop.space.id) as db:
        assert [item.error for item, _ in results_after(db, run)] == [STORAGE_GAVE_UP]


def test_a_storage_that_refuses_for_a_while_holds_a_run_up_and_loses_nothing(make: Factory) -> None:
    """The job waits longer each time, a minute at most, and the run is whole once the storage is back."""
    with answering(503, "<Error><Code>SlowDown</Code></Error>") as address:
        shop = Shop(make, address)
        run = shop.run(b"sku,title\n1,One\n2,Two\n")
        waits = []
        for _ in range(8):
            run_jobs(make.services.settings.database_url.get_secret_value(), RENDER_QUEUE, {"worker": shop.worker()})
            waits.append(wait_of_the_job(make))
            due_at_once(make)
    assert [round(wait, -1) for wait in waits[-3:]] == [30, 60, 60]
    assert sorted(waits) == pytest.approx(waits, abs=1)
    run = make.reload(run)
    assert (run.done, run.failed, run.finished_at) == (0, 0, None)
    with moto_server() as address:
        again = Providers({"s3": {"endpoint": address}}, allow=[host_of(address)], ring=make.services.ring)
        web = dataclasses.replace(shop.web, providers=again)
        worker = Worker(web, make.services.image_service, Providers({}, allow=[host_of(address)]))
        run_jobs(make.services.settings.database_url.get_secret_value(), RENDER_QUEUE, {"worker": worker})
    run = make.reload(run)
    assert (run.done, run.failed) == (2, 0)
    assert run.finished_at is not None


def wait_of_the_job(make: Factory) -> float:
    """In how many seconds the chunk's job is due."""
    with make.database.transaction() as db:
        due = "SELECT extract(epoch FROM scheduled_at - now()) FROM procrastinate_jobs WHERE queue_name = :queue"
        return float(db.scalars(text(due), {"queue": RENDER_QUEUE}).one())


def due_at_once(make: Factory) -> None:
    with make.database.transaction() as db:
        due = "UPDATE procrastinate_jobs SET scheduled_at = NULL WHERE queue_name = :queue"
        db.execute(text(due), {"queue": RENDER_QUEUE})


class Says:
    """A web application that gives one answer."""

    def __init__(self, answer: Address | Trouble) -> None:
        self._answer = answer

    def address(self, ask: AskAddress) -> Address | Trouble:
        return self._answer


def lent(address: str, path: str = "/", store: str = "") -> PresignedBucket:
    """A lent bucket at an address, or at one to read and one to store, that the operator allows."""
    hosts = (host_of(address), host_of(store or address))
    place = DelegatedConnection(workspace_id=UUID(int=1), connection_id=UUID(int=2), hosts=hosts)
    told = Address(read=address + path, store=(store or address) + path)
    return PresignedBucket(Says(told), UUID(int=3), place, Providers({}, allow=hosts).outbound(hosts))


@pytest.mark.parametrize(
    ("status", "headers", "size"),
    [
        (206, {"Content-Range": "bytes 0-0/12345"}, 12345),
        (200, {}, 9),
        (403, {}, None),
        (404, {}, None),
        (416, {"Content-Range": "bytes */0"}, None),
        (206, {"Content-Range": "bytes 0-0/*"}, None),
    ],
)
def test_whether_a_image_is_there_is_asked_for_with_its_first_byte(
    http_server: Any, status: int, headers: dict[str, str], size: int | None
) -> None:
    http_server.paths["/image"] = (status, headers, b"an image")
    with lent(http_server.url(""), "/image") as bucket:
        if size is None:
            with pytest.raises(ObjectNotFoundError):
                bucket.head(PLACE)
        else:
            assert bucket.head(PLACE).size == size


def test_a_large_object_is_read_in_parts_and_no_further_than_somebody_reads(http_server: Any) -> None:
    body = bytes(range(256)) * 4096
    http_server.paths["/image"] = (200, {}, body)
    with lent(http_server.url(""), "/image") as bucket:
        parts = list(bucket.stream(PLACE))
        assert (b"".join(parts), len(parts)) == (body, 4)
        assert read_at_most(bucket, PLACE, len(body)) == body
        with pytest.raises(ObjectTooLargeError):
            read_at_most(bucket, PLACE, len(body) - 1)


def test_images_of_a_chunk_share_a_connection() -> None:
    """A handshake an image would cost more than the image."""
    connections = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

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
    with lent(f"http://127.0.0.1:{server.server_port}") as bucket:
        for number in range(5):
            key = image_key(UUID(int=1), f"{number:064x}", "jpg")
            with pytest.raises(ObjectNotFoundError):
                bucket.head(key)
            bucket.put(key, b"image", content_type=IMAGE)
    server.shutdown()
    server.server_close()
    thread.join()
    assert len(connections) == 1
