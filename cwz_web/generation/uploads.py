"""Uploads of a workspace: images and fonts, whose files are in its storage, named by the SHA-256 of their content.

A file is stored between two transactions. The first one reserves its row, as a deleted one: it counts against the
limits before anything is stored, and if the process dies in between, the row is purged like that of any deleted upload.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Select, delete, func, select
from sqlalchemy.orm import Session

from cwz_web.db.session import lock_name
from cwz_web.generation.brand import find_brand_uses
from cwz_web.generation.models import Upload
from cwz_web.generation.upload_uses import find_uses
from cwz_web.i18n import gettext, ngettext, number
from cwz_web.imaging.uploads import EXTENSIONS, PreparedUpload, UploadKind

# Of a workspace, deleted ones included as long as their files are stored.
MAX_UPLOADS = 10_000
# Designers list all fonts.
MAX_FONTS = 100
MAX_NAME = 100
PAGE = 48
# Templates that an error message names.
MAX_NAMED = 3
_extension = re.compile(rf"\.(?:{'|'.join({*EXTENSIONS.values()})}|jpeg|gif|svg)\Z", re.IGNORECASE)


class UploadError(Exception):
    """The upload cannot be added, restored or deleted; the message says why."""


class UploadLimitError(UploadError):
    """The workspace has the maximum number of uploads or fonts."""


class UploadInUseError(UploadError):
    """The draft or the published version of a template, or the brand, uses the upload."""


class UploadBusyError(UploadError):
    """The file of a deleted upload is being removed from the storage."""

    def __init__(self) -> None:
        super().__init__(gettext("This file is being removed from the storage. Try again in a minute"))


class ReservedUpload(NamedTuple):
    """A row whose file is to be stored, whether the row is new, and the connection that the file is stored in."""

    id: UUID
    is_new: bool
    connection_id: UUID


@dataclass(frozen=True)
class UploadFilter:
    """Which uploads are listed: of a kind, with a text in their names, in the library or deleted."""

    kind: UploadKind | None = None
    name: str = ""
    deleted: bool = False


@dataclass(frozen=True)
class UploadPage:
    """A page of uploads; `before` is the cursor of the next page, None on the last."""

    uploads: list[Upload]
    before: UUID | None


def find_uploads(
    db: Session, workspace_id: UUID, filters: UploadFilter, before: UUID | None = None, limit: int = PAGE
) -> UploadPage:
    """Return a page of uploads, newest first.

    Args:
        db: a transaction in the workspace.
        workspace_id: the workspace.
        filters: which uploads.
        before: the cursor that the previous page returned.
        limit: uploads per page.
    """
    query = _matching(workspace_id, filters)
    if before is not None:
        query = query.where(Upload.id < before)
    uploads = list(db.scalars(query.order_by(Upload.id.desc()).limit(limit)))
    return UploadPage(uploads, uploads[-1].id if len(uploads) == limit else None)


def matching_uploads(kind: UploadKind | None, name: str) -> list[ColumnElement[bool]]:
    """Return the conditions of uploads of a kind, and with a text in their names; None and an empty text match all."""
    conditions = [Upload.kind == kind] if kind else []
    return [*conditions, Upload.name.icontains(name, autoescape=True)] if name else conditions


def list_fonts(db: Session, workspace_id: UUID) -> list[Upload]:
    """Return the workspace's fonts, by name."""
    fonts = _matching(workspace_id, UploadFilter(UploadKind.FONT))
    return list(db.scalars(fonts.order_by(func.lower(Upload.name), Upload.id)))


def reserve_upload(
    db: Session,
    workspace_id: UUID,
    prepared: PreparedUpload,
    *,
    name: str,
    connection_id: UUID,
    created_by: UUID | None,
    check_limit: Callable[[], None],
) -> ReservedUpload:
    """Reserve the row of a file, before it is stored. A file that the workspace has already keeps its row.

    Args:
        db: a transaction in the workspace.
        workspace_id: the workspace.
        prepared: the file.
        name: the name of the upload, for a new one.
        connection_id: the connection that its file will be stored in.
        created_by: the account that uploads it; None for an API key.
        check_limit: raises an error if the plan allows no more uploads; called for a new one.

    Raises:
        UploadLimitError: the workspace has the maximum number.
        UploadBusyError: the file is being removed from the storage.
    """
    _lock(db, workspace_id)
    existing = db.scalar(_with_digest(workspace_id, prepared.source.digest))
    if existing is not None:
        if existing.is_purging:
            raise UploadBusyError
        if existing.deleted_at is not None:
            existing.deleted_at = datetime.now(UTC)  # no purge begins while its file is stored
        if existing.thumbnail is None:
            existing.thumbnail, existing.content_type = prepared.thumbnail, prepared.content_type
        return ReservedUpload(existing.id, is_new=False, connection_id=connection_id)
    _check_limits(db, workspace_id, prepared.kind)
    check_limit()
    upload = Upload(
        workspace_id=workspace_id,
        kind=prepared.kind,
        name=name or "Untitled",
        content_type=prepared.content_type,
        size=len(prepared.source.data),
        width=prepared.width,
        height=prepared.height,
        digest=prepared.source.digest,
        connection_id=connection_id,
        thumbnail=prepared.thumbnail,
        created_by=created_by,
        deleted_at=datetime.now(UTC),
    )
    db.add(upload)
    db.flush()
    return ReservedUpload(upload.id, is_new=True, connection_id=connection_id)


