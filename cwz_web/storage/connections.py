"""A workspace's storage connections: create, change, delete, the default one, and the keys of objects in it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import exists, select, text, update
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from cwz_web.crypto import KeyRing
from cwz_web.i18n import gettext, gettext_noop, ngettext
from cwz_web.jobs import DEFAULT_QUEUE, defer_once
from cwz_web.storage.contract import InvalidSettingsError, StorageProvider
from cwz_web.storage.included import INCLUDED
from cwz_web.storage.models import Connection
from cwz_web.storage.plugins import ProviderRegistry

Values = Mapping[str, Any]
NO_CONNECTION = gettext_noop("This workspace has no storage for its images; connect storage first")
# Seconds in which further changes are expected before the feeds of channels are written again.
CHANNELS_WAIT = 30
CONNECTION_DELETED = gettext_noop("The chosen storage connection was deleted; choose another one")
# A connection that these tables refer to cannot be deleted; why not, for one row and for several.
REFERENCES: dict[str, Callable[[int], str]] = {
    "images": lambda count: ngettext(
        "This connection cannot be deleted: %(count)s image is stored in it",
        "This connection cannot be deleted: %(count)s images are stored in it",
        count,
    ),
    "deleted_images": lambda count: ngettext(
        "This connection cannot be deleted: %(count)s image that was deleted in the last half hour is in it",
        "This connection cannot be deleted: %(count)s images that were deleted in the last half hour are in it",
        count,
    ),
    "runs": lambda count: ngettext(
        "This connection cannot be deleted: %(count)s run used it",
        "This connection cannot be deleted: %(count)s runs used it",
        count,
    ),
    "templates": lambda count: ngettext(
        "This connection cannot be deleted: %(count)s template uses it",
        "This connection cannot be deleted: %(count)s templates use it",
        count,
    ),
    "campaigns": lambda count: ngettext(
        "This connection cannot be deleted: %(count)s campaign uses it",
        "This connection cannot be deleted: %(count)s campaigns use it",
        count,
    ),
    "channels": lambda count: ngettext(
        "This connection cannot be deleted: %(count)s channel is delivered to it",
        "This connection cannot be deleted: %(count)s channels are delivered to it",
        count,
    ),
    "auto_runs": lambda count: ngettext(
        "This connection cannot be deleted: %(count)s automatic run uses it",
        "This connection cannot be deleted: %(count)s automatic runs use it",
        count,
    ),
}
# Uploads that an error message names.
MAX_NAMED = 3
# Templates and feeds that the page of a connection names.
MAX_LISTED = 50


class SecretsRequiredError(Exception):
    """The connection would point elsewhere: such a change needs the secrets again."""


class ConnectionInUseError(Exception):
    """Something depends on the connection; the message says what."""


@dataclass(frozen=True)
class StorageUsage:
    """What a connection stores. `size` is in bytes."""

    images: int
    size: int


def list_connections(db: Session, workspace_id: UUID) -> list[Connection]:
    """Return the workspace's connections, the default first."""
    query = select(Connection).where(Connection.workspace_id == workspace_id)
    return list(db.scalars(query.order_by(Connection.is_default.desc(), Connection.id)))


def get_default_connection(db: Session, workspace_id: UUID) -> Connection:
    """Return the connection of new images. Raises InvalidSettingsError when the workspace has none."""
    connection = db.scalar(select(Connection).where(Connection.workspace_id == workspace_id, Connection.is_default))
    if connection is None:
        raise InvalidSettingsError(gettext(NO_CONNECTION))
    return connection


def get_connection(db: Session, workspace_id: UUID, connection_id: UUID | None) -> Connection:
    """Return a connection by id, or the default one for None.

    Raises:
        InvalidSettingsError: There is none.
    """
    if connection_id is None:
        return get_default_connection(db, workspace_id)
    connection = db.get(Connection, (workspace_id, connection_id))
    if connection is None:
        raise InvalidSettingsError(gettext(CONNECTION_DELETED))
    return connection


