"""Exports of a workspace: a zip file in its storage with rows as JSON Lines, templates, fonts, uploads and images.

An export contains no secrets. Its rows are of one database snapshot, and the zip file is uploaded while it is written,
so that its size is not limited by memory or disk. The manifest comes last: each table's row count and SHA-256, and the
missing objects; its JSON Schema is in the zip, too.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
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
from cwz_web.db.session import Database, enter_workspace, lock_name, raw_connection
from cwz_web.generation.models import Image, Upload
from cwz_web.generation.templates import list_templates, load_design
from cwz_web.i18n import gettext
from cwz_web.imaging.uploads import EXTENSIONS, UploadKind
from cwz_web.jobs import EXPORT_QUEUE, app
from cwz_web.notify.emails import EmailMessage
from cwz_web.ops.models import Export, ExportState
from cwz_web.ops.run_exports import MAX_PENDING, zip_name, zip_run
from cwz_web.runs.models import Run
from cwz_web.storage.connections import get_connection, get_default_connection, list_connections, upload_key
from cwz_web.storage.contract import InvalidSettingsError, ObjectNotFoundError, StorageError
from cwz_web.storage.models import Connection
from cwz_web.storage.plugins import ConnectionSpec, ProviderRegistry
from cwz_web.stored_messages import translate_stored
from cwz_web.workspaces.members import email_member
from cwz_web.workspaces.models import Membership, Workspace

log = structlog.get_logger()

# Tables of secrets, or of what is computed from other tables.
EXCLUDED_TABLES = ("campaign_rows", "exports", "file_parts", "idempotency_keys", "publication_changes", "sort_index")
# Digests of secrets. Columns of bytes are never exported: they hold encrypted secrets.
EXCLUDED_COLUMNS = {
    "api_keys": ("digest",),
    "invitations": ("digest",),
    "email_domains": ("token",),
    "removed_members": ("email_digest",),
    "template_links": ("digest",),
    "channels": ("token",),
}
# URLs are exported without their query, which may hold a secret.
URL_COLUMNS = {"webhooks": ("url",), "webhook_deliveries": ("url",), "feed_sources": ("url",), "runs": ("webhook",)}
PROGRESS_SECONDS = 2.0
MAX_LISTED = 20
JSON_TYPES = (str, int, float, bool, list, dict, type(None))

# A user waits on the page for a zip file for at most a minute; when it takes longer, they get an email.
EMAIL_AFTER = timedelta(minutes=1)


class ExportPendingError(Exception):
    """Another export of the workspace is pending; the message can be shown in a form."""


class TableFile(BaseModel):
    """A table of an export."""

    model_config = ConfigDict(extra="forbid")

    file: str = Field(description="the file in the zip, with one JSON object per line")
    rows: int
    sha256: str


class ExportManifest(BaseModel):
    """The content of an export."""

    model_config = ConfigDict(extra="forbid", title="Manifest of a ConnectWyze export")

    format: int = 1
    version: str = Field(description="the version of ConnectWyze that created the export")
    exported_at: datetime
    workspace_id: UUID
    slug: str
    name: str
    tables: dict[str, TableFile]
    files: dict[str, int] = Field(description="the number of files by folder")
    missing: list[str] = Field(description="files whose objects are no longer in the storage")


@dataclass(frozen=True)
class ExportObject:
    """An object in a storage, and its folder and file name in the zip."""

    folder: str
    name: str
    key: str
    connection: ConnectionSpec


@dataclass
class ExportContent:
    """What an export consists of; the manifest is completed while the zip is written."""

    manifest: ExportManifest
    tables: list[Path] = field(default_factory=list)
    documents: dict[str, bytes] = field(default_factory=dict)
    objects: list[ExportObject] = field(default_factory=list)


class IteratorFile:
    """A file object over an iterator of bytes: sequential reads only."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._buffer = bytearray()
        self._position = 0

    def read(self, size: int = -1) -> bytes:
        """Return `size` bytes, or fewer at the end; all of them without a size."""
        while size < 0 or len(self._buffer) < size:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            self._buffer += chunk
        content = bytes(self._buffer if size < 0 else self._buffer[:size])
        del self._buffer[: len(content)]
        self._position += len(content)
        return content

    def tell(self) -> int:
        """Return the number of bytes that were read."""
        return self._position


