"""Large runs are prepared by a job: as small ones are, or they say why not."""

import json
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, text

from cwz_web.accounts.models import Account
from cwz_web.feeds.file_types import spooled
from cwz_web.feeds.imports import import_file
from cwz_web.feeds.models import Feed
from cwz_web.generation.signed_urls import SignedUrls
from cwz_web.generation.templates import Template
from cwz_web.generation.usage import READ_ONLY, Quota, QuotaExceededError, count, used_in
from cwz_web.imaging.encoders import Output
from cwz_web.jobs import PREPARE_QUEUE
from cwz_web.notify.models import Delivery
from cwz_web.runs import planning, tasks
from cwz_web.runs.auto_runs import start_auto_run, start_due_auto_runs
from cwz_web.runs.local_client import LocalRenderClient
from cwz_web.runs.models import Run, RunItem
from cwz_web.runs.output_feed import latest_run
from cwz_web.runs.planning import NEVER_PREPARED, RunEndedError, cancel_run, prepare_run, retry_failed, start_run
from cwz_web.runs.progress import progress_of
from cwz_web.runs.protocol import AskSpecification, Report, Result
from cwz_web.runs.reports import apply_report
from cwz_web.runs.scheduling import CHUNK, drop_chunks
from cwz_web.runs.tasks import end_lost
from cwz_web.runs.worker import Worker
from tests.factories import Factory
from tests.jobs import run_jobs

ADDRESSES = SignedUrls("a signing secret")
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
            return start_run(
                db,
                feed=db.get_one(Feed, (self.space.id, self.feed.id)),
                template=db.get_one(Template, (self.space.id, self.template.id)),
                mapping={"title": "title"},
                outputs=[Output()],
                started_by=None,
                **more,
            )

    def at_once(self, images: int) -> None:
        """How many are prepared at once."""
        self.patch.setattr(planning, "AT_ONCE", images)

    def bring(self, content: bytes) -> None:
        with self.make.database.transaction(self.space.id) as db:
            feed = db.get_one(Feed, (self.space.id, self.feed.id))
            import_file(db, feed, file_name="n.csv", file=spooled(content))

    def prepare(self, run: Run) -> Run:
        """What the job does; then the run as it is."""
        context: dict[str, object] = {"database": self.make.database}
        run_jobs(self.make.services.settings.database_url.get_secret_value(), PREPARE_QUEUE, context)
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
        web = LocalRenderClient(self.make.database.transaction, services.providers, ADDRESSES)
        ask = AskSpecification(workspace_id=run.workspace_id, run_id=run.id, chunk=chunk)
        Worker(web, services.image_service, services.providers).render_chunk(ask, last_try=True)

    def cancel(self, run: Run) -> int:
        with self.make.database.transaction(self.space.id) as db:
            db.execute(text("SET LOCAL lock_timeout = '3s'"))
            return cancel_run(db, db.get_one(Run, (self.space.id, run.id)))

    def retry(self, run: Run, quota: Quota | None = None) -> int:
        with self.make.database.transaction(self.space.id) as db:
            return retry_failed(db, db.get_one(Run, (self.space.id, run.id)), quota)

    @property
    def used(self) -> int:
        with self.make.database.transaction(self.space.id) as db:
            return used_in(db, self.space.id, self.space.id)

    @property
    def chunks(self) -> list[int]:
        """Of the jobs that wait to be rendered."""
        with self.make.database.transaction() as db:
            found = text("SELECT (args ->> 'chunk')::int FROM procrastinate_jobs WHERE task_name = 'runs.render_chunk'")
            return sorted(db.scalars(found))

    @property
    def told(self) -> list[tuple[str, str | None]]:
        """What the webhook of a run hears."""
        with self.make.database.transaction(self.space.id) as db:
            deliveries = db.scalars(select(Delivery).order_by(Delivery.created_at))
            return [(each.event, json.loads(each.body)["data"]["trouble"]) for each in deliveries]


@pytest.fixture
def large(make: Factory, monkeypatch: pytest.MonkeyPatch) -> Large:
    return Large(make, monkeypatch)