def list_connections_first(db: Session, workspace_id: UUID, connection_id: UUID | None) -> list[Connection]:
    """Return all connections, that of the id (the default one for None) first, in one query.

    Raises:
        InvalidSettingsError: There is no such connection.
    """
    connections = list_connections(db, workspace_id)
    first = [c for c in connections if (c.is_default if connection_id is None else c.id == connection_id)]
    if not first:
        raise InvalidSettingsError(gettext(NO_CONNECTION if connection_id is None else CONNECTION_DELETED))
    return first + [c for c in connections if c is not first[0]]


def has_storage(db: Session, workspace_id: UUID) -> bool:
    """Return whether the workspace has a default connection."""
    return db.scalar(select(exists().where(Connection.workspace_id == workspace_id, Connection.is_default))) or False


def create_connection(
    db: Session,
    workspace_id: UUID,
    ring: KeyRing,
    *,
    provider: str,
    name: str,
    settings: Values | None = None,
    secrets: Mapping[str, str] | None = None,
    public_base_url: str = "",
    key_pattern: str = "",
) -> Connection:
    """Add a connection. The first one of a workspace is its default; one of its own replaces the included storage.

    Args:
        db: The session.
        workspace_id: The workspace.
        ring: The keys that encrypt the secrets.
        provider: The provider's name.
        name: The connection's name in the interface.
        settings: Values that the provider's `settings_model` validated.
        secrets: Values that the provider's `credentials_model` validated.
        public_base_url: Where everyone can read its objects, normalized; used once a test has proven it.
        key_pattern: The pattern of the keys of its images, checked.
    """
    current = db.scalar(select(Connection).where(Connection.workspace_id == workspace_id, Connection.is_default))
    replaces_included = current is not None and current.provider == INCLUDED and provider != INCLUDED
    if current is not None and replaces_included:
        current.is_default = False
        db.flush()  # there is one default at any time
    connection = Connection(
        workspace_id=workspace_id,
        id=uuid7(),
        name=name,
        provider=provider,
        settings=dict(settings or {}),
        is_default=current is None or replaces_included,
        public_base_url=public_base_url,
        key_pattern=key_pattern,
    )
    _encrypt(connection, ring, secrets)
    db.add(connection)
    db.flush()
    return connection


def connect_ready_storage(
    db: Session, workspace_id: UUID, ring: KeyRing, providers: ProviderRegistry, *, only_included: bool = False
) -> Connection | None:
    """Connect a storage that needs no settings, so that the first image needs no decision.

    Args:
        db: The session.
        workspace_id: The workspace.
        ring: The keys that encrypt secrets.
        providers: The installed providers.
        only_included: Connect the operator's own storage or nothing.

    Returns:
        The connection; None if the workspace has one already, or if there is no such provider.
    """
    ready = [p for p in ready_providers(providers) if p.name == INCLUDED or not only_included]
    if not ready or has_storage(db, workspace_id):
        return None
    return create_connection(db, workspace_id, ring, provider=ready[0].name, name=ready[0].label)


def ready_providers(providers: ProviderRegistry) -> list[StorageProvider[Any, Any]]:
    """Return the providers that have no required settings or secrets, the operator's own storage first."""
    ready = [provider for provider in providers if _works_without_settings(provider)]
    return sorted(ready, key=lambda provider: provider.name != INCLUDED)


def _works_without_settings(provider: StorageProvider[Any, Any]) -> bool:
    models = (provider.settings_model, provider.credentials_model)
    return not any(field.is_required() for model in models for field in model.model_fields.values())


