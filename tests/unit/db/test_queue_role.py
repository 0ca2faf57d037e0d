"""What the database role of render workers can and cannot do, with the real role."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from procrastinate import App
from psycopg.conninfo import make_conninfo
from sqlalchemy import create_engine, text

from cwz_web.db.queue_role import SEARCH_PATH, excess_rights
from cwz_web.jobs import WorkerConnector
from tests.factories import Factory

Connection = psycopg.Connection[tuple[Any, ...]]
USABLE = {"procrastinate_workers", "procrastinate_events", "procrastinate_periodic_defers"}


@pytest.fixture
def render_role(queue_url: str, make: Factory) -> Iterator[Connection]:
    """A connection of the role, to a database with a run and its chunk."""
    space = make.workspace()
    make.run(make.feed(space), make.template(space))
    with psycopg.connect(make_conninfo(queue_url, options=f"-c search_path={SEARCH_PATH}"), autocommit=True) as found:
        yield found


def test_no_table_of_ours_can_be_read_or_written(render_role: Connection) -> None:
    tables = render_role.execute(
        "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname = 'public'"
    ).fetchall()
    closed = {str(name).removeprefix("public.") for (name,) in tables} - USABLE
    assert {"runs", "connections", "accounts", "procrastinate_jobs", "alembic_version"} <= closed
    for table in closed:
        for statement in (f"TABLE public.{table}", f"DELETE FROM public.{table}", f"TRUNCATE public.{table}"):  # noqa: S608 - from the catalog
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                render_role.execute(statement)
        rights = "has_any_column_privilege(%s, 'SELECT, INSERT, UPDATE, REFERENCES')"
        assert render_role.execute(f"SELECT {rights}", [f"public.{table}"]).fetchone() == (False,)


def test_no_function_of_ours_can_be_called(render_role: Connection) -> None:
    callable_functions = render_role.execute(
        "SELECT proname, prosecdef FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
        " AND has_function_privilege(oid, 'EXECUTE')"
    ).fetchall()
    assert callable_functions
    assert all(name.startswith("procrastinate_") and not definer for name, definer in callable_functions)


def test_excess_rights_are_reported(queue_url: str, app_url: str) -> None:
    found = {}
    for url in (queue_url, app_url):
        engine = create_engine(url)
        with engine.connect() as connection:
            found[url] = excess_rights(connection)
        engine.dispose()
    assert found[queue_url] == []
    assert {"runs", "connections", "procrastinate_jobs"} <= set(found[app_url])


def test_role_is_a_plain_role_without_memberships(render_role: Connection) -> None:
    rights = (
        "SELECT rolsuper OR rolbypassrls OR rolcreatedb OR rolcreaterole OR rolreplication,"
        " (SELECT count(*) FROM pg_auth_members m WHERE m.member = r.oid),"
        " (SELECT count(*) FROM pg_class c WHERE c.relowner = r.oid)"
        " FROM pg_roles r WHERE rolname = current_user"
    )
    assert render_role.execute(rights).fetchone() == (False, 0, 0)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        render_role.execute("CREATE TABLE public.mine (id int)")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        render_role.execute("SET ROLE cwz_app")


def test_only_jobs_of_the_render_queue_are_visible(render_role: Connection, owner_url: str) -> None:
    with psycopg.connect(owner_url, autocommit=True) as owner:
        owner.execute(
            "INSERT INTO procrastinate_jobs (queue_name, task_name, args) VALUES ('mail', 'notify.send', '{\"to\": 1}')"
        )
    assert render_role.execute("SELECT DISTINCT queue_name FROM procrastinate_jobs").fetchall() == [("render",)]
    assert render_role.execute("UPDATE procrastinate_jobs SET attempts = 9 WHERE queue_name = 'email'").rowcount == 0


@pytest.mark.parametrize(("column", "value"), [("task_name", "notify.send"), ("lock", "l"), ("queueing_lock", "l")])
def test_job_cannot_get_another_task_or_a_lock(render_role: Connection, column: str, value: str) -> None:
    with pytest.raises(psycopg.errors.WithCheckOptionViolation):
        render_role.execute(f"UPDATE procrastinate_jobs SET {column} = %s", [value])  # noqa: S608 - one of the above


def test_jobs_that_the_role_changed_do_not_stop_recovery_or_scheduling(render_role: Connection, make: Factory) -> None:
    render_role.execute("""UPDATE procrastinate_jobs SET priority = -2147483648, args = '{"chunk": "none"}'""")
    space = make.workspace()
    run = make.run(make.feed(space), make.template(space))
    with make.database.transaction() as db:
        lost = db.execute(text("SELECT run_id FROM orphaned_chunks()")).scalars().all()
    assert len(lost) == 1
    assert run.id not in lost


def test_jobs_cannot_be_enqueued_or_moved_to_another_queue(render_role: Connection) -> None:
    insert = "INSERT INTO procrastinate_jobs (queue_name, task_name) VALUES ('render', 'runs.render_chunk')"
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        render_role.execute(insert)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        render_role.execute(
            "SELECT procrastinate_defer_jobs_v1(ARRAY[ROW('maintenance', 'ops.back_up', 0, NULL, NULL, '{}', NULL)]"
            "::procrastinate_job_to_defer_v1[])"
        )
    with pytest.raises(psycopg.errors.WithCheckOptionViolation):
        render_role.execute("UPDATE procrastinate_jobs SET queue_name = 'maintenance', task_name = 'ops.back_up'")


@pytest.mark.parametrize("fails", [False, True])
def test_worker_runs_fails_and_retries_jobs_of_the_queue(
    queue_url: str, make: Factory, fails: bool, render_role: Connection
) -> None:
    """All that Procrastinate's worker does, as the role: fetch, heartbeat, retry, finish, delete."""
    app, seen = App(connector=WorkerConnector(conninfo=_conninfo(queue_url))), []

    @app.task(name="runs.render_chunk", queue="render", retry=1)
    def render_chunk(**ids: object) -> None:
        seen.append(ids)
        if fails:
            raise ValueError

    async def work() -> None:
        async with app.open_async():
            await app.run_worker_async(
                queues=["render"], wait=False, delete_jobs="successful", install_signal_handlers=False
            )

    with ThreadPoolExecutor(1) as thread:  # Playwright's event loop may run in this one
        thread.submit(asyncio.run, work()).result()
    assert len(seen) == (2 if fails else 1)
    left = render_role.execute("SELECT status FROM procrastinate_jobs").fetchall()
    assert left == ([("failed",)] if fails else [])


def _conninfo(url: str) -> str:
    return make_conninfo(url, options=f"-c search_path={SEARCH_PATH}")
