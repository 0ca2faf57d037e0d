"""Backups: the whole database in one file, encrypted with the keys of the installation.

A file begins with its manifest, one line of JSON: when and by which version it was made, the key of its content sealed
by the key ring, and each table's rows and checksum as of the same moment (one snapshot for all of it). What follows is
pg_dump's custom format as an encrypted stream (crypto.py), to which the manifest is bound. Beside it lies its SHA-256,
as `sha256sum --check` reads it. A file has its name only when it is whole.
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
from cwz_web.db.programs import start_client
from cwz_web.db.row_security import OPEN_TO_BACKUPS

KEPT = 10
OLDEST = timedelta(days=30)
UNFINISHED = timedelta(days=1)
SUFFIX = ".backup"
FORMAT = 1
MAX_MANIFEST = 1024 * 1024
PART = 256 * 1024
# For the owner's session: see all rows (db/row_security.py), and write every value in one way, whatever the server's
# settings are, so that checksums of two servers can be compared.
SESSION = {
    "cwz.backing_up": "on",
    "timezone": "UTC",
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
}
# What pg_dump and pg_restore say when they come to a table's rows.
_begins_table = re.compile(rb'(?:contents of|data for) table "(?:public\.)?([a-z_0-9]+)"')

_TABLES = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 1"
# A sum of the rows' digests: one pass, and no order. MD5 is the same on every server; nobody is kept out by it.
_CHECKSUM = sql.SQL(
    "SELECT count(*), coalesce(sum(('x' || left(md5(t::text), 15))::bit(60)::bigint::numeric), 0) FROM {} t"
)

Progress = Callable[[float], None]  # is told what share of the rows is behind us


class BackupError(Exception):
    """There is no backup, or this is none; the message says why."""


class Table(BaseModel):
    """What a backup has of a table. The checksum does not depend on the order of its rows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int
    checksum: str


class Manifest(BaseModel):
    """The first line of a backup."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int
    id: str
    made_at: datetime
    version: str
    schema_revision: str
    postgresql: str
    owner: str
    roles: tuple[str, ...]
    tables: dict[str, Table]
    sealed_key: str

    @property
    def rows(self) -> int:
        """Of all tables."""
        return sum(table.rows for table in self.tables.values())

    def key(self, ring: KeyRing) -> bytes:
        """The key of the content. Raises DecryptionError."""
        try:
            sealed = base64.b64decode(self.sealed_key, validate=True)
        except ValueError:
            raise DecryptionError("This file is damaged: its key is no base64") from None
        return base64.b64decode(ring.decrypt(sealed, "backup", self.id))


@dataclass(frozen=True)
class Backup:
    """A backup in a folder."""

    path: Path
    manifest: Manifest
    line: bytes

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read a backup's manifest. Raises BackupError."""
        try:
            with open(path, "rb") as file:
                line = file.readline(MAX_MANIFEST)
        except OSError as error:
            raise BackupError(f"{path} cannot be read: {error.strerror}") from None
        try:
            manifest = Manifest.model_validate_json(line)
        except ValidationError:
            raise BackupError(f"{path.name} is not a backup of ConnectWyze") from None
        if manifest.format != FORMAT:
            raise BackupError(f"{path.name} has format {manifest.format}; this version reads format {FORMAT}")
        return cls(path, manifest, line)

    @property
    def size(self) -> int:
        """In bytes."""
        return self.path.stat().st_size

    def content(self, ring: KeyRing) -> Iterator[bytes]:
        """The dump, in parts. Raises DecryptionError as soon as something is not as it was made."""
        key = self.manifest.key(ring)
        with open(self.path, "rb") as file:
            file.seek(len(self.line))
            yield from decrypt_stream(key, file, self.line)

    def read_through(self, ring: KeyRing) -> None:
        """See that all of it is as it was made. Raises BackupError."""
        try:
            for _ in self.content(ring):
                pass
        except DecryptionError as error:
            raise BackupError(f"{self.path.name}: {error}") from None


def list_backups(folder: Path) -> list[Backup]:
    """The backups of a folder, the newest first. What cannot be read as one is not among them."""
    found = []
    for path in folder.glob(f"*{SUFFIX}"):
        try:
            found.append(Backup.open(path))
        except BackupError:
            continue
    return sorted(found, key=lambda backup: (backup.manifest.made_at, backup.path.name), reverse=True)


def make_backup(owner_url: str, folder: Path, ring: KeyRing, progress: Progress | None = None) -> Backup:
    """Back the database up into the folder.

    Arguments:
        owner_url: of the role that owns the tables.
        progress: is told how far it is.
    Raises BackupError; then there is no file.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    key, name = os.urandom(32), f"connectwyze-{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid4().hex[:6]}{SUFFIX}"
    partial = folder / f".{name}.partial"
    try:
        with _connect(owner_url) as connection:
            connection.execute(OPEN_TO_BACKUPS)
            connection.commit()
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            [snapshot] = connection.execute("SELECT pg_export_snapshot()").fetchone() or ("",)
            manifest = _manifest(connection, key, ring)
            line = manifest.model_dump_json().encode() + b"\n"
            digest = hashlib.sha256()
            with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                dump = _dump(owner_url, str(snapshot), manifest, progress)
                for piece in chain([line], encrypt_stream(key, dump, line)):
                    digest.update(piece)
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
        _checksum_file(folder / name).write_text(f"{digest.hexdigest()}  {name}\n")
        partial.rename(folder / name)
    except (psycopg.Error, OSError) as error:
        raise BackupError(f"The database could not be backed up: {error}") from error
    finally:
        partial.unlink(missing_ok=True)
    return Backup.open(folder / name)


def drop_old(folder: Path, now: datetime | None = None) -> list[str]:
    """Keep the newest backups, and none that is too old. Returns the names of those that went.

    What one left behind that was killed half way goes, too.
    """
    now = now or datetime.now(UTC)
    oldest = now - OLDEST
    for partial in folder.glob(".*.partial"):
        if partial.stat().st_mtime < (now - UNFINISHED).timestamp():
            partial.unlink(missing_ok=True)
    gone = [
        backup.path
        for number, backup in enumerate(list_backups(folder))
        if number >= KEPT or backup.manifest.made_at < oldest
    ]
    for path in gone:
        path.unlink(missing_ok=True)
        _checksum_file(path).unlink(missing_ok=True)
    return [path.name for path in gone]


def tables_of(owner_url: str) -> dict[str, Table]:
    """Each table's rows and checksum as they are now."""
    with _connect(owner_url) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        return _tables(connection)


