"""Reports of render workers: what they may say, and what follows."""

from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import select

from cwz_web.generation.images import StoredImage
from cwz_web.generation.models import Image
from cwz_web.imaging.findings import Finding, FindingCode
from cwz_web.runs.models import Run, RunItem
from cwz_web.runs.protocol import (
    ItemResult,
    Report,
)
from cwz_web.runs.reports import (
    OTHER_IMAGE,
    apply_report,
)
from cwz_web.storage.connections import image_key
from tests.factories import Factory, record_queries
from tests.rendering import SIGNED_URLS, count_of, recording_client, request_chunk, worker


def test_duplicate_report_counts_once(make: Factory) -> None:
    space = make.workspace()
    run = make.run(make.feed(space), make.template(space))
    client = recording_client(make)
    worker(make, client).render_chunk(request_chunk(run), last_try=False)
    for report in list(client.reports):
        client.report(report)
    client.report(
        Report(
            workspace_id=space.id,
            run_id=run.id,
            results=(ItemResult(position=1, error="no"), ItemResult(position=99, error="no")),
        )
    )
    run = make.reload(run)
    assert (run.done, run.failed) == (3, 0)


def stored_image(run: Run, number: int) -> StoredImage:
    """An image in storage, as a worker reports it."""
    digest = f"{number:064x}"
    key = image_key(run.workspace_id, digest, "jpg")
    return StoredImage(digest=digest, key=key, content_type="image/jpeg", width=3, height=2, size=9)


def test_image_of_another_object_is_not_recorded(make: Factory) -> None:
    space, other = make.workspace(), make.workspace()
    run = make.run(make.feed(space, b"sku\n1\n2\n3\n"), make.template(space))
    image = stored_image(run, 1)
    forged = (
        {"key": image_key(other.id, image.digest, "jpg")},
        {"key": f"{space.id}/uploads/{image.digest}"},
        {"content_type": "text/html"},
    )
    results = tuple(
        ItemResult(position=position, image=image.model_copy(update=update))
        for position, update in enumerate(forged, 1)
    )
    with make.database.transaction(space.id) as db:
        apply_report(db, Report(workspace_id=space.id, run_id=run.id, results=results), SIGNED_URLS)
    with make.database.transaction(space.id) as db:
        assert db.scalars(select(RunItem.error)).all() == [OTHER_IMAGE] * 3
        assert db.scalars(select(Image)).all() == []


@pytest.mark.parametrize("update", [{"width": 2**31}, {"height": 0}, {"size": 2**40}])
def test_image_beyond_the_limits_is_rejected(update: dict[str, int]) -> None:
    fields = {"digest": "0" * 64, "key": "k", "content_type": "image/jpeg", "width": 3, "height": 2, "size": 9}
    with pytest.raises(ValidationError, match=next(iter(update))):
        StoredImage.model_validate(fields | update)


@pytest.mark.parametrize("result", [{"position": 2**31}, {"position": -1}, {"position": 1, "error": "a\0b"}])
def test_result_that_the_database_cannot_hold_is_rejected(result: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ItemResult.model_validate(result)


def test_report_takes_a_constant_number_of_queries(make: Factory) -> None:
    space = make.workspace()
    run = make.run(make.feed(space, b"sku\n" + b"".join(b"%d\n" % row for row in range(60))), make.template(space))
    counts = []
    for positions in (range(1, 2), range(2, 52)):
        results = tuple(ItemResult(position=position, image=stored_image(run, position)) for position in positions)
        with make.database.transaction(space.id) as db, record_queries(make.database) as asked:
            apply_report(db, Report(workspace_id=space.id, run_id=run.id, results=results), SIGNED_URLS)
        counts.append(len(asked))
    assert counts[0] == counts[1]
    assert make.reload(run).done == 51


def test_report_of_all_kinds_of_results(make: Factory) -> None:
    space = make.workspace()
    run = make.run(make.feed(space, b"sku\n1\n2\n3\n4\n5\n"), make.template(space))
    first = (ItemResult(position=1, image=stored_image(run, 1)),)
    finding = Finding(FindingCode.PHOTO_MISSING, "has no image", "Photo")
    results = (
        ItemResult(position=5, image=stored_image(run, 1)),  # is there already
        ItemResult(position=4, image=stored_image(run, 2), findings=(finding,), is_incomplete=True),
        ItemResult(position=3, error="No"),
        ItemResult(position=2, image=stored_image(run, 2)),  # the same as another's
        ItemResult(position=1, error="Told before, and otherwise"),
        ItemResult(position=99, image=stored_image(run, 3)),  # of no item
    )
    for told in (first, results):
        with make.database.transaction(space.id) as db:
            apply_report(db, Report(workspace_id=space.id, run_id=run.id, results=told), SIGNED_URLS)
    with make.database.transaction(space.id) as db:
        items = db.execute(
            select(RunItem.state, Image.digest, Image.name, RunItem.findings, RunItem.error)
            .outerjoin(Image, Image.id == RunItem.image_id)
            .order_by(RunItem.position)
        ).all()
    one, two = stored_image(run, 1).digest, stored_image(run, 2).digest
    assert [tuple(item) for item in items] == [
        ("done", one, "1", None, None),
        ("done", two, "2", None, None),
        ("failed", None, None, None, "No"),
        ("incomplete", two, "2", [{"code": "photo_missing", "message": "has no image", "layer": "Photo"}], None),
        ("done", one, "1", None, None),
    ]
    assert make.count(Image, space.id) == 2
    run = make.reload(run)
    assert (run.done, run.incomplete, run.failed, run.findings, run.finished_at is not None) == (3, 1, 1, 1, True)
    assert count_of(make, space.id) == 2, "two images, however many rows show them"
