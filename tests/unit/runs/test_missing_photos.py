"""Photos that are missing, come back, or change, from the render worker's report to the output feed."""

from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select, text, update

from cwz_web.feeds.imports import import_file
from cwz_web.feeds.models import Feed
from cwz_web.feeds.temporary_files import temporary_file
from cwz_web.generation.image_service import ImageService
from cwz_web.generation.image_sources import ImageSources
from cwz_web.generation.image_urls import ImageUrls
from cwz_web.generation.models import Image, Template
from cwz_web.generation.signed_urls import SignedUrls
from cwz_web.generation.templates import publish
from cwz_web.generation.usage import monthly_usage
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.encoders import Output
from cwz_web.imaging.engine import Engine
from cwz_web.net.client import Fetcher
from cwz_web.notify.models import WebhookDelivery
from cwz_web.ops.run_exports import zip_entries
from cwz_web.runs.local_client import LocalRenderClient
from cwz_web.runs.missing_photos import MAX_ATTEMPTS, MAX_DELAY, RETRY_DELAYS, OnMissingPhoto, retry_delay
from cwz_web.runs.models import Run, RunItem
from cwz_web.runs.output_feed import write_output_feed
from cwz_web.runs.planning import RunPlan, RunSpec, cancel_run, plan_run, retry_run, start_run
from cwz_web.runs.progress import RunState, findings_of, item_of_image, postponed_of, results_after, state_of
from cwz_web.runs.protocol import ItemResult, Report, SpecificationRequest
from cwz_web.runs.render_worker import RenderWorker
from cwz_web.runs.reports import apply_report
from cwz_web.runs.sample_check import check_sample
from cwz_web.storage.uploads import Uploads
from cwz_web.workspaces.models import Workspace
from tests.conftest import RecordingServer
from tests.factories import Factory, jpeg, small_document

SIGNED_URLS = SignedUrls("a signing secret")
MAPPING = {"title": "title", "image": "image"}


@dataclass
class Shop:
    """A workspace with a feed of photos, a template, and a render worker."""

    make: Factory
    host: RecordingServer
    template: Template
    feed: Feed
    worker: RenderWorker

    def start(self, mapping: dict[str, str] | None = None, **options: Any) -> Run:
        with self.make.database.transaction(self.feed.workspace_id) as db:
            return start_run(db, self._spec(mapping, options), started_by=None)

    def plan(self, **options: Any) -> RunPlan:
        with self.make.database.transaction(self.feed.workspace_id) as db:
            return plan_run(db, self._spec(None, options))

    def _spec(self, mapping: dict[str, str] | None, options: dict[str, Any]) -> RunSpec:
        feed, template = self.make.reload(self.feed), self.make.reload(self.template)
        return RunSpec(feed, template, MAPPING if mapping is None else mapping, [Output()], **options)

    def work(self, run: Run) -> Run:
        """Render the items that are due."""
        request = SpecificationRequest(workspace_id=run.workspace_id, run_id=run.id, chunk=0)
        self.worker.render_chunk(request, last_try=False)
        reloaded: Run = self.make.reload(run)
        return reloaded

    def wait(self, run: Run) -> None:
        """Let the time pass that postponed items wait."""
        with self.make.database.transaction(run.workspace_id) as db:
            postponed = update(RunItem).where(RunItem.retry_at.is_not(None))
            db.execute(postponed.values(retry_at=text("now() - interval '1 second'")))

    def render(self, run: Run) -> Run:
        """Render a run to its end."""
        for _ in range(MAX_ATTEMPTS):
            run = self.work(run)
            self.wait(run)
        return run

    def retry(self, run: Run) -> Run:
        with self.make.database.transaction(run.workspace_id) as db:
            retry_run(db, db.get_one(Run, (run.workspace_id, run.id)))
        return self.render(run)

    def items(self, run: Run) -> list[RunItem]:
        with self.make.database.transaction(run.workspace_id) as db:
            return list(db.scalars(select(RunItem).where(RunItem.run_id == run.id).order_by(RunItem.position)))

    def states(self, run: Run) -> list[str]:
        return [item.state for item in self.items(run)]

    def output(self, run: Run) -> list[str]:
        """Return the last path segment of each row's URL in the output feed, without its signature."""
        with self.make.database.transaction(run.workspace_id) as db:
            feed = db.get_one(Feed, (run.workspace_id, run.feed_id))
            urls = ImageUrls.load(db, run.workspace_id, SIGNED_URLS)
            with write_output_feed(db, feed, db.get_one(Run, (run.workspace_id, run.id)), "", urls) as file:
                lines = file.read().decode("utf-8-sig").splitlines()[1:]
        return [line.rpartition(",")[2].partition("?")[0].rpartition("/")[2].partition(".")[0] for line in lines]

    def import_rows(self, rows: str) -> None:
        with self.make.database.transaction(self.feed.workspace_id) as db:
            feed = db.get_one(Feed, (self.feed.workspace_id, self.feed.id))
            file = temporary_file(rows.replace("HOST", self.host.url("")).encode())
            import_file(db, feed, file_name="rows.csv", file=file)

    def publish(self, document: dict[str, Any]) -> None:
        with self.make.database.transaction(self.feed.workspace_id) as db:
            template = db.get_one(Template, (self.feed.workspace_id, self.template.id))
            publish(db, template, ImageTemplate.model_validate(document))

    @property
    def used(self) -> int:
        with self.make.database.transaction(self.feed.workspace_id) as db:
            return monthly_usage(db, self.feed.workspace_id, self.feed.workspace_id)


