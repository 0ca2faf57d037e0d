"""The backups of an installation: in a folder, and optionally copied to a storage provider."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import structlog
from pydantic import BaseModel, ValidationError
from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert

from cwz_web.crypto import DecryptionError, KeyRing
from cwz_web.db.migrate import migrate, pending
from cwz_web.db.session import Database
from cwz_web.ops.backups import (
    MAX_AGE,
    MAX_BACKUPS,
    SUFFIX,
    Backup,
    BackupError,
    Progress,
    create_backup,
    delete_old_backups,
    has_schema,
    list_backups,
)
from cwz_web.ops.models import BackupRecord
from cwz_web.ops.restore import verify_restore
from cwz_web.ops.tombstones import FILE_NAME, TombstoneRecord, load_tombstones, save_tombstones
from cwz_web.settings import Settings, SettingsError
from cwz_web.storage.contract import Bucket, ObjectNotFoundError, StorageError
from cwz_web.storage.plugins import ProviderRegistry

log = structlog.get_logger()

PREFIX = "connectwyze-backups/"
CONTENT_TYPE = "application/octet-stream"


@dataclass(frozen=True)
class BackupStore:
    """Where backups are kept.

    Attributes:
        owner_url: the role that owns the tables, which creates and restores backups.
        folder: the folder of the backup files.
        ring: the keys that encrypt them.
        bucket: opens the bucket of the copies; None without one.
        queue_url: the role of render workers, which migrations grant its rights; None if it is not used.
    """

    owner_url: str
    folder: Path
    ring: KeyRing
    bucket: Callable[[], Bucket] | None = None
    queue_url: str | None = None

    @classmethod
    def from_settings(cls, settings: Settings, providers: ProviderRegistry, ring: KeyRing) -> Self:
        """Return the store that the settings describe.

        Raises:
            SettingsError: DATABASE_OWNER_URL is not set.
        """
        if settings.database.owner_url is None:
            raise SettingsError("DATABASE_OWNER_URL is not set. Backups need the role that owns the tables")
        bucket = (lambda: open_backup_bucket(settings, providers)) if settings.backup.provider else None
        owner_url, queue_url = settings.database.owner_url.get_secret_value(), settings.database.queue_url
        queue = queue_url.get_secret_value() if queue_url else None
        return cls(owner_url, settings.backup_folder, ring, bucket, queue)

    def back_up(self, database: Database, progress: Progress | None = None) -> Backup:
        """Create a backup, copy it, and delete old ones.

        When the copy fails, it is tried again with the next backup.

        Raises:
            BackupError: no backup could be created.
        """
        self.save_tombstones(database)
        backup = self.create(progress)
        copied = self._copy_missing()
        self.delete_old()
        self.update_records(database, copied)
        return backup

    def create(self, progress: Progress | None = None) -> Backup:
        """Create a backup of a database with a schema of any version.

        Raises:
            BackupError: no backup could be created.
        """
        backup = create_backup(self.owner_url, self.folder, self.ring, progress)
        log.info("backup created", name=backup.path.name, size=backup.size, rows=backup.manifest.rows)
        return backup

    def migrate(self, app_url: str, *, backup_first: bool = True) -> Backup | None:
        """Upgrade the schema to this version; back up a database that has an older one first.

        Args:
            app_url: the application's role.
            backup_first: False skips the backup.

        Returns:
            The backup, if one was created.

        Raises:
            BackupError: no backup could be created; the schema is unchanged.
            MigrationError: the database cannot be migrated.
        """
        backup = self.create() if backup_first and has_schema(self.owner_url) and pending(app_url) else None
        migrate(self.owner_url, app_url, self.queue_url)
        if backup:
            self.delete_old()
            database = Database(app_url, pool_size=1)
            self.update_records(database)
            database.dispose()
        return backup

    def delete_old(self) -> None:
        """Delete backups beyond the retention limits from the folder and the bucket."""
        for name in delete_old_backups(self.folder):
            log.info("backup deleted", name=name)
        if self.bucket is None:
            return
        try:
            bucket = self.bucket()
            names = {info.key.removeprefix(PREFIX) for info in bucket.list(PREFIX)}
            bucket.delete_many(PREFIX + name for name in sorted(_expired_names(names, datetime.now(UTC))))
        except (StorageError, SettingsError) as error:
            log.error("old backup copies not deleted", reason=str(error))

    def verify_newest(self, database: Database, progress: Progress | None = None) -> Backup:
        """Restore the newest backup into a temporary server, and record the result.

        Raises:
            BackupError: there is no backup, or it cannot be restored.
        """
        newest = next(iter(list_backups(self.folder)), None)
        if newest is None:
            raise BackupError(f"There is no backup in {self.folder}")
        error_message = None
        try:
            verify_restore(newest, self.ring, progress)
        except BackupError as error:
            error_message = str(error)
            raise
        finally:
            self.update_records(database)
            with database.transaction() as db:
                record = db.get_one(BackupRecord, newest.path.name)
                record.verified_at, record.error_message = datetime.now(UTC), error_message
        return newest

    def save_tombstones(self, database: Database) -> None:
        """Write the database's tombstones beside the backups, in the folder and the bucket."""
        save_tombstones(database, self.folder, self.ring)
        if self.bucket is not None:
            try:
                content = (self.folder / FILE_NAME).read_bytes()
                self.bucket().put(PREFIX + FILE_NAME, content, content_type=CONTENT_TYPE)
            except (StorageError, SettingsError) as error:
                log.error("tombstones not copied", reason=str(error))

    def load_tombstones(self) -> list[TombstoneRecord]:
        """Return every known deletion, of the folder, the bucket and the current database.

        Raises:
            BackupError: the file cannot be decrypted.
        """
        if not (self.folder / FILE_NAME).exists():
            self._download(FILE_NAME)
        try:
            return load_tombstones(self.owner_url, self.folder, self.ring)
        except DecryptionError as error:
            raise BackupError(f"{self.folder / FILE_NAME}: {error}") from None

    def fetch(self, name: str) -> Backup:
        """Return a backup by its path or name; download it if the folder does not have it.

        Raises:
            BackupError: there is no such backup.
        """
        path = Path(name)
        if not path.exists():
            path = self.folder / path.name
        if not path.exists():
            self._download(path.name)
        return Backup.open(path)

    def update_records(self, database: Database, copied: set[str] | None = None) -> None:
        """Record the folder's backups in the database, for processes that cannot read the folder.

        Args:
            database: the application's database.
            copied: the names in the bucket; None if they are unknown.
        """
        existing = {backup.path.name: backup for backup in list_backups(self.folder)}
        with database.transaction() as db:
            db.execute(delete(BackupRecord).where(BackupRecord.name.not_in(existing)))
            known = set(db.scalars(select(BackupRecord.name)))
            for name in existing.keys() - known:
                manifest = existing[name].manifest
                values = {"created_at": manifest.created_at, "size": existing[name].size, "rows": manifest.rows}
                db.execute(insert(BackupRecord).values(name=name, **values).on_conflict_do_nothing())
            if copied is not None:
                for record in db.scalars(select(BackupRecord)):
                    record.copied = record.name in copied

    def _download(self, name: str) -> None:
        """Download a file from the bucket, if there is one that has it."""
        if self.bucket is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial = self.folder / f".{name}.partial"
        try:
            with open(partial, "wb") as file:
                for chunk in self.bucket().stream(PREFIX + name):
                    file.write(chunk)
            partial.rename(self.folder / name)
        except ObjectNotFoundError:
            partial.unlink()
        except StorageError as error:
            partial.unlink()
            raise BackupError(f"The backup storage does not respond: {error}") from error

    def _copy_missing(self) -> set[str] | None:
        """Copy backups to the bucket. Return the names in it, or None if they are unknown."""
        if self.bucket is None:
            return None
        try:
            bucket = self.bucket()
            names = {info.key.removeprefix(PREFIX) for info in bucket.list(PREFIX)}
            for backup in list_backups(self.folder):
                if backup.path.name not in names:
                    with open(backup.path, "rb") as file:
                        bucket.put(PREFIX + backup.path.name, file, content_type=CONTENT_TYPE)
                    names.add(backup.path.name)
        except (StorageError, SettingsError) as error:  # the backup exists: a retry of the job would create another
            log.error("backup not copied", reason=str(error))
            return None
        return names


