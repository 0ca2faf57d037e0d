"""The backups of an installation: in a folder, and, if the operator wants it, in a storage as well."""

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
    KEPT,
    OLDEST,
    SUFFIX,
    Backup,
    BackupError,
    Progress,
    drop_old,
    has_schema,
    list_backups,
    make_backup,
)
from cwz_web.ops.models import BackupRecord
from cwz_web.ops.restore import verify
from cwz_web.ops.tombstones import FILE, Stone, known_tombstones, write_tombstones
from cwz_web.settings import Settings, SettingsError
from cwz_web.storage.contract import Bucket, ObjectNotFoundError, StorageError
from cwz_web.storage.plugins import Providers

log = structlog.get_logger()

PREFIX = "connectwyze-backups/"
CONTENT_TYPE = "application/octet-stream"


@dataclass(frozen=True)
class Archive:
    """Where backups are kept.

    Attributes:
        owner_url: of the role that owns the tables; backups are made as that role.
        folder: where they lie.
        bucket: opens the operator's storage, in which each is copied; None without one.
    """

    owner_url: str
    folder: Path
    ring: KeyRing
    bucket: Callable[[], Bucket] | None = None

    @classmethod
    def of(cls, settings: Settings, providers: Providers, ring: KeyRing) -> Self:
        """The archive that the settings describe. Raises SettingsError."""
        if settings.database_owner_url is None:
            raise SettingsError("Set DATABASE_OWNER_URL: the role that owns the tables makes the backups")
        bucket = (lambda: backup_bucket(settings, providers)) if settings.backup_provider else None
        return cls(settings.database_owner_url.get_secret_value(), settings.backup_folder, ring, bucket)

    def back_up(self, database: Database, progress: Progress | None = None) -> Backup:
        """Make a backup, copy it, and let go of those that are too many or too old. Raises BackupError.

        A storage that does not take the copy costs the copy: it is tried again with the next backup.
        """
        self.keep_tombstones(database)
        backup = self.make(progress)
        copied = self._copy()
        self.release_connection()
        self.note(database, copied)
        return backup

    def make(self, progress: Progress | None = None) -> Backup:
        """Make a backup and nothing else: of a database with a schema of any version. Raises BackupError."""
        backup = make_backup(self.owner_url, self.folder, self.ring, progress)
        log.info("backup made", name=backup.path.name, size=backup.size, rows=backup.manifest.rows)
        return backup

    def migrate(self, app_url: str, *, safety: bool = True) -> Backup | None:
        """Bring the schema up to this version; what is in the database is backed up first. Returns that backup.

        Arguments:
            safety: whether to back up at all.
        Raises BackupError, MigrationError.
        """
        backup = self.make() if safety and has_schema(self.owner_url) and pending(app_url) else None
        migrate(self.owner_url, app_url)
        if backup:
            self.release_connection()
            database = Database(app_url, pool_size=1)
            self.note(database)
            database.dispose()
        return backup

    def release_connection(self) -> None:
        """Drop what is too many or too old, here and in the storage."""
        for name in drop_old(self.folder):
            log.info("backup dropped", name=name)
        if self.bucket is None:
            return
        try:
            bucket = self.bucket()
            there = {info.key.removeprefix(PREFIX) for info in bucket.list(PREFIX)}
            bucket.delete_many(PREFIX + name for name in sorted(_too_many(there, datetime.now(UTC))))
        except (StorageError, SettingsError) as error:
            log.error("copies of backups stay", reason=str(error))

    def verify_newest(self, database: Database, progress: Progress | None = None) -> Backup:
        """Restore the newest backup on trial, and write down what came of it. Raises BackupError."""
        newest = next(iter(list_backups(self.folder)), None)
        if newest is None:
            raise BackupError(f"There is no backup in {self.folder}")
        trouble = None
        try:
            verify(newest, self.ring, progress)
        except BackupError as error:
            trouble = str(error)
            raise
        finally:
            self.note(database)
            with database.transaction() as db:
                record = db.get_one(BackupRecord, newest.path.name)
                record.verified_at, record.trouble = datetime.now(UTC), trouble
        return newest

    def keep_tombstones(self, database: Database) -> None:
        """Bring the tombstones beside the backups up to date, here and in the storage."""
        write_tombstones(database, self.folder, self.ring)
        if self.bucket is not None:
            try:
                self.bucket().put(PREFIX + FILE, (self.folder / FILE).read_bytes(), content_type=CONTENT_TYPE)
            except (StorageError, SettingsError) as error:
                log.error("tombstones could not be copied", reason=str(error))

    def tombstones(self) -> list[Stone]:
        """Everything that is known to have been deleted. Raises BackupError."""
        if not (self.folder / FILE).exists():
            self._bring(FILE)
        try:
            return known_tombstones(self.owner_url, self.folder, self.ring)
        except DecryptionError as error:
            raise BackupError(f"{self.folder / FILE}: {error}") from None

    def fetch(self, name: str) -> Backup:
        """A backup by its file or its name; from the storage when the folder has it not. Raises BackupError."""
        path = Path(name)
        if not path.exists():
            path = self.folder / path.name
        if not path.exists():
            self._bring(path.name)
        return Backup.open(path)

    def note(self, database: Database, copied: set[str] | None = None) -> None:
        """Write down which backups there are, for who cannot see the folder."""
        there = {backup.path.name: backup for backup in list_backups(self.folder)}
        with database.transaction() as db:
            db.execute(delete(BackupRecord).where(BackupRecord.name.not_in(there)))
            known = set(db.scalars(select(BackupRecord.name)))
            for name in there.keys() - known:
                made_at, rows = there[name].manifest.made_at, there[name].manifest.rows
                values = {"name": name, "made_at": made_at, "size": there[name].size, "rows": rows}
                db.execute(insert(BackupRecord).values(**values).on_conflict_do_nothing())
            if copied is not None:
                for record in db.scalars(select(BackupRecord)):
                    record.copied = record.name in copied

    def _bring(self, name: str) -> None:
        """Get a file from the storage, if there is one that has it. Raises BackupError."""
        if self.bucket is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial = self.folder / f".{name}.partial"
        try:
            with open(partial, "wb") as file:
                for part in self.bucket().stream(PREFIX + name):
                    file.write(part)
            partial.rename(self.folder / name)
        except ObjectNotFoundError:
            partial.unlink()
        except StorageError as error:
            partial.unlink()
            raise BackupError(f"The storage for backups does not answer: {error}") from error

    def _copy(self) -> set[str] | None:
        """Bring the storage up to what the folder has. Returns what lies there; None when it cannot be known."""
        if self.bucket is None:
            return None
        try:
            bucket = self.bucket()
            there = {info.key.removeprefix(PREFIX) for info in bucket.list(PREFIX)}
            for backup in list_backups(self.folder):
                if backup.path.name not in there:
                    with open(backup.path, "rb") as file:
                        bucket.put(PREFIX + backup.path.name, file, content_type=CONTENT_TYPE)
                    there.add(backup.path.name)
        except (StorageError, SettingsError) as error:  # the backup is there: to fail would make another one
            log.error("backups could not be copied", reason=str(error))
            return None
        return there