def update_connection(
    connection: Connection,
    ring: KeyRing,
    *,
    name: str,
    settings: Values,
    secrets: Mapping[str, str] | None,
    public_base_url: str = "",
    key_pattern: str = "",
) -> None:
    """Change a connection. Its public URL is that of before until a test has proven a new one.

    Args:
        connection: The connection.
        ring: Encrypts the secrets.
        name: The new name.
        settings: The new settings.
        secrets: The new secrets; None to keep the current ones.
        public_base_url: The new public base URL, normalized.
        key_pattern: The new pattern of the keys of images, checked. Images that exist keep theirs.

    Raises:
        SecretsRequiredError: The settings change, but the secrets do not: the secrets must not be sent to another
            bucket than the one that they were entered for.
    """
    if secrets is None and connection.encrypted_credentials is not None and dict(settings) != connection.settings:
        raise SecretsRequiredError
    if not public_base_url or dict(settings) != connection.settings:
        connection.proven_base_url = ""  # it may lead to the bucket of before
    connection.public_base_url, connection.key_pattern = public_base_url, key_pattern
    connection.name, connection.settings = name, dict(settings)
    if secrets is not None:
        _encrypt(connection, ring, secrets)
    connection.error_message = None


def set_default_connection(db: Session, connection: Connection) -> None:
    """Store new images in this connection."""
    update_workspace = update(Connection).where(Connection.workspace_id == connection.workspace_id)
    db.execute(update_workspace.values(is_default=False))
    db.execute(update_workspace.where(Connection.id == connection.id).values(is_default=True))


def enqueue_channel_feeds(db: Session, workspace_id: UUID) -> None:
    """Enqueue the job that writes the feeds of channels again (`channels.tasks`), since URLs of images changed."""
    defer_once(
        db,
        "channels.write_workspace",
        queue=DEFAULT_QUEUE,
        queueing_lock=f"channels of {workspace_id}",
        wait=CHANNELS_WAIT,
        workspace_id=str(workspace_id),
    )


def usage_by_connection(db: Session, workspace_id: UUID) -> dict[UUID, StorageUsage]:
    """Return the number and size of the images in each connection."""
    rows = db.execute(
        text(
            "SELECT connection_id, sum(images) AS n, sum(size) AS size FROM image_totals"
            " WHERE workspace_id = :w GROUP BY 1"
        ),
        {"w": workspace_id},
    )
    return {row.connection_id: StorageUsage(int(row.n), int(row.size)) for row in rows}


@dataclass(frozen=True)
class TemplateUsage:
    """What a connection stores of a template."""

    template_id: UUID
    name: str
    usage: StorageUsage


def usage_by_template(db: Session, connection: Connection) -> list[TemplateUsage]:
    """Return what a connection stores of each template, the largest first."""
    rows = db.execute(
        text(
            "SELECT t.id, t.name, totals.images, totals.size FROM image_totals totals"
            " JOIN templates t ON t.workspace_id = totals.workspace_id AND t.id = totals.template_id"
            " WHERE totals.workspace_id = :w AND totals.connection_id = :c AND totals.images > 0"
            " ORDER BY totals.size DESC, t.id LIMIT :limit"
        ),
        {"w": connection.workspace_id, "c": connection.id, "limit": MAX_LISTED},
    )
    return [TemplateUsage(row.id, row.name, StorageUsage(row.images, row.size)) for row in rows]


@dataclass(frozen=True)
class ConnectionUses:
    """What is set to a connection: the names of templates and automatic runs by id, and the number of uploads."""

    templates: dict[UUID, str]
    feeds: dict[UUID, str]
    uploads: int


_TEMPLATES = text("""
    SELECT id, name FROM templates
    WHERE workspace_id = :w AND connection_id = :c AND deleted_at IS NULL ORDER BY lower(name), id LIMIT :limit
""")
_FEEDS = text("""
    SELECT DISTINCT f.id, f.name FROM auto_runs a JOIN feeds f ON f.workspace_id = a.workspace_id AND f.id = a.feed_id
    WHERE a.workspace_id = :w AND a.connection_id = :c ORDER BY f.name LIMIT :limit
""")
_UPLOADS = text("SELECT count(*) FROM uploads WHERE workspace_id = :w AND connection_id = :c AND deleted_at IS NULL")