def has_schema(owner_url: str) -> bool:
    """Whether there is anything of ours in the database."""
    with _connect(owner_url) as connection:
        return connection.execute("SELECT to_regclass('alembic_version')").fetchone() != (None,)


def differences(wanted: Mapping[str, Table], found: Mapping[str, Table]) -> list[str]:
    """What is not the same, a line a table."""
    said = []
    for name in sorted(wanted.keys() | found.keys()):
        one, other = wanted.get(name), found.get(name)
        if one != other:
            rows = tuple(table.rows if table else "no table" for table in (one, other))
            what = "the rows are not the same" if rows[0] == rows[1] else f"{rows[0]} in the backup, {rows[1]} found"
            said.append(f"{name}: {what}")
    return said


@contextmanager
def running(
    process: "subprocess.Popen[bytes]", tables: Mapping[str, Table], progress: Progress | None
) -> Iterator[None]:
    """A program of PostgreSQL while its output is read. Raises BackupError at the end when it failed.

    Its messages are read beside, for the progress that they tell of: it would wait with a full pipe.
    """
    said: list[str] = []
    listener = threading.Thread(target=_listen, args=(process.stderr, said, tables, progress), daemon=True)
    listener.start()
    try:
        yield
        process.wait()
    finally:
        process.kill()
        process.wait()
        listener.join()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe and not pipe.closed:
                pipe.close()
    if process.returncode != 0:
        raise BackupError(f"{Path(str(process.args[0])).name} failed: {' '.join(said[-3:])}")  # type: ignore[index]


def parts_of(file: IO[bytes] | None) -> Iterator[bytes]:
    """What is in a pipe."""
    assert file is not None
    while part := file.read(PART):
        yield part


def _dump(owner_url: str, snapshot: str, manifest: Manifest, progress: Progress | None) -> Iterator[bytes]:
    process = start_client(
        "pg_dump",
        owner_url,
        "--format=custom",
        f"--snapshot={snapshot}",
        "--enable-row-security",  # and the session in which all rows are open
        "--schema=public",
        "--verbose",
        options="-c cwz.backing_up=on",
    )
    with running(process, manifest.tables, progress):
        yield from parts_of(process.stdout)


def _listen(pipe: IO[bytes], said: list[str], tables: Mapping[str, Table], progress: Progress | None) -> None:
    left = {name: table.rows for name, table in tables.items()}
    for line in pipe:
        if found := _begins_table.search(line):
            left.pop(found[1].decode(), None)
            if progress and tables:
                progress(1 - sum(left.values()) / max(1, sum(table.rows for table in tables.values())))
        elif b"error" in line.lower() or b"detail" in line.lower():
            said.append(line.decode(errors="replace").strip())


def _connect(owner_url: str) -> "psycopg.Connection[tuple[object, ...]]":
    connection = psycopg.connect(owner_url, connect_timeout=10)
    for name, value in SESSION.items():
        connection.execute("SELECT set_config(%s, %s, false)", [name, value])
    connection.commit()
    return connection


def _manifest(connection: "psycopg.Connection[tuple[object, ...]]", key: bytes, ring: KeyRing) -> Manifest:
    closed = connection.execute(
        "SELECT c.relname FROM pg_class c WHERE c.relforcerowsecurity AND NOT EXISTS"
        " (SELECT 1 FROM pg_policy p WHERE p.polrelid = c.oid AND p.polname = 'backing_up'"
        "  AND current_user::regrole = ANY(p.polroles))"
    ).fetchall()
    if closed:
        raise BackupError(f"The role cannot see all of {closed[0][0]}: it has to be the tables' owner")
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
        made_at=datetime.now(UTC),
        version=version("cwz-web"),
        schema_revision=str(revision[0]) if revision else "",
        postgresql=str(server[0]) if server else "",
        owner=connection.info.user,
        roles=tuple(str(role) for (role,) in roles),
        tables=_tables(connection),
        sealed_key=base64.b64encode(ring.encrypt(base64.b64encode(key).decode(), "backup", backup_id)).decode(),
    )


def _tables(connection: "psycopg.Connection[tuple[object, ...]]") -> dict[str, Table]:
    found = {}
    for (name,) in connection.execute(_TABLES).fetchall():
        query = _CHECKSUM.format(sql.Identifier("public", str(name)))
        [rows, checksum] = connection.execute(query).fetchone() or (0, 0)
        found[str(name)] = Table(rows=int(str(rows)), checksum=str(checksum))
    return found


def _checksum_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")
