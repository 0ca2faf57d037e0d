"""`cwz serve`: the web application in this process, a worker in another, the database below them if it is ours."""

import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import click
import structlog

from cwz_web.app import create_app, prepare_database
from cwz_web.cli.demo import facts_of, serving_file
from cwz_web.server import stop_on_signals
from cwz_web.settings import SettingsError
from cwz_web.web.services import Services

if TYPE_CHECKING:
    from cwz_web.cli import Deployment

log = structlog.get_logger()

STOP_SECONDS = 30
LIVED_SECONDS = 10.0
# A worker that ended so could start: somebody killed it, or its database went away.
INNOCENT_ENDS = (-signal.SIGKILL, os.EX_TEMPFAIL)
LONGEST_WAIT = 60.0


def run(deployment: "Deployment") -> None:
    """Serve until SIGINT or SIGTERM; then end the worker, and the embedded database. Images that the worker could not
    report any more are found where they were stored when their chunk is taken up again."""
    settings = deployment.settings()
    stop_on_signals()
    try:
        prepare_database(settings)
        services = Services.start(settings)
    except SettingsError as error:
        raise click.ClickException(str(error)) from None
    app = create_app(services)
    server = deployment.loader.get_wsgi_server()
    worker = WorkerProcess([sys.argv[0], "-c", str(deployment.path), "worker", "--with-parent"])
    try:
        worker.start()
        _greet(services)
        serving_file(settings).write_text(settings.url)
        server(app)
    finally:
        serving_file(settings).unlink(missing_ok=True)
        worker.stop()
        services.close()


class WorkerProcess:
    """A worker that is started again whenever it ends by itself."""

    def __init__(self, command: list[str]) -> None:
        self._command = command
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and a thread that watches it."""
        threading.Thread(target=self._keep_running, daemon=True).start()

    def stop(self) -> None:
        """End it, by force when it does not by itself."""
        self._stopping.set()
        process = self._process
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            log.warning("the worker had to be killed")
            process.kill()

    def _keep_running(self) -> None:
        wait = 1.0
        while not self._stopping.is_set():
            began = time.monotonic()
            # A group of its own: Ctrl-C reaches this process, which then tells the worker.
            with subprocess.Popen(self._command, stdin=subprocess.PIPE, start_new_session=True) as process:  # noqa: S603
                self._process = process
                process.wait()
            # One that cannot even start is not started over and over at the cost of a core.
            lived = time.monotonic() - began > LIVED_SECONDS or process.returncode in INNOCENT_ENDS
            wait = 1.0 if lived else min(wait * 2, LONGEST_WAIT)
            self._stopping.wait(wait)


def _greet(services: Services) -> None:
    settings = services.settings
    click.echo(f"\n  ConnectWyze is at  {settings.url}\n")
    if settings.demo:
        facts = facts_of(services)
        click.echo(f"  Sign in with       {facts['email']}")
        click.echo(f"  and the password   {facts['password']}\n")
        click.echo(f"  A signed image   {facts['signed_url']}\n")
    click.echo("  Ctrl-C stops everything.\n")
