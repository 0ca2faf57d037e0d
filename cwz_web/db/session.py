"""The database engine, sessions, and transactions in a workspace."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, cast
from uuid import UUID

import psycopg
from sqlalchemy import CursorResult, Engine, Executable, Row, create_engine, event, func, select, text
from sqlalchemy.orm import Session, sessionmaker

_ENTER = text(
    "SELECT set_config('cwz.workspace_id',"
    " CASE WHEN EXISTS (SELECT 1 FROM tombstones WHERE id = :id) THEN '' ELSE :value END, true)"
)
# For `with_for_update`: no other transaction may change the row, but rows may still refer to it, as runs do to a feed.
FOR_NO_KEY_UPDATE = {"key_share": True}
# Begins a transaction in a workspace.
Transaction = Callable[[UUID], AbstractContextManager[Session]]


class Database:
    """The application's connection pool, one per process.

    Args:
        url: a `postgresql://` URL with a role that row-level security applies to.
        pool_size: connections kept open; the same number again may be opened under load.
        lock_seconds: how long a statement waits for a lock before it fails with psycopg's LockNotAvailable (the `orig`
            of SQLAlchemy's OperationalError); None for no limit.
    """

    def __init__(self, url: str, pool_size: int = 10, lock_seconds: float | None = None) -> None:
        self.engine: Engine = create_engine(
            url,
            # Error messages must not contain the parameters of a statement.
            hide_parameters=True,
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_pre_ping=True,
            connect_args={"connect_timeout": 5},
        )
        self._lock_seconds = lock_seconds
        event.listen(self.engine, "connect", self._set_lock_timeout)
        self._autocommit = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        self._sessions = sessionmaker(self.engine, expire_on_commit=False)

    def session(self) -> Session:
        """Return a new session, which the caller commits and closes."""
        return self._sessions()

    @contextmanager
    def transaction(self, workspace_id: UUID | None = None, *, deleted: bool = False) -> Iterator[Session]:
        """Run the block in a transaction: committed at its end, rolled back on an exception.

        Args:
            workspace_id: the workspace whose rows are visible; None for tables without a workspace.
            deleted: whether the rows of a deleted workspace are visible too.
        """
        with self.session() as session, session.begin():
            if workspace_id is not None:
                enter_workspace(session, workspace_id, deleted=deleted)
            yield session

    def query_one(self, statement: Executable, values: Mapping[str, object] | None = None) -> Row[Any] | None:
        """Return the only row of a query, or None, outside a transaction, on an autocommit connection.

        The statement calls a SQL function that crosses workspaces or enters one on its own.
        """
        with self._autocommit.connect() as connection:
            return connection.execute(statement, values).one_or_none()

    def dispose(self) -> None:
        """Close the connections."""
        self.engine.dispose()

    def _set_lock_timeout(self, connection: psycopg.Connection[Any], _: object) -> None:
        if self._lock_seconds is not None:
            connection.execute("SELECT set_config('lock_timeout', %s, false)", [f"{self._lock_seconds}s"])
            connection.commit()


def enter_workspace(session: Session, workspace_id: UUID, *, deleted: bool = False) -> None:
    """Make a workspace's rows visible until the transaction ends (see row_security.py).

    Args:
        deleted: whether the rows of a deleted workspace become visible too.
    """
    if deleted:
        session.execute(select(func.set_config("cwz.workspace_id", str(workspace_id), True)))
    else:
        session.execute(_ENTER, {"id": workspace_id, "value": str(workspace_id)})


def leave_workspace(session: Session) -> None:
    """Make no workspace's rows visible."""
    session.execute(select(func.set_config("cwz.workspace_id", "", True)))


def lock_name(session: Session, name: str) -> None:
    """Hold the advisory lock of a name until the transaction ends, for what may exist once at a time."""
    session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))


def try_lock_name(session: Session, name: str) -> bool:
    """Take the advisory lock of a name, unless another transaction holds it. Return whether it was taken."""
    return bool(session.scalar(select(func.pg_try_advisory_xact_lock(func.hashtextextended(name, 0)))))


def execute_update(session: Session, statement: Executable, values: Mapping[str, object] | None = None) -> int:
    """Execute a statement that changes rows. Return the number of rows changed."""
    return cast(CursorResult[Any], session.execute(statement, values)).rowcount


def raw_connection(session: Session) -> psycopg.Connection[tuple[object, ...]]:
    """Return the session's psycopg connection, in the same transaction; for COPY and for enqueuing jobs."""
    connection = session.connection().connection.driver_connection
    assert isinstance(connection, psycopg.Connection)
    return connection


@contextmanager
def hash_joins(session: Session) -> Iterator[None]:
    """Let no join of the block be a nested loop, which takes hours if the database misjudges the size of a table."""
    session.execute(text("SET LOCAL enable_nestloop = off"))
    yield
    session.execute(text("SET LOCAL enable_nestloop = on"))


@contextmanager
def without_sort(session: Session) -> Iterator[None]:
    """Let queries of the block read ordered rows in the order of an index, so that the first ones come at once."""
    session.execute(text("SET LOCAL enable_sort = off"))
    yield
    session.execute(text("SET LOCAL enable_sort = on"))
