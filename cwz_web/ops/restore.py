"""Restores: into the installation's database, or as a test into a temporary server."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import IO

import psycopg
from psycopg import sql
from sqlalchemy import make_url

from cwz_web.crypto import KeyRing
from cwz_web.db.embedded import EmbeddedPostgres
from cwz_web.db.migrate import ADVISORY_LOCK
from cwz_web.db.programs import start_program
from cwz_web.ops.backups import (
    Backup,
    BackupError,
    Manifest,
    Progress,
    compare_tables,
    read_chunks,
    running_process,
    summarize_tables,
)

TEST_FOLDER_PREFIX = f"cwz-restore-test-{os.geteuid()}-"
MAX_TEST_SECONDS = 24 * 3600
# Drops everything in the schema, also what a newer version added.
DROP_EVERYTHING = """
    BEGIN;
    SET LOCAL client_min_messages = warning;
    SELECT pg_advisory_xact_lock(%s);
    DO $$
    DECLARE found record;
    BEGIN
        FOR found IN SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
        LOOP EXECUTE format('DROP TABLE IF EXISTS public.%I CASCADE', found.relname); END LOOP;
        FOR found IN SELECT oid::regprocedure AS name FROM pg_proc WHERE pronamespace = 'public'::regnamespace
        LOOP EXECUTE 'DROP FUNCTION IF EXISTS ' || found.name || ' CASCADE'; END LOOP;
        FOR found IN SELECT t.oid::regtype AS name FROM pg_type t LEFT JOIN pg_class c ON c.oid = t.typrelid
            WHERE t.typnamespace = 'public'::regnamespace AND (t.typtype = 'e' OR c.relkind = 'c')
        LOOP EXECUTE 'DROP TYPE IF EXISTS ' || found.name || ' CASCADE'; END LOOP;
    END $$;
"""
# pg_restore sets this parameter to its default; servers before 17 do not know it.
UNKNOWN_BEFORE_17 = b"SET transaction_timeout = 0;\n"
SETTINGS_LINES = 40


def check_compatible(backup: Backup, owner_url: str) -> None:
    """Check that a backup can be restored into a database: that its roles exist.

    Raises:
        BackupError: a role is missing, or the database cannot be reached.
    """
    manifest = backup.manifest
    role = make_url(owner_url).username
    if role != manifest.owner:
        raise BackupError(
            f"The role {manifest.owner} owned the tables, but DATABASE_OWNER_URL names {role}. Use the same role"
        )
    try:
        with psycopg.connect(owner_url, connect_timeout=10) as connection:
            rows = connection.execute("SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)", [list(manifest.roles)])
            missing = set(manifest.roles) - {str(row[0]) for row in rows}
    except psycopg.Error as error:
        raise BackupError(f"The database cannot be reached: {error}") from error
    if missing:
        names = ", ".join(sorted(missing))
        raise BackupError(f"The database has no role {names}. Create it first: CREATE ROLE {names} LOGIN")


def count_other_connections(owner_url: str) -> int:
    """Return how many connections of roles other than the owner use the database."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename <> current_user"
    with psycopg.connect(owner_url, connect_timeout=10) as connection:
        [count] = connection.execute(query).fetchone() or (0,)
    return int(count)


def restore(backup: Backup, owner_url: str, ring: KeyRing, progress: Progress | None = None) -> None:
    """Replace everything in a database with a backup, in one transaction.

    Args:
        backup: the backup.
        owner_url: the role that owns the tables.
        ring: the keys that decrypt the backup.
        progress: receives the share of rows that are restored.

    Raises:
        BackupError: the restore failed and the database is unchanged; or the restored rows, which are committed,
            differ from the manifest.
    """
    backup.verify_integrity(ring)  # no part of a damaged file reaches the database
    reader = start_program("pg_restore", None, "--file=-", "--schema=public", "--verbose", stdin=subprocess.PIPE)
    writer = start_program(
        "psql",
        owner_url,
        "--no-psqlrc",
        "--quiet",
        "--set=ON_ERROR_STOP=1",
        "--file=-",
        "--output=/dev/null",
        stdin=subprocess.PIPE,
    )
    tables = backup.manifest.tables
    with running_process(writer, {}, None), running_process(reader, tables, progress):
        assert writer.stdin is not None
        feeder = Thread(target=_write_dump, args=(reader.stdin, backup.read_dump(ring)), daemon=True)
        feeder.start()
        try:
            writer.stdin.write(DROP_EVERYTHING.replace("%s", str(ADVISORY_LOCK), 1).encode())
            for chunk in _read_script(reader.stdout):
                writer.stdin.write(chunk)
            feeder.join()
            if reader.wait() == 0:
                writer.stdin.write(b"\nCOMMIT;\n")
            writer.stdin.close()
        except BrokenPipeError:
            pass  # psql has ended; running_process raises its error
        writer.wait()
    if differences := compare_tables(tables, summarize_tables(owner_url)):
        raise BackupError("The restored database differs from the backup: " + "; ".join(differences))


def verify_restore(backup: Backup, ring: KeyRing, progress: Progress | None = None) -> None:
    """Restore a backup into a temporary server and compare every table.

    Raises:
        BackupError: the backup cannot be restored, or the restored rows differ.
    """
    for folder in Path(tempfile.gettempdir()).glob(f"{TEST_FOLDER_PREFIX}*"):
        if time.time() - folder.stat().st_mtime > MAX_TEST_SECONDS:  # a killed test leaves decrypted rows
            shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=TEST_FOLDER_PREFIX) as temporary:
        server = EmbeddedPostgres(Path(temporary) / "postgres")
        server.start()
        try:
            restore(backup, _create_database(server, backup.manifest), ring, progress)
        finally:
            server.stop()


def _create_database(server: EmbeddedPostgres, manifest: Manifest) -> str:
    """Create a backup's roles and a database for its owner. Return the owner's URL."""
    with psycopg.connect(server.admin_url(), autocommit=True) as connection:
        existing = {str(row[0]) for row in connection.execute("SELECT rolname FROM pg_roles")}
        for role in sorted({manifest.owner, *manifest.roles} - existing):
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN NOSUPERUSER NOBYPASSRLS").format(sql.Identifier(role)))
        connection.execute(sql.SQL("CREATE DATABASE restore_test OWNER {}").format(sql.Identifier(manifest.owner)))
    url = make_url(server.admin_url("restore_test"))
    return url.set(username=manifest.owner).render_as_string(hide_password=False)


def _write_dump(pipe: IO[bytes] | None, chunks: Iterator[bytes]) -> None:
    assert pipe is not None
    try:
        for chunk in chunks:
            pipe.write(chunk)
        pipe.close()
    except BrokenPipeError:
        return  # pg_restore has ended; running_process raises its error


def _read_script(pipe: IO[bytes] | None) -> Iterator[bytes]:
    """Yield the SQL of pg_restore without the parameter that older servers do not know."""
    assert pipe is not None
    for _ in range(SETTINGS_LINES):
        line = pipe.readline()
        if line != UNKNOWN_BEFORE_17:
            yield line
    yield from read_chunks(pipe)
