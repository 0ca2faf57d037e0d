"""Everything that a workspace has as one zip in its own storage: rows as JSON Lines, templates, fonts, originals, and,
if wanted, images. No secret is part of it.

The zip is written while it is sent, so its size is bounded by nothing of ours; rows are as of one moment. Its manifest
comes last: it tells of every table its rows and SHA-256, and what could not be read; its JSON Schema lies beside it.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

import structlog
from pydantic import BaseModel, ConfigDict, Field
from slugify import slugify
from sqlalchemy import LargeBinary, Table, select, text
from sqlalchemy.orm import Session
from zipstream import ZIP_DEFLATED, ZIP_STORED, ZipStream

from cwz_web.accounts.models import Account
from cwz_web.db.base import Base
from cwz_web.db.session import Database, enter_workspace, raw_connection
from cwz_web.generation.models import Font, Image
from cwz_web.generation.templates import list_templates, open_design
from cwz_web.jobs import EXPORT_QUEUE, app
from cwz_web.notify.emails import EmailMessage
from cwz_web.ops.models import Export
from cwz_web.storage.connections import get_default_connection, list_connections
from cwz_web.storage.contract import InvalidSettingsError, ObjectNotFoundError, StorageError
from cwz_web.storage.plugins import ConnectionSpec, ProviderRegistry
from cwz_web.workspaces.members import tell
from cwz_web.workspaces.models import Membership, Workspace

log = structlog.get_logger()

# What only holds secrets, or only follows from the rest.
LEFT_OUT_TABLES = ("exports", "file_parts", "idempotency_keys", "item_orders")
# Secrets by which somebody is recognised. Bytes are never exported: they are sealed secrets.
LEFT_OUT_COLUMNS = {"api_keys": ("digest",), "invitations": ("digest",)}
# Addresses go without their parameters, in which there may be a secret.
ADDRESSES = {"webhooks": ("url",), "deliveries": ("url",), "feed_sources": ("url",), "runs": ("webhook",)}
LOOK_SECONDS = 2.0
PLAIN = (str, int, float, bool, list, dict, type(None))


class TableFile(BaseModel):
    """A table of an export."""

    model_config = ConfigDict(extra="forbid")

    file: str = Field(description="the file in the zip: one JSON object a line")
    rows: int
    sha256: str


class ExportManifest(BaseModel):
    """What an export holds."""

    model_config = ConfigDict(extra="forbid", title="Manifest of a ConnectWyze export")

    format: int = 1
    version: str = Field(description="of the software that wrote it")
    exported_at: datetime
    workspace_id: UUID
    slug: str
    name: str
    tables: dict[str, TableFile]
    files: dict[str, int] = Field(description="how many files each folder has")
    missing: list[str] = Field(description="objects that the storage had no more")


@dataclass(frozen=True)
class Stored:
    """An object that goes into the zip."""

    folder: str
    name: str
    key: str
    place: ConnectionSpec


@dataclass
class Packing:
    """What goes into an export, and what came of it so far."""

    manifest: ExportManifest
    tables: list[Path] = field(default_factory=list)
    documents: dict[str, bytes] = field(default_factory=dict)
    objects: list[Stored] = field(default_factory=list)


class Readable:
    """An iterator of bytes as the file that a bucket reads: forward only."""

    def __init__(self, parts: Iterable[bytes]) -> None:
        self._parts = iter(parts)
        self._waiting = bytearray()
        self._position = 0

    def read(self, size: int = -1) -> bytes:
        """So many bytes, or fewer at the end."""
        while size < 0 or len(self._waiting) < size:
            part = next(self._parts, None)
            if part is None:
                break
            self._waiting += part
        taken = bytes(self._waiting if size < 0 else self._waiting[:size])
        del self._waiting[: len(taken)]
        self._position += len(taken)
        return taken

    def tell(self) -> int:
        """How much has been read."""
        return self._position


def request_export(db: Session, workspace_id: UUID, requested_by: UUID, *, with_images: bool) -> Export:
    """Order an export; a job makes it once the transaction has committed. Raises InvalidSettingsError without a storage."""
    get_default_connection(db, workspace_id)
    export = Export(workspace_id=workspace_id, requested_by=requested_by, with_images=with_images)
    db.add(export)
    db.flush()
    place: Any = {"connection": raw_connection(db)}
    app.configure_task("ops.export", queue=EXPORT_QUEUE, **place).defer(
        workspace_id=str(workspace_id), export_id=str(export.id)
    )
    return export


def list_exports(db: Session, workspace_id: UUID) -> list[Export]:
    """The workspace's exports, the newest first."""
    mine = select(Export).where(Export.workspace_id == workspace_id)
    return list(db.scalars(mine.order_by(Export.id.desc()).limit(20)))


