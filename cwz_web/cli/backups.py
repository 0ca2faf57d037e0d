"""`cwz backup`, `cwz restore` and `cwz migrate`."""

from collections.abc import Iterator
from contextlib import contextmanager

import click
import psycopg
from sqlalchemy.exc import SQLAlchemyError

from cwz_web.db.embedded import EmbeddedPostgres
from cwz_web.db.migrate import MigrationError, migrate, pending
from cwz_web.db.programs import PostgresProgramError
from cwz_web.db.session import Database
from cwz_web.ops.backup_store import BackupStore
from cwz_web.ops.backups import BackupError, Progress, has_schema, list_backups
from cwz_web.ops.purge import purge_due
from cwz_web.ops.restore import check_compatible, count_other_connections, restore
from cwz_web.ops.tombstones import apply_tombstones
from cwz_web.settings import Settings, SettingsError
from cwz_web.storage.plugins import ProviderRegistry


def create_backup(settings: Settings) -> None:
    """Create a backup."""
    with _open_store(settings, needs_current_schema=True) as (store, database), _progress_bar("Backing up") as progress:
        backup = store.back_up(database, progress)
    click.echo(f"Created {backup.path} ({backup.size:,} bytes, {backup.manifest.rows:,} rows).")


def list_all(settings: Settings) -> None:
    """Print the backups, the newest first."""
    with _open_store(settings) as (store, _):
        for backup in list_backups(store.folder):
            manifest = backup.manifest
            click.echo(
                f"{manifest.created_at:%Y-%m-%d %H:%M} UTC  {backup.size:>14,} bytes  {manifest.rows:>12,} rows  "
                f"schema {manifest.schema_revision}  {backup.path.name}"
            )


def verify_newest(settings: Settings) -> None:
    """Restore the newest backup into a temporary server, and compare every table."""
    with _open_store(settings, needs_current_schema=True) as (store, database), _progress_bar("Restoring") as progress:
        backup = store.verify_newest(database, progress)
    click.echo(f"Restore test of {backup.path.name} passed: all tables match.")


def restore_backup(settings: Settings, name: str, *, dry_run: bool, yes: bool, backup_first: bool) -> None:
    """Replace the database with a backup.

    Args:
        settings: the settings.
        name: a path, or the name of a backup in the folder or in the storage for copies.
        dry_run: check the backup and change nothing.
        yes: skip the confirmation.
        backup_first: back up the current database before it is replaced.
    """
    with _open_store(settings) as (store, database):
        backup = store.fetch(name)
        manifest = backup.manifest
        click.echo(f"Backup of {manifest.created_at:%Y-%m-%d %H:%M} UTC, created by version {manifest.version}")
        click.echo(f"Schema {manifest.schema_revision}, {len(manifest.tables)} tables, {manifest.rows:,} rows")
        check_compatible(backup, store.owner_url)
        tombstones = store.load_tombstones()
        later = [tombstone for tombstone in tombstones if tombstone.deleted_at > manifest.created_at]
        click.echo(f"{len(later)} workspaces and accounts were deleted after this backup; they stay deleted")
        if dry_run:
            backup.verify_integrity(store.ring)
            click.echo("Dry run: the backup is intact and can be decrypted. Nothing was changed.")
            return
        if connections := count_other_connections(store.owner_url):
            raise BackupError(f"{connections} connections use the database. Stop the web processes and workers first")
        if not yes:
            click.confirm("This replaces everything in the database. Continue?", abort=True)
        if backup_first and has_schema(store.owner_url):
            click.echo(f"Backed up the current database to {store.create().path}")
        with _progress_bar("Restoring") as progress:
            restore(backup, store.owner_url, store.ring, progress)
        migrate(store.owner_url, settings.database.url.get_secret_value(), store.queue_url)
        deletions = apply_tombstones(database, tombstones)
        purged = purge_due(database, ProviderRegistry.of(settings))
        store.update_records(database)
    click.echo(f"Restored. {deletions} deletions were applied again; {purged} were purged.")


def migrate_database(settings: Settings, *, backup_first: bool) -> None:
    """Upgrade the schema to this version; back up a database that has an older one first."""
    with _open_store(settings) as (store, _):
        if backup := store.migrate(settings.database.url.get_secret_value(), backup_first=backup_first):
            click.echo(f"Backed up the database to {backup.path}")
    click.echo("The database schema is up to date.")


@contextmanager
def _progress_bar(label: str) -> Iterator[Progress]:
    with click.progressbar(length=100, label=label) as bar:
        yield lambda share: bar.update(int(share * 100) - bar.pos)


@contextmanager
def _open_store(settings: Settings, *, needs_current_schema: bool = False) -> Iterator[tuple[BackupStore, Database]]:
    """Yield the backup store and the database; turn expected errors into a message and exit code 1.

    Args:
        settings: the settings.
        needs_current_schema: whether the schema must be of this version.
    """
    database = Database(settings.database.url.get_secret_value(), pool_size=1)
    try:
        if settings.database.embedded:
            EmbeddedPostgres(settings.database.embedded).start()
        if needs_current_schema and pending(settings.database.url.get_secret_value()):
            raise BackupError("The schema is not of this version. Run `cwz migrate`, which backs up first")
        yield BackupStore.from_settings(settings, ProviderRegistry.of(settings), settings.secrets.key_ring), database
    except (BackupError, MigrationError, PostgresProgramError, SettingsError) as error:
        raise click.ClickException(str(error)) from None
    except (SQLAlchemyError, psycopg.Error) as error:
        raise click.ClickException(f"Database error: {error}") from None
    finally:
        database.dispose()
