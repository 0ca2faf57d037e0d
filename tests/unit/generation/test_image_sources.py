from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest

from cwz_web.generation.image_sources import ImageSources
from cwz_web.imaging.decoding import Source
from cwz_web.imaging.errors import SourceMissingError
from cwz_web.net.client import Fetcher
from cwz_web.storage.connections import upload_key
from cwz_web.storage.contract import Bucket, ObjectNotFoundError, StorageUnreachableError
from cwz_web.storage.plugins import Place
from cwz_web.storage.uploads import Uploads
from cwz_web.web.services import Services
from tests.conftest import Canary
from tests.factories import jpeg, local_bucket

SPACE = uuid4()


def place(number: int) -> Place:
    return Place(workspace_id=SPACE, connection_id=UUID(int=number), provider="local", settings="{}")


def at(workspace_id: UUID, *buckets: Bucket) -> Uploads:
    """The originals of a workspace that has these buckets."""
    places = [place(number) for number in range(len(buckets))]
    return Uploads(workspace_id, places, lambda where: buckets[where.connection_id.int])


class Broken:
    """A bucket of a storage that does not answer."""

    def stream(self, key: str) -> Iterator[bytes]:
        raise StorageUnreachableError("down")


def test_an_original_is_found_in_whichever_connection_has_it(services: Services) -> None:
    here, source = local_bucket(services), Source.of(jpeg(62))
    here.put(upload_key(SPACE, source.digest), source.data, content_type="image/jpeg")
    broken: Any = Broken()
    assert at(SPACE, broken, here).get(source.digest, 10**6) == source.data
    with pytest.raises(StorageUnreachableError):
        at(SPACE, here, broken).get("0" * 64, 10**6)
    with pytest.raises(ObjectNotFoundError):
        at(SPACE, here).get("0" * 64, 10**6)


def test_something_endless_in_the_place_of_an_original_is_read_as_far_as_a_image_may_be_large() -> None:
    endless: Any = Endless()
    with pytest.raises(SourceMissingError, match="larger than 20 MB"):
        ImageSources(Fetcher()).load(at(SPACE, endless), f"original:{'0' * 64}")
    assert endless.read == 21


class Endless:
    """A bucket in which everything is endless; counts the megabytes that are read."""

    read = 0

    def stream(self, key: str) -> Iterator[bytes]:
        while True:
            self.read += 1
            yield bytes(1024 * 1024)


def test_a_image_of_the_web_is_fetched_once(http_server: Canary, services: Services) -> None:
    http_server.paths["/a.jpg"] = (200, {}, jpeg())
    sources, bucket = ImageSources(Fetcher([http_server.host])), local_bucket(services)
    for _ in range(3):
        assert sources.load(at(SPACE, bucket), http_server.url("/a.jpg")).data == jpeg()
    assert http_server.seen == ["/a.jpg"]


def test_an_original_is_found_in_its_own_workspace_only(services: Services) -> None:
    sources, bucket = ImageSources(Fetcher()), local_bucket(services)
    source = Source.of(jpeg(61))
    bucket.put(upload_key(SPACE, source.digest), source.data, content_type="image/jpeg")
    assert sources.load(at(SPACE, bucket), f"original:{source.digest}") == source
    with pytest.raises(SourceMissingError, match="does not keep this image"):
        sources.load(at(uuid4(), bucket), f"original:{source.digest}")


def test_a_host_that_does_not_answer_is_not_asked_for_every_row(services: Services) -> None:
    asked: list[str] = []

    def nobody(host: str, port: int) -> list[str]:
        asked.append(host)
        raise OSError

    sources, bucket = ImageSources(Fetcher(resolver=nobody)), local_bucket(services)
    for number in range(5):
        with pytest.raises(SourceMissingError, match="could not be reached"):
            sources.load(at(SPACE, bucket), f"https://dead.example/{number}.jpg")
    assert asked == ["dead.example"]


@pytest.mark.parametrize(
    "reference",
    [
        "",
        "image.jpg",
        "file:///etc/passwd",
        "original:../../etc/passwd",
        "data:image/png;base64,AA",
        "http://127.0.0.1/x.jpg",
    ],
)
def test_what_names_no_image_is_missing(services: Services, reference: str) -> None:
    with pytest.raises(SourceMissingError):
        ImageSources(Fetcher()).load(at(SPACE, local_bucket(services)), reference)
