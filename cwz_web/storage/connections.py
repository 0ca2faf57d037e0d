"""A workspace's connections: making and changing them, which one its images go to, and where in it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import exists, select, text, update
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from cwz_web.crypto import KeyRing
from cwz_web.storage.contract import InvalidSettingsError
from cwz_web.storage.models import Connection

Values = Mapping[str, Any]
NO_DEFAULT = "Connect a storage first: this workspace has no place to keep images"
CHOSEN_GONE = "The storage that was chosen is gone; choose another one"


class SecretsRequiredError(Exception):
    """The connection would point elsewhere: whoever changes that has to know its secrets."""


class ConnectionInUseError(Exception):
    """Something depends on the connection; the message says what."""


@dataclass(frozen=True)
class Stored:
    """What a connection keeps. `size` is in bytes."""

    images: int
    size: int


def list_connections(db: Session, workspace_id: UUID) -> list[Connection]:
    """The workspace's connections, the default first."""
    mine = select(Connection).where(Connection.workspace_id == workspace_id)
    return list(db.scalars(mine.order_by(Connection.is_default.desc(), Connection.id)))


def default_connection(db: Session, workspace_id: UUID) -> Connection:
    """The connection that new images go to. Raises InvalidSettingsError when the workspace has none."""
    found = db.scalar(select(Connection).where(Connection.workspace_id == workspace_id, Connection.is_default))
    if found is None:
        raise InvalidSettingsError(NO_DEFAULT)
    return found


def connection_of(db: Session, workspace_id: UUID, connection_id: UUID | None) -> Connection:
    """The connection of that id, or the default for None. Raises InvalidSettingsError when there is none."""
    if connection_id is None:
        return default_connection(db, workspace_id)
    found = db.get(Connection, (workspace_id, connection_id))
    if found is None:
        raise InvalidSettingsError(CHOSEN_GONE)
    return found


def connections_from(db: Session, workspace_id: UUID, connection_id: UUID | None) -> list[Connection]:
    """All connections of the workspace, in one query; the one of that id, or the default for None, is the first.

    Raises InvalidSettingsError when there is none.
    """
    known = list_connections(db, workspace_id)
    first = [c for c in known if (c.is_default if connection_id is None else c.id == connection_id)]
    if not first:
        raise InvalidSettingsError(NO_DEFAULT if connection_id is None else CHOSEN_GONE)
    return first + [c for c in known if c is not first[0]]


def has_storage(db: Session, workspace_id: UUID) -> bool:
    """Whether the workspace has a place for images."""
    return db.scalar(select(exists().where(Connection.workspace_id == workspace_id, Connection.is_default))) or False


def connect(
    db: Session,
    workspace_id: UUID,
    ring: KeyRing,
    *,
    provider: str,
    name: str,
    settings: Values | None = None,
    secrets: Mapping[str, str] | None = None,
) -> Connection:
    """A new connection; the workspace's first one is its default.

    Arguments:
        settings, secrets: as the provider's two models have checked them.
    """
    connection = Connection(
        workspace_id=workspace_id,
        id=uuid7(),
        name=name,
        provider=provider,
        settings=dict(settings or {}),
        is_default=not has_storage(db, workspace_id),
    )
    _seal(connection, ring, secrets)
    db.add(connection)
    db.flush()
    return connection


def change_connection(
    connection: Connection, ring: KeyRing, *, name: str, settings: Values, secrets: Mapping[str, str] | None
) -> None:
    """Change a connection. Without secrets it keeps those that it has.

    Raises SecretsRequiredError when the settings change: kept secrets must not be sent to where somebody else points.
    """
    if secrets is None and connection.sealed is not None and dict(settings) != connection.settings:
        raise SecretsRequiredError
    connection.name, connection.settings = name, dict(settings)
    if secrets is not None:
        _seal(connection, ring, secrets)
    connection.trouble = None


def make_default(db: Session, connection: Connection) -> None:
    """Let new images go there."""
    mine = update(Connection).where(Connection.workspace_id == connection.workspace_id)
    db.execute(mine.values(is_default=False))
    db.execute(mine.where(Connection.id == connection.id).values(is_default=True))


def stored_by_connection(db: Session, workspace_id: UUID) -> dict[UUID, Stored]:
    """How much each connection keeps, as far as we put it there."""
    rows = db.execute(
        text("SELECT connection_id, count(*) AS n, sum(size) AS size FROM images WHERE workspace_id = :w GROUP BY 1"),
        {"w": workspace_id},
    )
    return {row.connection_id: Stored(row.n, int(row.size)) for row in rows}


def remove_connection(db: Session, connection: Connection) -> None:
    """Forget a connection and its secrets; what lies in the bucket stays there. Raises ConnectionInUseError."""
    others = [c for c in list_connections(db, connection.workspace_id) if c.id != connection.id]
    if connection.is_default and others:
        raise ConnectionInUseError("New images go here. Make another connection the default first")
    for table, words in (("images", "images lie here"), ("runs", "runs used it"), ("templates", "templates use it")):
        count = db.scalar(
            text(f"SELECT count(*) FROM {table} WHERE workspace_id = :w AND connection_id = :c"),  # noqa: S608
            {"w": connection.workspace_id, "c": connection.id},
        )
        if count:
            raise ConnectionInUseError(f"{count} {words}: without the connection they could not be shown any more")
    db.delete(connection)
    db.flush()


def reseal(db: Session, connection: Connection, ring: KeyRing) -> bool:
    """Encrypt the secrets with the newest key. Returns whether that changed anything."""
    if connection.sealed is None or ring.is_newest(connection.sealed):
        return False
    context = connection.place.context
    connection.sealed = ring.encrypt(ring.decrypt(connection.sealed, *context), *context)
    db.flush()
    return True


def image_key(workspace_id: UUID, digest: str, extension: str) -> str:
    """Where an image lies. It begins with the workspace, and the digest names the content, so it never changes."""
    return f"{workspace_id}/images/{digest[:2]}/{digest}.{extension}"


def upload_key(workspace_id: UUID, digest: str) -> str:
    """Where an image that people brought in lies (a background, a product photo)."""
    return f"{workspace_id}/originals/{digest}"


def _seal(connection: Connection, ring: KeyRing, secrets: Mapping[str, str] | None) -> None:
    context = connection.place.context
    connection.sealed = ring.encrypt(json.dumps(dict(secrets)), *context) if secrets else None
