"""`cwz serve`: the web application in this process, a worker of each kind beside it, and the embedded database."""

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click
import structlog

from cwz_web.app import create_app, prepare_database
from cwz_web.cli.demo import demo_details, server_url_file
from cwz_web.server import stop_on_signals
from cwz_web.settings import ENVIRONMENT, Settings, SettingsError
from cwz_web.web.services import Services

if TYPE_CHECKING:
    from cwz_web.cli import Deployment

log = structlog.get_logger()

STOP_SECONDS = 30
# A worker that ran for so long could start. One that cannot is restarted less and less often.
MIN_RUN_SECONDS = 10.0
MAX_RESTART_WAIT = 60.0
# Exit codes of a worker that could start: it was killed, or lost its database.
RESTARTABLE = (-signal.SIGKILL, os.EX_TEMPFAIL)


def run(deployment: "Deployment") -> None:
    """Serve until SIGINT or SIGTERM; then stop the workers and the embedded database.

    A second signal ends every wait: for requests, and for workers, which are killed. A killed worker loses nothing.
    Images that a render worker could not report any more are found in the storage when their chunk is rendered again.
    """
    settings = deployment.settings()
    stop_on_signals()
    gc.disable()  # the application imports its views
    try:
        prepare_database(settings)
        services = Services.start(settings)
    except SettingsError as error:
        raise click.ClickException(str(error)) from None
    app = create_app(services)
    gc.freeze()
    gc.enable()
    server = deployment.loader.get_wsgi_server()
    command = [sys.argv[0], "-c", str(deployment.path)]
    workers = [
        WorkerProcess([*command, "worker", "--with-parent"], os.environ),
        WorkerProcess([*command, "render-worker", "--with-parent"], render_worker_environment(settings)),
    ]
    try:
        for worker in workers:
            worker.start()
        _print_sign_in_details(services)
        server_url_file(settings).write_text(settings.url)
        server(app)
        log.info("stopping the workers")
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.wait()
    finally:
        server_url_file(settings).unlink(missing_ok=True)
        for worker in workers:
            worker.kill()
        services.close()


def render_worker_environment(settings: Settings) -> dict[str, str]:
    """Return this process' environment with only those secrets that a render worker needs."""
    environment = {name: value for name, value in os.environ.items() if name not in ENVIRONMENT.values()}
    environment[ENVIRONMENT["secrets.render"]] = settings.secrets.render.get_secret_value()
    if settings.database.queue_url:
        environment[ENVIRONMENT["database.queue_url"]] = settings.database.queue_url.get_secret_value()
    if dsn := settings.monitoring.sentry_dsn.get_secret_value():
        environment[ENVIRONMENT["monitoring.sentry_dsn"]] = dsn
    return environment


class WorkerProcess:
    """A child process that is started again when it exits.

    Args:
        command: the command line.
        environment: the child's environment.
    """

    def __init__(self, command: list[str], environment: Mapping[str, str]) -> None:
        self._command = command
        self._environment = environment
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process, and a thread that restarts it."""
        threading.Thread(target=self._keep_running, daemon=True).start()

    def terminate(self) -> None:
        """Send SIGTERM, and restart the process no more."""
        self._stopping.set()
        if self._process is not None:
            self._process.terminate()

    def wait(self) -> None:
        """Wait for the terminated process for at most STOP_SECONDS."""
        if self._process is None:
            return
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            log.warning("worker does not end", command=self._command[-2])

    def kill(self) -> None:
        """End the process, and restart it no more."""
        self._stopping.set()
        if self._process is not None:
            self._process.kill()

    def _keep_running(self) -> None:
        wait = 1.0
        while not self._stopping.is_set():
            started_at = time.monotonic()
            # A session of its own: Ctrl-C reaches the parent only, which then stops its workers in order.
            with subprocess.Popen(  # noqa: S603
                self._command, stdin=subprocess.PIPE, env=dict(self._environment), start_new_session=True
            ) as process:
                self._process = process
                process.wait()
            could_start = time.monotonic() - started_at > MIN_RUN_SECONDS or process.returncode in RESTARTABLE
            wait = 1.0 if could_start else min(wait * 2, MAX_RESTART_WAIT)
            self._stopping.wait(wait)


def _print_sign_in_details(services: Services) -> None:
    settings = services.settings
    click.echo(f"\n  ConnectWyze runs at  {settings.url}\n")
    if settings.demo:
        details = demo_details(services)
        click.echo(f"  Email                {details['email']}")
        click.echo(f"  Password             {details['password']}\n")
        click.echo(f"  A signed image URL   {details['signed_url']}\n")
    click.echo("  Press Ctrl-C to stop.\n")
