import os
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from cwz_web.db.embedded import LONGEST_SOCKET_FOLDER, EmbeddedPostgres, socket_directory

HOLD = """
import sys, time
from pathlib import Path
from cwz_web.db.embedded import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]))
server.start()
print("ready", flush=True)
sys.stdin.read()
"""


def hold(folder: Path) -> subprocess.Popen[bytes]:
    """Another process that uses the server until its standard input ends."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def end(process: subprocess.Popen[bytes], how: int | None = None) -> None:
    if how is not None:
        os.kill(process.pid, how)
    process.communicate()


def test_the_last_user_stops_the_server_even_when_another_was_killed(tmp_path: Path) -> None:
    folder = tmp_path / "postgres"
    server = EmbeddedPostgres(folder)
    server.start()
    first, second = hold(folder), hold(folder)
    server.release()
    end(first)
    assert server._is_running()
    end(second, signal.SIGKILL)
    assert server._is_running(), "nobody could stop it"
    last = hold(folder)
    with psycopg.connect(server.admin_url("cwz")) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    end(last)
    assert not server._is_running()
    server.release()


def test_data_stays_from_one_start_to_the_next(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "postgres")
    for expected in (0, 1):
        server.start()
        with psycopg.connect(server.admin_url("cwz"), autocommit=True) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS kept (n int)")
            assert connection.execute("SELECT count(*) FROM kept").fetchone() == (expected,)
            connection.execute("INSERT INTO kept VALUES (1)")
        server.release()
        assert not server._is_running()


def test_a_folder_above_that_was_closed_since_is_no_hindrance(tmp_path: Path) -> None:
    above = tmp_path / "above"
    server = EmbeddedPostgres(above / "postgres")
    server.start()
    server.release()
    above.chmod(0o700)
    server.start()
    assert server._is_running()
    server.release()


def test_only_its_owner_reaches_the_server(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "postgres")
    server.start()
    try:
        assert server.folder.stat().st_mode & 0o077 == 0
        with psycopg.connect(server.admin_url()) as connection:
            assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
    finally:
        server.release()


@pytest.mark.parametrize("length", [20, 300])
def test_the_sockets_path_is_always_short_enough(tmp_path: Path, length: int) -> None:
    folder = tmp_path / ("d" * (length % 200)) / ("e" * (length // 3))
    assert len(os.fsencode(socket_directory(folder))) <= LONGEST_SOCKET_FOLDER
    assert socket_directory(folder) == socket_directory(folder)
