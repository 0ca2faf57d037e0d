"""Objects in an SQLite file: a whole storage plugin, for reading along with docs/storage-plugins.md."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from pydantic import BaseModel, Field, SecretStr

from cwz_web.storage import (
    API_VERSION,
    Bucket,
    Capability,
    Fields,
    InvalidCredentialsError,
    InvalidSettingsError,
    ObjectExistsError,
    ObjectInfo,
    ObjectNotFoundError,
    BucketContext,
    StorageProvider,
    StorageUnreachableError,
    check_key,
    hookimpl,
)

TABLE = "CREATE TABLE IF NOT EXISTS objects (key TEXT PRIMARY KEY, body BLOB, content_type, cache_control, metadata)"


class Settings(Fields):
    shelf: str = Field(
        title="Shelf", description="Which file, of those that the operator keeps", pattern=r"^[a-z]{1,20}$"
    )


class Credentials(Fields):
    word: SecretStr = Field(title="Word", description="What the operator told you")


class SqliteProvider:
    api_version = API_VERSION
    name = "sqlite"
    label = "SQLite file"
    icon = "database"
    help_url = ""
    capabilities = frozenset({Capability.RANGE})
    settings_model: type[BaseModel] = Settings
    credentials_model: type[BaseModel] = Credentials

    def hosts(self, settings: BaseModel, operator: Mapping[str, str]) -> Iterable[str]:
        return ()

    def open(self, opening: BucketContext) -> "SqliteBucket":
        settings, credentials, operator = opening.settings, opening.credentials, opening.operator
        assert isinstance(settings, Settings)
        assert isinstance(credentials, Credentials)
        if not operator.get("root"):
            raise InvalidSettingsError("The operator has to set cwz.storage.sqlite.root in the .ini file")
        allowed = credentials.word.get_secret_value() == operator.get("word")
        return SqliteBucket(Path(operator["root"]) / f"{settings.shelf}.sqlite", allowed)


class SqliteBucket(Bucket):
    def __init__(self, path: Path, allowed: bool) -> None:
        self._path, self._allowed = path, allowed

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
        row = (check_key(key), data, content_type, cache_control, json.dumps(dict(metadata or {})))
        with self._database() as db:
            db.execute(f"INSERT {'' if if_absent else 'OR REPLACE'} INTO objects VALUES (?, ?, ?, ?, ?)", row)

    def get(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        body: bytes = self._row(key, "body")[0]
        return body[start:] if length is None else body[start : start + length]

    def head(self, key: str) -> ObjectInfo:
        size, kind, cache, told = self._row(key, "length(body), content_type, cache_control, metadata")
        return ObjectInfo(key, size, kind, cache, json.loads(told))

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        query = "SELECT key, length(body) FROM objects WHERE substr(key, 1, ?) = ? ORDER BY key"
        with self._database() as db:
            return iter([ObjectInfo(*row) for row in db.execute(query, [len(prefix), prefix])])

    def delete(self, key: str) -> None:
        with self._database() as db:
            db.execute("DELETE FROM objects WHERE key = ?", [check_key(key)])

    def _row(self, key: str, columns: str) -> tuple:  # type: ignore[type-arg]
        with self._database() as db:
            row = db.execute(f"SELECT {columns} FROM objects WHERE key = ?", [check_key(key)]).fetchone()
        if row is None:
            raise ObjectNotFoundError("There is no such object")
        return tuple(row)

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        if not self._allowed:
            raise InvalidCredentialsError("This is not the word that the operator told; ask for it again")
        try:
            db = sqlite3.connect(self._path, timeout=10)
            try:
                with db:
                    db.execute(TABLE)
                    yield db
            finally:
                db.close()
        except sqlite3.IntegrityError:
            raise ObjectExistsError("There is such an object already") from None
        except sqlite3.Error:
            raise StorageUnreachableError("The file cannot be opened; its operator has to look after it") from None


@hookimpl
def cwz_storage_providers() -> Iterable[StorageProvider]:
    return [SqliteProvider()]