def run_export(
    database: Database, providers: ProviderRegistry, workspace_id: UUID, export_id: UUID, *, last_try: bool, url: str
) -> None:
    """Make an export that was ordered. Raises StorageErrors, so that it is tried again, except for the last time."""
    with database.transaction(workspace_id) as db:
        export = db.get(Export, (workspace_id, export_id))
        if export is None or export.state != "pending":
            return
        with_images = export.with_images
    key = f"{workspace_id}/exports/{export_id}.zip"
    said: dict[str, Any]
    try:
        with database.transaction(workspace_id) as db:
            connection = get_default_connection(db, workspace_id)
            place, connection_id = connection.spec, connection.id
        with TemporaryDirectory(prefix="cwz-export-") as folder:
            packing = _pack(database, providers, workspace_id, Path(folder), with_images=with_images)
            zipped = Readable(_zip(packing, providers, _reporter(database, workspace_id, export_id)))
            bucket = providers.open(place)
            bucket.put(key, zipped, content_type="application/zip")  # type: ignore[arg-type]
        said = {"state": "done", "percent": 100, "key": key, "connection_id": connection_id, "size": zipped.tell()}
    except StorageError as error:
        if not last_try and not isinstance(error, InvalidSettingsError):
            raise
        said = {"state": "failed", "trouble": str(error)}
    with database.transaction(workspace_id) as db:
        export = db.get(Export, (workspace_id, export_id))
        if export is None:
            return
        for name, value in said.items():
            setattr(export, name, value)
        export.finished_at = datetime.now(UTC)
        _tell(db, export, url)


def delete_expired_exports(database: Database, providers: ProviderRegistry, days: int) -> int:
    """Remove the exports whose days are over from their storages. Returns how many."""
    before = datetime.now(UTC) - timedelta(days=days)
    with database.transaction() as db:
        old = db.execute(text("SELECT workspace_id, id FROM expired_exports(:before)"), {"before": before}).all()
    gone = 0
    for workspace_id, export_id in old:
        with database.transaction(workspace_id) as db:
            export = db.get(Export, (workspace_id, export_id))
            if export is None:
                continue
            known = {c.id: c.spec for c in list_connections(db, workspace_id)}
            place, key = known.get(export.connection_id) if export.connection_id else None, export.key
        try:
            if place is not None and key is not None:
                providers.open(place).delete(key)
        except StorageError as error:
            log.warning("an export stays", workspace=str(workspace_id), reason=str(error))
            continue
        with database.transaction(workspace_id) as db:
            if export := db.get(Export, (workspace_id, export_id)):
                export.state, export.key = "gone", None
        gone += 1
    return gone


def _pack(database: Database, providers: ProviderRegistry, workspace_id: UUID, folder: Path, *, with_images: bool) -> Packing:
    """Write the tables into a folder, as of one moment, and find what else belongs to it."""
    with database.transaction() as db:
        db.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
        enter_workspace(db, workspace_id)
        workspace = db.get_one(Workspace, workspace_id)
        manifest = ExportManifest(
            version=version("cwz-web"),
            exported_at=datetime.now(UTC),
            workspace_id=workspace_id,
            slug=workspace.slug,
            name=workspace.name,
            tables={},
            files={},
            missing=[],
        )
        packing = Packing(manifest)
        for table in Base.metadata.sorted_tables:
            if "workspace_id" in table.columns and table.name not in LEFT_OUT_TABLES:
                _write(packing, folder, table.name, _rows(db, table, workspace_id))
        _write(packing, folder, "workspaces", [_plain(vars(workspace))])
        _write(packing, folder, "members", _members(db, workspace_id))
        for template in list_templates(db, workspace_id):
            document = open_design(db, template).document.model_dump_json(indent=1).encode()
            packing.documents[f"templates/{template.slug}.json"] = document
        places = {c.id: c.spec for c in list_connections(db, workspace_id)}
        fonts = {font.digest: font.name for font in db.scalars(select(Font).where(Font.workspace_id == workspace_id))}
        images = select(Image.id, Image.name, Image.key, Image.connection_id).where(Image.workspace_id == workspace_id)
        found = db.execute(images.order_by(Image.id)).all() if with_images else []
    packing.objects += _originals(providers, workspace_id, places.values(), fonts)
    packing.objects += [
        Stored("images", f"{row.id}-{_file_name(row.name, row.key)}", row.key, places[row.connection_id])
        for row in found
    ]
    return packing


