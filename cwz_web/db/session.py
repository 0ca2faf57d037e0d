"""Engine and sessions. Every transaction says which workspace it is for, or sees no workspace's rows at all."""

import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, cast
from uuid import UUID

import psycopg
from psycopg.generators import fetch_many
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult
from sqlalchemy import CursorResult, Engine, Executable, create_engine, event, func, select, text
from sqlalchemy.orm import Session, sessionmaker

_ENTER = text(
    "SELECT set_config('cwz.workspace_id',"
    " CASE WHEN EXISTS (SELECT 1 FROM tombstones WHERE id = :id) THEN '' ELSE :value END, true)"
)
# For `with_for_update`: nobody else may change the row meanwhile, but others may refer to it, as runs do to a feed.
FOR_NO_KEY_UPDATE = {"key_share": True}


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
        self._idle: deque[_Line] = deque()

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

    def ask(self, query: bytes, *values: object) -> Any | None:
        """What a query says, beside any transaction: for the few that every image asks.

        A tenth of what SQLAlchemy takes for it, on connections that are kept for this alone. The query calls a function
        that changes nothing, and nothing else; the function enters the workspace itself if it has to. It is asked once
        more when the connection turns out to be dead.

        Arguments:
            query: gives one value, in JSON; it has `$1` and so on for the values, which PostgreSQL is given as text.
        Raises psycopg.Error.
        """
        with self.asking(query, *values) as answer:
            return answer()

    @contextmanager
    def asking(self, query: bytes, *values: object) -> Iterator[Callable[[], Any | None]]:
        """Ask as ask() does, and go on with something else meanwhile: what comes waits for the answer.

        If nobody wants it within the block, it is thrown away; who wants it afterwards, or again, asks anew. What comes
        raises psycopg.Error, also for what kept the question from being asked.
        """
        waiting: list[Callable[[], Any]] = []
        failure, is_new = None, True
        try:
            line, is_new = self._take_idle()
            waiting.append(self._sent(line, query, values))
        except psycopg.Error as error:
            failure = error if is_new else None

        def answer() -> Any | None:
            if failure:
                raise failure
            if waiting:
                try:
                    return waiting.pop()()
                except psycopg.OperationalError:
                    if is_new or not line.connection.closed:
                        raise
            return self.send(query, *values)()

        try:
            yield answer
        finally:
            if waiting:
                with suppress(psycopg.Error):
                    waiting.pop()()

    def send(self, query: bytes, *values: object) -> Callable[[], Any]:
        """Ask once, even if the connection turns out to be dead, and go on with something else meanwhile.

        Returns what waits for the answer, and must be called. Both raise psycopg.Error.
        """
        line, _ = self._take_idle()
        return self._sent(line, query, values)

    def _sent(self, line: "_Line", query: bytes, values: Sequence[object]) -> Callable[[], Any]:
        try:
            with self._closed_if_dead(line):
                line.send(query, values)
        except psycopg.Error:
            if not line.connection.closed:
                self._idle.append(line)
            raise

        def answer() -> Any:
            with self._given_back(line):
                return line.answer()

        return answer

    def dispose(self) -> None:
        """Close the connections."""
        self.engine.dispose()
        self._forget_idle()

    def _note_commit(self, _: Session) -> None:
        self.commits += 1

    def _take_idle(self) -> tuple["_Line", bool]:
        """A connection for a question, and whether it is new."""
        try:
            return self._idle.pop(), False
        except IndexError:
            return self._connect(), True

    @contextmanager
    def _given_back(self, line: "_Line") -> Iterator[None]:
        """The answer to a question; after it the connection is there for the next one."""
        try:
            with self._closed_if_dead(line):
                yield
        finally:
            if not line.connection.closed:
                self._idle.append(line)

    @contextmanager
    def _closed_if_dead(self, line: "_Line") -> Iterator[None]:
        try:
            yield
        except psycopg.errors.LockNotAvailable:
            raise
        except psycopg.OperationalError:
            line.connection.close()
            self._forget_idle()  # what died took the others along
            raise

    def _connect(self) -> "_Line":
        url = self.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        connection = psycopg.connect(url, autocommit=True, client_encoding="UTF8", connect_timeout=5)
        self._bound(connection)
        return _Line(connection)

    def _bound(self, connection: psycopg.Connection[Any], _: object = None) -> None:
        """Bound how long a new connection waits for locks."""
        if self._lock_seconds is not None:
            connection.execute("SELECT set_config('lock_timeout', %s, false)", [f"{self._lock_seconds}s"])
            connection.commit()

    def _forget_idle(self) -> None:
        while self._idle:
            try:
                self._idle.pop().connection.close()
            except IndexError:  # another thread was faster
                return


class _Line:
    """A connection for questions, which are prepared once.

    Through psycopg's layer of libpq: there is no other way to send and not to wait, and to make a cursor and to read it
    takes longer than to look the answer up.
    """

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        self._libpq = connection.pgconn
        self._prepared: dict[bytes, bytes] = {}

    def send(self, query: bytes, values: Sequence[object]) -> None:
        """Ask without waiting. Raises psycopg.Error."""
        as_text = [None if value is None else str(value).encode() for value in values]
        self._libpq.send_query_prepared(self._prepare(query), as_text)
        self._libpq.flush()

    def answer(self) -> Any | None:
        """What the query says that was sent. Raises psycopg.Error."""
        result = self.connection.wait(fetch_many(self._libpq))[-1]
        self._check(result)
        value = result.get_value(0, 0)
        return None if value is None else json.loads(value)

    def _prepare(self, query: bytes) -> bytes:
        """The name of a query that is prepared."""
        name = self._prepared.get(query)
        if name is None:
            name = str(len(self._prepared)).encode()
            self._check(self._libpq.prepare(name, query))
            self._prepared[query] = name
        return name

    def _check(self, result: PGresult) -> None:
        if result.status in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
            return
        if self.connection.closed:
            raise psycopg.OperationalError("The connection to the database is lost")
        raise psycopg.errors.error_from_result(result)


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
