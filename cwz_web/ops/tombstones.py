"""Tombstones beside the backups: what was deleted stays deleted when an older backup is restored.

A restored database does not know what was deleted after its backup. So the backup folder holds a copy of all
tombstones, as JSON encrypted by the key ring, and a restore also reads those of the database that it replaces.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row
from pydantic import BaseModel, ConfigDict, TypeAdapter
from sqlalchemy import select

from cwz_web.accounts.models import Account
from cwz_web.crypto import KeyRing
from cwz_web.db.session import Database
from cwz_web.workspaces.deletion import GRACE
from cwz_web.workspaces.models import Tombstone, Workspace

FILE_NAME = "tombstones"


class TombstoneRecord(BaseModel):
    """A tombstone outside of a database; the columns of `Tombstone`."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    id: UUID
    type: str
    name: str
    with_images: bool
    deleted_at: datetime
    purge_at: datetime
    purged_at: datetime | None
    report: dict[str, Any]


_records = TypeAdapter(list[TombstoneRecord])


def save_tombstones(database: Database, folder: Path, ring: KeyRing) -> None:
    """Write all tombstones of a database to the backup folder."""
    with database.transaction() as db:
        rows = db.scalars(select(Tombstone).order_by(Tombstone.id))
        records = [TombstoneRecord.model_validate(row) for row in rows]
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = folder / f".{FILE_NAME}.partial"
    partial.write_bytes(ring.encrypt(_records.dump_json(records).decode(), FILE_NAME))
    partial.replace(folder / FILE_NAME)


def load_tombstones(owner_url: str, folder: Path, ring: KeyRing) -> list[TombstoneRecord]:
    """Return the tombstones of the folder and of the current database, if it has any.

    Those of the database take precedence.

    Raises:
        DecryptionError: no key of the ring decrypts the file.
    """
    saved = {}
    if (folder / FILE_NAME).exists():
        content = ring.decrypt((folder / FILE_NAME).read_bytes(), FILE_NAME)
        saved = {record.id: record for record in _records.validate_json(content)}
    try:
        with psycopg.connect(owner_url, connect_timeout=10, row_factory=dict_row) as connection:
            rows = connection.execute("SELECT * FROM tombstones")
            current = {row["id"]: TombstoneRecord.model_validate(row) for row in rows}
    except (psycopg.OperationalError, psycopg.errors.UndefinedTable):
        return list(saved.values())
    return list((saved | current).values())


def apply_tombstones(database: Database, records: Sequence[TombstoneRecord]) -> int:
    """Add tombstones to a restored database.

    What was purged is purged again at once. Other deletions may have been canceled after the backup, so their grace
    period starts again.

    Returns:
        The number of deletions that are to be purged.
    """
    purged = {record.id: record for record in records if record.purged_at}
    with database.transaction() as db:
        for record in records:
            tombstone = db.get(Tombstone, record.id)
            if tombstone is None:
                db.add(Tombstone(**record.model_dump()))
            elif record.purged_at:
                tombstone.purged_at, tombstone.report, tombstone.name = record.purged_at, record.report, record.name
    for record in purged.values():
        if _exists(database, record):
            with database.transaction() as db:
                tombstone = db.get_one(Tombstone, record.id)
                tombstone.purged_at, tombstone.purge_at = None, datetime.now(UTC)
    with database.transaction() as db:
        unpurged = list(db.scalars(select(Tombstone).where(Tombstone.purged_at.is_(None))))
        for tombstone in unpurged:
            if tombstone.id not in purged:
                tombstone.purge_at = max(tombstone.purge_at, datetime.now(UTC) + GRACE)
    return len(unpurged)


def _exists(database: Database, record: TombstoneRecord) -> bool:
    """Return whether the database has the account or workspace of a tombstone."""
    if record.type == "account":
        with database.transaction() as db:
            return db.get(Account, record.id) is not None
    with database.transaction(record.id, deleted=True) as db:
        return db.get(Workspace, record.id) is not None
