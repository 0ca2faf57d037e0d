"""Backups: creation, retention, restore tests and restores, with real servers."""

import dataclasses
import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from sqlalchemy import select, text

from cwz_web.cli import main
from cwz_web.crypto import KeyRing, parse_keys
from cwz_web.db.embedded import EmbeddedPostgres
from cwz_web.db.migrate import migrate
from cwz_web.db.programs import start_program
from cwz_web.db.session import Database
from cwz_web.feeds.models import Feed
from cwz_web.ops.backup_store import PREFIX, BackupStore, open_backup_bucket
from cwz_web.ops.backups import (
    MAX_AGE,
    MAX_BACKUPS,
    Backup,
    BackupError,
    create_backup,
    delete_old_backups,
    has_schema,
    list_backups,
    summarize_tables,
)
from cwz_web.ops.models import BackupRecord
from cwz_web.ops.purge import purge, purge_due
from cwz_web.ops.restore import check_compatible, restore, verify_restore
from cwz_web.ops.tombstones import apply_tombstones, load_tombstones, save_tombstones
from cwz_web.settings import SettingsError
from cwz_web.storage.contract import StorageUnreachableError
from cwz_web.web.services import Services
from cwz_web.workspaces.audit import Actor
from cwz_web.workspaces.deletion import delete_workspace, list_deletions, restore_workspace
from cwz_web.workspaces.models import Tombstone, Workspace
from tests.conftest import ENCRYPTION_KEY, ROOT, change_settings, make_settings, url_of
from tests.factories import Factory
from tests.migrations import downgrade
from tests.unit.db.test_row_security import fill

RING = KeyRing(parse_keys(ENCRYPTION_KEY))
OTHER = KeyRing([bytes(range(100, 132))])


@pytest.fixture
def empty(postgres: EmbeddedPostgres, database_name: str) -> Iterator[str]:
    """The owner's URL of an empty database."""
    name = f"{database_name}_restored"
    with psycopg.connect(postgres.admin_url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} OWNER cwz_owner TEMPLATE template0")
        yield url_of(postgres, "cwz_owner", name)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def as_app(owner_url: str) -> str:
    return owner_url.replace("cwz_owner", "cwz_app")


def test_restored_database_equals_the_backup_in_every_table(
    make: Factory, owner_url: str, empty: str, tmp_path: Path
) -> None:
    spaces = [make.workspace(), make.workspace()]
    for space in spaces:
        fill(make, space)
    before = summarize_tables(owner_url)
    shares: list[float] = []
    backup = create_backup(owner_url, tmp_path, RING, shares.append)
    assert backup.manifest.tables == before
    assert before["items"].rows == 6
    assert shares == sorted(shares)
    assert shares[-1] == 1
    migrate(empty, as_app(empty))  # existing rows are replaced
    restore(backup, empty, RING)
    assert summarize_tables(empty) == before
    database = Database(as_app(empty), pool_size=1)
    try:
        with database.transaction() as db:
            assert db.scalars(select(Feed)).all() == []  # row-level security applies again
        with database.transaction(spaces[0].id) as db:
            assert len(db.scalars(select(Feed)).all()) == 1
            db.execute(text("UPDATE feeds SET name = 'changed'"))
        with pytest.raises(Exception, match="permission denied"), database.transaction(spaces[0].id) as db:
            db.execute(text("DELETE FROM audit_entries"))
    finally:
        database.dispose()


def test_backup_is_encrypted(make: Factory, owner_url: str, tmp_path: Path) -> None:
    make.feed(make.workspace(), name="a name that stands nowhere else")
    backup = create_backup(owner_url, tmp_path, RING)
    content = backup.path.read_bytes()
    assert b"a name that" not in content
    assert b"PGDMP" not in content
    assert b"".join(backup.read_dump(RING)).startswith(b"PGDMP")
    assert backup.path.stat().st_mode & 0o077 == 0
    digest, name = backup.path.with_name(f"{backup.path.name}.sha256").read_text().split()
    assert name == backup.path.name
    assert hashlib.sha256(content).hexdigest() == digest


