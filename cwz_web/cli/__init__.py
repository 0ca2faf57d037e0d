"""The `cwz` command: `cwz -c FILE.ini serve | worker | migrate | backup | restore | doctor | demo | keys | plugins`."""

import json
from pathlib import Path
from typing import Any

import click
import plaster

from cwz_web.error_reports import configure_error_reports
from cwz_web.logs import configure_logs
from cwz_web.settings import Settings, SettingsError


class Deployment:
    """An .ini file, read when something needs it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def loader(self) -> Any:
        return plaster.get_loader(str(self.path), protocols=["wsgi"])

    def settings(self) -> Settings:
        """The typed settings, with logs set up for them. Ends with a plain message when they are not usable."""
        try:
            settings = Settings.load(self.loader.get_wsgi_app_settings())
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
    required=True,
    help="The deployment's .ini file.",
)
@click.pass_context
def main(context: click.Context, config: Path) -> None:
    """Run and look after a ConnectWyze installation."""
    context.obj = Deployment(config)


@main.command()
@click.pass_obj
def serve(deployment: Deployment) -> None:
    """Serve the web application, with a worker beside it, until Ctrl-C."""
    from cwz_web.cli.serve import run  # imports the whole application

    run(deployment)


@main.command()
@click.option("--with-parent", is_flag=True, hidden=True, help="End when the standard input does.")
@click.pass_obj
def worker(deployment: Deployment, with_parent: bool) -> None:
    """Render images of runs, until Ctrl-C. Start as many as there are machines."""
    from cwz_web.cli.worker import run  # imports the image engine

    run(deployment.settings(), with_parent=with_parent)


@main.command("migrate")
@click.option("--no-backup", is_flag=True, help="Do not back up first.")
@click.pass_obj
def migrate_command(deployment: Deployment, no_backup: bool) -> None:
    """Bring the database to this version's schema; it is backed up first."""
    from cwz_web.cli.backups import upgrade

    upgrade(deployment.settings(), safety=not no_backup)
    click.echo("The database has the schema of this version.")


@main.group("backup", invoke_without_command=True)
@click.pass_context
def backup_group(context: click.Context) -> None:
    """Back up the database now. The ten newest backups are kept, and none for longer than thirty days."""
    if context.invoked_subcommand is None:
        from cwz_web.cli.backups import back_up

        back_up(context.obj.settings())


@backup_group.command("list")
@click.pass_obj
def backup_list(deployment: Deployment) -> None:
    """Print the backups, the newest first."""
    from cwz_web.cli.backups import show

    show(deployment.settings())


@backup_group.command("verify")
@click.pass_obj
def backup_verify(deployment: Deployment) -> None:
    """Restore the newest backup into a server of its own, and compare every table."""
    from cwz_web.cli.backups import check

    check(deployment.settings())


@main.command("restore")
@click.argument("backup")
@click.option("--dry-run", is_flag=True, help="Only look whether it could be done, and what it would mean.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--no-backup", is_flag=True, help="Do not back up first what is there now.")
@click.pass_obj
def restore_command(deployment: Deployment, backup: str, dry_run: bool, yes: bool, no_backup: bool) -> None:
    """Put a backup (a file, or a name that `cwz backup list` prints) in place of what the database has."""
    from cwz_web.cli.backups import bring_back

    bring_back(deployment.settings(), backup, dry_run=dry_run, yes=yes, safety=not no_backup)


@main.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for scripts.")
@click.pass_obj
def demo(deployment: Deployment, as_json: bool) -> None:
    """Make the demo workspace if it is not there, and say how to get in."""
    from cwz_web.cli.demo import describe

    facts = describe(deployment.settings())
    if as_json:
        click.echo(json.dumps(facts))
        return
    for name, value in facts.items():
        click.echo(f"{name:>12}  {value}")


@main.group("keys")
def keys_group() -> None:
    """The keys that encrypt secrets at rest."""


@keys_group.command("new")
def keys_new() -> None:
    """Print a fresh key, to be put in front of the others in CWZ_ENCRYPTION_KEYS."""
    from cwz_web.cli.keys import new

    new()


@keys_group.command("rotate")
@click.pass_obj
def keys_rotate(deployment: Deployment) -> None:
    """Encrypt every secret with the newest key. Can be stopped and called again."""
    from cwz_web.app import prepare_database
    from cwz_web.cli.keys import rotate

    settings = deployment.settings()
    try:
        prepare_database(settings)
    except SettingsError as error:
        raise click.ClickException(str(error)) from None
    if rotate(settings):
        raise click.exceptions.Exit(1)


@main.group("plugins")
def plugins_group() -> None:
    """The storage plugins."""


@plugins_group.command("list")
@click.pass_obj
def plugins_list(deployment: Deployment) -> None:
    """Print the plugins that are installed, and what was left out and why."""
    from cwz_web.cli.plugins import show

    show(deployment.settings())


@plugins_group.command("check")
@click.argument("name")
@click.pass_obj
def plugins_check(deployment: Deployment, name: str) -> None:
    """Look at one plugin closely."""
    from cwz_web.cli.plugins import check

    if not check(deployment.settings(), name):
        raise click.exceptions.Exit(1)


@main.command("doctor")
@click.pass_obj
def doctor(deployment: Deployment) -> None:
    """Look at the deployment, and say what to mend. Ends with 1 when there is something."""
    from cwz_web.cli.doctor import show

    if not show(deployment):
        raise click.exceptions.Exit(1)