def backup_bucket(settings: Settings, providers: Providers) -> Bucket:
    """The operator's storage for copies of backups. Raises StorageErrors, SettingsError."""
    provider = providers.get(settings.backup_provider)
    if provider is None:
        raise SettingsError(f"cwz.backup.provider: there is no storage provider {settings.backup_provider}")
    secrets_given = json.loads(settings.backup_credentials.get_secret_value() or "{}")
    place = _checked(provider.settings_model, settings.backup_settings, "cwz.backup.")
    secrets = _checked(provider.credentials_model, secrets_given, "CWZ_BACKUP_CREDENTIALS: ")
    return providers.open_unsaved(provider, place, secrets)


def _checked(model: type[BaseModel], given: object, where: str) -> BaseModel:
    try:
        return model.model_validate(given)
    except ValidationError as error:
        fields = (f"{where}{'.'.join(map(str, problem['loc']))} {problem['msg'].lower()}" for problem in error.errors())
        raise SettingsError("; ".join(fields)) from None


def _too_many(names: set[str], now: datetime) -> set[str]:
    """Of a storage's backups, by their names alone, those that go: beyond the newest ones, or too old."""
    oldest = f"connectwyze-{now - OLDEST:%Y%m%dT%H%M%S}"
    mine = sorted((name for name in names if name.endswith(SUFFIX)), reverse=True)
    return {name for number, name in enumerate(mine) if number >= KEPT or name < oldest}
