"""`cwz doctor`: check a deployment."""

from typing import TYPE_CHECKING

import click

from cwz_web.db.embedded import EmbeddedPostgres
from cwz_web.db.programs import PostgresProgramError
from cwz_web.db.session import Database
from cwz_web.ops.checks import CheckContext, Level, run_checks
from cwz_web.storage.plugins import ProviderRegistry

if TYPE_CHECKING:
    from cwz_web.cli import Deployment

COLORS = {Level.OK: "green", Level.WARNING: "yellow", Level.ERROR: "red"}


def check_deployment(deployment: "Deployment") -> bool:
    """Print every finding. Return whether there is no error."""
    settings = deployment.settings()
    if settings.database.embedded:
        try:
            EmbeddedPostgres(settings.database.embedded).start()
        except PostgresProgramError as error:
            raise click.ClickException(str(error)) from None
    database = Database(settings.database.url.get_secret_value(), pool_size=1)
    server = deployment.loader.get_settings("server:main")
    context = CheckContext(settings, database, ProviderRegistry.of(settings), settings.secrets.key_ring, server)
    counts = dict.fromkeys(Level, 0)
    try:
        for finding in run_checks(context):
            counts[finding.level] += 1
            level = click.style(f"{finding.level:<7}", fg=COLORS[finding.level])
            click.echo(f"{level}  {finding.subject:<15}  {finding.message}")
    finally:
        database.dispose()
    click.echo(f"{counts[Level.ERROR]} errors, {counts[Level.WARNING]} warnings.")
    return not counts[Level.ERROR]
