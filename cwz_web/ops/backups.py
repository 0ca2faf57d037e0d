"""Backup files: the whole database in one file, encrypted with the installation's keys.

A file begins with its manifest, one line of JSON: time of creation, version, the content key encrypted by the key ring,
and each table's row count and checksum, all of one snapshot. pg_dump's custom format follows as an encrypted stream
(crypto.py) with the manifest as associated data. A second file holds the SHA-256, in the format of `sha256sum --check`.
A file gets its name when it is complete.
"""

import base64
import hashlib
import os
import re
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import IO, Self
from uuid import uuid4

import psycopg
from psycopg import sql
from pydantic import BaseModel, ConfigDict, ValidationError

from cwz_web.crypto import DecryptionError, KeyRing, decrypt_stream, encrypt_stream
from cwz_web.db.programs import start_program
from cwz_web.db.row_security import CREATE_BACKUP_POLICIES

MAX_BACKUPS = 10
MAX_AGE = timedelta(days=30)
MAX_PARTIAL_AGE = timedelta(days=1)
SUFFIX = ".backup"
FORMAT = 1
MAX_MANIFEST_BYTES = 1024 * 1024
CHUNK_BYTES = 256 * 1024
# For the owner's session: open the tables' backup policy (db/row_security.py), and fix how values are written, so that
# checksums of two servers are comparable.
SESSION_SETTINGS = {
    "cwz.backup_session": "on",
    "timezone": "UTC",
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
}
# The messages of pg_dump and pg_restore at the start of a table's rows.
_table_message = re.compile(rb'(?:contents of|data for) table "(?:public\.)?([a-z_0-9]+)"')

_TABLES = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 1"
# The sum of the rows' digests takes one pass and does not depend on their order. It detects errors, not attacks (the
# encryption does), and MD5 is available on every server.
_CHECKSUM = sql.SQL(
    "SELECT count(*), coalesce(sum(('x' || left(md5(t::text), 15))::bit(60)::bigint::numeric), 0) FROM {} t"
)

# Receives the completed share, from 0 to 1.
Progress = Callable[[float], None]


class BackupError(Exception):
    """A backup cannot be created, read or restored; the message says why."""


class TableSummary(BaseModel):
    """A table's number of rows and a checksum that does not depend on their order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int
    checksum: str


class Manifest(BaseModel):
    """The first line of a backup file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int
    id: str
    created_at: datetime
    version: str
    schema_revision: str
    postgresql: str
    owner: str
    roles: tuple[str, ...]
    tables: dict[str, TableSummary]
    encrypted_key: str

    @property
    def rows(self) -> int:
        """The number of rows of all tables."""
        return sum(table.rows for table in self.tables.values())

    def content_key(self, ring: KeyRing) -> bytes:
        """Return the key of the content.

        Raises:
            DecryptionError: no key of the ring decrypts it.
        """
        try:
            envelope = base64.b64decode(self.encrypted_key, validate=True)
        except ValueError:
            raise DecryptionError("This file is damaged: its key is not valid base64") from None
        return base64.b64decode(ring.decrypt(envelope, "backup", self.id))


@dataclass(frozen=True)
class Backup:
    """A backup file.

    Attributes:
        path: the file.
        manifest: its parsed manifest.
        line: the manifest as it is in the file.
    """

    path: Path
    manifest: Manifest
    line: bytes

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read the manifest of a backup file.

        Raises:
            BackupError: the file cannot be read, or is not a backup of this format.
        """
        try:
            with open(path, "rb") as file:
                line = file.readline(MAX_MANIFEST_BYTES)
        except OSError as error:
            raise BackupError(f"{path} cannot be read: {error.strerror}") from None
        try:
            manifest = Manifest.model_validate_json(line)
        except ValidationError:
            raise BackupError(f"{path.name} is not a ConnectWyze backup") from None
        if manifest.format != FORMAT:
            raise BackupError(f"{path.name} has format {manifest.format}; this version reads format {FORMAT}")
        return cls(path, manifest, line)

    @property
    def size(self) -> int:
        """The file's size in bytes."""
        return self.path.stat().st_size

    def read_dump(self, ring: KeyRing) -> Iterator[bytes]:
        """Yield pg_dump's output in chunks.

        Raises:
            DecryptionError: the file is damaged or truncated, as soon as that is detected.
        """
        key = self.manifest.content_key(ring)
        with open(self.path, "rb") as file:
            file.seek(len(self.line))
            yield from decrypt_stream(key, file, self.line)

    def verify_integrity(self, ring: KeyRing) -> None:
        """Decrypt the whole file.

        Raises:
            BackupError: the file is damaged or truncated, or its key is missing.
        """
        try:
            for _ in self.read_dump(ring):
                pass
        except DecryptionError as error:
            raise BackupError(f"{self.path.name}: {error}") from None


