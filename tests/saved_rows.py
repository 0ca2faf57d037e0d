"""Copies of the rows and files that a fixture created, so that the next test has them in a tenth of the time."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql
from uuid_utils.compat import uuid7

PRESERVED_TABLES = {"alembic_version"}
ID = re.compile(rb"\b[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}\b")


@dataclass(frozen=True)
class SavedRows:
    """The rows of one workspace by table, as PostgreSQL copies them, its files, and the ids that the fixture needs."""

    rows: Mapping[str, bytes]
    files: Mapping[Path, bytes]
    ids: list[UUID]


@dataclass
class RowSaver:
    """Saves a workspace and creates it again with new ids, which no cache of the application knows.

    Args:
        connection: a superuser's, which sets off no trigger.
        storage: the folder of the bucket.
    """

    connection: psycopg.Connection[Any]
    storage: Path
    saved: dict[str, SavedRows] = field(default_factory=dict)

    def is_empty(self) -> bool:
        """Return whether all rows will be of what is created next: there is no account and no workspace."""
        [[found]] = self.connection.execute(
            "SELECT EXISTS (SELECT FROM workspaces) OR EXISTS (SELECT FROM accounts)"
        ).fetchall()
        return not found

    def save(self, name: str, ids: list[UUID]) -> None:
        """Save all rows of the database under a name. The first id is that of the workspace."""
        rows = {}
        tables = self.connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        for (table,) in tables:
            if table in PRESERVED_TABLES:
                continue
            copy = sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(table))
            with self.connection.cursor().copy(copy) as data:
                if content := b"".join(map(bytes, data)):
                    rows[table] = content
        folder = self.storage / str(ids[0])
        files = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        self.saved[name] = SavedRows(rows, files, ids)

    def restore(self, name: str) -> list[UUID] | None:
        """Create what was saved under a name, and return its ids; None if nothing was, or something else exists."""
        if name not in self.saved or not self.is_empty():
            return None
        found = self.saved[name]
        old = sorted({id_ for content in found.rows.values() for id_ in ID.findall(content)})
        # In the same order: some rows are read in that of their ids.
        new = dict(zip(old, sorted(str(uuid7()).encode() for _ in old), strict=True))
        for table, content in found.rows.items():
            copy = sql.SQL("COPY {} FROM STDIN").format(sql.Identifier(table))
            with self.connection.cursor().copy(copy) as data:
                data.write(ID.sub(lambda match: new[match[0]], content))
        ids = [UUID(new[str(id_).encode()].decode()) for id_ in found.ids]
        for path, content in found.files.items():
            file = self.storage / str(ids[0]) / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        return ids