def request_export(db: Session, workspace_id: UUID, account_id: UUID, *, with_images: bool) -> Export:
    """Create an export and enqueue its job in the same transaction, unless another one is pending.

    Args:
        db: the transaction, in the workspace.
        workspace_id: the workspace.
        account_id: who requests the export, and receives an email when it is finished.
        with_images: whether it contains the finished images.

    Raises:
        ExportPendingError: another export is pending.
        InvalidSettingsError: the workspace has no storage connection.
    """
    get_default_connection(db, workspace_id)
    lock_name(db, f"export of {workspace_id}")
    oldest = datetime.now(UTC) - MAX_PENDING
    exports = list_exports(db, workspace_id)
    if any(export.state == ExportState.PENDING and export.created_at > oldest for export in exports):
        raise ExportPendingError(gettext("An export is already in progress. Wait until it is completed"))
    export = Export(workspace_id=workspace_id, requested_by=account_id, with_images=with_images)
    db.add(export)
    db.flush()
    transaction: Any = {"connection": raw_connection(db)}
    app.configure_task("ops.export", queue=EXPORT_QUEUE, **transaction).defer(
        workspace_id=str(workspace_id), export_id=str(export.id)
    )
    return export


def list_exports(db: Session, workspace_id: UUID) -> list[Export]:
    """Return the workspace's latest exports, the newest first."""
    exports = select(Export).where(Export.workspace_id == workspace_id, Export.run_id.is_(None))
    return list(db.scalars(exports.order_by(Export.id.desc()).limit(MAX_LISTED)))


def run_export(
    database: Database,
    providers: ProviderRegistry,
    workspace_id: UUID,
    export_id: UUID,
    *,
    is_last_attempt: bool,
    url: str,
) -> None:
    """Run a requested export.

    Args:
        database: the database.
        providers: opens the storage connections.
        workspace_id: the workspace.
        export_id: the export; one that is finished is left as it is.
        is_last_attempt: whether a storage error ends the export instead of the attempt.
        url: the public URL of the application, for the email.

    Raises:
        StorageError: the job is to be retried.
    """
    with database.transaction(workspace_id) as db:
        export = db.get(Export, (workspace_id, export_id))
        if export is None or export.state != ExportState.PENDING:
            return
    report = _progress_writer(database, workspace_id, export_id)
    result: dict[str, Any] = {}

    def zip_images(run: Run) -> Iterator[bytes]:
        result["images"] = yield from zip_run(database, providers, run, report)

    try:
        target = _find_target(database, export)
        with TemporaryDirectory(prefix="cwz-export-") as folder:
            if target.run:
                parts = zip_images(target.run)
            else:
                content = _collect(database, providers, workspace_id, Path(folder), with_images=export.with_images)
                parts = _write_zip(content, providers, report)
            file = IteratorFile(parts)
            bucket = providers.open(target.connection.spec)
            bucket.put(target.key, file, content_type="application/zip")  # type: ignore[arg-type]
        result |= {"key": target.key, "connection_id": target.connection.id, "size": file.tell(), "percent": 100}
        result["state"] = ExportState.DONE
    except StorageError as error:
        if not is_last_attempt and not isinstance(error, InvalidSettingsError):
            raise
        result = {"state": ExportState.FAILED, "error_message": str(error)}
    with database.transaction(workspace_id) as db:
        export = db.get(Export, (workspace_id, export_id))
        if export is None:
            return
        for name, value in result.items():
            setattr(export, name, value)
        export.finished_at = datetime.now(UTC)
        if export.run_id is None or export.finished_at - export.created_at > EMAIL_AFTER:
            _email_result(db, export, url)


@dataclass(frozen=True)
class _Target:
    """Where an export is stored, and the run that it is of; None for the whole workspace."""

    connection: Connection
    key: str
    run: Run | None


def _find_target(database: Database, export: Export) -> _Target:
    """Return where to store an export: in the connection of its run, else in the default one."""
    with database.transaction(export.workspace_id) as db:
        run = db.get(Run, (export.workspace_id, export.run_id)) if export.run_id else None
        slug = db.get_one(Workspace, export.workspace_id).slug
        name = zip_name(db, run) if run else f"{slug}-{export.created_at:%Y-%m-%d}.zip"
        connection = get_connection(db, export.workspace_id, run.connection_id if run else None)
        return _Target(connection, f"{export.workspace_id}/exports/{export.id}/{name}", run)