def test_a_large_run_begins_at_once_and_its_job_prepares_it(large: Large) -> None:
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
    assert (rendered.done, rendered.failed, rendered.trouble) == (ROWS, 0, None)
    assert rendered.finished_at is not None


def test_a_smaller_one_is_prepared_at_once(large: Large) -> None:
    large.bring(rows(ROWS - 1))
    assert large.begin().prepared
    assert large.chunks == [0, 1, 2]


def test_what_is_there_already_is_found_by_the_job(large: Large) -> None:
    large.render(large.prepare(large.begin()))
    again = large.prepare(large.begin(webhook="https://shop.example/hook"))
    assert (again.done, again.unchanged, again.pending) == (ROWS, ROWS, 0)
    assert again.finished_at is not None
    assert large.used == ROWS
    assert large.told == [("run.finished", None)]


def test_a_run_renders_the_rows_that_are_there_when_it_is_prepared(large: Large) -> None:
    run = large.begin()
    large.bring(rows(ROWS - 2))
    assert large.prepare(run).total == large.used == ROWS - 2


@pytest.mark.parametrize("whose", ["workspace", "key"])
def test_a_run_for_which_there_is_no_room_says_so_and_can_be_tried_again(large: Large, whose: str) -> None:
    cap = ROWS - 1
    quota = Quota(large.space.id, cap) if whose == "workspace" else Quota(large.space.id, key_id=uuid4(), key_cap=cap)
    run = large.begin(quota=quota, webhook="https://shop.example/hook")
    refused = large.prepare(run)
    assert (refused.prepared, refused.done, refused.failed, refused.pending) == (False, 0, ROWS, 0)
    assert refused.finished_at is not None
    assert (
        refused.trouble == f"This {whose} may make {ROWS - 1} images a month, and there is no room for more in this one"
    )
    assert progress_of(refused).finished
    assert progress_of(refused).per_second == 0
    assert large.told == [("run.failed", refused.trouble)]
    assert large.make.count(RunItem, large.space.id) == large.used == 0
    assert large.chunks == []

    assert large.retry(run) == ROWS
    assert large.now(run).pending == ROWS
    assert large.now(run).trouble is None
    assert large.retry(run) == 0, "it is being prepared"
    assert large.prepare(run).prepared
    assert large.used == ROWS


def test_who_began_it_gets_a_mail(large: Large) -> None:
    admin = large.make.member(large.space)
    run = large.begin(quota=Quota(large.space.id, cap=1))
    with large.make.database.transaction(large.space.id) as db:
        db.get_one(Account, admin.id).muted = []
        db.get_one(Run, (large.space.id, run.id)).started_by = admin.id
    large.prepare(run)
    with large.make.database.transaction() as db:
        [mail] = db.scalars(text("SELECT args::text FROM procrastinate_jobs WHERE queue_name = 'mail'"))
    assert "a run could not begin" in mail
    assert "This workspace may make 1 images a month" in mail


def test_a_workspace_that_can_only_be_looked_at_begins_none(large: Large) -> None:
    with pytest.raises(QuotaExceededError, match=READ_ONLY):
        large.begin(quota=Quota(large.space.id, closed=True))
    run = large.begin()
    large.cancel(run)
    with pytest.raises(QuotaExceededError, match=READ_ONLY):
        large.retry(run, Quota(large.space.id, closed=True))


def test_a_feed_that_was_emptied_meanwhile_ends_it(large: Large) -> None:
    run = large.begin()
    with large.make.database.transaction(large.space.id) as db:
        db.execute(text("DELETE FROM items"))
    assert large.prepare(run).trouble == "This feed has no rows"