@pytest.fixture
def shop(make: Factory, http_server: RecordingServer) -> Shop:
    services = make.services
    http_server.paths |= {
        "/1.jpg": (200, {"ETag": '"1"'}, jpeg(1)),
        "/2.jpg": (200, {"Last-Modified": "Tue, 24 Nov 2026 10:00:00 GMT"}, jpeg(2)),
    }
    space = make.workspace()
    rows = "sku,title,image\n1,One,HOST/1.jpg\n2,Two,HOST/2.jpg\n".replace("HOST", http_server.url(""))
    client = LocalRenderClient(make.database.transaction, services.providers, SIGNED_URLS)
    image_service = ImageService(Engine(), ImageSources(Fetcher([http_server.host])))
    worker = RenderWorker(client, image_service, services.providers.outbound)
    return Shop(make, http_server, make.template(space), make.feed(space, rows.encode()), worker)


def test_delays_bridge_a_bad_minute_and_have_a_bound() -> None:
    assert sum(RETRY_DELAYS) >= 60
    assert retry_delay(0, 0) == RETRY_DELAYS[0]
    assert retry_delay(0, 30) == 30
    assert retry_delay(0, 10_000) == MAX_DELAY


def test_photo_of_an_overloaded_host_is_fetched_again(shop: Shop) -> None:
    shop.host.paths["/2.jpg"] = (503, {"Retry-After": "7"}, b"")
    run = shop.work(shop.start())
    assert (run.done, run.incomplete, run.failed, run.pending) == (1, 0, 0, 1)
    with shop.make.database.transaction(run.workspace_id) as db:
        assert findings_of(db, run) == [], "they are not counted before the run has finished"
        postponed = postponed_of(db, run)
        assert postponed is not None
        assert (postponed.images, postponed.attempt) == (1, 2)
        scheduled = db.scalars(
            text("SELECT args ->> 'chunk' FROM procrastinate_jobs WHERE scheduled_at > now() + interval '5 seconds'")
        )
        assert list(scheduled) == ["0"]
    assert shop.work(run).pending == 1, "it is not due yet"
    shop.host.paths["/2.jpg"] = (200, {}, jpeg(2))
    shop.wait(run)
    run = shop.work(run)
    assert (run.done, run.findings, state_of(run)) == (2, 0, RunState.COMPLETED)
    assert shop.used == 2


def test_permanent_errors_are_not_retried(shop: Shop) -> None:
    shop.host.paths |= {"/1.jpg": (404, {}, b""), "/2.jpg": (200, {}, b"<!doctype html><p>Not found</p>")}
    run = shop.work(shop.start())
    assert (run.done, run.incomplete, run.finished_at is not None) == (0, 2, True)
    assert sorted(shop.host.seen) == ["/1.jpg", "/2.jpg"]
    with shop.make.database.transaction(run.workspace_id) as db:
        assert any("status 404" in finding.message for finding in findings_of(db, run))


