import os
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from cwz_web.db.embedded import MAX_SOCKET_FOLDER_BYTES, EmbeddedPostgres, socket_directory

USE_SERVER = """
import sys
from pathlib import Path
from cwz_web.db.embedded import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]))
server.start()
print("ready", flush=True)
sys.stdin.read()
"""


def start_user(folder: Path) -> subprocess.Popen[bytes]:
    """Start another process that uses the server until its standard input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", USE_SERVER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def end_user(process: subprocess.Popen[bytes], signal_number: int | None = None) -> None:
    if signal_number is not None:
        os.kill(process.pid, signal_number)
    process.communicate()


def answers(server: EmbeddedPostgres) -> bool:
    with psycopg.connect(server.admin_url("cwz")) as connection:
        return connection.execute("SELECT 1").fetchone() == (1,)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one cluster, which takes seconds to create; no server uses it between tests."""
    return tmp_path_factory.mktemp("embedded") / "parent" / "postgres"


@pytest.mark.slow
def test_last_user_stops_the_server_even_after_another_was_killed(folder: Path) -> None:
    server = EmbeddedPostgres(folder)
    server.start()
    first, second = start_user(folder), start_user(folder)
    server.stop()
    end_user(first)
    assert server.is_running()
    end_user(second, signal.SIGKILL)
    assert server.is_running(), "a killed process cannot stop the server"
    last = start_user(folder)
    assert answers(server)
    end_user(last)
    assert not server.is_running()
    server.stop()


def test_data_persists_between_starts(folder: Path) -> None:
    server = EmbeddedPostgres(folder)
    for expected in (0, 1):
        server.start()
        with psycopg.connect(server.admin_url("cwz"), autocommit=True) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS persisted (n int)")
            assert connection.execute("SELECT count(*) FROM persisted").fetchone() == (expected,)
            connection.execute("INSERT INTO persisted VALUES (1)")
        server.stop()
        assert not server.is_running()


def test_dead_server_starts_again_with_the_next_process(folder: Path) -> None:
    server = EmbeddedPostgres(folder)
    server.start()
    os.kill(int((server.folder / "postmaster.pid").read_text().split()[0]), signal.SIGQUIT)  # "immediate shutdown"
    while server.is_running():
        pass
    with pytest.raises(psycopg.OperationalError):
        answers(server)
    restarted = EmbeddedPostgres(folder)
    restarted.start()
    assert answers(restarted)
    server.stop()
    assert restarted.is_running()
    restarted.stop()
    assert not restarted.is_running()


def test_parent_folder_without_traversal_permission_is_opened(folder: Path) -> None:
    server = EmbeddedPostgres(folder)
    server.start()
    server.stop()
    folder.parent.chmod(0o700)
    server.start()
    assert server.is_running()
    server.stop()


def test_server_is_reachable_by_its_owner_only(folder: Path) -> None:
    server = EmbeddedPostgres(folder)
    server.start()
    try:
        assert server.folder.stat().st_mode & 0o077 == 0
        with psycopg.connect(server.admin_url()) as connection:
            assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
    finally:
        server.stop()


@pytest.mark.parametrize("length", [20, 300])
def test_socket_path_is_short_enough(tmp_path: Path, length: int) -> None:
    folder = tmp_path / ("d" * (length % 200)) / ("e" * (length // 3))
    assert len(os.fsencode(socket_directory(folder))) <= MAX_SOCKET_FOLDER_BYTES
    assert socket_directory(folder) == socket_directory(folder)
