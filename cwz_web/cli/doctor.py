"""`cwz doctor`: what is wrong with a deployment, and what to do about it."""

from typing import TYPE_CHECKING

import click

from cwz_web.db.embedded import EmbeddedPostgres
from cwz_web.db.session import Database
from cwz_web.ops.checks import Level, CheckContext, run_checks
from cwz_web.storage.plugins import ProviderRegistry

if TYPE_CHECKING:
    from cwz_web.cli import Deployment

COLORS = {Level.FINE: "green", Level.WARNING: "yellow", Level.WRONG: "red"}


def show(deployment: "Deployment") -> bool:
    """Print every finding. Returns whether nothing has to be mended."""
    settings = deployment.settings()
    if settings.database.embedded:
        EmbeddedPostgres(settings.database.embedded).start()
    database = Database(settings.database.url.get_secret_value(), pool_size=1)
    server = deployment.loader.get_settings("server:main")
    wrong = 0
    try:
        for found in run_checks(CheckContext(settings, database, ProviderRegistry.of(settings), settings.secrets.key_ring, server)):
            wrong += found.level is Level.WRONG
            click.echo(f"{click.style(found.level.value, fg=COLORS[found.level])}  {found.about:<18}  {found.said}")
    finally:
        database.dispose()
    click.echo(f"{wrong} things to mend." if wrong else "Nothing has to be mended.")
    return not wrong