def test_incomplete_image_is_rendered_by_retry_and_counts_once(shop: Shop) -> None:
    shop.host.paths["/2.jpg"] = (503, {}, b"")
    run = shop.render(shop.start())
    assert (run.done, run.incomplete, run.failed, run.findings) == (1, 1, 0, 1)
    assert state_of(run) == RunState.COMPLETED_WITH_FINDINGS
    assert shop.host.seen.count("/2.jpg") == MAX_ATTEMPTS
    assert shop.states(run) == ["done", "incomplete"]
    assert (shop.used, shop.make.count(Image, run.workspace_id)) == (2, 2)
    run = shop.retry(run)
    assert (run.incomplete, run.findings, shop.used) == (1, 1, 2)
    shop.host.paths["/2.jpg"] = (200, {}, jpeg(2))
    run = shop.retry(run)
    assert (run.done, run.incomplete, run.failed, run.findings) == (2, 0, 0, 0)
    assert state_of(run) == RunState.COMPLETED
    assert shop.used == 2


def test_incomplete_image_is_not_reused_and_replaces_no_good_one(shop: Shop) -> None:
    first = shop.render(shop.start())
    good = shop.output(first)
    assert all(good)
    shop.host.paths["/2.jpg"] = (404, {}, b"")
    shop.import_rows("sku,title,image\n1,One,HOST/1.jpg\n2,New title,HOST/2.jpg\n3,Three,HOST/3.jpg\n")
    shop.worker.image_service._sources._sources.clear()  # five minutes later
    second = shop.render(shop.start())
    assert shop.states(second) == ["done", "incomplete", "incomplete"]
    assert shop.output(second) == [*good, ""]
    shop.host.paths["/2.jpg"] = (200, {}, jpeg(2))
    third = shop.start()
    assert (third.unchanged, third.pending) == (1, 2)
    third = shop.render(third)
    assert shop.states(third) == ["done", "done", "incomplete"]
    assert shop.output(third)[1] not in ("", good[1])


def test_run_can_replace_good_images_or_fail_their_rows(shop: Shop) -> None:
    good = shop.output(shop.render(shop.start()))
    shop.import_rows("sku,title,image\n1,One,HOST/1.jpg\n2,New title,HOST/gone.jpg\n")
    failed = shop.render(shop.start(on_missing_photo=OnMissingPhoto.FAIL))
    assert shop.states(failed) == ["done", "failed"]
    assert "status 404" in str(shop.items(failed)[1].error)
    assert (shop.output(failed), shop.used) == (good, 2)
    replaced = shop.render(shop.start(on_missing_photo=OnMissingPhoto.REPLACE))
    assert shop.states(replaced) == ["done", "incomplete"]
    assert shop.output(replaced)[1] not in ("", good[1])


def test_empty_cell_is_a_missing_photo_but_an_unmapped_field_is_not(shop: Shop) -> None:
    shop.import_rows("sku,title,image\n1,One,\n2,,\n")
    run = shop.render(shop.start())
    assert shop.states(run) == ["incomplete", "incomplete"]
    codes = [[finding["code"] for finding in item.findings or ()] for item in shop.items(run)]
    assert codes == [["photo_missing"], ["row_empty", "photo_missing"]]
    run = shop.render(shop.start({"title": "title", "image": ""}))
    assert shop.states(run) == ["done", "incomplete"]
    assert state_of(run) == RunState.COMPLETED_WITH_FINDINGS


def test_optional_photo_is_no_finding(shop: Shop) -> None:
    document = small_document()
    document["layers"][0] |= {"source": "{{ image | item(2) }}", "missing": "skip"}
    shop.publish(document)
    run = shop.render(shop.start())
    assert (run.done, run.findings) == (2, 0)


def stacked_document() -> dict[str, Any]:
    """Return a template with a photo that its stack leaves out if it is missing, as in the starters."""
    photo = {"type": "image", "name": "Photo", "source": "{{ image }}", "missing": "skip", "width": 150, "height": 100}
    title = {"type": "text", "name": "Title", "text": "{{ title }}", "width": 150, "height": 60, "size": 24}
    return small_document(
        layers=[{"type": "stack", "name": "Layout", "width": 300, "height": 200, "layers": [photo, title]}]
    )


def test_photo_that_a_stack_leaves_out_makes_its_image_incomplete(shop: Shop) -> None:
    shop.publish(stacked_document())
    shop.import_rows("sku,title,image\n1,One,HOST/1.jpg\n2,Two,HOST/gone.jpg\n3,Three,\n")
    run = shop.render(shop.start())
    assert shop.states(run) == ["done", "incomplete", "done"], "an empty cell is no finding"
    assert (run.findings, state_of(run)) == (1, RunState.COMPLETED_WITH_FINDINGS)
    with shop.make.database.transaction(run.workspace_id) as db:
        [finding] = findings_of(db, run)
        assert (finding.code, finding.layer, finding.images) == ("photo_missing", "Photo", 1)
        assert "status 404" in finding.message
    failed = shop.render(shop.start(on_missing_photo=OnMissingPhoto.FAIL))
    assert shop.states(failed) == ["done", "failed", "done"]


