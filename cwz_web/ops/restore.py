"""Restoring a backup: into the installation's database, or, on trial, into a server that is made for it alone."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import IO

import psycopg
import structlog
from psycopg import sql
from sqlalchemy import make_url

from cwz_web.crypto import KeyRing
from cwz_web.db.embedded import EmbeddedPostgres
from cwz_web.db.migrate import ADVISORY_LOCK
from cwz_web.db.programs import start_client
from cwz_web.ops.backups import Backup, BackupError, Progress, differences, parts_of, running, tables_of

log = structlog.get_logger()

TRIAL = f"cwz-trial-{os.geteuid()}-"
TRIAL_SECONDS = 24 * 3600
# Everything that the owner has in the schema goes; what a newer version added would stay otherwise.
CLEAR = """
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
# A parameter that servers before 17 do not know; the value is the one that it has anyway.
UNKNOWN_BEFORE_17 = b"SET transaction_timeout = 0;\n"
SETTINGS_LINES = 40


def check_place(backup: Backup, owner_url: str) -> None:
    """See that a backup fits a database: that its roles are there. Raises BackupError."""
    manifest = backup.manifest
    role = make_url(owner_url).username
    if role != manifest.owner:
        raise BackupError(
            f"The tables belonged to the role {manifest.owner}; DATABASE_OWNER_URL names {role}: use the same one"
        )
    try:
        with psycopg.connect(owner_url, connect_timeout=10) as connection:
            rows = connection.execute("SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)", [list(manifest.roles)])
            missing = set(manifest.roles) - {str(row[0]) for row in rows}
    except psycopg.Error as error:
        raise BackupError(f"The database cannot be reached: {error}") from error
    if missing:
        names = ", ".join(sorted(missing))
        raise BackupError(f"The database has no role {names}; create it first (CREATE ROLE {names} LOGIN)")


def others_connected(owner_url: str) -> int:
    """How many connections other than the owner's use the database."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename <> current_user"
    with psycopg.connect(owner_url, connect_timeout=10) as connection:
        [number] = connection.execute(query).fetchone() or (0,)
    return int(number)


def restore(backup: Backup, owner_url: str, ring: KeyRing, progress: Progress | None = None) -> None:
    """Put a backup in place of everything that a database has, in one transaction: all of it, or nothing changes.

    Raises BackupError; also, then after the fact, when what was restored is not what was backed up.
    """
    backup.read_through(ring)  # nothing of a damaged file gets near the database
    reader = start_client("pg_restore", None, "--file=-", "--schema=public", "--verbose", stdin=-1)
    writer = start_client(
        "psql", owner_url, "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--file=-", "--output=/dev/null", stdin=-1
    )
    tables = backup.manifest.tables
    with running(writer, {}, None), running(reader, tables, progress):
        assert writer.stdin is not None
        feeding = Thread(target=_feed, args=(reader.stdin, backup.content(ring)), daemon=True)
        feeding.start()
        try:
            writer.stdin.write(CLEAR.replace("%s", str(ADVISORY_LOCK), 1).encode())
            for part in _script(reader.stdout):
                writer.stdin.write(part)
            feeding.join()
            if reader.wait() == 0:
                writer.stdin.write(b"\nCOMMIT;\n")
            writer.stdin.close()
        except BrokenPipeError:
            pass  # psql has ended, and says why
        writer.wait()
    if said := differences(tables, tables_of(owner_url)):
        raise BackupError("What was restored differs from what was backed up: " + "; ".join(said))


def verify(backup: Backup, ring: KeyRing, progress: Progress | None = None) -> None:
    """Restore a backup into a new server that exists for it alone, and compare. Raises BackupError."""
    for left in Path(tempfile.gettempdir()).glob(f"{TRIAL}*"):
        if time.time() - left.stat().st_mtime > TRIAL_SECONDS:  # of one that was killed: there are rows in it
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=TRIAL) as folder:
        server = EmbeddedPostgres(Path(folder) / "scratch")
        server.start()
        try:
            restore(backup, _prepare(server, backup), ring, progress)
        finally:
            server.release()


def _prepare(server: EmbeddedPostgres, backup: Backup) -> str:
    """Make the roles that a backup needs and a database for its owner. Returns the owner's URL."""
    owner = backup.manifest.owner
    with psycopg.connect(server.admin_url(), autocommit=True) as connection:
        there = {str(row[0]) for row in connection.execute("SELECT rolname FROM pg_roles")}
        for role in sorted({owner, *backup.manifest.roles} - there):
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN NOSUPERUSER NOBYPASSRLS").format(sql.Identifier(role)))
        connection.execute(sql.SQL("CREATE DATABASE scratch OWNER {}").format(sql.Identifier(owner)))
    url = make_url(server.admin_url("scratch"))
    return url.set(username=owner).render_as_string(hide_password=False)


def _feed(pipe: IO[bytes] | None, content: Iterator[bytes]) -> None:
    assert pipe is not None
    try:
        for part in content:
            pipe.write(part)
        pipe.close()
    except BrokenPipeError:
        return  # pg_restore has ended, and says why


def _script(pipe: IO[bytes] | None) -> Iterator[bytes]:
    """The SQL that pg_restore writes, for servers of every age."""
    assert pipe is not None
    for _ in range(SETTINGS_LINES):
        line = pipe.readline()
        if line != UNKNOWN_BEFORE_17:
            yield line
    yield from parts_of(pipe)