def delete_expired_exports(database: Database, providers: ProviderRegistry, days: int) -> int:
    """Delete exports from the storages after a number of days. Return how many were deleted."""
    before = datetime.now(UTC) - timedelta(days=days)
    with database.transaction() as db:
        expired = db.execute(text("SELECT workspace_id, id FROM expired_exports(:before)"), {"before": before}).all()
    deleted = 0
    for workspace_id, export_id in expired:
        with database.transaction(workspace_id) as db:
            export = db.get(Export, (workspace_id, export_id))
            if export is None:
                continue
            connections = {c.id: c.spec for c in list_connections(db, workspace_id)}
            spec = connections.get(export.connection_id) if export.connection_id else None
            key = export.key
        try:
            if spec is not None and key is not None:
                providers.open(spec).delete(key)
        except StorageError as error:
            log.warning("expired export not deleted", workspace=str(workspace_id), reason=str(error))
            continue
        with database.transaction(workspace_id) as db:
            if export := db.get(Export, (workspace_id, export_id)):
                export.state, export.key = ExportState.EXPIRED, None
        deleted += 1
    return deleted


def _collect(
    database: Database, providers: ProviderRegistry, workspace_id: UUID, folder: Path, *, with_images: bool
) -> ExportContent:
    """Write the tables to a folder, in one snapshot, and find the documents and objects."""
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
        content = ExportContent(manifest)
        for table in Base.metadata.sorted_tables:
            if "workspace_id" in table.columns and table.name not in EXCLUDED_TABLES:
                _write_table(content, folder, table.name, _rows(db, table, workspace_id))
        _write_table(content, folder, "workspaces", [_to_json(vars(workspace))])
        _write_table(content, folder, "members", _members(db, workspace_id))
        for template in list_templates(db, workspace_id):
            document = load_design(db, template).document.model_dump_json(indent=1).encode()
            content.documents[f"templates/{template.slug}.json"] = document
        connections = {c.id: c.spec for c in list_connections(db, workspace_id)}
        own_uploads = select(Upload).where(Upload.workspace_id == workspace_id)
        uploads = {upload.digest: upload for upload in db.scalars(own_uploads)}
        query = select(Image.id, Image.name, Image.key, Image.connection_id).where(Image.workspace_id == workspace_id)
        images = db.execute(query.order_by(Image.id)).all() if with_images else []
    content.objects += _uploads(providers, workspace_id, connections.values(), uploads)
    content.objects += [
        ExportObject("images", f"{row.id}-{_file_name(row.name, row.key)}", row.key, connections[row.connection_id])
        for row in images
    ]
    return content


def _rows(db: Session, table: Table, workspace_id: UUID) -> Iterator[dict[str, Any]]:
    excluded = EXCLUDED_COLUMNS.get(table.name, ())
    columns = [c for c in table.columns if not isinstance(c.type, LargeBinary) and c.name not in excluded]
    url_columns = URL_COLUMNS.get(table.name, ())
    query = select(*columns).where(table.c.workspace_id == workspace_id).order_by(*table.primary_key.columns)
    for row in db.execute(query.execution_options(yield_per=500)):
        values = _to_json(row._asdict())
        for name in url_columns:
            values[name] = values[name] and values[name].partition("?")[0]
        yield values


def _members(db: Session, workspace_id: UUID) -> Iterator[dict[str, Any]]:
    query = select(Account.id, Account.email, Account.name, Membership.role, Membership.created_at)
    members = query.join(Membership, Membership.account_id == Account.id)
    for row in db.execute(members.where(Membership.workspace_id == workspace_id).order_by(Account.id)):
        yield _to_json(row._asdict())


def _write_table(content: ExportContent, folder: Path, name: str, rows: Iterable[dict[str, Any]]) -> None:
    digest, count = hashlib.sha256(), 0
    path = folder / f"{name}.jsonl"
    with open(path, "wb") as file:
        for row in rows:
            line = json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
            digest.update(line)
            file.write(line)
            count += 1
    content.tables.append(path)
    content.manifest.tables[name] = TableFile(file=f"tables/{path.name}", rows=count, sha256=digest.hexdigest())