def find_uses(db: Session, connection: Connection) -> ConnectionUses:
    """Return what is set to a connection, at most MAX_LISTED of each."""
    parameters = {"w": connection.workspace_id, "c": connection.id}
    templates, feeds = (db.execute(query, parameters | {"limit": MAX_LISTED}) for query in (_TEMPLATES, _FEEDS))
    return ConnectionUses(
        {row.id: row.name for row in templates},
        {row.id: row.name for row in feeds},
        db.scalar(_UPLOADS, parameters) or 0,
    )


def delete_connection(db: Session, connection: Connection) -> None:
    """Delete a connection and its secrets. The objects in the bucket stay. Raises ConnectionInUseError."""
    # Waits for uploads that are being stored in it, and makes later ones wait.
    db.refresh(connection, with_for_update=True)
    others = [c for c in list_connections(db, connection.workspace_id) if c.id != connection.id]
    if connection.is_default and others:
        raise ConnectionInUseError(gettext("This is the default connection; make another one the default first"))
    for table, describe in REFERENCES.items():
        count = db.scalar(
            text(f"SELECT count(*) FROM {table} WHERE workspace_id = :w AND connection_id = :c"),  # noqa: S608
            {"w": connection.workspace_id, "c": connection.id},
        )
        if count:
            raise ConnectionInUseError(describe(count))
    _check_uploads(db, connection)
    db.delete(connection)
    db.flush()


def _check_uploads(db: Session, connection: Connection) -> None:
    """Raise ConnectionInUseError if a connection has files of uploads, or could have, also of deleted ones."""
    rows = db.execute(
        text(
            "SELECT name, connection_id FROM uploads"
            " WHERE workspace_id = :w AND (connection_id = :c OR connection_id IS NULL) ORDER BY id"
        ),
        {"w": connection.workspace_id, "c": connection.id},
    ).all()
    if not rows:
        return
    names = ", ".join(f"“{row.name}”" for row in rows[:MAX_NAMED])
    more = len(rows) - MAX_NAMED
    if more > 0:
        names = ngettext("%(names)s and %(count)s more", "%(names)s and %(count)s more", more, names=names)
    if all(row.connection_id for row in rows):
        reason = ngettext(
            "This connection cannot be deleted: %(count)s upload is stored in it (%(names)s).",
            "This connection cannot be deleted: %(count)s uploads are stored in it (%(names)s).",
            len(rows),
            names=names,
        )
    else:
        reason = ngettext(
            "This connection cannot be deleted: %(count)s upload could be stored in it (%(names)s).",
            "This connection cannot be deleted: %(count)s uploads could be stored in it (%(names)s).",
            len(rows),
            names=names,
        )
    remedy = gettext(
        "Templates could not show what is lost. Make another connection the default and upload the files again, or"
        " delete them permanently"
    )
    raise ConnectionInUseError(f"{reason} {remedy}")


def reencrypt_secrets(db: Session, connection: Connection, ring: KeyRing) -> bool:
    """Encrypt the secrets with the newest key. Return whether that changed anything."""
    if connection.encrypted_credentials is None or ring.is_newest(connection.encrypted_credentials):
        return False
    context = connection.spec.context
    connection.encrypted_credentials = ring.encrypt(ring.decrypt(connection.encrypted_credentials, *context), *context)
    db.flush()
    return True


def image_key(workspace_id: UUID, digest: str, extension: str) -> str:
    """Return the key of an image's object. The digest names the inputs, so the object never changes."""
    return f"{workspace_id}/images/{digest[:2]}/{digest}.{extension}"


def upload_key(workspace_id: UUID, digest: str) -> str:
    """Return the key of an upload's object (a background, a product photo, a font)."""
    return f"{workspace_id}/uploads/{digest}"


def _encrypt(connection: Connection, ring: KeyRing, secrets: Mapping[str, str] | None) -> None:
    context = connection.spec.context
    connection.encrypted_credentials = ring.encrypt(json.dumps(dict(secrets)), *context) if secrets else None
