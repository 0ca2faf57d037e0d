"""Large runs are prepared by a job: as small ones are, or they say why not."""

import json
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, text

from cwz_web.accounts.models import Account
from cwz_web.feeds.imports import import_file
from cwz_web.feeds.models import Feed
from cwz_web.feeds.temporary_files import temporary_file
from cwz_web.generation.signed_urls import SignedUrls
from cwz_web.generation.templates import Template
from cwz_web.generation.usage import READ_ONLY_MESSAGE, Quota, QuotaExceededError, count, monthly_usage
from cwz_web.imaging.encoders import Output
from cwz_web.jobs import PREPARE_QUEUE
from cwz_web.notify.models import WebhookDelivery
from cwz_web.runs import planning, tasks
from cwz_web.runs.auto_runs import start_auto_run, start_due_auto_runs
from cwz_web.runs.local_client import LocalRenderClient
from cwz_web.runs.models import Run, RunItem
from cwz_web.runs.output_feed import latest_run
from cwz_web.runs.planning import (
    PREPARATION_FAILED,
    RunEndedError,
    RunSpec,
    cancel_run,
    prepare_run,
    retry_run,
    start_run,
)
from cwz_web.runs.progress import RunState, progress_of, state_of
from cwz_web.runs.protocol import ItemResult, Report, SpecificationRequest
from cwz_web.runs.render_worker import RenderWorker
from cwz_web.runs.reports import apply_report
from cwz_web.runs.scheduling import CHUNK, delete_queued_chunks
from cwz_web.runs.tasks import fail_orphaned_items
from tests.factories import Factory
from tests.jobs import run_jobs

SIGNED_URLS = SignedUrls("a signing secret")
ROWS = 2 * CHUNK + 3


def rows(number: int, word: str = "Title") -> bytes:
    return b"sku,title\n" + b"".join(b"%d,%s %d\n" % (n, word.encode(), n) for n in range(number))


