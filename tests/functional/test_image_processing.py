"""Photos that image processors change, in images on demand: counted once."""

from collections.abc import Iterator

import pytest
from webtest import TestApp

from cwz_web.generation.api_keys import Scope
from cwz_web.generation.photo_processing import PhotoProcessing
from cwz_web.generation.usage import monthly_usage
from cwz_web.imaging.decoding import Source
from cwz_web.storage.connections import upload_key
from tests.factories import Factory, api, jpeg, local_bucket, small_document
from tests.image_processors import REFUSE, Green


@pytest.fixture(scope="module")
def shared_processing() -> Iterator[PhotoProcessing]:
    processing = PhotoProcessing({"green": Green()})
    yield processing
    processing.close()


@pytest.fixture
def processing(shared_processing: PhotoProcessing, make: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    """With nothing cached, but in the process of the other tests: it takes longer to start than a test."""
    processing = PhotoProcessing({"green": Green()})
    monkeypatch.setattr(processing, "_processes", shared_processing._processes)
    monkeypatch.setattr(make.services.image_service, "_processing", processing)


@pytest.mark.usefixtures("processing")
@pytest.mark.parametrize("accept", ["image/png", "application/json"])
def test_processed_photo_counts_once(app: TestApp, make: Factory, accept: str) -> None:
    document = small_document()
    document["layers"][0]["process"] = "green"
    space = make.workspace()
    template, key = make.template(space, document=document), make.key(space)
    used = []
    for title, width in (("One", 30), ("Two", 30), ("Two", 30), ("Three", REFUSE)):
        photo = Source.of(jpeg(width))
        local_bucket(make.services).put(upload_key(space.id, photo.digest), photo.data, content_type="image/jpeg")
        data = {"title": title, "image": f"upload:{photo.digest}"}
        answer = api(app, key, {"template": template.slug, "data": data}, accept=accept)
        assert ("photo_unprocessed" in answer.headers.get("Findings", "")) == (width == REFUSE)
        with make.database.transaction(space.id) as db:
            used.append(monthly_usage(db, space.id, space.id))
    assert used == [3, 4, 4, 5]


@pytest.mark.usefixtures("processing")
def test_processed_photo_of_a_preview_counts_once(app: TestApp, make: Factory) -> None:
    document = small_document()
    document["layers"][0]["process"] = "green"
    space, photo = make.workspace(), Source.of(jpeg(30))
    template, key = make.template(space, document=document), make.key(space, Scope.TEMPLATES_WRITE, images_per_month=2)
    local_bucket(make.services).put(upload_key(space.id, photo.digest), photo.data, content_type="image/jpeg")
    body = {"data": {"image": f"upload:{photo.digest}"}}
    for expected, status in ((0, 200), (2, 200), (2, 402)):
        answer = app.post_json(
            f"/v1/templates/{template.slug}/preview",
            body if expected else {},
            headers={"Authorization": f"Bearer {key}"},
            status=status,
        )
        assert answer.content_type == ("image/png" if status == 200 else "application/problem+json")
        with make.database.transaction(space.id) as db:
            assert monthly_usage(db, space.id, space.id) == expected
