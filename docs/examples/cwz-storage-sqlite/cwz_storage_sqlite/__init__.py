"""Objects in an SQLite file: an example of docs/storage-plugins.md."""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import Field, SecretStr

from cwz_web.storage import (
    Bucket,
    BucketContext,
    Capability,
    Fields,
    InvalidCredentialsError,
    InvalidSettingsError,
    ObjectAttributes,
    ObjectExistsError,
    ObjectInfo,
    ObjectNotFoundError,
    StorageProvider,
    StorageUnreachableError,
    check_key,
    hookimpl,
)

COLUMNS = "content_type, cache_control, metadata, content_disposition"
TABLE = f"CREATE TABLE IF NOT EXISTS objects (key TEXT PRIMARY KEY, body BLOB, {COLUMNS})"


class Settings(Fields):
    database: str = Field(title="Database", description="A name that the operator gave you", pattern=r"^[a-z]{1,20}$")


class Credentials(Fields):
    password: SecretStr = Field(title="Password", description="The password that the operator gave you")


class SqliteProvider(StorageProvider[Settings, Credentials]):
    api_version = 1
    name = "sqlite"
    label = "SQLite file"
    icon = "database"
    capabilities = frozenset({Capability.RANGE, Capability.ATTRIBUTES})
    settings_model = Settings
    credentials_model = Credentials

    def open(self, context: BucketContext[Settings, Credentials]) -> Bucket:
        if not context.operator.get("root"):
            raise InvalidSettingsError("The operator has to set cwz.storage.sqlite.root in the .ini file")
        is_allowed = context.credentials.password.get_secret_value() == context.operator.get("password")
        return SqliteBucket(Path(context.operator["root"]) / f"{context.settings.database}.sqlite", is_allowed)


class SqliteBucket(Bucket):
    def __init__(self, path: Path, is_allowed: bool) -> None:
        self._path, self._is_allowed = path, is_allowed

    def put(
        self,
        key: str,
        body: bytes | BinaryIO,
        *,
        content_type: str,
        cache_control: str = "",
        metadata: Mapping[str, str] | None = None,
        if_absent: bool = False,
    ) -> None:
        data = body if isinstance(body, bytes) else body.read()
        attributes = ObjectAttributes(content_type, cache_control, metadata=metadata or {})
        self._insert("INSERT" if if_absent else "INSERT OR REPLACE", key, data, attributes)

    def put_object(self, key: str, body: bytes, attributes: ObjectAttributes) -> None:
        self._insert("INSERT OR REPLACE", key, body, attributes)

    def _insert(self, command: str, key: str, data: bytes, attributes: ObjectAttributes) -> None:
        metadata = json.dumps(dict(attributes.metadata))
        values = (attributes.content_type, attributes.cache_control, metadata, attributes.content_disposition)
        with self._database() as db:
            db.execute(f"{command} INTO objects VALUES (?, ?, ?, ?, ?, ?)", (check_key(key), data, *values))

    def get(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        body: bytes = self._row(key, "body")[0]
        return body[start:] if length is None else body[start : start + length]

    def head(self, key: str) -> ObjectInfo:
        size, content_type, cache_control, metadata, disposition = self._row(key, f"length(body), {COLUMNS}")
        return ObjectInfo(key, size, content_type, cache_control, json.loads(metadata), disposition)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        query = "SELECT key, length(body) FROM objects WHERE substr(key, 1, ?) = ? ORDER BY key"
        with self._database() as db:
            return iter([ObjectInfo(*row) for row in db.execute(query, [len(prefix), prefix])])

    def delete(self, key: str) -> None:
        with self._database() as db:
            db.execute("DELETE FROM objects WHERE key = ?", [check_key(key)])

    def _row(self, key: str, columns: str) -> tuple[Any, ...]:
        with self._database() as db:
            row = db.execute(f"SELECT {columns} FROM objects WHERE key = ?", [check_key(key)]).fetchone()
        if row is None:
            raise ObjectNotFoundError("The object does not exist")
        return tuple(row)

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        if not self._is_allowed:
            raise InvalidCredentialsError("This password is wrong; enter the one from the operator")
        try:
            db = sqlite3.connect(self._path, timeout=10)
            try:
                with db:
                    db.execute(TABLE)
                    yield db
            finally:
                db.close()
        except sqlite3.IntegrityError:
            raise ObjectExistsError("The object exists already") from None
        except sqlite3.Error:
            raise StorageUnreachableError("The database file cannot be opened; contact the operator") from None


@hookimpl
def cwz_storage_providers() -> list[SqliteProvider]:
    return [SqliteProvider()]