def list_backups(folder: Path) -> list[Backup]:
    """Return the readable backups of a folder, the newest first."""
    backups = []
    for path in folder.glob(f"*{SUFFIX}"):
        try:
            backups.append(Backup.open(path))
        except BackupError:
            continue
    return sorted(backups, key=lambda backup: (backup.manifest.created_at, backup.path.name), reverse=True)


def create_backup(owner_url: str, folder: Path, ring: KeyRing, progress: Progress | None = None) -> Backup:
    """Back up the database into a folder.

    Args:
        owner_url: the role that owns the tables.
        folder: it is created if it does not exist.
        ring: the keys that encrypt the backup.
        progress: receives the share of rows that are written.

    Raises:
        BackupError: the backup failed; no file is left.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    key, name = os.urandom(32), f"connectwyze-{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid4().hex[:6]}{SUFFIX}"
    partial = folder / f".{name}.partial"
    try:
        with _connect(owner_url) as connection:
            connection.execute(CREATE_BACKUP_POLICIES)
            connection.commit()
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            [snapshot] = connection.execute("SELECT pg_export_snapshot()").fetchone() or ("",)
            manifest = _build_manifest(connection, key, ring)
            line = manifest.model_dump_json().encode() + b"\n"
            digest = hashlib.sha256()
            with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                dump = _dump(owner_url, str(snapshot), manifest, progress)
                for chunk in chain([line], encrypt_stream(key, dump, line)):
                    digest.update(chunk)
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
        _checksum_path(folder / name).write_text(f"{digest.hexdigest()}  {name}\n")
        partial.rename(folder / name)
    except (psycopg.Error, OSError) as error:
        raise BackupError(f"The database could not be backed up: {error}") from error
    finally:
        partial.unlink(missing_ok=True)
    return Backup.open(folder / name)


def delete_old_backups(folder: Path, now: datetime | None = None) -> list[str]:
    """Delete all but the newest `MAX_BACKUPS` backups, and those older than `MAX_AGE`.

    Incomplete files of killed backups are deleted as well.

    Returns:
        The names of the deleted backups.
    """
    now = now or datetime.now(UTC)
    for partial in folder.glob(".*.partial"):
        if partial.stat().st_mtime < (now - MAX_PARTIAL_AGE).timestamp():
            partial.unlink(missing_ok=True)
    old = [
        backup.path
        for number, backup in enumerate(list_backups(folder))
        if number >= MAX_BACKUPS or backup.manifest.created_at < now - MAX_AGE
    ]
    for path in old:
        path.unlink(missing_ok=True)
        _checksum_path(path).unlink(missing_ok=True)
    return [path.name for path in old]


def summarize_tables(owner_url: str) -> dict[str, TableSummary]:
    """Return each table's current row count and checksum."""
    with _connect(owner_url) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        return _summarize_tables(connection)


def has_schema(owner_url: str) -> bool:
    """Return whether the database has a schema of ConnectWyze, of any version."""
    with _connect(owner_url) as connection:
        return connection.execute("SELECT to_regclass('alembic_version')").fetchone() != (None,)


def compare_tables(expected: Mapping[str, TableSummary], actual: Mapping[str, TableSummary]) -> list[str]:
    """Return a message for each table that differs."""
    messages = []
    for name in sorted(expected.keys() | actual.keys()):
        if expected.get(name) == actual.get(name):
            continue
        counts = [tables[name].rows if name in tables else "no table" for tables in (expected, actual)]
        difference = "different rows" if counts[0] == counts[1] else f"{counts[0]} in the backup, {counts[1]} restored"
        messages.append(f"{name}: {difference}")
    return messages


