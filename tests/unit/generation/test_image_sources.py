import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest

from cwz_web.generation.image_sources import MAX_INTERRUPTIONS, FetchLimits, ImageSources, PhotoState
from cwz_web.i18n import translate, use_locale
from cwz_web.imaging.decoding import Source
from cwz_web.imaging.errors import SourceMissingError
from cwz_web.net.client import Fetcher
from cwz_web.storage.connections import upload_key
from cwz_web.storage.contract import ObjectNotFoundError, StorageUnreachableError
from cwz_web.storage.plugins import ConnectionSpec
from cwz_web.storage.uploads import Uploads
from cwz_web.web.services import Services
from tests.conftest import RecordingServer
from tests.factories import jpeg, local_bucket
from tests.installation import free_port

WORKSPACE_ID = uuid4()


class UnreachableBucket:
    """A bucket of a storage that does not respond."""

    def stream(self, key: str) -> Iterator[bytes]:
        raise StorageUnreachableError("unreachable")


class EndlessBucket:
    """A bucket whose objects are endless; it counts the megabytes that are read."""

    megabytes_read = 0

    def stream(self, key: str) -> Iterator[bytes]:
        while True:
            self.megabytes_read += 1
            yield bytes(1024 * 1024)


def uploads_in(workspace_id: UUID, *buckets: Any) -> Uploads:
    """Return the uploads of a workspace with these buckets."""
    connections = [
        ConnectionSpec(workspace_id=WORKSPACE_ID, connection_id=UUID(int=number), provider="local", settings="{}")
        for number in range(len(buckets))
    ]
    return Uploads(workspace_id, connections, lambda connection: buckets[connection.connection_id.int])


def test_upload_is_found_in_any_connection(services: Services) -> None:
    bucket, source = local_bucket(services), Source.of(jpeg(62))
    bucket.put(upload_key(WORKSPACE_ID, source.digest), source.data, content_type="image/jpeg")
    unreachable = UnreachableBucket()
    assert uploads_in(WORKSPACE_ID, unreachable, bucket).get(source.digest, 10**6) == source.data
    with pytest.raises(StorageUnreachableError):
        uploads_in(WORKSPACE_ID, bucket, unreachable).get("0" * 64, 10**6)
    with pytest.raises(ObjectNotFoundError):
        uploads_in(WORKSPACE_ID, bucket).get("0" * 64, 10**6)


def test_too_large_upload_is_read_up_to_the_limit() -> None:
    bucket = EndlessBucket()
    with pytest.raises(SourceMissingError, match="larger than 20 MB"):
        ImageSources(Fetcher()).load(uploads_in(WORKSPACE_ID, bucket), f"upload:{'0' * 64}")
    assert bucket.megabytes_read == 21


def test_url_is_fetched_once(http_server: RecordingServer, services: Services) -> None:
    http_server.paths["/a.jpg"] = (200, {}, jpeg())
    sources, uploads = ImageSources(Fetcher([http_server.host])), uploads_in(WORKSPACE_ID, local_bucket(services))
    for _ in range(3):
        assert sources.load(uploads, http_server.url("/a.jpg")).data == jpeg()
    assert http_server.seen == ["/a.jpg"]


@pytest.mark.usefixtures("bracketed_german")
def test_errors_are_english_and_translated_where_they_are_shown(
    http_server: RecordingServer, services: Services
) -> None:
    sources = ImageSources(Fetcher([http_server.host]))
    with use_locale("de"):
        with pytest.raises(SourceMissingError, match=r"^The server answered with status 404$") as error:
            sources.load(uploads_in(WORKSPACE_ID, local_bucket(services)), http_server.url("/missing.jpg"))
        assert translate(str(error.value)) == "[The server answered with status 404]"


def test_upload_is_found_in_its_own_workspace_only(services: Services) -> None:
    sources, bucket = ImageSources(Fetcher()), local_bucket(services)
    source = Source.of(jpeg(61))
    bucket.put(upload_key(WORKSPACE_ID, source.digest), source.data, content_type="image/jpeg")
    assert sources.load(uploads_in(WORKSPACE_ID, bucket), f"upload:{source.digest}") == source
    with pytest.raises(SourceMissingError, match="no longer exists"):
        sources.load(uploads_in(uuid4(), bucket), f"upload:{source.digest}")


