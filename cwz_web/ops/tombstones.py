"""Tombstones beside the backups: what was deleted stays deleted when a backup from before is restored.

A restored database knows nothing of what happened after its backup; so the tombstones lie in the backups' folder as
well, as JSON in an envelope of the key ring, and those of the database that is replaced are taken along.
"""

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from uuid import UUID

import psycopg
import structlog
from psycopg.rows import dict_row
from pydantic import BaseModel, ConfigDict, TypeAdapter
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from cwz_web.crypto import KeyRing
from cwz_web.db.session import Database
from cwz_web.workspaces.models import Tombstone

log = structlog.get_logger()

FILE = "tombstones"


class Stone(BaseModel):
    """A tombstone, outside of a database."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    id: UUID
    kind: str
    name: str
    with_pictures: bool
    deleted_at: datetime
    purge_at: datetime
    purged_at: datetime | None


_stones = TypeAdapter(list[Stone])


def write_tombstones(database: Database, folder: Path, ring: KeyRing) -> None:
    """Bring the file in the backups' folder up to what the database has."""
    with database.transaction() as db:
        stones = [Stone.model_validate(row) for row in db.scalars(select(Tombstone).order_by(Tombstone.id))]
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = folder / f".{FILE}.partial"
    partial.write_bytes(ring.encrypt(_stones.dump_json(stones).decode(), FILE))
    partial.replace(folder / FILE)


def known_tombstones(owner_url: str, folder: Path, ring: KeyRing) -> list[Stone]:
    """Those of the folder and of the database as it is now, as far as there is one; what the database says counts.

    Raises CannotDecrypt.
    """
    found = {}
    if (folder / FILE).exists():
        content = ring.decrypt((folder / FILE).read_bytes(), FILE)
        found = {stone.id: stone for stone in _stones.validate_json(content)}
    try:
        with psycopg.connect(owner_url, connect_timeout=10, row_factory=dict_row) as connection:
            there = {row["id"]: Stone.model_validate(row) for row in connection.execute("SELECT * FROM tombstones")}
    except (psycopg.OperationalError, psycopg.errors.UndefinedTable):
        return list(found.values())
    # One that the database has no more was taken back, unless the database is younger than the file.
    return list((found | there).values())


def lay_tombstones(database: Database, stones: Iterable[Stone]) -> list[Stone]:
    """Put tombstones into a restored database. Returns those of what it brought back to life: they have to be purged
    again, or wait for their day."""
    again = []
    with database.transaction() as db:
        for stone in stones:
            values = stone.model_dump() | {"purged_at": None}
            if db.scalar(insert(Tombstone).values(**values).on_conflict_do_nothing().returning(Tombstone.id)):
                again.append(stone)
    return again