class Large:
    """A workspace with a feed that is more than is prepared at once."""

    def __init__(self, make: Factory, patch: pytest.MonkeyPatch) -> None:
        self.make, self.space, self.patch = make, make.workspace(), patch
        self.at_once(ROWS - 1)
        self.feed, self.template = make.feed(self.space, rows(ROWS)), make.template(self.space)

    def begin(self, **more: Any) -> Run:
        with self.make.database.transaction(self.space.id) as db:
            feed = db.get_one(Feed, (self.space.id, self.feed.id))
            template = db.get_one(Template, (self.space.id, self.template.id))
            spec = RunSpec(feed, template, {"title": "title"}, [Output()])
            return start_run(db, spec, started_by=None, **more)

    def at_once(self, images: int) -> None:
        """How many are prepared at once."""
        self.patch.setattr(planning, "MAX_IN_REQUEST", images)

    def bring(self, content: bytes) -> None:
        with self.make.database.transaction(self.space.id) as db:
            feed = db.get_one(Feed, (self.space.id, self.feed.id))
            import_file(db, feed, file_name="n.csv", file=temporary_file(content))

    def prepare(self, run: Run) -> Run:
        """What the job does; then the run as it is."""
        context: dict[str, object] = {"database": self.make.database}
        run_jobs(self.make.services.settings.database.url.get_secret_value(), PREPARE_QUEUE, context)
        return self.now(run)

    def now(self, run: Run) -> Run:
        reloaded: Run = self.make.reload(run)
        return reloaded

    def render(self, run: Run) -> Run:
        for chunk in range(-(-run.total // CHUNK)):
            self.work_on_chunk(run, chunk)
        return self.now(run)

    def work_on_chunk(self, run: Run, chunk: int) -> None:
        services = self.make.services
        web = LocalRenderClient(self.make.database.transaction, services.providers, SIGNED_URLS)
        ask = SpecificationRequest(workspace_id=run.workspace_id, run_id=run.id, chunk=chunk)
        RenderWorker(web, services.image_service, services.providers.outbound).render_chunk(ask, last_try=True)

    def cancel(self, run: Run) -> int | None:
        with self.make.database.transaction(self.space.id) as db:
            db.execute(text("SET LOCAL lock_timeout = '3s'"))
            return cancel_run(db, db.get_one(Run, (self.space.id, run.id)))

    def retry(self, run: Run, quota: Quota | None = None) -> int:
        with self.make.database.transaction(self.space.id) as db:
            return retry_run(db, db.get_one(Run, (self.space.id, run.id)), quota)

    @property
    def used(self) -> int:
        with self.make.database.transaction(self.space.id) as db:
            return monthly_usage(db, self.space.id, self.space.id)

    @property
    def chunks(self) -> list[int]:
        """Of the jobs that wait to be rendered."""
        with self.make.database.transaction() as db:
            found = text("SELECT (args ->> 'chunk')::int FROM procrastinate_jobs WHERE task_name = 'runs.render_chunk'")
            return sorted(db.scalars(found))

    @property
    def notified(self) -> list[tuple[str, str | None]]:
        """What the webhook of a run hears."""
        with self.make.database.transaction(self.space.id) as db:
            deliveries = db.scalars(select(WebhookDelivery).order_by(WebhookDelivery.created_at))
            return [(each.event, json.loads(each.body)["data"]["error_message"]) for each in deliveries]


@pytest.fixture
def large(make: Factory, monkeypatch: pytest.MonkeyPatch) -> Large:
    return Large(make, monkeypatch)


def test_large_run_is_prepared_by_a_job(large: Large) -> None:
    run = large.begin()
    assert (run.prepared, run.total, run.pending, run.finished_at) == (False, ROWS, ROWS, None)
    assert large.make.count(RunItem, large.space.id) == large.used == 0
    assert large.chunks == []
    assert not progress_of(run).finished

    prepared = large.prepare(run)
    assert (prepared.prepared, prepared.total, prepared.pending) == (True, ROWS, ROWS)
    assert large.make.count(RunItem, large.space.id) == large.used == ROWS
    assert large.chunks == [0, 1, 2]
    rendered = large.render(run)
    assert (rendered.done, rendered.failed, rendered.error_message) == (ROWS, 0, None)
    assert rendered.finished_at is not None


def test_small_run_is_prepared_immediately(large: Large) -> None:
    large.bring(rows(ROWS - 1))
    assert large.begin().prepared
    assert large.chunks == [0, 1, 2]


def test_job_takes_over_unchanged_images(large: Large) -> None:
    large.render(large.prepare(large.begin()))
    again = large.prepare(large.begin(webhook="https://shop.example/hook"))
    assert (again.done, again.unchanged, again.pending) == (ROWS, ROWS, 0)
    assert again.finished_at is not None
    assert large.used == ROWS
    assert large.notified == [("run.finished", None)]


def test_rows_of_the_moment_of_preparation_are_rendered(large: Large) -> None:
    run = large.begin()
    large.bring(rows(ROWS - 2))
    assert large.prepare(run).total == large.used == ROWS - 2


@pytest.mark.parametrize("whose", ["workspace", "key"])
def test_run_beyond_the_quota_fails_and_can_be_retried(large: Large, whose: str) -> None:
    limit = ROWS - 1
    quota = (
        Quota(large.space.id, limit) if whose == "workspace" else Quota(large.space.id, key_id=uuid4(), key_limit=limit)
    )
    run = large.begin(quota=quota, webhook="https://shop.example/hook")
    refused = large.prepare(run)
    assert (refused.prepared, refused.done, refused.failed, refused.pending) == (False, 0, ROWS, 0)
    assert refused.finished_at is not None
    assert refused.error_message is not None
    assert refused.error_message.startswith(f"This {whose}'s quota of {ROWS - 1} images per month")
    assert progress_of(refused).finished
    assert progress_of(refused).per_second == 0
    assert large.notified == [("run.failed", refused.error_message)]
    assert large.make.count(RunItem, large.space.id) == large.used == 0
    assert large.chunks == []

    assert large.retry(run) == ROWS
    assert large.now(run).pending == ROWS
    assert large.now(run).error_message is None
    assert large.retry(run) == 0, "it is being prepared"
    assert large.prepare(run).prepared
    assert large.used == ROWS


def test_starter_of_a_failed_run_gets_an_email(large: Large) -> None:
    admin = large.make.member(large.space)
    run = large.begin(quota=Quota(large.space.id, limit=1))
    with large.make.database.transaction(large.space.id) as db:
        db.get_one(Account, admin.id).unsubscribed_topics = []
        db.get_one(Run, (large.space.id, run.id)).started_by = admin.id
    large.prepare(run)
    with large.make.database.transaction() as db:
        [mail] = db.scalars(text("SELECT args::text FROM procrastinate_jobs WHERE queue_name = 'email'"))
    assert "a run could not start" in mail
    assert "quota of 1 images per month" in mail


def test_read_only_workspace_starts_no_run(large: Large) -> None:
    with pytest.raises(QuotaExceededError, match=READ_ONLY_MESSAGE):
        large.begin(quota=Quota(large.space.id, is_read_only=True))
    run = large.begin()
    large.cancel(run)
    with pytest.raises(QuotaExceededError, match=READ_ONLY_MESSAGE):
        large.retry(run, Quota(large.space.id, is_read_only=True))


def test_feed_emptied_before_preparation_fails_the_run(large: Large) -> None:
    run = large.begin()
    with large.make.database.transaction(large.space.id) as db:
        db.execute(text("DELETE FROM items"))
    assert large.prepare(run).error_message == "This feed has no rows"


def test_unprepared_run_can_be_canceled_and_resumed(large: Large) -> None:
    run = large.begin(webhook="https://shop.example/hook")
    assert large.cancel(run) == ROWS
    assert large.cancel(run) is None
    canceled = large.prepare(run)
    assert (canceled.failed, canceled.prepared, canceled.error_message) == (ROWS, False, None)
    assert canceled.canceled_at == canceled.finished_at is not None
    assert large.make.count(RunItem, large.space.id) == large.used == 0
    assert large.notified == [("run.failed", None)]
    assert large.retry(run) == ROWS
    assert large.now(run).canceled_at is None
    assert large.prepare(run).prepared


def test_counting_does_not_wait_for_preparation(large: Large, monkeypatch: pytest.MonkeyPatch) -> None:
    run, enqueue, counted = large.begin(), planning.enqueue_chunks, []

    def count_meanwhile(db: Any, *given: Any) -> None:
        enqueue(db, *given)
        with large.make.database.transaction(large.space.id) as other:
            other.execute(text("SET LOCAL lock_timeout = '3s'"))
            count(other, Quota(large.space.id))
            counted.append(1)

    monkeypatch.setattr(planning, "enqueue_chunks", count_meanwhile)
    assert large.prepare(run).prepared
    assert counted == [1]
    assert large.used == ROWS + 1


def test_run_can_be_canceled_during_preparation(large: Large, monkeypatch: pytest.MonkeyPatch) -> None:
    run, lock, canceled = large.begin(), planning._lock, []

    def cancel_before(db: Any, locked: Run) -> None:
        if not canceled:
            canceled.append(0)
            canceled.append(large.cancel(run))  # does not wait for the one that writes
        lock(db, locked)

    monkeypatch.setattr(planning, "_lock", cancel_before)
    ended = large.prepare(run)
    assert canceled == [0, ROWS]
    assert (ended.failed, ended.prepared) == (ROWS, False)
    assert large.make.count(RunItem, large.space.id) == large.used == 0
    assert large.chunks == []


def test_canceled_large_run_is_resumed_by_a_job(large: Large) -> None:
    run = large.prepare(large.begin())
    large.work_on_chunk(run, 0)
    assert large.cancel(run) == ROWS - CHUNK == large.now(run).failed
    assert large.retry(run) == ROWS - CHUNK
    waits = large.now(run)
    assert (waits.prepared, waits.done, waits.failed, waits.canceled_at) == (True, CHUNK, 0, None), "not so large"
    large.cancel(run)
    large.at_once(0)
    assert large.retry(run) == ROWS - CHUNK
    waits = large.now(run)
    assert (waits.prepared, waits.done, waits.failed, waits.finished_at) == (False, CHUNK, 0, None)
    assert large.used == CHUNK, "nothing counts yet"
    large.work_on_chunk(run, 1)
    assert large.now(run).done == CHUNK, "and nothing is rendered"
    assert large.retry(run) == 0, "it is being prepared"

    ready = large.prepare(run)
    assert (ready.prepared, ready.done, ready.total, ready.unchanged) == (True, CHUNK, ROWS, 0)
    assert large.used == ROWS
    assert large.chunks == [1, 2], "what waited was dropped, what is left waits"
    assert large.render(run).done == ROWS


def test_failed_items_of_a_large_run_are_retried_by_a_job(large: Large) -> None:
    run = large.prepare(large.begin())
    results = tuple(ItemResult(position=position, error="No") for position in range(1, ROWS + 1))
    with large.make.database.transaction(large.space.id) as db:
        apply_report(db, Report(workspace_id=run.workspace_id, run_id=run.id, results=results), SIGNED_URLS)
    assert (large.now(run).failed, large.used) == (ROWS, 0)
    large.at_once(0)
    assert large.retry(run, Quota(large.space.id, limit=ROWS - 1)) == ROWS
    assert "does not have enough images left" in str(large.prepare(run).error_message)
    assert (large.now(run).failed, large.used) == (ROWS, 0)
    assert large.retry(run) == ROWS
    assert large.prepare(run).pending == large.used == ROWS
    assert large.render(run).done == ROWS


def test_run_that_cannot_continue_keeps_its_images(large: Large) -> None:
    run = large.prepare(large.begin())
    large.work_on_chunk(run, 0)
    large.cancel(run)
    large.at_once(0)
    large.retry(run, Quota(large.space.id, limit=ROWS - 1))
    refused = large.prepare(run)
    assert (refused.done, refused.failed, refused.prepared, large.used) == (CHUNK, ROWS - CHUNK, False, CHUNK)
    assert refused.error_message
    with large.make.database.transaction(large.space.id) as db:
        found = latest_run(db, db.get_one(Feed, (large.space.id, large.feed.id)), large.template.id)
        assert found is not None, "its images are in the output feed"
    assert large.retry(run) == ROWS - CHUNK
    large.prepare(run)
    assert large.render(run).done == large.used == ROWS


def test_chunks_of_a_canceled_run_are_deleted_unless_it_is_resumed(large: Large) -> None:
    run, other = large.prepare(large.begin()), large.prepare(large.begin())
    assert large.chunks == [0, 0, 1, 1, 2, 2]
    large.cancel(run)
    large.prepare(run)
    assert large.chunks == [0, 1, 2], "those of the other one stay"
    large.retry(run)
    with large.make.database.transaction(large.space.id) as db:
        delete_queued_chunks(db, db.get_one(Run, (large.space.id, run.id)))
    large.prepare(run)
    assert len(large.chunks) == 6
    assert other.pending == ROWS


def test_smallest_run_is_prepared_first(large: Large, monkeypatch: pytest.MonkeyPatch) -> None:
    larger = large.begin()
    large.at_once(2)
    large.feed = large.make.feed(large.space, rows(3), "Small")
    smaller, started = large.begin(), []
    prepare = tasks.prepare_run
    monkeypatch.setattr(tasks, "prepare_run", lambda db, run, quota: (started.append(run.id), prepare(db, run, quota)))
    large.prepare(larger)
    assert started == [smaller.id, larger.id]


def test_second_job_does_not_prepare_again(large: Large) -> None:
    run = large.begin()
    with large.make.database.transaction(large.space.id) as db:
        planning._prepare_or_enqueue(db, db.get_one(Run, (large.space.id, run.id)), Quota(large.space.id))
    large.prepare(run)
    assert large.used == ROWS
    assert large.chunks == [0, 1, 2]


def test_aborted_preparation_is_rolled_back_and_repeated(large: Large, monkeypatch: pytest.MonkeyPatch) -> None:
    run = large.begin()

    def fail(*given: object) -> None:
        raise OSError("the database is lost")

    with monkeypatch.context() as patched:
        patched.setattr(planning, "enqueue_chunks", fail)
        waits = large.prepare(run)
    assert (waits.prepared, waits.finished_at) == (False, None)
    assert large.make.count(RunItem, large.space.id) == large.used == 0
    with large.make.database.transaction() as db:
        db.execute(text("UPDATE procrastinate_jobs SET scheduled_at = NULL"))
    assert large.prepare(run).prepared


def test_prepared_run_is_not_prepared_again(large: Large) -> None:
    run = large.prepare(large.begin())
    large.render(run)
    with large.make.database.transaction(large.space.id) as db:
        db.execute(text("DELETE FROM run_items"))
        with pytest.raises(RunEndedError):
            prepare_run(db, db.get_one(Run, (large.space.id, run.id)), Quota(large.space.id))


def test_run_without_a_job_fails_and_can_be_retried(large: Large) -> None:
    run, other = large.begin(), large.begin()
    extra = {"database": large.make.database, "signed_urls": SIGNED_URLS}
    context: Any = SimpleNamespace(additional_context=extra)
    fail_orphaned_items(context, 0)
    assert large.now(run).pending == ROWS
    with large.make.database.transaction() as db:
        gone = text("UPDATE procrastinate_jobs SET status = 'failed' WHERE args ->> 'run_id' = :run")
        db.execute(gone, {"run": str(run.id)})
    fail_orphaned_items(context, 0)
    assert (large.now(run).error_message, large.now(run).failed) == (PREPARATION_FAILED, ROWS)
    assert large.now(other).pending == ROWS
    assert large.retry(run) == ROWS
    assert large.prepare(run).prepared


def test_unprepared_run_delays_no_other_run(large: Large) -> None:
    def first_turn() -> int:
        with large.make.database.transaction() as db:
            query = text("SELECT max(priority) FROM procrastinate_jobs WHERE task_name = 'runs.render_chunk'")
            first: int = db.scalar(query)
            db.execute(text("DELETE FROM procrastinate_jobs WHERE task_name = 'runs.render_chunk'"))
            return first

    small = large.make.feed(large.space, rows(1), "Small")
    large.make.run(small, large.template)
    alone = first_turn()
    with large.make.database.transaction(large.space.id) as db:
        db.execute(text("UPDATE runs SET done = total, finished_at = now()"))
    large.begin()
    large.make.run(small, large.template)
    assert first_turn() == alone


def test_automatic_run_is_prepared_by_its_own_job(large: Large) -> None:
    run = large.prepare(large.begin())
    with large.make.database.transaction(large.space.id) as db:
        start_auto_run(db, db.get_one(Run, (large.space.id, run.id)))
    large.bring(rows(ROWS, "New"))
    with large.make.database.transaction(large.space.id) as db:
        [follows] = start_due_auto_runs(db, large.space.id, large.feed.id)
        assert (follows.prepared, follows.total) == (True, ROWS)


def test_output_feed_is_of_the_last_prepared_run(large: Large) -> None:
    def latest() -> UUID | None:
        with large.make.database.transaction(large.space.id) as db:
            found = latest_run(db, db.get_one(Feed, (large.space.id, large.feed.id)), large.template.id)
            return found and found.id

    assert latest() is None
    first = large.begin()
    assert latest() == first.id, "its address works from the beginning"
    large.prepare(first)
    second = large.begin()
    assert latest() == first.id
    large.prepare(second)
    assert latest() == second.id


@pytest.mark.parametrize(("ends", "failed"), [("canceled", 1), ("canceled", 0), ("refused", 1)])
def test_retry_that_ends_unprepared_keeps_incomplete_images(large: Large, ends: str, failed: int) -> None:
    run = large.prepare(large.begin())
    with large.make.database.transaction(large.space.id) as db:
        states = text("UPDATE run_items SET state = CASE WHEN position > :failed THEN 'incomplete' ELSE 'failed' END")
        db.execute(states, {"failed": failed})
        stored = db.get_one(Run, (large.space.id, run.id))
        stored.incomplete, stored.failed, stored.finished_at = ROWS - failed, failed, stored.created_at
    large.at_once(0)
    large.retry(run, Quota(large.space.id, limit=0 if ends == "refused" else None))
    if ends == "canceled":
        assert large.cancel(run) == failed
        assert large.cancel(run) is None
    ended = large.prepare(run)
    assert (ended.done, ended.incomplete, ended.failed) == (0, ROWS - failed, failed)
    assert state_of(ended) == (RunState.CANCELED if ends == "canceled" else RunState.STOPPED)
    with large.make.database.transaction(large.space.id) as db:
        newer = large.begin()
        found = latest_run(db, db.get_one(Feed, (large.space.id, large.feed.id)), large.template.id)
    assert found is not None
    assert (found.id, newer.prepared) == (run.id, False)