def test_unreachable_host_is_not_tried_for_every_row(services: Services) -> None:
    resolved: list[str] = []

    def fail_to_resolve(host: str, port: int) -> list[str]:
        resolved.append(host)
        raise OSError

    sources = ImageSources(Fetcher(resolver=fail_to_resolve))
    for number in range(5):
        with pytest.raises(SourceMissingError, match="its host is unknown"):
            sources.load(uploads_in(WORKSPACE_ID, local_bucket(services)), f"https://dead.example/{number}.jpg")
    assert resolved == ["dead.example"]


def test_dead_origin_of_a_workspace_is_no_dead_origin_of_another(
    http_server: RecordingServer, services: Services
) -> None:
    """Nor is another port of the host."""
    http_server.paths["/a.jpg"] = (200, {}, jpeg())
    closed = f"127.0.0.1:{free_port()}"
    sources = ImageSources(Fetcher([http_server.host, closed]))
    ours, other = (uploads_in(workspace_id, local_bucket(services)) for workspace_id in (WORKSPACE_ID, uuid4()))
    http_server.paths["/cut.jpg"] = (200, {"Content-Length": "10"}, b"short")
    for _ in range(MAX_INTERRUPTIONS):
        with pytest.raises(SourceMissingError, match="closed the connection"):
            sources.load(other, http_server.url("/cut.jpg"))
    with pytest.raises(SourceMissingError, match="closed the connection"):
        sources.load(other, http_server.url("/a.jpg"))
    with pytest.raises(SourceMissingError, match="could not be reached"):
        sources.load(ours, f"http://{closed}/a.jpg")
    assert sources.load(ours, http_server.url("/a.jpg")).data == jpeg()


def test_limits_end_fetches_and_not_what_is_cached(http_server: RecordingServer, services: Services) -> None:
    http_server.paths["/a.jpg"] = (200, {}, jpeg())
    sources, uploads = ImageSources(Fetcher([http_server.host])), uploads_in(WORKSPACE_ID, local_bucket(services))
    admitted: list[None] = []
    sources.load(uploads, http_server.url("/a.jpg"), limits=FetchLimits(admit=lambda: admitted.append(None)))
    over = FetchLimits(time.monotonic(), lambda: admitted.append(None))
    assert sources.load(uploads, http_server.url("/a.jpg"), limits=over).data == jpeg()
    with pytest.raises(SourceMissingError, match="no time left") as error:
        sources.load(uploads, http_server.url("/b.jpg"), limits=over)
    assert error.value.is_temporary
    assert len(admitted) == 2
    assert http_server.seen == ["/a.jpg"]


def test_first_of_several_urls_is_fetched(http_server: RecordingServer, services: Services) -> None:
    http_server.paths["/gro%C3%9F%201.jpg"] = (200, {}, jpeg())
    sources, uploads = ImageSources(Fetcher([http_server.host])), uploads_in(WORKSPACE_ID, local_bucket(services))
    cell = f' "HTTP://{http_server.host}/groß 1.jpg" | {http_server.url("/2.jpg")}'
    assert sources.load(uploads, cell).data == jpeg()
    assert http_server.seen == ["/gro%C3%9F%201.jpg"]


@pytest.mark.parametrize(("status", "is_temporary"), [(404, False), (403, False), (503, True), (429, True)])
def test_temporary_and_permanent_status_differ(
    http_server: RecordingServer, services: Services, status: int, is_temporary: bool
) -> None:
    http_server.paths["/a.jpg"] = (status, {"Retry-After": "7"}, b"")
    sources, uploads = ImageSources(Fetcher([http_server.host])), uploads_in(WORKSPACE_ID, local_bucket(services))
    for _ in range(2):  # a host that responds is asked again
        with pytest.raises(SourceMissingError, match=f"status {status}") as error:
            sources.load(uploads, http_server.url("/a.jpg"))
        assert (error.value.is_temporary, error.value.retry_after) == (is_temporary, 7)
    assert len(http_server.seen) == 2


