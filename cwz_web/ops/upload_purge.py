"""Removal of deleted uploads from the storage, unless a template or a row still refers to them."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import structlog
from sqlalchemy import or_, select, text
from sqlalchemy.exc import SQLAlchemyError

from cwz_web.db.session import Database
from cwz_web.generation.models import Upload
from cwz_web.generation.upload_uses import find_uses, is_in_rows
from cwz_web.imaging.fonts import delete_font_file
from cwz_web.imaging.uploads import UploadKind
from cwz_web.storage.connections import list_connections, upload_key
from cwz_web.storage.contract import StorageError
from cwz_web.storage.plugins import ConnectionSpec, ProviderRegistry

log = structlog.get_logger()


def purge_deleted_uploads(database: Database, providers: ProviderRegistry, days: int) -> int:
    """Purge the uploads of all workspaces that were deleted some days ago. Return how many were purged."""
    before, purged = datetime.now(UTC) - timedelta(days=days), 0
    with database.transaction() as db:
        workspaces = list(db.scalars(text("SELECT * FROM all_workspaces()")))
    for workspace_id in workspaces:
        try:
            with database.transaction(workspace_id) as db:
                # A purge that was interrupted is completed.
                is_due = or_(Upload.deleted_at < before, Upload.is_purging)
                due = list(db.scalars(select(Upload.id).where(Upload.workspace_id == workspace_id, is_due)))
            purged += sum(purge_upload(database, providers, workspace_id, upload_id) for upload_id in due)
        except (StorageError, SQLAlchemyError) as error:  # an error in one workspace does not stop the others
            log.warning("uploads not purged", workspace=str(workspace_id), reason=str(error))
    return purged


def purge_upload(database: Database, providers: ProviderRegistry, workspace_id: UUID, upload_id: UUID) -> bool:
    """Remove the file and the row of a deleted upload.

    Returns:
        Whether it was removed. It is kept if a version of a template, a step of a draft or a row of a feed refers to
        it, and if it was restored.

    Raises:
        StorageError: a connection does not respond; the upload remains deleted.
    """
    with database.transaction(workspace_id) as db:
        upload = db.get(Upload, (workspace_id, upload_id), with_for_update=True)
        if upload is None or upload.deleted_at is None or find_uses(db, upload) or is_in_rows(db, upload):
            return False
        upload.is_purging = True  # from here on, the same file is not uploaded again until it is gone
        connections = [connection.spec for connection in list_connections(db, workspace_id)]
    try:
        _delete_file(providers, connections, upload)
    except StorageError:
        with database.transaction(workspace_id) as db:
            db.get_one(Upload, (workspace_id, upload_id)).is_purging = False
        raise
    with database.transaction(workspace_id) as db:
        if kept := db.get(Upload, (workspace_id, upload_id)):
            db.delete(kept)
    if upload.kind == UploadKind.FONT:
        delete_font_file(upload.digest)
    return True


def _delete_file(providers: ProviderRegistry, connections: list[ConnectionSpec], upload: Upload) -> None:
    for spec in connections:
        providers.open(spec).delete(upload_key(upload.workspace_id, upload.digest))
