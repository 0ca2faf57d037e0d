"""Runs from their plan to their last image, with a render worker in this process."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import select, text, update

from cwz_web.db.session import enter_workspace
from cwz_web.feeds.imports import import_file
from cwz_web.feeds.models import Feed
from cwz_web.feeds.temporary_files import temporary_file
from cwz_web.generation.models import Image, Template
from cwz_web.generation.templates import publish
from cwz_web.generation.usage import Quota, QuotaExceededError
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.encoders import Format, Output
from cwz_web.imaging.errors import UnknownSizeError
from cwz_web.imaging.findings import FindingCode
from cwz_web.runs.models import RenderMessage, Run, RunItem
from cwz_web.runs.planning import (
    EmptyFeedError,
    RunPlan,
    RunSpec,
    cancel_run,
    plan_run,
    retry_run,
    start_run,
)
from cwz_web.runs.progress import (
    FindingCount,
    Progress,
    RunState,
    findings_of,
    item_of_image,
    progress_of,
    results_after,
    state_of,
    state_text,
)
from cwz_web.runs.protocol import (
    ItemResult,
    MessageRejectedError,
    Report,
    RunNotFoundError,
    Specification,
    SpecificationRequest,
)
from cwz_web.runs.render_worker import STORAGE_FAILED
from cwz_web.runs.reports import (
    apply_report,
    delete_old_messages,
    record_message_id,
)
from cwz_web.runs.scheduling import CHUNK
from cwz_web.storage.contract import PermissionDeniedError, StorageError, StorageUnreachableError
from cwz_web.storage.models import Connection
from tests.factories import Factory, local_bucket, small_document
from tests.rendering import (
    SIGNED_URLS,
    RecordingClient,
    count_of,
    jobs,
    recording_client,
    request_chunk,
    rows,
    work,
    worker,
)


def test_run_writes_its_items_and_enqueues_its_chunks(make: Factory) -> None:
    space = make.workspace()
    run = make.run(make.feed(space, rows(2 * CHUNK + 1)), make.template(space), {"title": "title", "image": ""})
    assert [job["chunk"] for job in jobs(make)] == [0, 1, 2]
    with make.database.transaction(space.id) as db:
        items = list(db.scalars(select(RunItem).order_by(RunItem.position)))
    assert [item.position for item in items] == list(range(1, 2 * CHUNK + 2))
    assert items[3].data == {"title": "Title 3", "image": ""}
    assert {item.chunk for item in items[:CHUNK]} == {0}
    assert items[-1].chunk == 2
    assert run.pending == run.total == 2 * CHUNK + 1


def test_rolled_back_transaction_enqueues_nothing(make: Factory) -> None:
    space = make.workspace()
    feed, template = make.feed(space), make.template(space)
    with make.database.session() as db:
        db.begin()
        enter_workspace(db, space.id)
        start_run(db, RunSpec(feed, template, {}, [Output()]), started_by=None)
        db.rollback()
    assert jobs(make) == []
    assert make.count(Run, space.id) == make.count(RunItem, space.id) == 0


def test_empty_feed_is_rejected(make: Factory) -> None:
    space = make.workspace()
    feed, template = make.feed(space), make.template(space)
    with make.database.transaction(space.id) as db:
        db.execute(update(Feed).values(item_count=0))
        db.expire_all()
        spec = RunSpec(db.get_one(Feed, (space.id, feed.id)), template, {}, [Output()])
        with pytest.raises(EmptyFeedError):
            start_run(db, spec, started_by=None)


def test_every_row_becomes_a_stored_image(make: Factory) -> None:
    space = make.workspace()
    run = work(make, make.run(make.feed(space, rows(CHUNK + 2)), make.template(space)))
    assert (run.done, run.failed) == (CHUNK + 2, 0)
    assert run.finished_at is not None
    bucket = local_bucket(make.services)
    with make.database.transaction(space.id) as db:
        results = results_after(db, run)
        assert len(results) == CHUNK + 2
        for item, image in results:
            assert image is not None
            assert bucket.head(image.key).size == image.size
            assert image.key.startswith(f"{space.id}/")
            found = item_of_image(db, space.id, image.id)
            assert found is not None
            assert found.run_id == run.id
            assert item.key == image.name


def test_results_page_reads_only_what_it_shows(make: Factory, owner_url: str) -> None:
    space = make.workspace()
    run = make.run(make.feed(space, rows(2000)), make.template(space))
    last = (RunItem.workspace_id == space.id, RunItem.run_id == run.id, RunItem.position == 2000)
    read = text("SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'run_items'")
    with psycopg.connect(owner_url, autocommit=True) as owner:
        owner.execute("ANALYZE run_items")  # as autovacuum does after a while
    with make.database.transaction(space.id) as db:
        mine, before = db.get_one(Run, (space.id, run.id)), db.scalar(read)
        assert (results_after(db, mine), findings_of(db, mine)) == ([], [])
        assert db.scalar(read) == before
        finding = {"code": "photo_missing", "layer": "Image", "message": "has no image"}
        db.execute(update(RunItem).where(*last).values(state="failed", error="No", findings=[finding]))
        mine.failed, mine.findings, mine.finished_at, before = 1, 1, datetime.now(UTC), db.scalar(read)
        assert [item.position for item, _ in results_after(db, mine, state="failed")] == [2000]
        assert findings_of(db, mine) == [FindingCount(**finding, images=1)]
        assert db.scalar(read) < before + 10


def test_equal_images_are_stored_once(make: Factory) -> None:
    space = make.workspace()
    run = work(make, make.run(make.feed(space, b"sku,title\n1,Same\n2,Same\n3,Other\n"), make.template(space)))
    assert run.done == 3
    assert make.count(Image, space.id) == 2


def test_retried_chunk_renders_only_pending_items(make: Factory) -> None:
    space = make.workspace()
    run = make.run(make.feed(space), make.template(space))
    client = recording_client(make)
    client.report(Report(workspace_id=space.id, run_id=run.id, results=(ItemResult(position=2, error="told before"),)))
    worker(make, client).render_chunk(request_chunk(run), last_try=False)
    rendered = [result.position for report in client.reports[1:] for result in report.results]
    assert sorted(rendered) == [1, 3]
    assert worker(make, client).render_chunk(request_chunk(run), last_try=False)
    run = make.reload(run)
    assert (run.done, run.failed) == (2, 1)


def test_failed_row_has_an_error_and_fails_no_other(make: Factory) -> None:
    space = make.workspace()
    document = small_document()
    document["layers"][0]["missing"] = "fail"
    run = make.run(
        make.feed(space, b"sku,title,image\n1,One,nowhere\n2,Two,\n"),
        make.template(space, document),
        {"image": "image"},
    )
    run = work(make, run)
    assert (run.done, run.failed) == (0, 2)
    with make.database.transaction(space.id) as db:
        assert "not a URL" in str(results_after(db, run, state="failed")[0][0].error)


def test_image_without_its_photo_is_incomplete(make: Factory) -> None:
    space = make.workspace()
    run = make.run(
        make.feed(space, b"sku,title,image\n1,One,nowhere\n2,Two,nowhere\n"), make.template(space), {"image": "image"}
    )
    run = work(make, run)
    assert (run.done, run.incomplete, run.findings, state_of(run)) == (0, 2, 2, RunState.COMPLETED_WITH_FINDINGS)
    assert state_text(run) == "Completed, 2 findings"
    with make.database.transaction(space.id) as db:
        [count] = findings_of(db, run)
        assert [item.key for item, image in results_after(db, run, state="incomplete") if image] == ["1", "2"]
    assert (count.code, count.layer, count.images) == ("photo_missing", "Image", 2)
    assert "the value is not a URL" in count.message


def test_render_worker_reports_findings(make: Factory) -> None:
    space = make.workspace()
    run = make.run(make.feed(space, b"sku,title,image\n1,One,nowhere\n"), make.template(space), {"image": "image"})
    client = recording_client(make)
    worker(make, client).render_chunk(request_chunk(run), last_try=False)
    [result] = client.reports[0].results
    [finding] = result.findings
    assert (finding.code, finding.layer) == (FindingCode.PHOTO_MISSING, "Image")
    assert "the value is not a URL" in finding.message


def test_failed_items_can_be_retried(make: Factory) -> None:
    space = make.workspace()
    run = make.run(make.feed(space), make.template(space))
    client = recording_client(make)
    client.report(
        Report(workspace_id=space.id, run_id=run.id, results=tuple(ItemResult(position=n, error="no") for n in (1, 3)))
    )
    run = work(make, run)
    assert (run.done, run.failed) == (1, 2)
    enqueued = len(jobs(make))
    with make.database.transaction(space.id) as db:
        assert retry_run(db, db.get_one(Run, (space.id, run.id))) == 2
    assert len(jobs(make)) == enqueued + 1
    run = make.reload(run)
    assert (run.done, run.failed, run.finished_at) == (1, 0, None)
    run = work(make, run)
    assert (run.done, run.failed) == (3, 0)


@pytest.mark.parametrize(
    ("error", "last_try", "waits"),
    [
        (StorageUnreachableError, False, True),
        (StorageUnreachableError, True, False),
        (PermissionDeniedError, False, False),
    ],
)
def test_unreachable_storage_delays_the_chunk(
    make: Factory, monkeypatch: pytest.MonkeyPatch, error: type[StorageError], last_try: bool, waits: bool
) -> None:
    space = make.workspace()
    run = make.run(make.feed(space), make.template(space))

    def refuse(*_: object, **__: object) -> None:
        raise error("no")

    with monkeypatch.context() as patch:
        patch.setattr("cwz_storage_local.LocalBucket.put", refuse)
        if waits:
            with pytest.raises(StorageUnreachableError):
                worker(make).render_chunk(request_chunk(run), last_try=last_try)
        else:
            worker(make).render_chunk(request_chunk(run), last_try=last_try)
    run = make.reload(run)
    assert (run.done, run.failed) == (0, 0 if waits else 3)
    if last_try:
        with make.database.transaction(space.id) as db:
            assert results_after(db, run)[0][0].error == STORAGE_FAILED
    if waits:
        assert work(make, run).done == 3


def test_deleted_run_is_not_found(make: Factory) -> None:
    space = make.workspace()
    run = make.run(make.feed(space), make.template(space))
    missing = SpecificationRequest(workspace_id=space.id, run_id=uuid4(), chunk=0)
    with pytest.raises(RunNotFoundError):
        worker(make).render_chunk(missing, last_try=False)
    other = make.workspace()
    with pytest.raises(RunNotFoundError):
        worker(make).render_chunk(SpecificationRequest(workspace_id=other.id, run_id=run.id, chunk=0), last_try=False)


def test_message_ids_are_unique_until_they_are_deleted(make: Factory) -> None:
    with make.database.transaction() as db:
        record_message_id(db, "msg_1")
    with pytest.raises(MessageRejectedError), make.database.transaction() as db:
        record_message_id(db, "msg_1")
    with make.database.transaction() as db:
        db.execute(text("UPDATE render_messages SET received_at = now() - interval '2 hours'"))
        record_message_id(db, "msg_2")
        delete_old_messages(db)
        assert db.scalars(select(RenderMessage.id)).all() == ["msg_2"]


@pytest.mark.parametrize(
    ("progress", "percent", "left"),
    [
        (Progress(total=10, done=0, failed=0, elapsed=5), 0, None),
        (Progress(total=10, done=4, failed=1, elapsed=5), 50, 5.0),
        (Progress(total=10, done=10, failed=0, elapsed=2), 100, 0.0),
    ],
)
def test_progress(progress: Progress, percent: int, left: float | None) -> None:
    assert progress.percent == percent
    assert progress.seconds_left == left
    assert progress.finished == (percent == 100)


def test_progress_of_a_finished_run_does_not_change(make: Factory) -> None:
    space = make.workspace()
    run = work(make, make.run(make.feed(space), make.template(space)))
    assert progress_of(run).elapsed == progress_of(run).elapsed


def test_workspace_without_storage_cannot_start_a_run(make: Factory) -> None:
    space = make.workspace()
    feed, template = make.feed(space), make.template(space)
    with make.database.transaction(space.id) as db:
        db.execute(update(Connection).values(is_default=False))
    with pytest.raises(StorageError, match="connect storage first"):
        make.run(feed, template)


def begin(make: Factory, feed: Feed, template: Template, **more: Any) -> Run:
    with make.database.transaction(feed.workspace_id) as db:
        current = db.get_one(Feed, (feed.workspace_id, feed.id))
        spec = RunSpec(current, template, {"title": "title"}, [Output()])
        return start_run(db, spec, started_by=None, **more)


def test_unchanged_images_are_reused_for_free(make: Factory) -> None:
    space = make.workspace()
    feed, template = make.feed(space, rows(20)), make.template(space)
    work(make, make.run(feed, template))
    assert count_of(make, space.id) == 20
    again = make.run(feed, template)
    assert (again.done, again.unchanged, again.pending) == (20, 20, 0)
    assert again.finished_at is not None
    assert count_of(make, space.id) == 20
    with make.database.transaction(space.id) as db:
        import_file(
            db, db.get_one(Feed, (space.id, feed.id)), file_name="n.csv", file=temporary_file(rows(21) + b"3x,New\n")
        )
    third = work(make, begin(make, feed, template))
    assert (third.total, third.done, third.unchanged) == (22, 22, 20)
    assert count_of(make, space.id) == 22


def test_other_version_mapping_or_format_is_rendered_again(make: Factory) -> None:
    space = make.workspace()
    feed, template = make.feed(space, rows(3)), make.template(space)
    work(make, make.run(feed, template))
    assert make.run(feed, template, {"title": "sku"}).unchanged == 0
    with make.database.transaction(space.id) as db:
        document = small_document()
        document["canvas"]["background"] = "#eeeeee"
        publish(db, db.merge(template), ImageTemplate.model_validate(document))
    assert make.run(feed, make.reload(template)).unchanged == 0


def test_run_counts_its_images_in_advance_and_refunds_failed_and_existing_ones(make: Factory) -> None:
    space = make.workspace()
    feed, template = make.feed(space, b"sku,title\n1,Same\n2,Same\n3,Other\n"), make.template(space)
    run = make.run(feed, template)
    assert count_of(make, space.id) == 3
    results = (ItemResult(position=1, error="No"), ItemResult(position=1, error="No"))
    with make.database.transaction(space.id) as db:
        apply_report(db, Report(workspace_id=space.id, run_id=run.id, results=results), SIGNED_URLS)
    assert count_of(make, space.id) == 2, "a report that comes twice gives back once"
    work(make, run)
    assert count_of(make, space.id) == 2
    with make.database.transaction(space.id) as db:
        assert retry_run(db, db.get_one(Run, (space.id, run.id))) == 1
    assert count_of(make, space.id) == 3
    work(make, run)
    assert count_of(make, space.id) == 2, "the same image twice is one"
    assert make.count(Image, space.id) == 2


def test_run_beyond_the_quota_does_not_start(make: Factory) -> None:
    space = make.workspace()
    feed, template = make.feed(space, rows(5)), make.template(space)
    with pytest.raises(QuotaExceededError):
        begin(make, feed, template, quota=Quota(space.id, limit=4))
    assert make.count(Run, space.id) == 0
    assert count_of(make, space.id) == 0
    begin(make, feed, template, quota=Quota(space.id, limit=5))


def test_canceled_run_can_be_resumed(make: Factory) -> None:
    space = make.workspace()
    feed, template = make.feed(space, rows(CHUNK * 2)), make.template(space)
    run = make.run(feed, template)
    worker(make).render_chunk(request_chunk(run, 0), last_try=False)
    with make.database.transaction(space.id) as db:
        assert cancel_run(db, db.get_one(Run, (space.id, run.id))) == CHUNK
    canceled = work(make, run)
    assert (canceled.done, canceled.failed, canceled.pending) == (CHUNK, CHUNK, 0)
    assert canceled.canceled_at is not None
    assert count_of(make, space.id) == CHUNK
    with make.database.transaction(space.id) as db:
        assert cancel_run(db, db.get_one(Run, (space.id, run.id))) is None
        assert retry_run(db, db.get_one(Run, (space.id, run.id))) == CHUNK
    resumed = work(make, run)
    assert (resumed.done, resumed.canceled_at) == (CHUNK * 2, None)
    assert count_of(make, space.id) == CHUNK * 2


def test_canceling_changes_no_item(make: Factory) -> None:
    space = make.workspace()
    run = make.run(make.feed(space, rows(CHUNK)), make.template(space))
    written = text("SELECT n_tup_upd FROM pg_stat_xact_user_tables WHERE relname = 'run_items'")
    with make.database.transaction(space.id) as db:
        before = db.scalar(written)
        cancel_run(db, db.get_one(Run, (space.id, run.id)))
        assert db.scalar(written) == before


def test_items_rendered_during_cancellation_do_not_count(make: Factory) -> None:
    space = make.workspace()
    run = make.run(make.feed(space, rows(2)), make.template(space))

    class CanceledMeanwhile(RecordingClient):
        def get_specification(self, request: SpecificationRequest) -> Specification:
            found = super().get_specification(request)
            with make.database.transaction(space.id) as db:
                cancel_run(db, db.get_one(Run, (space.id, run.id)))
            return found

    web = CanceledMeanwhile(make.database.transaction, make.services.providers, SIGNED_URLS)
    worker(make, web).render_chunk(request_chunk(run), last_try=False)
    canceled = make.reload(run)
    assert (canceled.done, canceled.failed, count_of(make, space.id)) == (0, 2, 0)
    assert make.count(Image, space.id) == 0
    with make.database.transaction(space.id) as db:
        assert retry_run(db, db.get_one(Run, (space.id, run.id))) == 2
    resumed = work(make, run)
    assert (resumed.done, count_of(make, space.id), make.count(Image, space.id)) == (2, 2, 2)


def test_resumed_run_also_renders_failed_items(make: Factory) -> None:
    space = make.workspace()
    run = make.run(make.feed(space, rows(2 * CHUNK)), make.template(space))
    results = (ItemResult(position=1, error="No"),)
    with make.database.transaction(space.id) as db:
        apply_report(db, Report(workspace_id=space.id, run_id=run.id, results=results), SIGNED_URLS)
        cancel_run(db, db.get_one(Run, (space.id, run.id)))
    assert make.reload(run).failed == 2 * CHUNK
    with make.database.transaction(space.id) as db:
        db.execute(text("DELETE FROM procrastinate_jobs"))
        assert retry_run(db, db.get_one(Run, (space.id, run.id))) == 2 * CHUNK
    assert [job["chunk"] for job in jobs(make)] == [0, 1]
    assert work(make, run).done == count_of(make, space.id) == 2 * CHUNK


def test_each_row_is_rendered_for_each_output(make: Factory) -> None:
    space = make.workspace()
    sizes = [{"name": "square", "width": 100, "height": 100}]
    template = make.template(space, small_document(sizes=sizes))
    outputs = Output(), Output(size="square", format=Format.PNG)
    run = work(make, make.run(make.feed(space, rows(2)), template, None, *outputs))
    assert (run.total, run.done) == (4, 4)
    with make.database.transaction(space.id) as db:
        found = [(item.key, image.width, image.content_type) for item, image in results_after(db, run) if image]
    assert found == [
        ("0", 300, "image/jpeg"),
        ("0", 100, "image/png"),
        ("1", 300, "image/jpeg"),
        ("1", 100, "image/png"),
    ]


def test_unknown_size_is_rejected(make: Factory) -> None:
    space = make.workspace()
    feed, template = make.feed(space), make.template(space)
    with pytest.raises(UnknownSizeError):
        make.run(feed, template, None, Output(size="square"))
    assert make.count(Run, space.id) == 0


def test_plan_counts_new_changed_unchanged_removed_and_invalid_rows(make: Factory) -> None:
    space = make.workspace()
    feed, template = make.feed(space, rows(4)), make.template(space)

    def plan() -> RunPlan:
        with make.database.transaction(space.id) as db:
            return plan_run(
                db, RunSpec(db.get_one(Feed, (space.id, feed.id)), template, {"title": "title"}, [Output()])
            )

    assert plan() == RunPlan(rows=4, images=4, new=4, changed=0, unchanged=0, removed=0, invalid=0)
    work(make, make.run(feed, template))
    assert plan() == RunPlan(rows=4, images=4, new=0, changed=0, unchanged=4, removed=0, invalid=0)
    with make.database.transaction(space.id) as db:
        changed = b"sku,title\n0,Title 0\n1,Other\n3,Title 3\n8,New\n9,New\n,No key\n"
        import_file(db, db.get_one(Feed, (space.id, feed.id)), file_name="f.csv", file=temporary_file(changed))
    assert plan() == RunPlan(rows=5, images=5, new=2, changed=1, unchanged=2, removed=1, invalid=1)
    assert plan().to_render == 3
    run = make.run(make.reload(feed), template)
    assert (run.unchanged, run.pending) == (2, 3), "the run does what the plan says"
    assert make.count(Run, space.id) == 2, "a plan begins nothing"