@pytest.mark.parametrize(
    ("url", "reason"), [("HOST/gone.jpg", "status 404"), ("http://127.0.0.1:1/1.jpg", "could not be reached")]
)
def test_check_before_a_run_finds_photos_that_a_stack_leaves_out(shop: Shop, url: str, reason: str) -> None:
    image_service = ImageService(Engine(), ImageSources(Fetcher([shop.host.host, "127.0.0.1:1"])))
    uploads = Uploads(shop.feed.workspace_id, (), lambda _: None)  # type: ignore[arg-type,return-value]
    rows = [{"title": "One", "image": url.replace("HOST", shop.host.url(""))}, {"title": "Two", "image": ""}]
    check = check_sample(image_service, uploads, ImageTemplate.model_validate(stacked_document()), rows)
    [finding] = check.findings
    assert (finding.layer, finding.rows) == ("Photo", 1)
    assert reason in finding.message
    assert check.by_row[1] == ()


def test_hidden_and_shown_layer_renders_nothing_again(shop: Shop) -> None:
    shop.render(shop.start())
    document = small_document()
    for is_hidden in (True, False):
        document["layers"][0] |= {"hidden": is_hidden, "locked": not is_hidden}
        shop.publish(document)
        plan = shop.plan()
        assert (plan.unchanged, plan.changed) == ((0, 2) if is_hidden else (2, 0))
    document["fields"].append({"name": "later", "label": "Not used yet"})
    shop.publish(document)
    assert shop.plan().unchanged == 2


def test_forced_run_renders_and_counts_everything(shop: Shop) -> None:
    shop.render(shop.start())
    plan = shop.plan(force=True)
    assert (plan.changed, plan.unchanged, plan.to_render) == (2, 0, 2)
    run = shop.render(shop.start(force=True))
    assert (run.done, run.unchanged, shop.used) == (2, 0, 4)
    assert shop.host.seen.count("/1.jpg") == 2


def test_refreshed_photos_render_only_what_changed(shop: Shop) -> None:
    good = shop.output(shop.render(shop.start()))
    plan = shop.plan(refresh_photos=True)
    assert (plan.checked, plan.to_render, plan.reserved) == (2, 0, 2)
    shop.host.headers.clear()
    run = shop.render(shop.start(refresh_photos=True))
    assert (run.done, run.unchanged, run.findings, shop.used) == (2, 2, 0, 2)
    assert [headers.get("If-None-Match") for headers in shop.host.headers].count('"1"') == 1
    shop.host.paths |= {"/1.jpg": (200, {"ETag": '"2"'}, jpeg(3)), "/2.jpg": (404, {}, b"")}
    run = shop.render(shop.start(refresh_photos=True))
    assert shop.states(run) == ["done", "incomplete"]
    assert (run.unchanged, shop.used) == (0, 4)
    one, two = shop.output(run)
    assert one not in ("", good[0])
    assert two == good[1]


def test_photo_that_a_condition_examines_is_unchanged(shop: Shop) -> None:
    document = small_document()
    document["fields"] = [
        field | {"type": "image"} if field["name"] == "image" else field for field in document["fields"]
    ]
    document["layers"][0] |= {"show_if": "image.width == 2"}
    shop.publish(document)
    first = shop.render(shop.start())
    run = shop.render(shop.start(refresh_photos=True))
    assert (first.done, run.unchanged, run.findings, shop.used) == (2, 2, 0, 2)


def test_worker_cannot_keep_an_image_that_the_item_does_not_have(shop: Shop) -> None:
    run = shop.start()
    results = (ItemResult(position=1, is_unchanged=True),)
    with shop.make.database.transaction(run.workspace_id) as db:
        apply_report(db, Report(workspace_id=run.workspace_id, run_id=run.id, results=results), SIGNED_URLS)
    assert shop.states(run) == ["failed", "pending"]


def test_worker_cannot_postpone_an_item_forever(shop: Shop) -> None:
    run = shop.start()
    for attempts in range(MAX_ATTEMPTS):
        results = (ItemResult(position=1, error="Later", is_postponed=True, attempts=attempts),)
        with shop.make.database.transaction(run.workspace_id) as db:
            apply_report(db, Report(workspace_id=run.workspace_id, run_id=run.id, results=results), SIGNED_URLS)
    assert shop.states(run) == ["failed", "pending"]