def open_backup_bucket(settings: Settings, providers: ProviderRegistry) -> Bucket:
    """Open the bucket for copies of backups.

    Raises:
        SettingsError: the provider is unknown, or its settings or credentials are invalid.
        StorageError: the provider rejects them.
    """
    provider = providers.get(settings.backup.provider)
    if provider is None:
        raise SettingsError(f"cwz.backup.provider: no storage provider named {settings.backup.provider} is installed")
    credentials = json.loads(settings.backup.credentials.get_secret_value() or "{}")
    provider_settings = _validate(provider.settings_model, settings.backup.options, "cwz.backup.")
    provider_credentials = _validate(provider.credentials_model, credentials, "CWZ_BACKUP_CREDENTIALS: ")
    return providers.open_unsaved(provider, provider_settings, provider_credentials)


def _validate(model: type[BaseModel], values: object, prefix: str) -> BaseModel:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        messages = (f"{prefix}{'.'.join(map(str, item['loc']))} {item['msg'].lower()}" for item in error.errors())
        raise SettingsError("; ".join(messages)) from None


def _expired_names(names: set[str], now: datetime) -> set[str]:
    """Return the names, which hold the time of creation, of backups beyond the retention limits."""
    oldest = f"connectwyze-{now - MAX_AGE:%Y%m%dT%H%M%S}"
    backups = sorted((name for name in names if name.endswith(SUFFIX)), reverse=True)
    return {name for number, name in enumerate(backups) if number >= MAX_BACKUPS or name < oldest}
