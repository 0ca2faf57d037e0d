"""What a worker's jobs may do."""

from procrastinate import JobContext
from sqlalchemy import text

from cwz_web.jobs import FEEDS_QUEUE, app, defer_once
from tests.factories import Factory
from tests.jobs import run_jobs

done: list[str] = []


@app.task(name="tests.begin", queue=FEEDS_QUEUE, pass_context=True)
def begin(context: JobContext, ending: str) -> None:
    """Enqueues, in a transaction of its own."""
    with context.additional_context["database"].transaction() as db:
        for _ in range(2):
            defer_once(db, "tests.finish", queue=FEEDS_QUEUE, queueing_lock="finish")
        if ending == "bad":
            raise ValueError


@app.task(name="tests.finish", queue=FEEDS_QUEUE)
def finish() -> None:
    done.append("finished")


def waiting(make: Factory) -> int:
    with make.database.transaction() as db:
        return int(db.scalar(text("SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'tests.finish'")) or 0)


def test_a_job_enqueues_another_one_in_its_own_transaction(make: Factory, app_url: str) -> None:
    """With the worker's own connections in place of the application's, and once for each name."""
    done.clear()
    with make.database.transaction() as db:
        defer_once(db, "tests.begin", queue=FEEDS_QUEUE, queueing_lock="begin", ending="good")
    run_jobs(app_url, FEEDS_QUEUE, {"database": make.database})
    assert done == ["finished"]


def test_a_job_that_fails_enqueues_nothing(make: Factory, app_url: str) -> None:
    done.clear()
    with make.database.transaction() as db:
        defer_once(db, "tests.begin", queue=FEEDS_QUEUE, queueing_lock="begin", ending="bad")
    run_jobs(app_url, FEEDS_QUEUE, {"database": make.database})
    assert (done, waiting(make)) == ([], 0)