def complete_upload(db: Session, workspace_id: UUID, reserved: ReservedUpload) -> Upload:
    """Add a reserved upload, whose file is stored now, to the library. Raises UploadBusyError."""
    upload = db.get(Upload, (workspace_id, reserved.id), with_for_update=True)
    if upload is None or upload.is_purging:
        raise UploadBusyError
    upload.deleted_at, upload.connection_id = None, reserved.connection_id
    db.flush()
    return upload


def release_upload(db: Session, workspace_id: UUID, reserved: ReservedUpload) -> None:
    """Delete a reserved row whose file could not be stored."""
    if reserved.is_new:
        own = Upload.workspace_id == workspace_id, Upload.id == reserved.id
        db.execute(delete(Upload).where(*own, Upload.deleted_at.is_not(None)))


def restore_upload(db: Session, upload: Upload) -> None:
    """Put a deleted upload back into the library. Raises UploadLimitError and UploadBusyError."""
    _lock(db, upload.workspace_id)
    db.refresh(upload, with_for_update=True)
    if upload.is_purging:
        raise UploadBusyError
    if upload.deleted_at is not None and upload.kind == UploadKind.FONT:
        _check_fonts(db, upload.workspace_id)
    upload.deleted_at = None
    db.flush()


def delete_upload(db: Session, upload: Upload) -> None:
    """Delete an upload that no draft, no published version and no brand uses. Its file is kept for a while.

    Raises:
        UploadInUseError: a template or the brand uses it.
    """
    db.refresh(upload, with_for_update=True)
    templates = [use.template.name for use in find_uses(db, upload) if use.is_current]
    if templates:
        raise UploadInUseError(_in_use_text(upload.name, templates))
    if find_brand_uses(db, upload):
        raise UploadInUseError(gettext("%(name)s is used in the brand. Replace it there first", name=upload.name))
    upload.deleted_at = upload.deleted_at or datetime.now(UTC)
    db.flush()


def _in_use_text(upload: str, templates: Sequence[str]) -> str:
    named = ", ".join(gettext("“%(name)s”", name=name) for name in templates[:MAX_NAMED])
    if len(templates) <= MAX_NAMED:
        return gettext("%(name)s is used in %(templates)s. Replace it there first", name=upload, templates=named)
    return ngettext(
        "%(name)s is used in %(templates)s and %(count)s more. Replace it there first",
        "%(name)s is used in %(templates)s and %(count)s more. Replace it there first",
        len(templates) - MAX_NAMED,
        name=upload,
        templates=named,
    )


def clean_name(file_name: str) -> str:
    """Return the name of an upload for the name of a file: without folders, extension and invisible characters."""
    base = re.split(r"[/\\]", unicodedata.normalize("NFC", file_name))[-1]
    visible = "".join(" " if each.isspace() else each for each in base if each.isspace() or _is_visible(each))
    return " ".join(_extension.sub("", visible).split())[:MAX_NAME].strip()


def _is_visible(character: str) -> bool:
    """Return whether a character is no control, format, private or unassigned one (Unicode's categories C*)."""
    return not unicodedata.category(character).startswith("C")


def _lock(db: Session, workspace_id: UUID) -> None:
    """Serialize what is counted against the limits of a workspace, until the transaction ends."""
    lock_name(db, f"uploads of {workspace_id}")


def _check_limits(db: Session, workspace_id: UUID, kind: UploadKind) -> None:
    count = select(func.count()).select_from(Upload).where(Upload.workspace_id == workspace_id)
    if (db.scalar(count) or 0) >= MAX_UPLOADS:
        message = gettext(
            "A workspace can have at most %(number)s uploads. Delete one permanently", number=number(MAX_UPLOADS)
        )
        raise UploadLimitError(message)
    if kind == UploadKind.FONT:
        _check_fonts(db, workspace_id)


def _check_fonts(db: Session, workspace_id: UUID) -> None:
    if len(list_fonts(db, workspace_id)) >= MAX_FONTS:
        message = gettext(
            "A workspace can have at most %(number)s fonts. Delete one that no template uses", number=MAX_FONTS
        )
        raise UploadLimitError(message)


def _with_digest(workspace_id: UUID, digest: str) -> Select[Upload]:
    return select(Upload).where(Upload.workspace_id == workspace_id, Upload.digest == digest).with_for_update()


def _matching(workspace_id: UUID, filters: UploadFilter) -> Select[Upload]:
    is_deleted = Upload.deleted_at.is_not(None) if filters.deleted else Upload.deleted_at.is_(None)
    query = select(Upload).where(Upload.workspace_id == workspace_id, is_deleted, Upload.is_purging.is_(False))
    return query.where(*matching_uploads(filters.kind, filters.name))
