"""Replacing an upload by another one in all templates that use it, and in the brand.

Documents refer to the content of a file, so each template gets a changed document: a step in its draft, or a new
version. What is published remains as it is until the draft is published.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy.orm import Session

from cwz_web.generation import drafts
from cwz_web.generation.brand import BrandError, load_brand, save_brand
from cwz_web.generation.models import Template, TemplateStep, Upload
from cwz_web.generation.upload_uses import UploadUse, find_uses
from cwz_web.generation.uploads import UploadError
from cwz_web.i18n import gettext
from cwz_web.imaging.brand import Entry
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.uploads import UploadKind

# In one request, which takes seconds.
MAX_TEMPLATES = 200
MAX_CHANGE_NAME = 40
# How the names of its steps begin.
CHANGE = "Replaced upload: "


@dataclass(frozen=True)
class Replacement:
    """What a replacement did to a template: the step of its draft, or the version that it published.

    Attributes:
        step: the number of the step that it added.
        version: the number of the version that it published; 0 if only the draft has changed.
    """

    template: Template
    step: int
    version: int = 0


@dataclass(frozen=True)
class ReplacementResult:
    """What a replacement did.

    Attributes:
        entries: the entries of the brand that have the new upload.
        revision: the revision of the brand since then; 0 if it has not changed.
    """

    templates: list[Replacement]
    entries: list[Entry]
    revision: int = 0


def find_replaceable(db: Session, upload: Upload) -> list[UploadUse]:
    """Return the templates that a replacement changes: their draft or, without one, what is published uses it."""
    return [use for use in find_uses(db, upload) if is_replaceable(use)]


def is_replaceable(use: UploadUse) -> bool:
    """Return whether a replacement changes the template."""
    is_used = use.in_draft if drafts.has_draft(use.template) else use.in_published
    return is_used and use.template.deleted_at is None


def replace_upload(
    db: Session, old: Upload, new: Upload, *, publish_as: UUID, with_publishing: bool
) -> ReplacementResult:
    """Replace an upload by another one of its kind, in the brand and in the templates of `find_replaceable`.

    Args:
        db: a transaction in the workspace.
        old: the upload that is replaced; it stays in the library.
        new: the upload in its place.
        publish_as: the account that publishes new versions.
        with_publishing: whether templates without a draft get a new version; otherwise they get a draft.

    Raises:
        UploadError: the uploads are of different kinds, or the same, or used by too many templates; or the brand was
            changed at the same time.
    """
    if old.kind != new.kind:
        if old.kind == UploadKind.FONT:
            raise UploadError(gettext("Choose another font: %(name)s is not one", name=new.name))
        raise UploadError(gettext("Choose another image: %(name)s is not one", name=new.name))
    if old.digest == new.digest:
        raise UploadError(gettext("Choose another file: this one is the same"))
    uses = find_replaceable(db, old)
    if len(uses) > MAX_TEMPLATES:
        raise UploadError(
            gettext(
                "%(name)s is used in more than %(number)s templates. Replace it in some first",
                name=old.name,
                number=MAX_TEMPLATES,
            )
        )
    # The brand comes first, as when it is changed, so that no two requests wait for each other.
    entries, revision = _replace_in_brand(db, old, new)
    templates = [
        _replace_in(db, use.template, old, new, publish_as, with_publishing=with_publishing)
        for use in sorted(uses, key=lambda use: use.template.id)  # locked in one order, so that no two requests wait
    ]
    return ReplacementResult(templates, entries, revision)


def undo_replacement(
    db: Session, workspace_id: UUID, steps: Mapping[UUID, int], versions: Mapping[UUID, int], account_id: UUID
) -> tuple[list[Template], list[Template]]:
    """Undo a replacement in the templates that have not changed since.

    Args:
        db: a transaction in the workspace.
        workspace_id: the workspace.
        steps: the steps that the replacement added, by template.
        versions: the versions that it published, by template; what was published before is published again.
        account_id: the account that publishes.

    Returns:
        The templates in which it was undone, and those that were changed in the meantime.
    """
    undone, changed = [], []
    for template_id in sorted(steps):
        template = db.get(Template, (workspace_id, template_id), with_for_update=True)
        if template is None or template.deleted_at is not None:
            continue
        version = versions.get(template_id, 0)
        if not _is_as_replaced(db, template, steps[template_id], version) or not drafts.undo(db, template):
            changed.append(template)
            continue
        if version:
            drafts.publish_draft(db, template, account_id)
        undone.append(template)
    return undone, changed


def undo_in_brand(db: Session, old: Upload, entries: Iterable[Entry], revision: int) -> bool:
    """Undo a replacement in the brand, unless it was changed since.

    Args:
        db: a transaction in the workspace.
        old: the upload that was replaced.
        entries: the entries of the brand that were changed.
        revision: the revision of the brand after the replacement.

    Returns:
        Whether the brand has the upload again.
    """
    try:
        brand = load_brand(db, old.workspace_id).brand.with_upload(entries, old.reference)
        with db.begin_nested():
            save_brand(db, old.workspace_id, brand, revision)
    # It has another revision, the upload was deleted, or a form names an entry that has no upload.
    except (BrandError, KeyError, ValidationError):
        return False
    return True


def _replace_in_brand(db: Session, old: Upload, new: Upload) -> tuple[list[Entry], int]:
    saved = load_brand(db, old.workspace_id)
    entries = saved.brand.entries_with(old.reference)
    if not entries:
        return [], 0
    try:
        changed = save_brand(db, old.workspace_id, saved.brand.with_upload(entries, new.reference), saved.revision)
    except BrandError as error:
        raise UploadError(str(error)) from None
    return entries, changed.revision


def _replace_in(
    db: Session, template: Template, old: Upload, new: Upload, publish_as: UUID, *, with_publishing: bool
) -> Replacement:
    document = drafts.lock_draft(db, template)
    is_published = with_publishing and not drafts.has_draft(template)
    text = json.dumps(document.canonical()).replace(old.reference, new.reference)
    drafts.save_draft(db, template, ImageTemplate.model_validate_json(text), _change(old, new))
    if is_published:
        drafts.publish_draft(db, template, publish_as)
    return Replacement(template, template.step, template.version if is_published else 0)


def _change(old: Upload, new: Upload) -> str:
    """Return the name of the step, which differs for each pair of uploads, so that no two steps are merged."""
    names = (upload.name[:MAX_CHANGE_NAME] for upload in (old, new))
    return f"{CHANGE}{' → '.join(names)} ({new.digest[:8]})"


def _is_as_replaced(db: Session, template: Template, number: int, version: int) -> bool:
    """Return whether a template has not changed since a replacement: neither its draft nor what is published."""
    is_published = not drafts.has_draft(template)
    if template.step != number or is_published != bool(version) or (version and template.version != version):
        return False
    step = db.get(TemplateStep, (template.workspace_id, template.id, number))
    return step is not None and step.change.startswith(CHANGE)
