"""Replacing an upload in all templates that use it, and in the brand: what would change, the change, and its undo."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pyramid.response import Response
from pyramid.view import view_config
from sqlalchemy.orm import Session

from cwz_web.db.session import enter_workspace
from cwz_web.generation.brand import find_brand_uses
from cwz_web.generation.models import Template, Upload
from cwz_web.generation.upload_replacement import (
    MAX_TEMPLATES,
    ReplacementResult,
    find_replaceable,
    replace_upload,
    undo_in_brand,
    undo_replacement,
)
from cwz_web.generation.upload_uses import UploadUse, find_uses
from cwz_web.generation.uploads import UploadError, UploadFilter, find_uploads
from cwz_web.i18n import gettext
from cwz_web.imaging.brand import Entry
from cwz_web.imaging.brand_references import ENTRY_NAME, KINDS
from cwz_web.imaging.image_uploads import MAX_UPLOAD_BYTES
from cwz_web.imaging.uploads import UploadKind
from cwz_web.resources.base import parse_uuid
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import UploadResource
from cwz_web.views.uploads import UploadItem, item_of
from cwz_web.web.request import Request
from cwz_web.web.transactions import release_connection
from cwz_web.web.uploads import UPLOAD_ERRORS, store_upload
from cwz_web.workspaces.audit import record

# Uploads that can be chosen in place of a new file: the newest ones.
MAX_CHOICES = 200
# Images whose proportions differ by less look the same in a layer.
SAME_PROPORTIONS = 0.02
_field = re.compile(r"(step|version)\.([0-9a-f-]{36})")
_entry = re.compile(rf"brand\.({'|'.join(KINDS)})\.({ENTRY_NAME})")
_number = re.compile(r"[1-9][0-9]{0,8}")


@dataclass(frozen=True)
class ReplacePage:
    """The view model of uploads/replace.jinja2.

    Attributes:
        changed: the templates that will change.
        unchanged: templates whose published version uses the upload, while their draft no longer does.
        entries: the entries of the brand that will change.
        choices: other uploads of the same kind.
    """

    item: UploadItem
    changed: list[UploadUse]
    unchanged: list[UploadUse]
    entries: list[Entry]
    choices: list[Upload]
    error_message: str


@dataclass(frozen=True)
class ReplacedPage:
    """The view model of uploads/replaced.jinja2.

    Attributes:
        old: the replaced upload.
        new: the upload in its place.
        result: what was done to each template, and to the brand.
        has_other_proportions: whether the new image has other proportions than the old one.
    """

    old: UploadItem
    new: UploadItem
    result: ReplacementResult
    has_other_proportions: bool


@dataclass(frozen=True)
class UndonePage:
    """The view model of uploads/undone.jinja2: templates in which it was undone, and others that changed since.

    `brand` says whether it was undone in the brand; None if the brand had not changed.
    """

    item: UploadItem
    undone: list[Template]
    changed: list[Template]
    brand: bool | None


@view_config(
    context=UploadResource,
    name="replace",
    request_method="GET",
    renderer="uploads/replace.jinja2",
    permission=Permission.TEMPLATE_EDIT,
)
def replace_page(context: UploadResource, request: Request) -> ReplacePage:
    """Show which templates a replacement would change."""
    return _page(request, context.row)


@view_config(
    context=UploadResource,
    name="replace",
    request_method="POST",
    renderer="uploads/replaced.jinja2",
    permission=Permission.TEMPLATE_EDIT,
    rate_limit="upload",
)
def replace_in_templates(context: UploadResource, request: Request) -> ReplacedPage | Response:
    """Replace the upload by a new file, or by another upload."""
    old, services, account_id = context.row, request.services, request.user.account.id
    with_publishing = request.POST.get("publish") == "on"
    release_connection(request)
    try:
        new = _find_new(request, old)
        with services.database.transaction(old.workspace_id) as db:
            result = replace_upload(db, old, new, publish_as=account_id, with_publishing=with_publishing)
            _audit(db, request, old, new, result)
    except UPLOAD_ERRORS as error:
        enter_workspace(request.db, old.workspace_id)
        request.override_renderer = "uploads/replace.jinja2"
        request.response.status = 422
        return _page(request, old, str(error))
    return ReplacedPage(item_of(request, old), item_of(request, new), result, _proportions_differ(old, new))


@view_config(
    context=UploadResource,
    name="undo-replace",
    request_method="POST",
    renderer="uploads/undone.jinja2",
    permission=Permission.TEMPLATE_EDIT,
)
def undo_replacement_in_templates(context: UploadResource, request: Request) -> UndonePage:
    """Undo a replacement: the fields name the step or the version of each template that it changed."""
    upload = context.row
    numbers = _numbers(request.POST.items())
    brand = _undo_in_brand(request, upload)  # first, as in a replacement, so that no two requests wait for each other
    undone, changed = undo_replacement(
        request.db, upload.workspace_id, numbers["step"], numbers["version"], request.user.account.id
    )
    for template in undone:
        is_published = template.id in numbers["version"]
        request.audit("template.edit" if is_published else "template.draft", template.name)
    return UndonePage(item_of(request, upload), undone, changed, brand)


def _undo_in_brand(request: Request, upload: Upload) -> bool | None:
    """Undo the replacement in the brand; return None if it had not changed."""
    revisions = _revisions(request.POST.items())
    if not revisions:
        return None
    is_undone = undo_in_brand(request.db, upload, revisions, max(revisions.values()))
    if is_undone:
        request.audit("brand.change", "Brand")
    return is_undone


def _find_new(request: Request, old: Upload) -> Upload:
    """Return the upload that replaces another one: a new file, or a chosen one. Raises UPLOAD_ERRORS."""
    file = request.POST.get("file")
    if hasattr(file, "file"):
        data = file.file.read(MAX_UPLOAD_BYTES + 1)
        account_id = request.user.account.id
        return store_upload(request, old.workspace_id, data, file.filename, created_by=account_id)[0]
    try:
        upload_id = parse_uuid(str(request.POST.get("upload", "")))
    except KeyError:
        raise UploadError(gettext("Choose a file or another upload")) from None
    with request.services.database.transaction(old.workspace_id) as db:
        new = db.get(Upload, (old.workspace_id, upload_id))
    if new is None or new.deleted_at is not None:
        raise UploadError(gettext("The chosen upload was deleted. Choose another one"))
    return new


def _audit(db: Session, request: Request, old: Upload, new: Upload, result: ReplacementResult) -> None:
    details = {"by": new.name, "templates": len(result.templates)}
    record(db, old.workspace_id, request.actor, "upload.replace", old.name, details)
    if result.revision:
        record(db, old.workspace_id, request.actor, "brand.change", "Brand", {"revision": result.revision})
    for change in result.templates:
        action, version = ("template.edit", {"version": change.version}) if change.version else ("template.draft", {})
        record(db, old.workspace_id, request.actor, action, change.template.name, version)


def _page(request: Request, upload: Upload, error_message: str = "") -> ReplacePage:
    db = request.db
    changed = find_replaceable(db, upload)
    ids = {use.template.id for use in changed}
    choices = find_uploads(db, upload.workspace_id, UploadFilter(UploadKind(upload.kind)), limit=MAX_CHOICES).uploads
    return ReplacePage(
        item=item_of(request, upload),
        changed=changed,
        unchanged=[use for use in find_uses(db, upload) if use.is_current and use.template.id not in ids],
        entries=find_brand_uses(db, upload),
        choices=[each for each in choices if each.id != upload.id],
        error_message=error_message,
    )


def _numbers(fields: Iterable[tuple[str, Any]]) -> dict[str, dict[UUID, int]]:
    """Return the numbers of steps and versions by template; other fields are ignored."""
    found: dict[str, dict[UUID, int]] = {"step": {}, "version": {}}
    for name, value in fields:
        field = _field.fullmatch(name)
        if field and isinstance(value, str) and _number.fullmatch(value):
            try:
                found[field[1]][parse_uuid(field[2])] = int(value)
            except KeyError:
                continue
        if sum(map(len, found.values())) == 2 * MAX_TEMPLATES:
            break
    return found


def _revisions(fields: Iterable[tuple[str, Any]]) -> dict[Entry, int]:
    """Return the revision of the brand by entry; other fields are ignored."""
    kinds = {str(kind): kind for kind in KINDS}
    found: dict[Entry, int] = {}
    for name, value in fields:
        entry = _entry.fullmatch(name)
        if entry and isinstance(value, str) and _number.fullmatch(value):
            found[kinds[entry[1]], entry[2]] = int(value)
    return found


def _proportions_differ(old: Upload, new: Upload) -> bool:
    if not (old.width and old.height and new.width and new.height):
        return False
    ratio = (old.width * new.height) / (old.height * new.width)
    return abs(ratio - 1) > SAME_PROPORTIONS
