"""The `cwz` command, a click group; each command's work is in a module of this package, imported when it runs."""

import gc
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cwz_web.cli.templates import templates_group

if TYPE_CHECKING:  # settings take longer to import than a command of `cwz templates` to run
    from cwz_web.settings import CommonSettings, RenderWorkerSettings, Settings

S = TypeVar("S", bound="CommonSettings")


def search_for_garbage() -> None:
    """Start the search for garbage, but not among the modules: they live as long as the process."""
    gc.freeze()
    gc.enable()


class Deployment:
    """An .ini file, which is read when a command needs it; None if none was given."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    @property
    def path(self) -> Path:
        """The path of the file. Raises UsageError if none was given."""
        if self._path is None:
            raise click.UsageError("Missing option '-c' / '--config': the deployment's .ini file.")
        return self._path

    @property
    def loader(self) -> Any:
        """The plaster loader of the file."""
        import plaster

        return plaster.get_loader(str(self.path), protocols=["wsgi"])

    def settings(self) -> "Settings":
        """Return all settings, and configure logs and error reports."""
        from cwz_web.settings import Settings

        return self._load(Settings)

    def render_worker_settings(self) -> "RenderWorkerSettings":
        """Return the settings of a render worker, and configure logs and error reports."""
        from cwz_web.settings import RenderWorkerSettings

        return self._load(RenderWorkerSettings)

    def _load(self, model: type[S]) -> S:
        """Load settings, once the command is imported. Raise ClickException when they are not valid."""
        from cwz_web.error_reports import configure_error_reports
        from cwz_web.logs import configure_logs
        from cwz_web.settings import SettingsError

        search_for_garbage()
        try:
            settings = model.load(self.loader.get_wsgi_app_settings())
        except SettingsError as error:
            raise click.ClickException(str(error)) from None
        configure_logs(development=settings.development)
        configure_error_reports(settings.monitoring.sentry_dsn.get_secret_value(), settings.environment)
        return settings


@click.group()
@click.option(
    "-c",
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The deployment's .ini file. `cwz templates` and `cwz mcp` do not need it.",
)
@click.pass_context
def main(context: click.Context, config: Path | None) -> None:
    """Run and operate a ConnectWyze installation, and keep its templates in files."""
    # Commands import much, and modules stay: searching them for garbage takes a quarter of the time of their import.
    gc.disable()
    context.call_on_close(gc.enable)
    context.obj = Deployment(config)


main.add_command(templates_group)


@main.command()
@click.pass_obj
def serve(deployment: Deployment) -> None:
    """Serve the web application, with one worker of each kind, until Ctrl-C."""
    from cwz_web.cli.serve import run  # imports the whole application

    run(deployment)


@main.command()
@click.option("--with-parent", is_flag=True, hidden=True, help="Stop when the standard input ends.")
@click.pass_obj
def worker(deployment: Deployment, with_parent: bool) -> None:
    """Run background jobs other than rendering, until Ctrl-C."""
    from cwz_web.cli.worker import run  # imports the tasks of all domains

    run(deployment.settings(), with_parent=with_parent)


@main.command("render-worker")
@click.option("--with-parent", is_flag=True, hidden=True, help="Stop when the standard input ends.")
@click.pass_obj
def render_worker(deployment: Deployment, with_parent: bool) -> None:
    """Render images of runs, until Ctrl-C. Start one on each machine that should render."""
    from cwz_web.cli.render_worker import run  # imports the image engine

    run(deployment.render_worker_settings(), with_parent=with_parent)


@main.command("migrate")
@click.option("--no-backup", is_flag=True, help="Do not back up first.")
@click.pass_obj
def migrate_command(deployment: Deployment, no_backup: bool) -> None:
    """Upgrade the database schema to this version, after a backup."""
    from cwz_web.cli.backups import migrate_database

    migrate_database(deployment.settings(), backup_first=not no_backup)


@main.group("backup", invoke_without_command=True)
@click.pass_context
def backup_group(context: click.Context) -> None:
    """Create a backup. The ten newest backups are kept, for at most 30 days."""
    if context.invoked_subcommand is None:
        from cwz_web.cli.backups import create_backup

        create_backup(context.obj.settings())


@backup_group.command("list")
@click.pass_obj
def backup_list(deployment: Deployment) -> None:
    """List the backups, the newest first."""
    from cwz_web.cli.backups import list_all

    list_all(deployment.settings())


@backup_group.command("verify")
@click.pass_obj
def backup_verify(deployment: Deployment) -> None:
    """Restore the newest backup into a temporary server and compare every table."""
    from cwz_web.cli.backups import verify_newest

    verify_newest(deployment.settings())


@main.command("restore")
@click.argument("backup")
@click.option("--dry-run", is_flag=True, help="Check the backup and change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--no-backup", is_flag=True, help="Do not back up the current database first.")
@click.pass_obj
def restore_command(deployment: Deployment, backup: str, dry_run: bool, yes: bool, no_backup: bool) -> None:
    """Replace the database with BACKUP: a file, or a name from `cwz backup list`."""
    from cwz_web.cli.backups import restore_backup

    restore_backup(deployment.settings(), backup, dry_run=dry_run, yes=yes, backup_first=not no_backup)


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def demo(deployment: Deployment, as_json: bool) -> None:
    """Create the demo workspace if needed, and print its URL and credentials."""
    from cwz_web.cli.demo import describe

    facts = describe(deployment.settings())
    if as_json:
        click.echo(json.dumps(facts))
        return
    for name, value in facts.items():
        click.echo(f"{name:>12}  {value}")


@main.group("keys")
def keys_group() -> None:
    """Manage the keys that encrypt stored secrets."""


@keys_group.command("new")
def keys_new() -> None:
    """Print a new key. Put it before the others in CWZ_ENCRYPTION_KEYS."""
    from cwz_web.cli.keys import print_new_key

    print_new_key()


@keys_group.command("rotate")
@click.pass_obj
def keys_rotate(deployment: Deployment) -> None:
    """Encrypt every stored secret with the newest key. It is safe to interrupt and repeat."""
    from cwz_web.app import prepare_database
    from cwz_web.cli.keys import rotate_keys
    from cwz_web.settings import SettingsError

    settings = deployment.settings()
    try:
        prepare_database(settings)
    except SettingsError as error:
        raise click.ClickException(str(error)) from None
    if rotate_keys(settings):
        raise click.exceptions.Exit(1)


@main.group("plugins")
def plugins_group() -> None:
    """Manage storage plugins."""


@plugins_group.command("list")
@click.pass_obj
def plugins_list(deployment: Deployment) -> None:
    """List the installed plugins, and those that were not loaded, with the reason."""
    from cwz_web.cli.plugins import list_plugins

    list_plugins(deployment.settings())


@plugins_group.command("check")
@click.argument("name")
@click.pass_obj
def plugins_check(deployment: Deployment, name: str) -> None:
    """Check the contract and the fields of the plugin NAME."""
    from cwz_web.cli.plugins import check_plugin

    if not check_plugin(deployment.settings(), name):
        raise click.exceptions.Exit(1)


@main.command("mcp")
@click.option("--url", envvar="CWZ_URL", required=True, help="The URL of the installation; also CWZ_URL.")
@click.option("--http", is_flag=True, help="Serve streamable HTTP at /mcp; each caller sends an API key.")
@click.option("--host", default="127.0.0.1", show_default=True, help="With --http: the address to listen on.")
@click.option("--port", default=6544, show_default=True, type=click.IntRange(1, 65535), help="With --http: the port.")
@click.option("--allow-host", multiple=True, metavar="HOST", help="With --http: a Host beyond loopback. Repeatable.")
@click.option("--allow-origin", multiple=True, metavar="ORIGIN", help="With --http: a web page that may call it.")
@click.option("--allow-http", is_flag=True, help="Send API keys without TLS, in a network that you trust.")
def mcp(
    url: str,
    http: bool,
    host: str,
    port: int,
    allow_host: tuple[str, ...],
    allow_origin: tuple[str, ...],
    allow_http: bool,
) -> None:
    """Serve AI assistants (Model Context Protocol) with the API key in CWZ_API_KEY, or over HTTP with theirs."""
    from cwz_web.cli.mcp import run

    search_for_garbage()
    run(url, http=http, host=host, port=port, hosts=allow_host, origins=allow_origin, allow_http=allow_http)


@main.command("doctor")
@click.pass_obj
def doctor(deployment: Deployment) -> None:
    """Check the deployment. Exit with status 1 if there are errors."""
    from cwz_web.cli.doctor import check_deployment

    if not check_deployment(deployment):
        raise click.exceptions.Exit(1)
