"""Purge: permanently remove deleted workspaces and accounts after their grace period."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import delete, func, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from cwz_web.accounts.models import Account
from cwz_web.db.base import Base
from cwz_web.db.session import Database, execute_update
from cwz_web.generation.models import Upload
from cwz_web.imaging.fonts import delete_font_file
from cwz_web.imaging.uploads import UploadKind
from cwz_web.storage.connections import list_connections
from cwz_web.storage.contract import StorageError
from cwz_web.storage.plugins import ConnectionSpec, ProviderRegistry
from cwz_web.workspaces.deletion import PURGE_DEADLINE
from cwz_web.workspaces.models import Tombstone, Workspace

log = structlog.get_logger()

_DELETE_JOBS = text("DELETE FROM procrastinate_jobs WHERE status = 'todo' AND args->>'workspace_id' = :id")


def purge_due(database: Database, providers: ProviderRegistry) -> int:
    """Purge every workspace and account whose grace period is over.

    A purge that a storage provider prevents is tried again with the next call, until the deadline of `purge`.

    Returns:
        The number of purged workspaces and accounts.
    """
    with database.transaction() as db:
        due = select(Tombstone).where(Tombstone.purged_at.is_(None), Tombstone.purge_at <= datetime.now(UTC))
        tombstones = list(db.scalars(due.order_by(Tombstone.purge_at)))
    purged = 0
    for tombstone in tombstones:
        try:
            purged += purge(database, providers, tombstone)
        except SQLAlchemyError:  # an error in one workspace does not stop the others
            log.exception("purge failed", id=str(tombstone.id))
    return purged


def purge(database: Database, providers: ProviderRegistry, tombstone: Tombstone) -> bool:
    """Remove the rows, objects and jobs of a deleted workspace or account.

    Returns:
        Whether it was purged; False while a storage provider fails and the deadline has not passed.
    """
    if tombstone.type == "account":
        with database.transaction() as db:
            rows = execute_update(db, delete(Account).where(Account.id == tombstone.id))
            _mark_purged(db, tombstone.id, {"rows": {"accounts": rows}})
        return True
    with database.transaction(tombstone.id, deleted=True) as db:
        # Objects in storage of the operator's own, which has no customer credentials, are always deleted.
        connections = [
            c.spec for c in list_connections(db, tombstone.id) if tombstone.with_images or not c.encrypted_credentials
        ]
    objects, storage_errors = _delete_objects(providers, tombstone.id, connections)
    if storage_errors and datetime.now(UTC) < tombstone.deleted_at + PURGE_DEADLINE:
        log.warning("purge postponed", workspace=str(tombstone.id), storage_errors=storage_errors)
        return False
    with database.transaction(tombstone.id, deleted=True) as db:
        tables = [table for table in Base.metadata.sorted_tables if "workspace_id" in table.columns]
        counts = {
            table.name: db.scalar(select(func.count()).select_from(table).where(table.c.workspace_id == tombstone.id))
            for table in tables
        }
        own_fonts = Upload.workspace_id == tombstone.id, Upload.kind == UploadKind.FONT
        fonts = list(db.scalars(select(Upload.digest).where(*own_fonts)))
        jobs = execute_update(db, _DELETE_JOBS.bindparams(id=str(tombstone.id)))
        db.execute(delete(Workspace).where(Workspace.id == tombstone.id))
        report = {"rows": {name: count for name, count in counts.items() if count}, "objects": objects, "jobs": jobs}
        _mark_purged(db, tombstone.id, report | ({"storage_errors": storage_errors} if storage_errors else {}))
    for digest in fonts:
        delete_font_file(digest)
    log.info("workspace purged", workspace=str(tombstone.id), objects=objects, jobs=jobs)
    return True


def _delete_objects(
    providers: ProviderRegistry, workspace_id: UUID, connections: Iterable[ConnectionSpec]
) -> tuple[int, list[str]]:
    """Delete every object of a workspace. Return their number, and the errors."""
    objects, errors = 0, []
    for spec in connections:
        try:
            bucket = providers.open(spec)
            keys = [info.key for info in bucket.list(f"{workspace_id}/")]
            bucket.delete_many(keys)
            objects += len(keys)
        except StorageError as error:
            errors.append(f"{spec.provider}: {error}")
    return objects, errors


def _mark_purged(db: Session, tombstone_id: UUID, report: dict[str, Any]) -> None:
    """Record a purge in its tombstone, which holds no name from then on."""
    tombstone = db.get_one(Tombstone, tombstone_id)
    tombstone.purged_at, tombstone.report, tombstone.name = datetime.now(UTC), report, ""
