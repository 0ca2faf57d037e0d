"""`cwz keys`: the keys for secrets at rest."""

import secrets
from collections.abc import Callable
from typing import Any

import click
from sqlalchemy import text
from sqlalchemy.orm import Session

from cwz_web.accounts.models import Account
from cwz_web.accounts.second_factor import reseal_second_factor
from cwz_web.crypto import DecryptionError, KeyRing
from cwz_web.db.session import Database
from cwz_web.feeds.models import FeedSource
from cwz_web.feeds.sources import reencrypt_source
from cwz_web.notify.models import SlackLink
from cwz_web.notify.slack import reencrypt_slack_link
from cwz_web.settings import Settings
from cwz_web.storage.connections import reencrypt_secrets
from cwz_web.storage.models import Connection

# Whatever holds a secret: its rows, found across workspaces, and how one is encrypted anew.
SECRETS: tuple[tuple[Any, str, Callable[[Session, Any, KeyRing], bool]], ...] = (
    (Connection, "SELECT workspace_id, id FROM all_connections()", reencrypt_secrets),
    (FeedSource, "SELECT workspace_id, feed_id FROM sealed_feeds()", lambda db, row, ring: reencrypt_source(ring, row)),
    (SlackLink, "SELECT workspace_id FROM sealed_slack_links()", lambda db, row, ring: reencrypt_slack_link(row, ring)),
    (
        Account,
        "SELECT id FROM accounts WHERE totp_envelope IS NOT NULL ORDER BY id",
        lambda db, row, ring: reseal_second_factor(row, ring),
    ),
)


def new() -> None:
    """Print a fresh key."""
    click.echo(secrets.token_urlsafe(32))


def rotate(settings: Settings) -> int:
    """Encrypt every secret with the newest key, a row a transaction: whatever ends it, the next call goes on.

    Returns how many secrets could not be read.
    """
    ring = settings.secrets.key_ring
    database = Database(settings.database.url.get_secret_value(), pool_size=2)
    with database.transaction() as db:
        found = [(model, tuple(row), again) for model, query, again in SECRETS for row in db.execute(text(query)).all()]
    changed = unreadable = 0
    with click.progressbar(found, label="Encrypting anew", show_pos=True) as rows:
        for model, key, again in rows:
            try:
                with database.transaction(key[0] if hasattr(model, "workspace_id") else None, deleted=True) as db:
                    row = db.get(model, key, with_for_update=True)
                    changed += row is not None and again(db, row, ring)
            except DecryptionError:
                unreadable += 1
    database.dispose()
    click.echo(f"{changed} secrets were encrypted with the newest key; the others had it already.")
    if unreadable:
        click.echo(f"{unreadable} secrets could not be read with any key. Their owners have to type them in again.")
    else:
        click.echo("The older keys can be taken out of CWZ_ENCRYPTION_KEYS.")
    return unreadable
