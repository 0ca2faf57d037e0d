"""Photos that image processors change, in runs: planned, reserved, and counted once."""

from collections.abc import Iterator
from types import MappingProxyType

import pytest
from sqlalchemy import select

from cwz_web.generation.image_service import ImageService
from cwz_web.generation.image_sources import ImageSources
from cwz_web.generation.models import ProcessedPhoto
from cwz_web.generation.photo_processing import PhotoProcessing
from cwz_web.imaging.engine import Engine
from cwz_web.net.client import Fetcher
from cwz_web.runs import planning
from cwz_web.runs.local_client import LocalRenderClient
from cwz_web.runs.models import Run
from cwz_web.runs.planning import cancel_run
from cwz_web.runs.progress import findings_of
from cwz_web.runs.render_worker import RenderWorker
from tests.conftest import RecordingServer
from tests.factories import Factory, jpeg, small_document
from tests.image_processors import REFUSE, Green
from tests.unit.runs.test_missing_photos import SIGNED_URLS, Shop

GREEN = MappingProxyType({"green": Green()})


@pytest.fixture(scope="module")
def shared_processing() -> Iterator[PhotoProcessing]:
    processing = PhotoProcessing(GREEN)
    yield processing
    processing.close()


@pytest.fixture
def processing(shared_processing: PhotoProcessing, monkeypatch: pytest.MonkeyPatch) -> PhotoProcessing:
    """With nothing cached, but in the process of the other tests: it takes longer to start than a test."""
    processing = PhotoProcessing(GREEN)
    monkeypatch.setattr(processing, "_processes", shared_processing._processes)
    return processing


@pytest.fixture
def shop(
    make: Factory, http_server: RecordingServer, processing: PhotoProcessing, monkeypatch: pytest.MonkeyPatch
) -> Shop:
    monkeypatch.setattr(planning, "installed_processors", lambda: GREEN)
    http_server.paths |= {f"/{n}.jpg": (200, {}, jpeg(20 + n)) for n in (1, 2)}
    space = make.workspace()
    rows = "sku,title,image\n1,One,HOST/1.jpg\n2,Two,HOST/2.jpg\n".replace("HOST", http_server.url(""))
    client = LocalRenderClient(make.database.transaction, make.services.providers, SIGNED_URLS)
    service = ImageService(Engine(), ImageSources(Fetcher([http_server.host])), processing=processing)
    worker = RenderWorker(client, service, make.services.providers.outbound)
    shop = Shop(make, http_server, make.template(space), make.feed(space, rows.encode()), worker)
    publish(shop, "Title")
    return shop


def publish(shop: Shop, title: str) -> None:
    document = small_document()
    document["layers"][0]["process"] = "green"
    document["layers"].append({"type": "text", "name": "Extra", "text": title, "size": 12, "width": 90, "height": 20})
    shop.publish(document)


def test_processing_is_planned_and_counted_once(shop: Shop) -> None:
    plan = shop.plan()
    assert (plan.to_render, plan.processing_cost, plan.reserved) == (2, 2, 6)
    run = shop.start()
    assert shop.used == 6
    run = shop.render(run)
    assert (run.done, run.findings, shop.used) == (2, 0, 6)
    publish(shop, "Another title")
    run = shop.start()
    assert shop.used == 12, "it is not known yet whether the photos are the same"
    run = shop.render(run)
    assert (run.done, run.unchanged, shop.used) == (2, 0, 8)
    with shop.make.database.transaction(run.workspace_id) as db:
        assert [photo.cost for photo in db.scalars(select(ProcessedPhoto))] == [2, 2]


def test_rows_with_one_photo_share_its_cost(shop: Shop) -> None:
    shop.host.paths["/2.jpg"] = shop.host.paths["/1.jpg"]
    run = shop.render(shop.start())
    assert (run.done, shop.used) == (2, 4)


def test_photo_that_is_not_processed_is_a_finding_and_not_counted(shop: Shop) -> None:
    shop.host.paths["/1.jpg"] = (200, {}, jpeg(REFUSE))
    run = shop.render(shop.start())
    assert (run.done, run.findings, shop.used) == (2, 1, 4)
    with shop.make.database.transaction(run.workspace_id) as db:
        [row] = findings_of(db, run)
    assert "shows the photo as it is, without green: the photo is not green enough" in str(row)


def test_canceled_run_refunds_what_it_reserved(shop: Shop) -> None:
    run = shop.start()
    with shop.make.database.transaction(run.workspace_id) as db:
        cancel_run(db, db.get_one(Run, (run.workspace_id, run.id)))
    assert shop.used == 0
    assert (shop.retry(run).done, shop.used) == (2, 6)


def test_failed_processing_is_repeated_in_another_run(
    shop: Shop, processing: PhotoProcessing, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = shop.render(shop.start())
    monkeypatch.setattr(processing, "_processors", MappingProxyType({}))
    forced = shop.render(shop.start(force=True))
    assert (first.findings, forced.findings) == (0, 2)
    names = [{item.image_id for item in shop.items(run)} for run in (first, forced)]
    assert names[0].isdisjoint(names[1]), "an image without its cut-out has another name"
