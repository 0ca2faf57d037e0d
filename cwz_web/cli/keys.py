"""`cwz keys`: the keys for secrets at rest."""

import secrets

import click
from sqlalchemy import text

from cwz_web.accounts.models import Account
from cwz_web.accounts.second_factor import reseal_second_factor
from cwz_web.crypto import CannotDecrypt
from cwz_web.db.session import Database
from cwz_web.settings import Settings
from cwz_web.storage.connections import reseal
from cwz_web.storage.models import Connection
from cwz_web.web.services import ring_of


def new() -> None:
    """Print a fresh key."""
    click.echo(secrets.token_urlsafe(32))


def rotate(settings: Settings) -> int:
    """Encrypt every secret with the newest key, a row a transaction: whatever ends it, the next call goes on.

    Returns how many secrets could not be read.
    """
    ring = ring_of(settings)
    database = Database(settings.database_url.get_secret_value(), pool_size=2)
    with database.transaction() as db:
        connections = [(row.workspace_id, row.id) for row in db.execute(text("SELECT * FROM all_connections()"))]
        accounts = list(db.scalars(text("SELECT id FROM accounts WHERE totp_envelope IS NOT NULL ORDER BY id")))
    changed = unreadable = 0
    with click.progressbar([*connections, *accounts], label="Encrypting anew", show_pos=True) as rows:
        for row in rows:
            try:
                if isinstance(row, tuple):
                    with database.transaction(row[0]) as db:
                        connection = db.get(Connection, row, with_for_update=True)
                        changed += connection is not None and reseal(db, connection, ring)
                else:
                    with database.transaction() as db:
                        account = db.get(Account, row, with_for_update=True)
                        changed += account is not None and reseal_second_factor(account, ring)
            except CannotDecrypt:
                unreadable += 1
    database.dispose()
    click.echo(f"{changed} secrets were encrypted with the newest key; the others had it already.")
    if unreadable:
        click.echo(f"{unreadable} secrets could not be read with any key. Their owners have to type them in again.")
    else:
        click.echo("The older keys can be taken out of CWZ_ENCRYPTION_KEYS.")
    return unreadable