def _to_json(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with values of JSON's types, without SQLAlchemy's private attributes."""
    columns = {name: value for name, value in row.items() if not name.startswith("_")}
    return {name: value if isinstance(value, JSON_TYPES) else _to_text(value) for name, value in columns.items()}


def _to_text(value: Any) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _uploads(
    providers: ProviderRegistry,
    workspace_id: UUID,
    connections: Iterable[ConnectionSpec],
    uploads: Mapping[str, Upload],
) -> Iterator[ExportObject]:
    """Yield the uploads of all connections under their own names; sample images are no uploads and have none."""
    seen = set()
    for spec in connections:
        for info in providers.open(spec).list(upload_key(workspace_id, "")):
            digest = info.key.rpartition("/")[2]
            if digest in seen:
                continue
            seen.add(digest)
            upload = uploads.get(digest)
            folder = "fonts" if upload and upload.kind == UploadKind.FONT else "uploads"
            yield ExportObject(folder, _upload_file_name(upload) if upload else digest, info.key, spec)


def _upload_file_name(upload: Upload) -> str:
    name = slugify(upload.name, max_length=80) or upload.kind
    return f"{name}-{upload.digest[:8]}.{EXTENSIONS.get(upload.content_type, 'bin')}"


def _file_name(name: str, key: str) -> str:
    return f"{slugify(name, max_length=80) or 'image'}.{key.rpartition('.')[2]}"


def _write_zip(
    content: ExportContent, providers: ProviderRegistry, report_progress: Callable[[float], None]
) -> Iterator[bytes]:
    """Yield the zip's bytes. Tables are compressed; images and fonts are not, since they gain nothing."""
    archive, manifest = ZipStream(compress_type=ZIP_DEFLATED), content.manifest
    for path in content.tables:
        archive.add_path(str(path), f"tables/{path.name}")
    for name, document in content.documents.items():
        archive.add(document, name)
        manifest.files["templates"] = manifest.files.get("templates", 0) + 1
    yield from archive.all_files()
    for number, item in enumerate(content.objects):
        name = f"{item.folder}/{item.name}"
        try:
            chunks = providers.open(item.connection).stream(item.key)
        except ObjectNotFoundError:
            manifest.missing.append(name)
            continue
        archive.add(chunks, name, compress_type=ZIP_STORED)
        manifest.files[item.folder] = manifest.files.get(item.folder, 0) + 1
        yield from archive.all_files()
        report_progress(number / len(content.objects))
    schema = json.dumps(ExportManifest.model_json_schema(), indent=1).encode()
    archive.add(schema, "manifest.schema.json")
    archive.add(manifest.model_dump_json(indent=1).encode(), "manifest.json")
    yield from archive.finalize()


def _progress_writer(database: Database, workspace_id: UUID, export_id: UUID) -> Callable[[float], None]:
    """Return a function that stores the export's progress, at most every `PROGRESS_SECONDS`."""
    last = time.monotonic()

    def write(share: float) -> None:
        nonlocal last
        if time.monotonic() - last < PROGRESS_SECONDS:
            return
        last = time.monotonic()
        with database.transaction(workspace_id) as db:
            if export := db.get(Export, (workspace_id, export_id)):
                export.percent = int(share * 100)

    return write


def _email_result(db: Session, export: Export, url: str) -> None:
    account = db.get(Account, export.requested_by) if export.requested_by else None
    if account is None:
        return
    workspace = db.get_one(Workspace, export.workspace_id)
    write = _run_zip_email if export.run_id else _export_email
    email_member(db, account, partial(write, workspace, export, f"{url}/w/{workspace.slug}"))


def _export_email(workspace: Workspace, export: Export, url: str) -> EmailMessage:
    if export.state == ExportState.DONE:
        subject = gettext("The export of %(workspace)s is ready", workspace=workspace.name)
        body = gettext("Download the zip file before it expires in a few days.")
    else:
        subject = gettext("The export of %(workspace)s failed", workspace=workspace.name)
        body = f"{translate_stored(export.error_message or '')}."
    reason = gettext("You receive this email because you requested the export.")
    return _result_email(export, subject, body, (gettext("View export"), f"{url}/exports"), reason)


def _run_zip_email(workspace: Workspace, export: Export, url: str) -> EmailMessage:
    if export.state == ExportState.DONE:
        subject = gettext("The zip file of a run of %(workspace)s is ready", workspace=workspace.name)
        body = gettext("Download the zip file before it expires in a few days.")
    else:
        subject = gettext("The zip file of a run of %(workspace)s failed", workspace=workspace.name)
        body = f"{translate_stored(export.error_message or '')}."
    reason = gettext("You receive this email because you requested the zip file of a run.")
    return _result_email(export, subject, body, (gettext("View run"), f"{url}/runs/{export.run_id}"), reason)


def _result_email(export: Export, subject: str, body: str, link: tuple[str, str], reason: str) -> EmailMessage:
    is_done = export.state == ExportState.DONE
    text = f"{subject}. {body}" if is_done else gettext("%(field)s: %(message)s", field=subject, message=body)
    return EmailMessage(subject, (text,), link, reason)
