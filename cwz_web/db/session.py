"""Engine and sessions. Every transaction says which workspace it is for, or sees no workspace's rows at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, LiteralString, cast
from uuid import UUID

import psycopg
from psycopg.rows import namedtuple_row
from sqlalchemy import Engine, create_engine, func, select
from sqlalchemy.orm import Session


class Database:
    """The application's connection pool: one a process.

    Arguments:
        url: a `postgresql://` URL of a role that row-level security binds.
        pool_size: connections kept open; as many again may be opened under load.
    """

    def __init__(self, url: str, pool_size: int = 10) -> None:
        self.engine: Engine = create_engine(
            url, pool_size=pool_size, max_overflow=pool_size, pool_pre_ping=True, connect_args={"connect_timeout": 5}
        )

    def session(self) -> Session:
        """A new session; the caller commits and closes it (the web hands it to the request's transaction)."""
        return Session(self.engine, expire_on_commit=False)

    @contextmanager
    def transaction(self, workspace_id: UUID | None = None) -> Iterator[Session]:
        """One transaction, committed at the end of the block and rolled back on an error."""
        with self.session() as session, session.begin():
            if workspace_id is not None:
                enter_workspace(session, workspace_id)
            yield session

    def ask(self, query: LiteralString, *values: object) -> Any | None:
        """The row that a query gives, if it gives one, beside any transaction: for the few that every picture asks.

        A third of what SQLAlchemy takes for it. The query calls a SECURITY DEFINER function and nothing else: no
        workspace is entered.
        """
        pooled = self.engine.raw_connection()
        try:
            connection = cast("psycopg.Connection[Any]", pooled.driver_connection)
            connection.autocommit = True
            try:
                with connection.cursor(row_factory=namedtuple_row) as cursor:
                    return cursor.execute(query, values).fetchone()
            finally:
                connection.autocommit = False
        finally:
            pooled.close()

    def dispose(self) -> None:
        """Close the pool's connections."""
        self.engine.dispose()


def enter_workspace(session: Session, workspace_id: UUID) -> None:
    """Open one workspace's rows to the session until its transaction ends (row-level security, see row_security.py)."""
    session.execute(select(func.set_config("cwz.workspace_id", str(workspace_id), True)))


def raw_connection(session: Session) -> psycopg.Connection[tuple[object, ...]]:
    """The psycopg connection below the session, inside the same transaction; for COPY and for enqueuing jobs."""
    connection = session.connection().connection.driver_connection
    assert isinstance(connection, psycopg.Connection)
    return connection
