"""`cwz backup`, `cwz restore`, and the backup before `cwz migrate`."""

from collections.abc import Iterator
from contextlib import contextmanager

import click
from sqlalchemy.exc import SQLAlchemyError

from cwz_web.db.embedded import EmbeddedPostgres
from cwz_web.db.migrate import MigrationError, migrate, pending
from cwz_web.db.session import Database
from cwz_web.ops.backup_store import BackupStore
from cwz_web.ops.backups import BackupError, Progress, has_schema, list_backups
from cwz_web.ops.purge import purge_due
from cwz_web.ops.restore import check_compatible, count_other_connections, restore
from cwz_web.ops.tombstones import apply_tombstones
from cwz_web.settings import Settings, SettingsError
from cwz_web.storage.plugins import ProviderRegistry


def back_up(settings: Settings) -> None:
    """Make a backup now."""
    with _archive(settings, current=True) as (archive, database), _bar("Backing up") as progress:
        backup = archive.back_up(database, progress)
    click.echo(f"{backup.path}: {backup.size:,} bytes, {backup.manifest.rows:,} rows.")


def show(settings: Settings) -> None:
    """Print the backups, the newest first."""
    with _archive(settings) as (archive, _):
        for backup in list_backups(archive.folder):
            manifest = backup.manifest
            click.echo(
                f"{manifest.made_at:%Y-%m-%d %H:%M} UTC  {backup.size:>14,} bytes  {manifest.rows:>12,} rows  "
                f"schema {manifest.schema_revision}  {backup.path.name}"
            )


def check(settings: Settings) -> None:
    """Restore the newest backup into a server of its own, and compare."""
    with _archive(settings, current=True) as (archive, database), _bar("Restoring on trial") as progress:
        backup = archive.verify_newest(database, progress)
    click.echo(f"{backup.path.name} was restored on trial: every table has the same rows.")


def bring_back(settings: Settings, name: str, *, dry_run: bool, yes: bool, safety: bool) -> None:
    """Put a backup in place of what the database has.

    Arguments:
        name: a file, or the name of a backup in the folder or in the operator's storage.
        dry_run: only look whether it could be done, and what it would mean.
        yes: do not ask.
        safety: back up first what is there now.
    """
    with _archive(settings) as (archive, database):
        backup = archive.fetch(name)
        manifest = backup.manifest
        click.echo(f"Made {manifest.made_at:%-d %B %Y, %H:%M} UTC by version {manifest.version},")
        click.echo(f"schema {manifest.schema_revision}, {len(manifest.tables)} tables, {manifest.rows:,} rows.")
        check_compatible(backup, archive.owner_url)
        stones = archive.tombstones()
        later = [stone for stone in stones if stone.deleted_at > manifest.made_at]
        click.echo(f"{len(later)} workspaces or accounts were deleted since then; they stay deleted.")
        if dry_run:
            backup.verify_integrity(archive.ring)
            click.echo("The file is whole, and its key is at hand. Nothing was changed.")
            return
        if others := count_other_connections(archive.owner_url):
            raise BackupError(f"Stop the web and the workers first: {others} connections use the database")
        if not yes:
            click.confirm("Everything that the database has now is replaced. Go on?", abort=True)
        if safety and has_schema(archive.owner_url):
            click.echo(f"What is there now is in {archive.make().path}")
        with _bar("Restoring") as progress:
            restore(backup, archive.owner_url, archive.ring, progress)
        migrate(archive.owner_url, settings.database.url.get_secret_value())
        gone = apply_tombstones(database, stones)
        purged = purge_due(database, ProviderRegistry.of(settings))
        archive.note(database)
    click.echo(f"Restored. {gone} deletions were applied again, {purged} of them for good.")


def upgrade(settings: Settings, *, safety: bool) -> None:
    """Bring the schema up to this version; a database that has something in it is backed up first."""
    with _archive(settings) as (archive, _):
        if backup := archive.migrate(settings.database.url.get_secret_value(), safety=safety):
            click.echo(f"Backed up first: {backup.path}")


@contextmanager
def _bar(label: str) -> Iterator[Progress]:
    """A bar on the terminal."""
    with click.progressbar(length=100, label=label) as bar:
        yield lambda share: bar.update(int(share * 100) - bar.pos)


@contextmanager
def _archive(settings: Settings, *, current: bool = False) -> Iterator[tuple[BackupStore, Database]]:
    """The archive and the application's database, for the length of a command. What is wrong is said in plain words.

    Arguments:
        current: whether the database has to have the schema of this version.
    """
    if settings.database.embedded:
        EmbeddedPostgres(settings.database.embedded).start()
    database = Database(settings.database.url.get_secret_value(), pool_size=1)
    try:
        if current and pending(settings.database.url.get_secret_value()):
            raise BackupError("The database has not this version's schema: run `cwz migrate`, which backs up first")
        yield BackupStore.of(settings, ProviderRegistry.of(settings), settings.secrets.key_ring), database
    except (BackupError, MigrationError, SettingsError) as error:
        raise click.ClickException(str(error)) from None
    except SQLAlchemyError as error:
        raise click.ClickException(f"The database does not do as asked: {error}") from None
    finally:
        database.dispose()