def test_two_jobs_of_a_chunk_postpone_an_item_once(shop: Shop) -> None:
    run = shop.start()
    results = (ItemResult(position=1, error="Later", is_postponed=True),)
    for _ in range(2):
        with shop.make.database.transaction(run.workspace_id) as db:
            apply_report(db, Report(workspace_id=run.workspace_id, run_id=run.id, results=results), SIGNED_URLS)
    assert [item.attempts for item in shop.items(run)] == [1, 0]
    with shop.make.database.transaction(run.workspace_id) as db:
        scheduled = text("SELECT count(*) FROM procrastinate_jobs WHERE scheduled_at > now()")
        assert db.scalar(scheduled) == 1


def test_canceled_run_resumes_postponed_images(shop: Shop) -> None:
    shop.host.paths["/2.jpg"] = (503, {}, b"")
    run = shop.work(shop.start())
    with shop.make.database.transaction(run.workspace_id) as db:
        assert cancel_run(db, db.get_one(Run, (run.workspace_id, run.id))) == 1
    shop.host.paths["/2.jpg"] = (200, {}, jpeg(2))
    run = shop.retry(run)
    assert (run.done, run.pending, shop.used) == (2, 0, 2)


def test_announced_are_only_good_images(shop: Shop) -> None:
    with shop.make.database.transaction(shop.feed.workspace_id) as db:
        space = db.get_one(Workspace, shop.feed.workspace_id)
    shop.make.webhook(space)
    shop.host.paths["/2.jpg"] = (404, {}, b"")
    run = shop.render(shop.start())
    with shop.make.database.transaction(run.workspace_id) as db:
        bodies = list(db.scalars(select(WebhookDelivery.body).order_by(WebhookDelivery.id)))
    assert [body.count('"image.created"') for body in bodies] == [1, 0]
    assert '"state":"completed_with_findings"' in bodies[1]
    assert '"incomplete":1' in bodies[1]


def test_canceled_refresh_has_no_images_of_earlier_runs(shop: Shop) -> None:
    shop.render(shop.start())
    run = shop.start(refresh_photos=True)
    with shop.make.database.transaction(run.workspace_id) as db:
        assert zip_entries(db, run) == []
        cancel_run(db, db.get_one(Run, (run.workspace_id, run.id)))
    with shop.make.database.transaction(run.workspace_id) as db:
        canceled = db.get_one(Run, (run.workspace_id, run.id))
        assert zip_entries(db, canceled) == []
        assert [(item.state, image) for item, image in results_after(db, canceled)] == [("pending", None)] * 2
        assert [item.position for item, _ in results_after(db, canceled, state="failed")] == [1, 2]
        earlier = item_of_image(db, run.workspace_id, shop.items(run)[0].image_id or uuid4())
        assert earlier is not None
        assert earlier.run_id != run.id


def test_zip_names_row_and_size_and_keeps_incomplete_images_apart(shop: Shop) -> None:
    shop.host.paths["/2.jpg"] = (404, {}, b"")
    run = shop.render(shop.start())
    with shop.make.database.transaction(run.workspace_id) as db:
        names = [entry.name for entry in zip_entries(db, run)]
        assert [item.key for item, _ in results_after(db, run, state="incomplete")] == ["2"]
    assert names == ["00001-1-300x200.jpg", "incomplete/00002-2-300x200.jpg"]


@pytest.mark.parametrize("late", [{"error": "No"}, {"error": "Later", "is_postponed": True}, {"is_unchanged": True}])
def test_late_error_of_before_a_retry_is_ignored(shop: Shop, late: dict[str, Any]) -> None:
    run = shop.start()
    with shop.make.database.transaction(run.workspace_id) as db:
        stored = db.get_one(Run, (run.workspace_id, run.id))
        cancel_run(db, stored)
        retry_run(db, stored)
    for retries in (0, 1):
        results = (ItemResult(position=1, **late),)
        report = Report(workspace_id=run.workspace_id, run_id=run.id, results=results, retries=retries)
        with shop.make.database.transaction(run.workspace_id) as db:
            apply_report(db, report, SIGNED_URLS)
        item = shop.items(run)[0]
        is_recorded = item.state == "failed" or item.attempts == 1
        assert is_recorded == (retries == 1)
