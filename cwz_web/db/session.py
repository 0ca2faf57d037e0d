"""Engine and sessions. Every transaction says which workspace it is for, or sees no workspace's rows at all."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, LiteralString, cast
from uuid import UUID

import psycopg
from psycopg.generators import fetch_many
from psycopg.pq import ExecStatus
from psycopg.rows import namedtuple_row
from sqlalchemy import CursorResult, Engine, Executable, create_engine, event, func, select, text
from sqlalchemy.orm import Session, sessionmaker

_ENTER = text(
    "SELECT set_config('cwz.workspace_id',"
    " CASE WHEN EXISTS (SELECT 1 FROM tombstones WHERE id = :id) THEN '' ELSE :value END, true)"
)
# For `with_for_update`: nobody else may change the row meanwhile, but others may refer to it, as runs do to a feed.
CHANGING = {"key_share": True}


class Database:
    """The application's connection pool: one a process.

    Arguments:
        url: a `postgresql://` URL of a role that row-level security binds.
        pool_size: connections kept open; as many again may be opened under load.
        lock_seconds: how long a statement waits for what another transaction changes, before psycopg's LockNotAvailable
            is raised (SQLAlchemy's OperationalError has it as its `orig`); None for as long as it takes.
    Attributes:
        commits: how many transactions this process has committed, or more. What was read before one of them may be old.
    """

    def __init__(self, url: str, pool_size: int = 10, lock_seconds: float | None = None) -> None:
        self.engine: Engine = create_engine(
            # An error must not show what a query was given.
            url,
            hide_parameters=True,
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_pre_ping=True,
            connect_args={"connect_timeout": 5},
        )
        self._lock_seconds = lock_seconds
        event.listen(self.engine, "connect", self._bound)
        self.commits = 0
        self._sessions = sessionmaker(self.engine, expire_on_commit=False)
        event.listen(self._sessions, "after_commit", self._note_commit)
        self._idle: deque[psycopg.Connection[Any]] = deque()

    def session(self) -> Session:
        """A new session; the caller commits and closes it (the web hands it to the request's transaction)."""
        return self._sessions()

    @contextmanager
    def transaction(self, workspace_id: UUID | None = None, *, deleted: bool = False) -> Iterator[Session]:
        """One transaction, committed at the end of the block and rolled back on an error.

        Arguments:
            workspace_id: the workspace that it is for.
            deleted: whether it may be one that is deleted; else such a one reads as empty.
        """
        with self.session() as session, session.begin():
            if workspace_id is not None:
                enter_workspace(session, workspace_id, deleted=deleted)
            yield session

    def ask(self, query: LiteralString, *values: object) -> Any | None:
        """The row that a query gives, if it gives one, beside any transaction: for the few that every picture asks.

        A fifth of what SQLAlchemy takes for it, on connections that are kept for this alone. The query calls a function
        that changes nothing, and nothing else; the function enters the workspace itself if it has to. It is asked once
        more when the connection turns out to be dead. Raises psycopg.Error.
        """
        connection, is_new = self._take_idle()
        try:
            with self._given_back(connection), connection.cursor() as cursor:
                return cursor.execute(query, values).fetchone()
        except psycopg.OperationalError:
            if is_new or not connection.closed:
                raise
        return self.ask(query, *values)

    def send(self, query: bytes, *values: object) -> Callable[[], bytes | None]:
        """Ask for a value as ask() does, once, and go on with something else meanwhile.

        Through psycopg's layer of libpq, for there is no other way to send and not to wait; with a thread that waits
        it takes longer.

        Arguments:
            query: with `$1` and so on for the values, which PostgreSQL is given as text.
        Returns what waits for the value, as text, and must be called. Both raise psycopg.Error.
        """
        connection, _ = self._take_idle()
        libpq = connection.pgconn
        with self._closed_if_dead(connection):
            libpq.send_query_params(query, [None if value is None else str(value).encode() for value in values])
            libpq.flush()

        def answer() -> bytes | None:
            with self._given_back(connection):
                result = connection.wait(fetch_many(libpq))[-1]
                if result.status != ExecStatus.TUPLES_OK:
                    raise psycopg.errors.error_from_result(result)
                value: bytes | None = result.get_value(0, 0)
                return value

        return answer

    def dispose(self) -> None:
        """Close the connections."""
        self.engine.dispose()
        self._forget_idle()

    def _note_commit(self, _: Session) -> None:
        self.commits += 1

    def _take_idle(self) -> tuple[psycopg.Connection[Any], bool]:
        """A connection for a question, and whether it is new."""
        try:
            return self._idle.pop(), False
        except IndexError:
            return self._connect(), True

    @contextmanager
    def _given_back(self, connection: psycopg.Connection[Any]) -> Iterator[None]:
        """The answer to a question; after it the connection is there for the next one."""
        try:
            with self._closed_if_dead(connection):
                yield
        finally:
            if not connection.closed:
                self._idle.append(connection)

    @contextmanager
    def _closed_if_dead(self, connection: psycopg.Connection[Any]) -> Iterator[None]:
        try:
            yield
        except psycopg.errors.LockNotAvailable:
            raise
        except psycopg.OperationalError:
            connection.close()
            self._forget_idle()  # what died took the others along
            raise

    def _connect(self) -> psycopg.Connection[Any]:
        url = self.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        connection = psycopg.connect(url, autocommit=True, row_factory=namedtuple_row, connect_timeout=5)
        self._bound(connection)
        return connection

    def _bound(self, connection: psycopg.Connection[Any], _: object = None) -> None:
        """Bound how long a new connection waits for locks."""
        if self._lock_seconds is not None:
            connection.execute("SELECT set_config('lock_timeout', %s, false)", [f"{self._lock_seconds}s"])
            connection.commit()

    def _forget_idle(self) -> None:
        while self._idle:
            try:
                self._idle.pop().close()
            except IndexError:  # another thread was faster
                return


def enter_workspace(session: Session, workspace_id: UUID, *, deleted: bool = False) -> None:
    """Open one workspace's rows to the session until its transaction ends (row-level security, see row_security.py).

    Arguments:
        deleted: whether it may be one that is deleted; else those of such a one stay shut.
    """
    if deleted:
        session.execute(select(func.set_config("cwz.workspace_id", str(workspace_id), True)))
    else:
        session.execute(_ENTER, {"id": workspace_id, "value": str(workspace_id)})


def affected(session: Session, statement: Executable) -> int:
    """Execute a statement that changes rows. Returns how many it did."""
    return cast(CursorResult[Any], session.execute(statement)).rowcount


def raw_connection(session: Session) -> psycopg.Connection[tuple[object, ...]]:
    """The psycopg connection below the session, inside the same transaction; for COPY and for enqueuing jobs."""
    connection = session.connection().connection.driver_connection
    assert isinstance(connection, psycopg.Connection)
    return connection