@contextmanager
def running_process(
    process: "subprocess.Popen[bytes]", tables: Mapping[str, TableSummary], progress: Progress | None
) -> Iterator[None]:
    """Wait for a PostgreSQL program at the end of the block; kill it on an error.

    The block reads the program's output.

    A thread reads its messages, which fill a pipe otherwise, and reports the progress that they show.

    Raises:
        BackupError: the program failed.
    """
    errors: list[str] = []
    reader = threading.Thread(target=_read_messages, args=(process.stderr, errors, tables, progress), daemon=True)
    reader.start()
    try:
        yield
        process.wait()
    finally:
        process.kill()
        process.wait()
        reader.join()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe and not pipe.closed:
                pipe.close()
    if process.returncode != 0:
        raise BackupError(f"{Path(str(process.args[0])).name} failed: {' '.join(errors[-3:])}")  # type: ignore[index]


def read_chunks(pipe: IO[bytes] | None) -> Iterator[bytes]:
    """Yield a pipe's content in chunks."""
    assert pipe is not None
    while chunk := pipe.read(CHUNK_BYTES):
        yield chunk


def _dump(owner_url: str, snapshot: str, manifest: Manifest, progress: Progress | None) -> Iterator[bytes]:
    process = start_program(
        "pg_dump",
        owner_url,
        "--format=custom",
        f"--snapshot={snapshot}",
        "--enable-row-security",  # with the session setting below, which opens all rows
        "--schema=public",
        "--verbose",
        options="-c cwz.backup_session=on",
    )
    with running_process(process, manifest.tables, progress):
        yield from read_chunks(process.stdout)


def _read_messages(
    pipe: IO[bytes], errors: list[str], tables: Mapping[str, TableSummary], progress: Progress | None
) -> None:
    remaining = {name: table.rows for name, table in tables.items()}
    total = max(1, sum(remaining.values()))
    for line in pipe:
        if match := _table_message.search(line):
            remaining.pop(match[1].decode(), None)
            if progress and tables:
                progress(1 - sum(remaining.values()) / total)
        elif b"error" in line.lower() or b"detail" in line.lower():
            errors.append(line.decode(errors="replace").strip())


def _connect(owner_url: str) -> "psycopg.Connection[tuple[object, ...]]":
    connection = psycopg.connect(owner_url, connect_timeout=10)
    for name, value in SESSION_SETTINGS.items():
        connection.execute("SELECT set_config(%s, %s, false)", [name, value])
    connection.commit()
    return connection


def _build_manifest(connection: "psycopg.Connection[tuple[object, ...]]", key: bytes, ring: KeyRing) -> Manifest:
    hidden = connection.execute(
        "SELECT c.relname FROM pg_class c WHERE c.relforcerowsecurity AND NOT EXISTS"
        " (SELECT 1 FROM pg_policy p WHERE p.polrelid = c.oid AND p.polname = 'backup'"
        "  AND current_user::regrole = ANY(p.polroles))"
    ).fetchone()
    if hidden:
        raise BackupError(f"The role cannot read all rows of {hidden[0]}: connect as the owner of the tables")
    server = connection.execute("SELECT current_setting('server_version')").fetchone()
    revision = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    roles = connection.execute(
        "SELECT DISTINCT r.rolname FROM pg_class c, aclexplode(c.relacl) g JOIN pg_roles r ON r.oid = g.grantee"
        " WHERE c.relnamespace = 'public'::regnamespace ORDER BY 1"
    ).fetchall()
    backup_id = uuid4().hex
    return Manifest(
        format=FORMAT,
        id=backup_id,
        created_at=datetime.now(UTC),
        version=version("cwz-web"),
        schema_revision=str(revision[0]) if revision else "",
        postgresql=str(server[0]) if server else "",
        owner=connection.info.user,
        roles=tuple(str(role) for (role,) in roles),
        tables=_summarize_tables(connection),
        encrypted_key=base64.b64encode(ring.encrypt(base64.b64encode(key).decode(), "backup", backup_id)).decode(),
    )


def _summarize_tables(connection: "psycopg.Connection[tuple[object, ...]]") -> dict[str, TableSummary]:
    tables = {}
    for (name,) in connection.execute(_TABLES).fetchall():
        query = _CHECKSUM.format(sql.Identifier("public", str(name)))
        [rows, checksum] = connection.execute(query).fetchone() or (0, 0)
        tables[str(name)] = TableSummary(rows=int(str(rows)), checksum=str(checksum))
    return tables


def _checksum_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")