def _rows(db: Session, table: Table, workspace_id: UUID) -> Iterator[dict[str, Any]]:
    left_out = LEFT_OUT_COLUMNS.get(table.name, ())
    columns = [c for c in table.columns if not isinstance(c.type, LargeBinary) and c.name not in left_out]
    signed_urls = ADDRESSES.get(table.name, ())
    query = select(*columns).where(table.c.workspace_id == workspace_id).order_by(*table.primary_key.columns)
    for row in db.execute(query.execution_options(yield_per=500)):
        found = _plain(row._asdict())
        for name in signed_urls:
            found[name] = found[name] and found[name].partition("?")[0]
        yield found


def _members(db: Session, workspace_id: UUID) -> Iterator[dict[str, Any]]:
    query = select(Account.id, Account.email, Account.name, Membership.role, Membership.created_at)
    mine = query.join(Membership, Membership.account_id == Account.id).where(Membership.workspace_id == workspace_id)
    for row in db.execute(mine.order_by(Account.id)):
        yield _plain(row._asdict())


def _write(packing: Packing, folder: Path, name: str, rows: Iterable[dict[str, Any]]) -> None:
    digest, count = hashlib.sha256(), 0
    path = folder / f"{name}.jsonl"
    with open(path, "wb") as file:
        for row in rows:
            line = json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
            digest.update(line)
            file.write(line)
            count += 1
    packing.tables.append(path)
    packing.manifest.tables[name] = TableFile(file=f"tables/{path.name}", rows=count, sha256=digest.hexdigest())


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """A row as JSON has it."""
    told = {name: value for name, value in row.items() if not name.startswith("_")}
    return {name: value if isinstance(value, PLAIN) else _text_of(value) for name, value in told.items()}


def _text_of(value: Any) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _originals(
    providers: ProviderRegistry, workspace_id: UUID, places: Iterable[ConnectionSpec], fonts: dict[str, str]
) -> Iterator[Stored]:
    """What people brought in, wherever it lies; fonts under their own names."""
    seen = set()
    for place in places:
        for found in providers.open(place).list(f"{workspace_id}/uploads/"):
            digest = found.key.rpartition("/")[2]
            if digest in seen:
                continue
            seen.add(digest)
            if digest in fonts:
                yield Stored("fonts", f"{slugify(fonts[digest])}-{digest[:8]}.ttf", found.key, place)
            else:
                yield Stored("originals", digest, found.key, place)


def _file_name(name: str, key: str) -> str:
    return f"{slugify(name, max_length=80) or 'image'}.{key.rpartition('.')[2]}"


def _zip(packing: Packing, providers: ProviderRegistry, report: Callable[[float], None]) -> Iterator[bytes]:
    """The bytes of the zip. Rows get smaller by packing, images do not."""
    archive, manifest = ZipStream(compress_type=ZIP_DEFLATED), packing.manifest
    for path in packing.tables:
        archive.add_path(str(path), f"tables/{path.name}")
    for name, document in packing.documents.items():
        archive.add(document, name)
        manifest.files["templates"] = manifest.files.get("templates", 0) + 1
    yield from archive.all_files()
    for number, stored in enumerate(packing.objects):
        name = f"{stored.folder}/{stored.name}"
        try:
            content = providers.open(stored.place).stream(stored.key)
        except ObjectNotFoundError:
            manifest.missing.append(name)
            continue
        archive.add(content, name, compress_type=ZIP_STORED)
        manifest.files[stored.folder] = manifest.files.get(stored.folder, 0) + 1
        yield from archive.all_files()
        report(number / len(packing.objects))
    schema = json.dumps(ExportManifest.model_json_schema(), indent=1).encode()
    archive.add(schema, "manifest.schema.json")
    archive.add(manifest.model_dump_json(indent=1).encode(), "manifest.json")
    yield from archive.finalize()


def _reporter(database: Database, workspace_id: UUID, export_id: UUID) -> Callable[[float], None]:
    """Writes down how far an export is, now and then."""
    last = time.monotonic()

    def report(share: float) -> None:
        nonlocal last
        if time.monotonic() - last < LOOK_SECONDS:
            return
        last = time.monotonic()
        with database.transaction(workspace_id) as db:
            if export := db.get(Export, (workspace_id, export_id)):
                export.percent = int(share * 100)

    return report


def _tell(db: Session, export: Export, url: str) -> None:
    account = db.get(Account, export.requested_by) if export.requested_by else None
    if account is None:
        return
    workspace = db.get_one(Workspace, export.workspace_id)
    link = ("See the export", f"{url}/w/{workspace.slug}/exports")
    reason = "You get this mail because you asked for the export."
    if export.state == "done":
        said = f"Everything that {workspace.name} has lies in its storage as one zip. It stays for some days."
        tell(db, account, EmailMessage(f"The export of {workspace.name} is ready", (said,), link, reason))
    else:
        said = f"The export of {workspace.name} could not be made. {export.trouble}."
        tell(db, account, EmailMessage(f"The export of {workspace.name} failed", (said,), link, reason))
