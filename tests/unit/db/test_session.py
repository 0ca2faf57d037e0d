"""Questions beside transactions, on connections of their own."""

from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from cwz_web.db.session import Database
from tests.factories import Factory

MINE = b"SELECT to_json(pg_backend_pid())"


def kill(database: Database, pid: int) -> None:
    with psycopg.connect(database.engine.url.set(drivername="postgresql").render_as_string(False)) as connection:
        connection.execute("SELECT pg_terminate_backend(%s)", [pid])


def test_a_connection_is_kept_and_one_that_died_is_replaced(make: Factory) -> None:
    first = make.database.ask(MINE)
    again = make.database.ask(MINE)
    assert first
    assert first == again
    kill(make.database, first)
    after = make.database.ask(MINE)
    assert after
    assert after != first


def test_what_is_sent_is_answered_when_somebody_waits_for_it(make: Factory) -> None:
    first = make.database.send(b"SELECT to_json($1::int + 1)", 1)
    second = make.database.send(b"SELECT to_json($1::text)", None)
    assert make.database.ask(b"SELECT to_json(3)") == 3
    assert (second(), first()) == (None, 2)


def test_what_is_asked_early_is_there_when_it_is_wanted(make: Factory) -> None:
    with make.database.asking(MINE) as first, make.database.asking(b"SELECT to_json($1::text)", "later") as second:
        assert second() == "later"
        mine = first()
        assert make.database.ask(MINE), "beside others"
    with make.database.asking(MINE) as again:
        pass
    assert again(), "it is asked anew"
    assert mine in {make.database.send(MINE)() for _ in range(3)}


def test_what_nobody_wants_to_know_leaves_the_connection_fit_for_use(make: Factory) -> None:
    mine = make.database.ask(MINE)
    for query in (MINE, b"SELECT 1 / 0"):
        with make.database.asking(query):
            pass
        assert make.database.ask(MINE) == mine
    with pytest.raises(ZeroDivisionError), make.database.asking(MINE):
        raise ZeroDivisionError
    assert make.database.ask(MINE) == mine


def test_what_is_asked_early_is_asked_again_when_the_connection_dies(make: Factory) -> None:
    mine = make.database.ask(MINE)
    with make.database.asking(b"SELECT to_json(pg_backend_pid()) FROM pg_sleep(0.2)") as answer:
        kill(make.database, mine)
        after = answer()
    assert after not in (None, mine)
    kill(make.database, after)
    with make.database.asking(MINE) as answer:
        assert answer() not in (None, mine, after)


def test_that_nobody_can_be_asked_is_told_to_who_wants_to_know(make: Factory) -> None:
    nowhere = Database("postgresql://nobody@127.0.0.1:1/nothing")
    with nowhere.asking(MINE) as answer:
        pass
    for _ in range(2):
        with pytest.raises(psycopg.OperationalError):
            answer()
    with make.database.asking(b"SELECT nothing()") as answer, pytest.raises(psycopg.errors.UndefinedFunction):
        answer()
    assert make.database.ask(MINE)


def test_what_must_not_happen_twice_is_not_asked_again(make: Factory) -> None:
    first = make.database.ask(MINE)
    assert first
    kill(make.database, first)
    with pytest.raises(psycopg.OperationalError):
        make.database.send(MINE)()
    assert make.database.send(MINE)(), "the dead connection was forgotten"


def test_a_connection_that_dies_with_a_question_is_not_used_again(make: Factory) -> None:
    first = make.database.ask(MINE)
    assert first
    answer = make.database.send(b"SELECT to_json(pg_sleep(60)::text)")
    kill(make.database, first)
    with pytest.raises(psycopg.OperationalError):
        answer()
    after = make.database.ask(MINE)
    assert after
    assert after != first


def test_an_error_leaves_the_connection_fit_for_use(make: Factory) -> None:
    first = make.database.ask(MINE)
    with pytest.raises(psycopg.errors.DivisionByZero):
        make.database.ask(b"SELECT 1 / 0")
    assert make.database.ask(MINE) == first
    with pytest.raises(psycopg.errors.DivisionByZero):
        make.database.send(b"SELECT 1 / 0")()
    assert make.database.ask(MINE) == first
    for ask in (make.database.ask, make.database.send):
        with pytest.raises(psycopg.errors.UndefinedFunction):
            ask(b"SELECT no_function_of_ours()")
        assert make.database.ask(MINE) == first


def test_a_question_enters_no_workspace(make: Factory) -> None:
    make.feed(make.workspace())
    assert make.database.ask(b"SELECT to_json(count(*)) FROM feeds") == 0
    with make.database.transaction() as db:
        assert db.scalar(text("SELECT count(*) FROM feeds")) == 0


@pytest.fixture
def hasty(app_url: str) -> Iterator[Database]:
    """A database of which nobody waits for long for what another one changes."""
    database = Database(app_url, pool_size=1, lock_seconds=0.1)
    yield database
    database.dispose()


def test_who_waits_too_long_for_another_is_told_so_and_may_go_on(hasty: Database, make: Factory) -> None:
    first = hasty.ask(MINE)
    with make.database.transaction() as other:
        other.execute(text("SELECT pg_advisory_xact_lock(7)"))
        with pytest.raises(psycopg.errors.LockNotAvailable):
            hasty.ask(b"SELECT pg_advisory_xact_lock($1)", 7)
        with pytest.raises(psycopg.errors.LockNotAvailable):
            hasty.send(b"SELECT pg_advisory_xact_lock($1)", 7)()
        for _ in range(2):  # the connection is used again
            with hasty.session() as db, pytest.raises(OperationalError, match="LockNotAvailable"):
                db.execute(text("SELECT pg_advisory_xact_lock(7)"))
    assert hasty.ask(MINE) == first, "the connection lives"
    with hasty.transaction() as db:
        db.execute(text("SELECT pg_advisory_xact_lock(7)"))


def test_a_worker_waits_for_as_long_as_it_takes(app_url: str) -> None:
    patient = Database(app_url, pool_size=1)
    with patient.transaction() as db:
        assert db.scalar(text("SHOW lock_timeout")) == "0"
    patient.dispose()
