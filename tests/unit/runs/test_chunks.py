"""Chunks of runs: their size, their turn, and what happens to those that are lost or too slow."""

from types import SimpleNamespace
from uuid import uuid4

import pytest
from sqlalchemy import text, update

from cwz_web.generation.usage import monthly_usage
from cwz_web.jobs import RENDER_QUEUE
from cwz_web.runs.models import Run
from cwz_web.runs.planning import (
    retry_run,
)
from cwz_web.runs.protocol import (
    RunNotFoundError,
    SpecificationRequest,
)
from cwz_web.runs.reports import (
    fail_items_of_chunks,
)
from cwz_web.runs.scheduling import CHUNK, LARGEST_CHUNK, SMALLEST_CHUNK, chunk_size_of, requeue_chunk
from tests.factories import Factory
from tests.jobs import run_jobs
from tests.rendering import SIGNED_URLS, jobs, recording_client, request_chunk, rows, work, worker


def test_large_run_does_not_delay_a_small_one_of_another_workspace(make: Factory) -> None:
    """The order in which a worker gets the jobs: the small run's comes after one of the large one's at most."""
    large, small = make.workspace(), make.workspace()
    make.run(make.feed(large, rows(40 * CHUNK)), make.template(large))
    take_job(make)
    run = make.run(make.feed(small, rows(10)), make.template(small))
    order = [take_job(make) for _ in range(3)]
    assert str(run.id) in order[:2]
    again = make.run(make.feed(small, rows(2 * CHUNK)), make.template(small))
    other = [take_job(make) for _ in range(5)]
    assert other.count(str(again.id)) == 2, "they take turns"


def take_job(make: Factory) -> str:
    """The run of the job that a worker would get next."""
    with make.database.transaction() as db:
        worker_id = db.scalar(text("SELECT procrastinate_register_worker_v1()"))
        row = db.execute(
            text("SELECT id, args FROM procrastinate_fetch_job_v2(ARRAY['render'], :worker)"), {"worker": worker_id}
        ).one()
    return str(row.args["run_id"])


def test_render_chunk_stops_at_its_time_limit(make: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    space = make.workspace()
    run = make.run(make.feed(space, rows(CHUNK)), make.template(space))
    clock = iter(range(10**6))  # a second for each look
    monkeypatch.setattr("cwz_web.runs.render_worker.time", SimpleNamespace(monotonic=lambda: next(clock)))
    assert not worker(make).render_chunk(request_chunk(run), last_try=False, seconds=9)
    left = make.reload(run)
    assert 0 < left.done < CHUNK
    assert (left.failed, left.finished_at) == (0, None)
    assert worker(make).render_chunk(request_chunk(run), last_try=False, seconds=10**6)
    assert make.reload(run).done == CHUNK


def test_requeued_chunk_waits_for_other_workspaces(make: Factory) -> None:
    slow, small = make.workspace(), make.workspace()
    run = make.run(make.feed(slow, rows(3 * CHUNK)), make.template(slow))
    assert take_job(make) == str(run.id)
    other = make.run(make.feed(small, rows(2)), make.template(small))
    with make.database.transaction(slow.id) as db:
        requeue_chunk(db, slow.id, run.id, 0)
    assert jobs(make)[-1]["chunk"] == 0
    assert str(other.id) in [take_job(make) for _ in range(2)]
    with make.database.transaction(slow.id) as db, pytest.raises(RunNotFoundError):
        requeue_chunk(db, slow.id, uuid4(), 0)
    assert len(jobs(make)) == 5


def test_run_that_is_requeued_repeatedly_gets_its_fair_share(make: Factory) -> None:
    slow, other = make.workspace(), make.workspace()
    template = make.template(slow)
    run = make.run(make.feed(slow, rows(4 * CHUNK)), template)
    theirs = make.run(make.feed(other, rows(40 * CHUNK)), make.template(other))

    def take(jobs: int) -> list[str]:
        taken = []
        for _ in range(jobs):
            taken.append(take_job(make))
            if taken[-1] == str(run.id):
                with make.database.transaction(slow.id) as db:
                    requeue_chunk(db, slow.id, run.id, 0)
        return taken

    assert 11 <= take(24).count(str(run.id)) <= 13, "the two workspaces take turns"
    make.run(make.feed(slow, rows(20 * CHUNK)), template)
    taken = take(24)
    assert taken.count(str(run.id)) >= 7, "it does not wait for a whole run that began later"
    assert taken.count(str(theirs.id)) >= 7, "nor does the other workspace"


def test_job_requeues_the_rest_of_its_chunk(make: Factory) -> None:
    space = make.workspace()
    run = make.run(make.feed(space, rows(2)), make.template(space))
    asked: list[SpecificationRequest] = []

    class Slow:
        client = recording_client(make)

        def render_chunk(self, ask: SpecificationRequest, *, last_try: bool, seconds: float) -> bool:
            asked.append(ask)
            return len(asked) == 3

    url = make.services.settings.database.url.get_secret_value()
    run_jobs(url, RENDER_QUEUE, {"render_worker": Slow()})
    assert asked == [request_chunk(run)] * 3
    assert jobs(make) == []


def test_chunk_size_is_what_a_worker_renders_in_two_seconds(make: Factory) -> None:
    space = make.workspace()
    feed, template = make.feed(space, rows(3)), make.template(space)

    def chunk_after(seconds: float) -> int:
        with make.database.transaction(space.id) as db:
            db.execute(update(Run).values(done=30, total=30, unchanged=0, rendering_seconds=seconds))
            return chunk_size_of(db, template)

    work(make, make.run(feed, template))
    assert make.reload(make.run(feed, template)).rendering_seconds == 0
    assert chunk_after(0.0) == CHUNK
    assert [chunk_after(seconds) for seconds in (1.0, 3.0, 0.01, 600.0)] == [60, 20, LARGEST_CHUNK, SMALLEST_CHUNK]


def test_lost_chunks_fail_and_can_be_retried(make: Factory) -> None:
    space = make.workspace()
    run = make.run(make.feed(space, rows(CHUNK + 1)), make.template(space))
    lost = text("SELECT run_id, chunk FROM orphaned_chunks()")
    with make.database.transaction() as db:
        assert db.execute(lost).all() == []
        db.execute(text("UPDATE procrastinate_jobs SET status = 'failed' WHERE (args ->> 'chunk')::int = 1"))
        assert db.execute(lost).all() == [(run.id, 1)]
    with make.database.transaction(space.id) as db:
        fail_items_of_chunks(db, space.id, run.id, [1], SIGNED_URLS)
        assert db.get_one(Run, (space.id, run.id)).failed == 1
        assert monthly_usage(db, space.id, space.id) == CHUNK, "and costs nothing"
        assert retry_run(db, db.get_one(Run, (space.id, run.id))) == 1


def test_single_images_do_not_affect_the_chunk_size(make: Factory) -> None:
    space = make.workspace()
    template = make.template(space)
    worker(make).render_chunk(request_chunk(make.image_run(template, title="Slow")), last_try=False)
    with make.database.transaction(space.id) as db:
        db.execute(update(Run).values(rendering_seconds=60.0))
        assert chunk_size_of(db, template) == CHUNK