def test_a_run_is_cancelled_before_it_is_prepared_and_goes_on_later(large: Large) -> None:
    run = large.begin(webhook="https://shop.example/hook")
    assert large.cancel(run) == ROWS
    assert large.cancel(run) == 0
    cancelled = large.prepare(run)
    assert (cancelled.failed, cancelled.prepared, cancelled.trouble) == (ROWS, False, None)
    assert cancelled.cancelled_at == cancelled.finished_at is not None
    assert large.make.count(RunItem, large.space.id) == large.used == 0
    assert large.told == [("run.failed", None)]
    assert large.retry(run) == ROWS
    assert large.now(run).cancelled_at is None
    assert large.prepare(run).prepared


def test_who_counts_does_not_wait_for_a_run_that_is_prepared(large: Large, monkeypatch: pytest.MonkeyPatch) -> None:
    run, enqueue, counted = large.begin(), planning.enqueue, []

    def count_meanwhile(db: Any, *given: Any) -> None:
        enqueue(db, *given)
        with large.make.database.transaction(large.space.id) as other:
            other.execute(text("SET LOCAL lock_timeout = '3s'"))
            count(other, Quota(large.space.id))
            counted.append(1)

    monkeypatch.setattr(planning, "enqueue", count_meanwhile)
    assert large.prepare(run).prepared
    assert counted == [1]
    assert large.used == ROWS + 1


def test_a_run_is_cancelled_while_its_rows_are_written(large: Large, monkeypatch: pytest.MonkeyPatch) -> None:
    run, lock, cancelled = large.begin(), planning._lock, []

    def cancel_before(db: Any, locked: Run) -> None:
        if not cancelled:
            cancelled.append(0)
            cancelled.append(large.cancel(run))  # does not wait for the one that writes
        lock(db, locked)

    monkeypatch.setattr(planning, "_lock", cancel_before)
    ended = large.prepare(run)
    assert cancelled == [0, ROWS]
    assert (ended.failed, ended.prepared) == (ROWS, False)
    assert large.make.count(RunItem, large.space.id) == large.used == 0
    assert large.chunks == []


def test_a_large_run_that_was_cancelled_goes_on_by_a_job(large: Large) -> None:
    run = large.prepare(large.begin())
    large.work_on_chunk(run, 0)
    assert large.cancel(run) == ROWS - CHUNK == large.now(run).failed
    assert large.retry(run) == ROWS - CHUNK
    waits = large.now(run)
    assert (waits.prepared, waits.done, waits.failed, waits.cancelled_at) == (True, CHUNK, 0, None), "not so large"
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


def test_what_failed_in_a_large_run_is_tried_again_by_a_job(large: Large) -> None:
    run = large.prepare(large.begin())
    results = tuple(Result(position=position, error="No") for position in range(1, ROWS + 1))
    with large.make.database.transaction(large.space.id) as db:
        apply_report(db, Report(workspace_id=run.workspace_id, run_id=run.id, results=results), ADDRESSES)
    assert (large.now(run).failed, large.used) == (ROWS, 0)
    large.at_once(0)
    assert large.retry(run, Quota(large.space.id, cap=ROWS - 1)) == ROWS
    assert "no room for more" in str(large.prepare(run).trouble)
    assert (large.now(run).failed, large.used) == (ROWS, 0)
    assert large.retry(run) == ROWS
    assert large.prepare(run).pending == large.used == ROWS
    assert large.render(run).done == ROWS


def test_one_that_does_not_go_on_keeps_what_it_has(large: Large) -> None:
    run = large.prepare(large.begin())
    large.work_on_chunk(run, 0)
    large.cancel(run)
    large.at_once(0)
    large.retry(run, Quota(large.space.id, cap=ROWS - 1))
    refused = large.prepare(run)
    assert (refused.done, refused.failed, refused.prepared, large.used) == (CHUNK, ROWS - CHUNK, False, CHUNK)
    assert refused.trouble
    with large.make.database.transaction(large.space.id) as db:
        found = latest_run(db, db.get_one(Feed, (large.space.id, large.feed.id)), large.template.id)
        assert found is not None, "its images are in the output feed"
    assert large.retry(run) == ROWS - CHUNK
    large.prepare(run)
    assert large.render(run).done == large.used == ROWS


