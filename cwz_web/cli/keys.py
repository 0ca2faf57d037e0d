"""`cwz keys`: the keys that encrypt stored secrets."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click
from sqlalchemy import text
from sqlalchemy.orm import Session

from cwz_web.accounts.models import Account
from cwz_web.accounts.second_factor import reencrypt_second_factor
from cwz_web.crypto import DecryptionError, KeyRing
from cwz_web.db.session import Database
from cwz_web.feeds.models import FeedSource
from cwz_web.feeds.sources import reencrypt_source
from cwz_web.notify.models import SlackLink
from cwz_web.notify.slack import reencrypt_slack_link
from cwz_web.settings import Settings
from cwz_web.shops.models import Shop
from cwz_web.shops.providers import reencrypt_credentials
from cwz_web.storage.connections import reencrypt_secrets
from cwz_web.storage.models import Connection
from cwz_web.workspaces.models import IdentityProvider
from cwz_web.workspaces.single_sign_on import reencrypt_client_secret


@dataclass(frozen=True)
class SecretTable:
    """A table with encrypted secrets.

    Attributes:
        model: its model.
        query: the primary keys of its rows with a secret, across workspaces.
        reencrypt: encrypts a row's secret with the newest key, and returns whether that changed the row.
    """

    model: Any
    query: str
    reencrypt: Callable[[Session, Any, KeyRing], bool]


SECRET_TABLES = (
    SecretTable(Connection, "SELECT workspace_id, id FROM all_connections()", reencrypt_secrets),
    SecretTable(
        FeedSource,
        "SELECT workspace_id, feed_id FROM feed_sources_with_secrets()",
        lambda _, source, ring: reencrypt_source(ring, source),
    ),
    SecretTable(
        Shop,
        "SELECT workspace_id, id FROM all_shops()",
        lambda _, shop, ring: reencrypt_credentials(ring, shop),
    ),
    SecretTable(
        SlackLink,
        "SELECT workspace_id FROM all_slack_links()",
        lambda _, link, ring: reencrypt_slack_link(link, ring),
    ),
    SecretTable(
        IdentityProvider,
        "SELECT workspace_id FROM all_identity_providers()",
        lambda _, provider, ring: reencrypt_client_secret(provider, ring),
    ),
    SecretTable(
        Account,
        "SELECT id FROM accounts WHERE encrypted_totp_secret IS NOT NULL ORDER BY id",
        lambda _, account, ring: reencrypt_second_factor(account, ring),
    ),
)


def print_new_key() -> None:
    """Print a new key."""
    click.echo(secrets.token_urlsafe(32))


def rotate_keys(settings: Settings) -> int:
    """Encrypt every secret with the newest key.

    Each secret has a transaction of its own, so an interrupted call can be repeated.

    Returns:
        How many secrets cannot be decrypted.
    """
    ring = settings.secrets.key_ring
    database = Database(settings.database.url.get_secret_value(), pool_size=2)
    with database.transaction() as db:
        rows = [(table, tuple(key)) for table in SECRET_TABLES for key in db.execute(text(table.query)).all()]
    reencrypted = undecryptable = 0
    with click.progressbar(rows, label="Re-encrypting", show_pos=True) as bar:
        for table, key in bar:
            workspace_id = key[0] if hasattr(table.model, "workspace_id") else None
            try:
                with database.transaction(workspace_id, deleted=True) as db:
                    row = db.get(table.model, key, with_for_update=True)
                    reencrypted += row is not None and table.reencrypt(db, row, ring)
            except DecryptionError:
                undecryptable += 1
    database.dispose()
    click.echo(f"Re-encrypted {reencrypted} of {len(rows)} secrets; the others already use the newest key.")
    if undecryptable:
        click.echo(f"{undecryptable} secrets cannot be decrypted with any key. Their owners must enter them again.")
    else:
        click.echo("You can remove the older keys from CWZ_ENCRYPTION_KEYS.")
    return undecryptable
