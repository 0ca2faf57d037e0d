"""Backups beside PostgreSQL's own programs, in one run: `make bench`.

The same database of a feed's rows is written by pg_dump alone, and by `make_backup` (counts, checksums, encryption on
top); then read by pg_restore alone, and by `restore` (which reads the file twice, and compares every table).
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
from figures import keep
from people import start

from cwz_web.db.embedded import EmbeddedPostgres
from cwz_web.db.programs import programs_folder
from cwz_web.ops.backups import Backup, create_backup
from cwz_web.ops.restore import restore

ROWS = int(sys.argv[1]) if len(sys.argv) > 1 else 300_000
TEXT = "Thrown by hand and glazed in two shades of blue. Keeps a morning’s coffee warm, and a tea as well. "


def seconds(what: Callable[[], object]) -> float:
    began = time.perf_counter()
    what()
    return time.perf_counter() - began


def run(program: str, *arguments: str) -> None:
    subprocess.run([str(programs_folder() / program), *arguments], check=True, capture_output=True)


def fill(url: str) -> None:
    """A workspace with a feed of rows; as the superuser, whom no wall binds."""
    with psycopg.connect(url) as db:
        [space] = db.execute(
            "INSERT INTO workspaces (id, slug, name) VALUES (gen_random_uuid(), 'bench', 'Bench') RETURNING id"
        ).fetchone() or (None,)
        [feed] = db.execute(
            "INSERT INTO feeds (workspace_id, id, name, file_name, columns, notes, item_count)"
            " VALUES (%s, gen_random_uuid(), 'Feed', 'f.csv', '[]', '[]', 0) RETURNING id",
            [space],
        ).fetchone() or (None,)
        db.execute(
            "INSERT INTO items (workspace_id, feed_id, position, key, data) SELECT %s, %s, n, n::text,"
            " jsonb_build_object('sku', n, 'title', 'Stoneware mug ' || n, 'price', n %% 977, 'description', %s::text)"
            " FROM generate_series(1, %s) n",
            [space, feed, TEXT * 3, ROWS],
        )


def main() -> None:
    home = Path(tempfile.mkdtemp(prefix="cwz-bench-"))
    atexit.register(shutil.rmtree, home)  # runs after the database has been let go
    services, _ = start(home)
    settings = services.settings
    assert settings.database.embedded is not None
    server = EmbeddedPostgres(settings.database.embedded)
    owner = f"postgresql://cwz_owner@/cwz?host={server.socket}"
    other = f"postgresql://cwz_owner@/other?host={server.socket}"
    fill(server.admin_url("cwz"))
    with psycopg.connect(server.admin_url(), autocommit=True) as db:
        db.execute("CREATE DATABASE bare OWNER cwz_owner")
        db.execute("CREATE DATABASE other OWNER cwz_owner")
    with tempfile.TemporaryDirectory() as folder:
        dump, ring = str(Path(folder) / "bare.dump"), settings.secrets.key_ring
        floor = seconds(lambda: run("pg_dump", "-d", server.admin_url("cwz"), "--format=custom", f"--file={dump}"))
        ours = seconds(lambda: create_backup(owner, Path(folder), ring))
        [path] = Path(folder).glob("*.backup")
        bare = seconds(lambda: run("pg_restore", "-d", server.admin_url("bare"), dump))
        whole = seconds(lambda: restore(Backup.open(path), other, ring))
        size = path.stat().st_size / 1e6
    print(f"{ROWS:,} rows, {size:.0f} MB packed")
    print(f"pg_dump    {floor:6.2f} s   backup, with checksums and encryption {ours:6.2f} s   {ours / floor:.2f}x")
    print(f"pg_restore {bare:6.2f} s   restore, read twice and compared       {whole:6.2f} s   {whole / bare:.2f}x")
    figures = {
        "backup_rows_per_s": ROWS / ours,
        "backup_vs_pg_dump": ours / floor,
        "restore_rows_per_s": ROWS / whole,
        "restore_vs_pg_restore": whole / bare,
    }
    keep(figures)
    services.close()


if __name__ == "__main__":
    main()