def test_the_jobs_of_a_cancelled_run_are_dropped_unless_it_goes_on(large: Large) -> None:
    run, other = large.prepare(large.begin()), large.prepare(large.begin())
    assert large.chunks == [0, 0, 1, 1, 2, 2]
    large.cancel(run)
    large.prepare(run)
    assert large.chunks == [0, 1, 2], "those of the other one stay"
    large.retry(run)
    with large.make.database.transaction(large.space.id) as db:
        drop_chunks(db, db.get_one(Run, (large.space.id, run.id)))
    large.prepare(run)
    assert len(large.chunks) == 6
    assert other.pending == ROWS


def test_the_smallest_is_prepared_first(large: Large, monkeypatch: pytest.MonkeyPatch) -> None:
    larger = large.begin()
    large.at_once(2)
    large.feed = large.make.feed(large.space, rows(3), "Small")
    smaller, begun = large.begin(), []
    prepare = tasks.prepare_run
    monkeypatch.setattr(tasks, "prepare_run", lambda db, run, quota: (begun.append(run.id), prepare(db, run, quota)))
    large.prepare(larger)
    assert begun == [smaller.id, larger.id]


def test_two_jobs_prepare_it_once(large: Large) -> None:
    run = large.begin()
    with large.make.database.transaction(large.space.id) as db:
        planning._prepare(db, db.get_one(Run, (large.space.id, run.id)), Quota(large.space.id))
    large.prepare(run)
    assert large.used == ROWS
    assert large.chunks == [0, 1, 2]


def test_a_job_that_breaks_off_leaves_nothing_and_the_next_one_does_it_all(
    large: Large, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = large.begin()

    def fail(*given: object) -> None:
        raise OSError("the database is lost")

    with monkeypatch.context() as patched:
        patched.setattr(planning, "enqueue", fail)
        waits = large.prepare(run)
    assert (waits.prepared, waits.finished_at) == (False, None)
    assert large.make.count(RunItem, large.space.id) == large.used == 0
    with large.make.database.transaction() as db:
        db.execute(text("UPDATE procrastinate_jobs SET scheduled_at = NULL"))
    assert large.prepare(run).prepared


def test_what_is_prepared_already_is_not_prepared_again(large: Large) -> None:
    run = large.prepare(large.begin())
    large.render(run)
    with large.make.database.transaction(large.space.id) as db:
        db.execute(text("DELETE FROM run_items"))
        with pytest.raises(RunEndedError):
            prepare_run(db, db.get_one(Run, (large.space.id, run.id)), Quota(large.space.id))


def test_a_run_whose_job_is_gone_ends_and_can_be_tried_again(large: Large) -> None:
    run, other = large.begin(), large.begin()
    extra = {"database": large.make.database, "addresses": ADDRESSES}
    context: Any = SimpleNamespace(additional_context=extra)
    end_lost(context, 0)
    assert large.now(run).pending == ROWS
    with large.make.database.transaction() as db:
        gone = text("UPDATE procrastinate_jobs SET status = 'failed' WHERE args ->> 'run_id' = :run")
        db.execute(gone, {"run": str(run.id)})
    end_lost(context, 0)
    assert (large.now(run).trouble, large.now(run).failed) == (NEVER_PREPARED, ROWS)
    assert large.now(other).pending == ROWS
    assert large.retry(run) == ROWS
    assert large.prepare(run).prepared


def test_one_that_is_not_prepared_holds_up_no_other_of_its_workspace(large: Large) -> None:
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


def test_what_follows_a_feed_is_prepared_by_the_job_that_begins_it(large: Large) -> None:
    run = large.prepare(large.begin())
    with large.make.database.transaction(large.space.id) as db:
        start_auto_run(db, db.get_one(Run, (large.space.id, run.id)))
    large.bring(rows(ROWS, "New"))
    with large.make.database.transaction(large.space.id) as db:
        [follows] = start_due_auto_runs(db, large.space.id, large.feed.id)
        assert (follows.prepared, follows.total) == (True, ROWS)


def test_the_output_feed_is_of_the_last_run_that_was_prepared(large: Large) -> None:
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
