"""Transactions, reads outside a transaction, and lock timeouts."""

from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import select, text, update
from sqlalchemy.exc import DBAPIError, OperationalError

from cwz_web.db.session import Database
from cwz_web.generation.models import Template
from tests.factories import Factory

BACKEND_PID = text("SELECT pg_backend_pid() AS pid")
LOCK = text("SELECT pg_advisory_xact_lock(7)")


def terminate(database: Database, pid: int) -> None:
    with psycopg.connect(database.engine.url.set(drivername="postgresql").render_as_string(False)) as connection:
        connection.execute("SELECT pg_terminate_backend(%s)", [pid])


def backend_pid(database: Database) -> int:
    row = database.query_one(BACKEND_PID)
    assert row is not None
    return int(row.pid)


def test_query_one_returns_the_row_or_none(make: Factory) -> None:
    row = make.database.query_one(text("SELECT CAST(:number AS int) + 1 AS sum"), {"number": 1})
    assert row is not None
    assert row.sum == 2
    assert make.database.query_one(text("SELECT 1 WHERE false")) is None


def test_query_one_opens_no_transaction(make: Factory) -> None:
    state = text("SELECT count(*) AS idle FROM pg_stat_activity WHERE pid = :pid AND state = 'idle in transaction'")
    row = make.database.query_one(state, {"pid": backend_pid(make.database)})
    assert row is not None
    assert row.idle == 0


def test_query_one_sees_no_rows_of_a_workspace(make: Factory) -> None:
    make.feed(make.workspace())
    row = make.database.query_one(text("SELECT count(*) AS feeds FROM feeds"))
    assert row is not None
    assert row.feeds == 0


def test_terminated_connection_is_replaced(make: Factory) -> None:
    pid = backend_pid(make.database)
    terminate(make.database, pid)
    assert backend_pid(make.database) != pid


def test_connection_remains_usable_after_an_error(make: Factory) -> None:
    with pytest.raises(DBAPIError, match="DivisionByZero"):
        make.database.query_one(text("SELECT 1 / 0"))
    assert backend_pid(make.database)


def test_errors_hide_the_parameters_of_a_statement(make: Factory) -> None:
    with pytest.raises(DBAPIError) as caught:
        make.database.query_one(text("SELECT :secret / 0"), {"secret": 7731})
    assert "7731" not in str(caught.value)


def test_transaction_is_rolled_back_on_an_exception(make: Factory) -> None:
    space = make.workspace()
    make.template(space, name="Card")

    def fail_halfway() -> None:
        with make.database.transaction(space.id) as db:
            db.execute(update(Template).values(name="Lost"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_halfway()
    with make.database.transaction(space.id) as db:
        assert db.scalar(select(Template.name)) == "Card"


def test_deleted_workspace_is_empty_unless_requested(make: Factory) -> None:
    space = make.workspace()
    make.feed(space)
    with make.database.transaction() as db:
        db.execute(text("INSERT INTO tombstones VALUES (:id, 'workspace', '', false, now(), now())"), {"id": space.id})
    for deleted, feeds in ((False, 0), (True, 1)):
        with make.database.transaction(space.id, deleted=deleted) as db:
            assert db.scalar(text("SELECT count(*) FROM feeds")) == feeds


@pytest.fixture
def impatient(app_url: str) -> Iterator[Database]:
    """A database with a short lock timeout."""
    database = Database(app_url, pool_size=1, lock_seconds=0.1)
    yield database
    database.dispose()


def test_lock_timeout_fails_the_statement_and_keeps_the_connection(impatient: Database, make: Factory) -> None:
    pid = backend_pid(impatient)
    with make.database.transaction() as other:
        other.execute(LOCK)
        with pytest.raises(OperationalError, match="LockNotAvailable"):
            impatient.query_one(LOCK)
        for _ in range(2):
            with impatient.session() as db, pytest.raises(OperationalError, match="LockNotAvailable"):
                db.execute(LOCK)
    assert backend_pid(impatient) == pid
    with impatient.transaction() as db:
        db.execute(LOCK)


def test_lock_timeout_is_off_by_default(app_url: str) -> None:
    database = Database(app_url, pool_size=1)
    with database.transaction() as db:
        assert db.scalar(text("SHOW lock_timeout")) == "0"
    database.dispose()