def test_host_with_interrupted_responses_is_left_alone(http_server: RecordingServer, services: Services) -> None:
    http_server.paths |= {"/cut.jpg": (200, {"Content-Length": "10"}, b"short"), "/a.jpg": (200, {}, jpeg())}
    sources, uploads = ImageSources(Fetcher([http_server.host])), uploads_in(WORKSPACE_ID, local_bucket(services))
    for _ in range(MAX_INTERRUPTIONS + 2):
        with pytest.raises(SourceMissingError, match="closed the connection") as error:
            sources.load(uploads, http_server.url("/cut.jpg"))
        assert error.value.is_temporary
    assert len(http_server.seen) == MAX_INTERRUPTIONS
    with pytest.raises(SourceMissingError, match="closed the connection"):
        sources.load(uploads, http_server.url("/a.jpg"))


def test_unchanged_photo_is_not_sent_again(http_server: RecordingServer, services: Services) -> None:
    http_server.paths["/a.jpg"] = (200, {"ETag": '"1"'}, jpeg())
    sources, uploads = ImageSources(Fetcher([http_server.host])), uploads_in(WORKSPACE_ID, local_bucket(services))
    url = http_server.url("/a.jpg")
    known = PhotoState.of(url, sources.load(uploads, url))
    now = time.monotonic()
    for _ in range(2):
        unchanged = sources.load(uploads, url, known=known, newer_than=now)
        assert (unchanged.data, unchanged.digest) == (b"", known.digest)
    assert [headers.get("If-None-Match") for headers in http_server.headers] == [None, '"1"']
    http_server.paths["/a.jpg"] = (200, {"ETag": '"2"'}, jpeg(99))
    assert sources.load(uploads, url, known=known, newer_than=time.monotonic()).data == jpeg(99)
    assert sources.load(uploads, url).data == jpeg(99)


def test_conditional_requests_have_a_rate_for_each_host(
    http_server: RecordingServer, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr("cwz_web.generation.image_sources.time.sleep", waits.append)
    monkeypatch.setattr("cwz_web.generation.image_sources.REVALIDATIONS_PER_SECOND", 0.001)
    sources, uploads = ImageSources(Fetcher([http_server.host])), uploads_in(WORKSPACE_ID, local_bucket(services))
    for number in range(3):
        http_server.paths[f"/{number}.jpg"] = (200, {"ETag": '"1"'}, jpeg())
        url = http_server.url(f"/{number}.jpg")
        known = PhotoState.of(url, sources.load(uploads, url))
        sources.load(uploads, url, known=known, newer_than=time.monotonic())
    assert [round(wait, -2) for wait in waits] == [0, 1000, 2000]


def test_photo_without_validators_is_compared_by_its_bytes(http_server: RecordingServer, services: Services) -> None:
    http_server.paths["/a.jpg"] = (200, {"ETag": '"' + "x" * 500 + '"'}, jpeg())
    sources, uploads = ImageSources(Fetcher([http_server.host])), uploads_in(WORKSPACE_ID, local_bucket(services))
    url = http_server.url("/a.jpg")
    known = PhotoState.of(url, sources.load(uploads, url))
    assert known.headers == {}
    assert sources.load(uploads, url, known=known, newer_than=time.monotonic()).digest == known.digest
    assert http_server.seen == ["/a.jpg"] * 2


@pytest.mark.parametrize(
    "reference",
    [
        "",
        "image.jpg",
        "file:///etc/passwd",
        "upload:../../etc/passwd",
        "data:image/png;base64,AA",
        "http://127.0.0.1/x.jpg",
    ],
)
def test_invalid_reference_is_a_missing_source(services: Services, reference: str) -> None:
    with pytest.raises(SourceMissingError):
        ImageSources(Fetcher()).load(uploads_in(WORKSPACE_ID, local_bucket(services)), reference)
