"""Removing for good what was deleted, once its days are over: rows, objects in storages, and jobs that wait."""

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
from cwz_web.db.session import Database, affected
from cwz_web.generation.models import Font
from cwz_web.imaging.fonts import forget_font
from cwz_web.storage.connections import list_connections
from cwz_web.storage.contract import StorageError
from cwz_web.storage.plugins import Place, Providers
from cwz_web.workspaces.deletion import LATEST
from cwz_web.workspaces.models import Tombstone, Workspace

log = structlog.get_logger()

_JOBS = text("DELETE FROM procrastinate_jobs WHERE status = 'todo' AND args->>'workspace_id' = :id")


def purge_due(database: Database, providers: Providers) -> int:
    """Purge whatever is due. Returns how much was; what a storage holds up is tried again, for as long as may be."""
    with database.transaction() as db:
        due = select(Tombstone).where(Tombstone.purged_at.is_(None), Tombstone.purge_at <= datetime.now(UTC))
        stones = list(db.scalars(due.order_by(Tombstone.purge_at)))
    done = 0
    for stone in stones:
        try:
            done += purge(database, providers, stone)
        except SQLAlchemyError:
            log.exception("purge failed", id=str(stone.id))  # the others do not wait for it
    return done


def purge(database: Database, providers: Providers, stone: Tombstone) -> bool:
    """Remove what a tombstone stands for. Returns whether it is gone now."""
    if stone.kind == "account":
        with database.transaction() as db:
            gone = affected(db, delete(Account).where(Account.id == stone.id))
            _close(db, stone.id, {"rows": {"accounts": gone}})
        return True
    with database.transaction(stone.id, deleted=True) as db:
        # What lies with us, without a secret of the customer's, goes in any case.
        places = [c.place for c in list_connections(db, stone.id) if stone.with_images or not c.sealed]
    objects, troubles = _empty(providers, stone.id, places)
    if troubles and datetime.now(UTC) < stone.deleted_at + LATEST:
        log.warning("purge waits for a storage", workspace=str(stone.id), troubles=troubles)
        return False
    with database.transaction(stone.id, deleted=True) as db:
        mine = [table for table in Base.metadata.sorted_tables if "workspace_id" in table.columns]
        rows = {
            table.name: db.scalar(select(func.count()).select_from(table).where(table.c.workspace_id == stone.id))
            for table in mine
        }
        fonts = list(db.scalars(select(Font.digest).where(Font.workspace_id == stone.id)))
        jobs = affected(db, _JOBS.bindparams(id=str(stone.id)))
        db.execute(delete(Workspace).where(Workspace.id == stone.id))
        report = {"rows": {name: count for name, count in rows.items() if count}, "objects": objects, "jobs": jobs}
        _close(db, stone.id, report | ({"troubles": troubles} if troubles else {}))
    for digest in fonts:
        forget_font(digest)
    log.info("workspace purged", workspace=str(stone.id), objects=objects, jobs=jobs)
    return True


def _empty(providers: Providers, workspace_id: UUID, places: Iterable[Place]) -> tuple[int, list[str]]:
    """Remove every object of a workspace. Returns how many there were, and what went wrong."""
    objects, troubles = 0, []
    for place in places:
        try:
            bucket = providers.open(place)
            keys = [found.key for found in bucket.list(f"{workspace_id}/")]
            bucket.delete_many(keys)
            objects += len(keys)
        except StorageError as error:
            troubles.append(f"{place.provider}: {error}")
    return objects, troubles


def _close(db: Session, stone_id: UUID, report: dict[str, Any]) -> None:
    """Note in a tombstone that what it stands for is gone; it names nobody from now on."""
    stone = db.get_one(Tombstone, stone_id)
    stone.purged_at, stone.report, stone.name = datetime.now(UTC), report, ""
