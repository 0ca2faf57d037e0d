"""What fair scheduling relies on in the installed version of Procrastinate."""

from sqlalchemy import text

from cwz_web.jobs import RENDER_QUEUE
from cwz_web.runs.render_tasks import render_chunk
from cwz_web.runs.scheduling import RENDER_TASK
from tests.factories import Factory

COLUMNS = {
    "queue_name": "character varying",
    "task_name": "character varying",
    "priority": "integer",
    "args": "jsonb",
    "status": "procrastinate_job_status",
    "worker_id": "bigint",
    "scheduled_at": "timestamp with time zone",
}


def test_columns_and_states_of_jobs_exist(make: Factory) -> None:
    columns = text(
        "SELECT attname, format_type(atttypid, NULL) AS type FROM pg_attribute"
        " WHERE attrelid = 'procrastinate_jobs'::regclass AND attnum > 0"
    )
    states = text("SELECT unnest(enum_range(NULL::procrastinate_job_status))::text")
    with make.database.transaction() as db:
        types = {row.attname: row.type for row in db.execute(columns)}
        assert types | COLUMNS == types
        assert {"todo", "doing"} <= set(db.scalars(states))


def test_greatest_priority_is_fetched_first(make: Factory) -> None:
    insert = text(
        "INSERT INTO procrastinate_jobs (queue_name, task_name, priority, args)"
        " VALUES (:queue, :task, :priority, jsonb_build_object('chunk', :priority))"
    )
    worker = text("INSERT INTO procrastinate_workers DEFAULT VALUES RETURNING id")
    fetch = text("SELECT priority FROM procrastinate_fetch_job_v2(ARRAY[CAST(:queue AS varchar)], :worker)")
    with make.database.transaction() as db:
        for priority in (-3, -1, -2):
            db.execute(insert, {"queue": RENDER_QUEUE, "task": RENDER_TASK, "priority": priority})
        values = {"queue": RENDER_QUEUE, "worker": db.scalar(worker)}
        assert [db.scalar(fetch, values) for _ in range(3)] == [-1, -2, -3]


def test_enqueued_task_is_the_one_of_render_workers() -> None:
    assert (render_chunk.name, render_chunk.queue) == (RENDER_TASK, RENDER_QUEUE)
