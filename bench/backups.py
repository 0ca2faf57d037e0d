"""Benchmark of backups and restores against pg_dump and pg_restore alone, with a database of one feed's rows.

`create_backup` adds counts, checksums and encryption to pg_dump; `restore` reads the file twice and compares tables.
"""

import atexit
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
from figures import save_figures
from pages import start_installation

from cwz_web.db.embedded import EmbeddedPostgres
from cwz_web.db.programs import programs_folder
from cwz_web.ops.backups import Backup, create_backup
from cwz_web.ops.restore import restore

ROWS = int(sys.argv[1]) if len(sys.argv) > 1 else 300_000
TEXT = "Thrown by hand and glazed in two shades of blue. Keeps a morning’s coffee warm, and a tea as well. "


def measure_seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def run(program: str, *arguments: str) -> None:
    subprocess.run([str(programs_folder() / program), *arguments], check=True, capture_output=True)


def insert_rows(admin_url: str) -> None:
    """Insert a workspace with a feed, as the superuser, to whom row-level security does not apply."""
    with psycopg.connect(admin_url) as db:
        [workspace] = db.execute(
            "INSERT INTO workspaces (id, slug, name) VALUES (gen_random_uuid(), 'bench', 'Bench') RETURNING id"
        ).fetchone() or (None,)
        [feed] = db.execute(
            "INSERT INTO feeds (workspace_id, id, name, file_name, columns, notes, item_count)"
            " VALUES (%s, gen_random_uuid(), 'Feed', 'f.csv', '[]', '[]', 0) RETURNING id",
            [workspace],
        ).fetchone() or (None,)
        db.execute(
            "INSERT INTO items (workspace_id, feed_id, position, key, data) SELECT %s, %s, n, n::text,"
            " jsonb_build_object('sku', n, 'title', 'Stoneware mug ' || n, 'price', n %% 977, 'description', %s::text)"
            " FROM generate_series(1, %s) n",
            [workspace, feed, TEXT * 3, ROWS],
        )


def main() -> None:
    home = Path(tempfile.mkdtemp(prefix="cwz-bench-"))
    atexit.register(shutil.rmtree, home)  # runs after the database has stopped
    services, _ = start_installation(home)
    settings = services.settings
    assert settings.database.embedded is not None
    server = EmbeddedPostgres(settings.database.embedded)
    owner_url = f"postgresql://cwz_owner@/cwz?host={server.socket}"
    restored_url = f"postgresql://cwz_owner@/restored?host={server.socket}"
    insert_rows(server.admin_url("cwz"))
    with psycopg.connect(server.admin_url(), autocommit=True) as db:
        db.execute("CREATE DATABASE floor OWNER cwz_owner")
        db.execute("CREATE DATABASE restored OWNER cwz_owner")
    with tempfile.TemporaryDirectory() as folder:
        dump, ring = str(Path(folder) / "floor.dump"), settings.secrets.key_ring
        dump_seconds = measure_seconds(
            lambda: run("pg_dump", "-d", server.admin_url("cwz"), "--format=custom", f"--file={dump}")
        )
        backup_seconds = measure_seconds(lambda: create_backup(owner_url, Path(folder), ring))
        [path] = Path(folder).glob("*.backup")
        load_seconds = measure_seconds(lambda: run("pg_restore", "-d", server.admin_url("floor"), dump))
        restore_seconds = measure_seconds(lambda: restore(Backup.open(path), restored_url, ring))
        megabytes = path.stat().st_size / 1e6
    print(f"{ROWS:,} rows, a backup of {megabytes:.0f} MB")
    print(f"pg_dump    {dump_seconds:6.2f} s   backup  {backup_seconds:6.2f} s   {backup_seconds / dump_seconds:.2f}x")
    print(
        f"pg_restore {load_seconds:6.2f} s   restore {restore_seconds:6.2f} s   {restore_seconds / load_seconds:.2f}x"
    )
    save_figures(
        {
            "backup_rows_per_s": ROWS / backup_seconds,
            "backup_vs_pg_dump": backup_seconds / dump_seconds,
            "restore_rows_per_s": ROWS / restore_seconds,
            "restore_vs_pg_restore": restore_seconds / load_seconds,
        }
    )
    services.close()


if __name__ == "__main__":
    main()