def test_backup_cannot_be_read_without_its_key(make: Factory, owner_url: str, tmp_path: Path) -> None:
    backup = create_backup(owner_url, tmp_path, RING)
    with pytest.raises(BackupError, match="No encryption key of this installation"):
        backup.verify_integrity(OTHER)


@pytest.fixture(scope="module")
def kept_backup(postgres: EmbeddedPostgres, owner_url: str, tmp_path_factory: pytest.TempPathFactory) -> Backup:
    return create_backup(owner_url, tmp_path_factory.mktemp("backup"), RING)


@given(st.data())
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_modified_or_truncated_backup_is_rejected(kept_backup: Backup, data: st.DataObject) -> None:
    content = bytearray(kept_backup.path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    damaged = kept_backup.path.with_name("damaged.backup")
    damaged.write_bytes(content)
    with pytest.raises(BackupError):
        Backup.open(damaged).verify_integrity(RING)
    damaged.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(BackupError):
        Backup.open(damaged).verify_integrity(RING)


@pytest.mark.parametrize("damage", ["\x7f", "=", "é", ""])
def test_invalid_base64_in_the_manifest_is_rejected(kept_backup: Backup, tmp_path: Path, damage: str) -> None:
    key = kept_backup.manifest.encrypted_key
    manifest = kept_backup.manifest.model_copy(update={"encrypted_key": key[:10] + damage + key[11:]})
    path = tmp_path / "damaged.backup"
    path.write_bytes(manifest.model_dump_json().encode() + kept_backup.path.read_bytes()[len(kept_backup.line) - 1 :])
    with pytest.raises(BackupError, match="damaged"):
        Backup.open(path).verify_integrity(RING)


def test_damaged_backup_never_reaches_the_database(kept_backup: Backup, empty: str, tmp_path: Path) -> None:
    migrate(empty, as_app(empty))
    before = summarize_tables(empty)
    damaged = tmp_path / "damaged.backup"
    damaged.write_bytes(kept_backup.path.read_bytes()[:-1])
    with pytest.raises(BackupError, match="damaged or truncated"):
        restore(Backup.open(damaged), empty, RING)
    assert summarize_tables(empty) == before


def test_failed_restore_changes_nothing(kept_backup: Backup, empty: str) -> None:
    migrate(empty, as_app(empty))
    with psycopg.connect(empty, autocommit=True) as connection:
        # Something that is not ours in the place of one of the last tables.
        connection.execute("DROP TABLE workspaces CASCADE")
        connection.execute("CREATE VIEW workspaces AS SELECT 1")
    before = summarize_tables(empty)
    with pytest.raises(BackupError, match='relation "workspaces" already exists'):
        restore(kept_backup, empty, RING)
    assert summarize_tables(empty) == before


def test_database_without_the_roles_is_rejected(kept_backup: Backup, empty: str) -> None:
    check_compatible(kept_backup, empty)
    with pytest.raises(BackupError, match="role cwz_owner owned the tables"):
        check_compatible(kept_backup, empty.replace("cwz_owner", "postgres"))
    manifest = kept_backup.manifest.model_copy(update={"roles": ("cwz_app", "cwz_gone")})
    with pytest.raises(BackupError, match="no role cwz_gone"):
        check_compatible(Backup(kept_backup.path, manifest, kept_backup.line), empty)


def test_role_without_access_to_all_rows_cannot_back_up(app_url: str, tmp_path: Path) -> None:
    with pytest.raises(BackupError):
        create_backup(app_url, tmp_path, RING)
    assert list(tmp_path.iterdir()) == []


def test_unreachable_database_leaves_no_file(owner_url: str, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="could not be backed up"):
        create_backup(re.sub(r"host=.*", f"host={tmp_path}", owner_url), tmp_path / "backups", RING)
    assert list((tmp_path / "backups").iterdir()) == []


def aged(backup: Backup, folder: Path, ages: list[timedelta]) -> None:
    """Create copies of a backup with these ages."""
    for number, age in enumerate(ages):
        manifest = backup.manifest.model_copy(update={"created_at": datetime.now(UTC) - age})
        path = folder / f"connectwyze-{manifest.created_at:%Y%m%dT%H%M%S}-{number:06x}.backup"
        path.write_bytes(manifest.model_dump_json().encode() + b"\n")
        path.with_name(f"{path.name}.sha256").touch()


def test_remains_of_a_killed_backup_are_deleted_after_a_day(tmp_path: Path) -> None:
    old, fresh = tmp_path / ".a.backup.partial", tmp_path / ".b.backup.partial"
    for path in (old, fresh):
        path.touch()
    os.utime(old, (0, (datetime.now(UTC) - timedelta(days=2)).timestamp()))
    delete_old_backups(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [fresh.name]


@given(st.lists(st.integers(0, 60 * 24), max_size=25, unique=True))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_only_the_newest_backups_within_the_age_limit_are_kept(
    kept_backup: Backup, tmp_path: Path, hours: list[int]
) -> None:
    folder = tmp_path / "kept"
    folder.mkdir()
    aged(kept_backup, folder, [timedelta(hours=hour, minutes=1) for hour in hours])
    delete_old_backups(folder)
    left = [datetime.now(UTC) - backup.manifest.created_at for backup in list_backups(folder)]
    young = [hour for hour in sorted(hours) if timedelta(hours=hour, minutes=1) < MAX_AGE]
    assert [round(age.total_seconds() / 3600) for age in left] == young[:MAX_BACKUPS]
    assert len(list(folder.glob("*.sha256"))) == len(left)
    shutil.rmtree(folder)


def test_restore_test_detects_differences_from_the_manifest(make: Factory, owner_url: str, tmp_path: Path) -> None:
    make.feed(make.workspace())
    backup = create_backup(owner_url, tmp_path, RING)
    tables = dict(backup.manifest.tables)
    tables["feeds"] = tables["feeds"].model_copy(update={"rows": 7})
    tables["items"] = tables["items"].model_copy(update={"checksum": "1"})
    lying = Backup(backup.path, backup.manifest.model_copy(update={"tables": tables}), backup.line)
    with pytest.raises(BackupError, match="feeds: 7 in the backup, 1 restored; items: different rows"):
        verify_restore(lying, RING)


def store_of(services: Services, owner_url: str, folder: Path, **more: object) -> BackupStore:
    known = make_settings(services.settings.database.url.get_secret_value(), services.settings.var, **more)
    known = change_settings(known, {"database.owner_url": SecretStr(owner_url), "backup.folder": folder})
    return BackupStore.from_settings(known, services.providers, RING)


@pytest.mark.slow
def test_result_of_a_restore_test_is_recorded(
    make: Factory, services: Services, owner_url: str, tmp_path: Path
) -> None:
    fill(make, make.workspace())
    store = store_of(services, owner_url, tmp_path)
    backup = store.back_up(services.database)
    store.verify_newest(services.database)
    assert record_of(services.database, backup).error_message is None
    backup.path.write_bytes(backup.path.read_bytes()[:-20])
    with pytest.raises(BackupError):
        store.verify_newest(services.database)
    found = record_of(services.database, backup)
    assert found.error_message is not None
    assert "truncated" in found.error_message


def record_of(database: Database, backup: Backup) -> BackupRecord:
    with database.transaction() as db:
        return db.get_one(BackupRecord, backup.path.name)


def test_backups_are_copied_to_a_bucket_deleted_from_it_and_downloaded(
    services: Services, owner_url: str, tmp_path: Path, kept_backup: Backup
) -> None:
    folder = tmp_path / "here"
    store = store_of(services, owner_url, folder, backup={"provider": "local"})
    assert store.bucket is not None
    bucket = store.bucket()
    old = f"connectwyze-{datetime.now(UTC) - timedelta(days=31):%Y%m%dT%H%M%S}-aaaaaa.backup"
    for name in (old, "connectwyze-20200101T000000-bbbbbb.backup"):
        bucket.put(f"{PREFIX}{name}", b"x", content_type="application/octet-stream")
    store.delete_old()  # also when there is no new backup
    assert list(bucket.list(PREFIX)) == []
    backup = store.back_up(services.database)
    there = [info.key.removeprefix(PREFIX) for info in bucket.list(PREFIX)]
    assert there == [backup.path.name, "tombstones"]
    assert record_of(services.database, backup).copied
    content = backup.path.read_bytes()
    shutil.rmtree(folder)
    assert store.fetch(backup.path.name).path.read_bytes() == content
    assert store.load_tombstones() == []
    assert (folder / "tombstones").exists()
    with pytest.raises(BackupError, match="No encryption key of this installation"):
        dataclasses.replace(store, ring=OTHER).load_tombstones()
    with pytest.raises(BackupError, match="cannot be read"):
        store.fetch("nothing.backup")


def test_unreachable_bucket_does_not_fail_the_backup(services: Services, owner_url: str, tmp_path: Path) -> None:
    store = store_of(services, owner_url, tmp_path / "here")

    def down() -> None:
        raise StorageUnreachableError("The storage does not answer")

    backup = BackupStore(store.owner_url, store.folder, RING, down).back_up(services.database)  # type: ignore[arg-type]
    assert list_backups(tmp_path / "here") == [backup]
    assert not record_of(services.database, backup).copied


def test_invalid_bucket_settings_do_not_fail_the_backup(services: Services, owner_url: str, tmp_path: Path) -> None:
    """An error would retry the job, and each attempt would create a backup and delete an older one."""
    store = store_of(services, owner_url, tmp_path, backup={"provider": "tape"})
    store.back_up(services.database)
    assert len(list_backups(tmp_path)) == 1


def test_invalid_bucket_settings_are_named(services: Services, app_url: str) -> None:
    given = {"provider": "s3", "bucket": "images", "region": "eu-central-1"}
    wrong = make_settings(app_url, services.settings.var, backup=given | {"bucket": "b"})
    with pytest.raises(SettingsError, match=r"cwz\.backup\.bucket "):
        open_backup_bucket(wrong, services.providers)
    wrong = make_settings(app_url, services.settings.var, backup=given)
    with pytest.raises(SettingsError, match="CWZ_BACKUP_CREDENTIALS: access_key_id field required"):
        open_backup_bucket(wrong, services.providers)
    wrong = make_settings(app_url, services.settings.var, backup={"provider": "tape"})
    with pytest.raises(SettingsError, match="no storage provider named tape"):
        open_backup_bucket(wrong, services.providers)


def test_deletions_after_a_backup_are_applied_to_the_restored_database(
    make: Factory, services: Services, owner_url: str, empty: str, tmp_path: Path
) -> None:
    gone, waiting, stays, back = (make.workspace() for _ in range(4))
    for space in (gone, waiting, stays, back):
        fill(make, space)
    backup = create_backup(owner_url, tmp_path, RING)
    for space in (gone, waiting, back):
        with make.database.transaction(space.id) as db:
            delete_workspace(db, db.get_one(Workspace, space.id), Actor(None, "test", ""), with_images=False)
    with make.database.transaction() as db:
        db.execute(text("UPDATE tombstones SET purge_at = now() WHERE id = :id"), {"id": gone.id})
        stone = db.get_one(Tombstone, gone.id)
        db.expunge(stone)
    assert purge(make.database, services.providers, stone)
    owner = make.member(stays)
    with make.database.transaction(back.id, deleted=True) as db:
        db.execute(
            text("INSERT INTO memberships (workspace_id, account_id, role) VALUES (:w, :a, 'admin')"),
            {"w": back.id, "a": owner.id},
        )
    with make.database.transaction() as db:
        [deletion] = [d for d in list_deletions(db, owner.id) if d.workspace_id == back.id]
        assert restore_workspace(db, deletion, Actor(None, "test", "")) is not None
    save_tombstones(make.database, tmp_path, RING)
    assert waiting.name.encode() not in (tmp_path / "tombstones").read_bytes()

    # The database is lost; only the folder is left.
    restore(backup, empty, RING)
    database = Database(as_app(empty), pool_size=1)
    try:
        assert apply_tombstones(database, load_tombstones(empty, tmp_path, RING)) == 2
        assert purge_due(database, services.providers) == 1
        with database.transaction() as db:
            stones = {stone.id: stone for stone in db.scalars(select(Tombstone))}
        assert stones[gone.id].purged_at is not None
        assert stones[waiting.id].purge_at > datetime.now(UTC) + timedelta(days=13)
        for space, rows in ((gone, 0), (waiting, 0), (stays, 1), (back, 1)):
            with database.transaction(space.id) as db:
                assert len(db.scalars(select(Feed)).all()) == rows
        with database.transaction(gone.id, deleted=True) as db:
            assert db.scalars(select(Feed)).all() == []
        with database.transaction(waiting.id, deleted=True) as db:
            assert len(db.scalars(select(Feed)).all()) == 1
    finally:
        database.dispose()


def deleted(make: Factory, space: Workspace, days: int) -> None:
    """Delete a workspace as of some days ago."""
    with make.database.transaction(space.id) as db:
        delete_workspace(db, db.get_one(Workspace, space.id), Actor(None, "test", ""), with_images=False)
    with make.database.transaction() as db:
        stone = db.get_one(Tombstone, space.id)
        stone.deleted_at -= timedelta(days=days)
        stone.purge_at -= timedelta(days=days)


@pytest.mark.slow
def test_pending_deletion_in_a_backup_is_not_purged_by_a_restore(
    make: Factory, services: Services, owner_url: str, empty: str, tmp_path: Path
) -> None:
    """The deletion may have been canceled after the backup, so its grace period starts again."""
    space = make.workspace()
    make.feed(space)
    deleted(make, space, days=13)
    backup = create_backup(owner_url, tmp_path, RING)
    with make.database.transaction() as db:
        db.execute(text("UPDATE tombstones SET purge_at = now() - interval '1 day'"))
    stale = create_backup(owner_url, tmp_path, RING)
    for known in (backup, stale):
        restore(known, empty, RING)
        database = Database(as_app(empty), pool_size=1)
        try:
            assert apply_tombstones(database, []) == 1
            assert purge_due(database, services.providers) == 0
            with database.transaction(space.id, deleted=True) as db:
                assert len(db.scalars(select(Feed)).all()) == 1
        finally:
            database.dispose()


def test_purged_workspace_is_purged_again_and_purge_reports_are_kept(
    make: Factory, services: Services, owner_url: str, empty: str, tmp_path: Path
) -> None:
    space, later = make.workspace(), make.workspace()
    make.feed(space)
    deleted(make, space, days=13)
    backup = create_backup(owner_url, tmp_path, RING)
    deleted(make, later, days=20)
    with make.database.transaction() as db:
        db.execute(text("UPDATE tombstones SET purge_at = now()"))
        db.execute(text("DELETE FROM workspaces WHERE id = :id"), {"id": later.id})
    assert purge_due(services.database, services.providers) == 2
    with make.database.transaction() as db:
        before = db.get_one(Tombstone, later.id).report
    save_tombstones(make.database, tmp_path, RING)
    stones = load_tombstones(empty, tmp_path, RING)
    restore(backup, empty, RING)
    database = Database(as_app(empty), pool_size=1)
    try:
        with database.transaction() as db:
            # Simulates a backup without this workspace.
            db.execute(text("SELECT set_config('cwz.workspace_id', :id, true)"), {"id": str(later.id)})
            db.execute(text("DELETE FROM workspaces WHERE id = :id"), {"id": later.id})
        assert apply_tombstones(database, stones) == 1
        assert purge_due(database, services.providers) == 1
        with database.transaction() as db:
            assert db.get_one(Tombstone, space.id).report["rows"]["feeds"] == 1
            assert db.get_one(Tombstone, later.id).report == before
    finally:
        database.dispose()


def test_password_is_not_an_argument_of_a_program(owner_url: str) -> None:
    process = start_program("pg_dump", "postgresql://someone:a-secret@127.0.0.1:1/db", "--schema-only")
    try:
        assert "a-secret" not in " ".join(map(str, process.args))  # type: ignore[arg-type]
        assert process.wait(30) != 0
    finally:
        for pipe in (process.stdout, process.stderr):
            assert pipe is not None
            pipe.close()


def test_manifest_of_another_format_is_rejected(kept_backup: Backup, tmp_path: Path) -> None:
    path = tmp_path / "new.backup"
    path.write_text(kept_backup.manifest.model_copy(update={"format": 2}).model_dump_json() + "\n")
    with pytest.raises(BackupError, match="has format 2"):
        Backup.open(path)
    path.write_text('{"format": 1}\n')
    with pytest.raises(BackupError, match="not a ConnectWyze backup"):
        Backup.open(path)


@pytest.fixture
def command(empty: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Command":
    """Run `cwz` with the empty database."""
    ini = tmp_path / "test.ini"
    ini.write_text(
        f"[app:main]\nuse = egg:cwz-web\ncwz.environment = development\ncwz.url = http://localhost\n"
        f"cwz.var = {tmp_path}\ncwz.node_modules = {ROOT / 'node_modules'}\ncwz.mail.transport = folder\n"
        f"cwz.secrets.file = {tmp_path}/secrets.json\n"
    )
    monkeypatch.setenv("DATABASE_URL", as_app(empty))
    monkeypatch.setenv("DATABASE_OWNER_URL", empty)
    return Command(ini)


class Command:
    def __init__(self, ini: Path) -> None:
        self.ini = ini

    def __call__(self, *arguments: str, code: int = 0, typed: str | None = None) -> str:
        done = CliRunner().invoke(main, ["-c", str(self.ini), *arguments], input=typed)
        assert done.exit_code == code, done.output
        return done.output


@pytest.mark.slow
def test_commands_back_up_before_migrations_and_restores(command: Command, empty: str, tmp_path: Path) -> None:
    backups = tmp_path / "backups"
    assert "schema is up to date" in command("migrate")
    assert not list(backups.glob("*.backup"))  # the database was empty
    command("migrate")
    assert not list(backups.glob("*.backup"))  # no migration was pending
    downgrade(empty, "base")  # a schema without the table of backups
    assert "Run `cwz migrate`" in command("backup", code=1)
    assert "Backed up the database to" in command("migrate")
    [before] = backups.glob("*.backup")
    assert Backup.open(before).manifest.schema_revision == ""
    assert "Created " in command("backup")
    assert "all tables match" in command("backup", "verify")
    listed = command("backup", "list").splitlines()
    assert len(listed) == 2
    assert listed[1].endswith(before.name)
    assert "Nothing was changed" in command("restore", before.name, "--dry-run")
    command("restore", before.name, code=1, typed="n\n")
    assert "Restored" in command("restore", before.name, "--yes")
    assert len(list(backups.glob("*.backup"))) == 3  # the replaced database was backed up
    assert has_schema(empty)
    with psycopg.connect(as_app(empty)):
        assert "1 connections use the database" in command("restore", before.name, "--yes", code=1)
    assert "cannot be read" in command("restore", "nothing.backup", code=1)
