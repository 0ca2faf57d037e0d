"""Questions beside transactions, on connections of their own."""

import psycopg
import pytest
from sqlalchemy import text

from cwz_web.db.session import Database
from tests.factories import Factory

MINE = "SELECT pg_backend_pid() AS pid"


def kill(database: Database, pid: int) -> None:
    with psycopg.connect(database.engine.url.set(drivername="postgresql").render_as_string(False)) as connection:
        connection.execute("SELECT pg_terminate_backend(%s)", [pid])


def test_a_connection_is_kept_and_one_that_died_is_replaced(make: Factory) -> None:
    first = make.database.ask(MINE)
    again = make.database.ask(MINE)
    assert first
    assert again
    assert first.pid == again.pid
    kill(make.database, first.pid)
    after = make.database.ask(MINE)
    assert after
    assert after.pid != first.pid


def test_what_must_not_happen_twice_is_not_asked_again(make: Factory) -> None:
    first = make.database.ask(MINE)
    assert first
    kill(make.database, first.pid)
    with pytest.raises(psycopg.OperationalError):
        make.database.ask(MINE, again=False)
    assert make.database.ask(MINE, again=False), "the dead connection was forgotten"


def test_an_error_leaves_the_connection_fit_for_use(make: Factory) -> None:
    first = make.database.ask(MINE)
    with pytest.raises(psycopg.errors.DivisionByZero):
        make.database.ask("SELECT 1 / 0 AS nothing")
    assert make.database.ask(MINE) == first


def test_a_question_enters_no_workspace(make: Factory) -> None:
    make.feed(make.workspace())
    found = make.database.ask("SELECT count(*) AS feeds FROM feeds")
    assert found
    assert found.feeds == 0
    with make.database.transaction() as db:
        assert db.scalar(text("SELECT count(*) FROM feeds")) == 0
