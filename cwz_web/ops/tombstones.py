"""Tombstones beside the backups: what was deleted stays deleted when a backup from before is restored.

A restored database knows nothing of what happened after its backup; so the tombstones lie in the backups' folder as
well, as JSON in an envelope of the key ring, and those of the database that is replaced are taken along.
"""

from collections.abc import Iterable
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

FILE = "tombstones"


class Stone(BaseModel):
    """A tombstone, outside of a database."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    id: UUID
    kind: str
    name: str
    with_images: bool
    deleted_at: datetime
    purge_at: datetime
    purged_at: datetime | None
    report: dict[str, Any]


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

    Raises DecryptionError.
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
    return list((found | there).values())


def apply_tombstones(database: Database, stones: Iterable[Stone]) -> int:
    """Put tombstones into a restored database. Returns how many stand for something that it brought back to life.

    What had been purged is due at once. Of anything else nobody can be sure: its deletion may have been taken back
    since; so it waits for at least as long as a fresh one.
    """
    purged = {stone.id: stone for stone in stones if stone.purged_at}
    with database.transaction() as db:
        for stone in stones:
            known = db.get(Tombstone, stone.id)
            if known is None:
                db.add(Tombstone(**stone.model_dump()))
            elif stone.purged_at:
                known.purged_at, known.report, known.name = stone.purged_at, stone.report, stone.name
    for stone in purged.values():
        if _is_there(database, stone):
            with database.transaction() as db:
                found = db.get_one(Tombstone, stone.id)
                found.purged_at, found.purge_at = None, datetime.now(UTC)
    with database.transaction() as db:
        waiting = list(db.scalars(select(Tombstone).where(Tombstone.purged_at.is_(None))))
        for open_one in waiting:
            if open_one.id not in purged:
                open_one.purge_at = max(open_one.purge_at, datetime.now(UTC) + GRACE)
    return len(waiting)


def _is_there(database: Database, stone: Stone) -> bool:
    """Whether the database has what a tombstone stands for."""
    if stone.kind == "account":
        with database.transaction() as db:
            return db.get(Account, stone.id) is not None
    with database.transaction(stone.id, deleted=True) as db:
        return db.get(Workspace, stone.id) is not None
