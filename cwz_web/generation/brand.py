"""The brand of a workspace: its colors, fonts, logos and text styles, and its changes in templates.

A document has the values of the entries that it uses. So a change of the brand changes documents: a step in the draft
of each template, or a new version. What is published remains as it is until the draft is published.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from cwz_web.generation import drafts
from cwz_web.generation.models import Template, Upload, WorkspaceBrand
from cwz_web.i18n import gettext, gettext_noop
from cwz_web.imaging.brand import LIMITS, NO_BRAND, Brand, Entry
from cwz_web.imaging.brand_references import KINDS
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.uploads import UploadKind

TOO_MANY = {
    "colors": gettext_noop("A brand can have at most %(limit)s colors. Remove one"),
    "fonts": gettext_noop("A brand can have at most %(limit)s fonts. Remove one"),
    "logos": gettext_noop("A brand can have at most %(limit)s logos. Remove one"),
    "styles": gettext_noop("A brand can have at most %(limit)s styles. Remove one"),
}
NO_FONT = gettext_noop("The font “%(name)s” is not an uploaded font of this workspace. Choose another one")
NO_FONT_OF_STYLE = gettext_noop(
    "The font of the style “%(name)s” is not an uploaded font of this workspace. Choose another one"
)
NO_LOGO = gettext_noop("The logo “%(name)s” is not an uploaded image of this workspace. Choose another one")
# In one request, which takes seconds.
MAX_TEMPLATES = 200
UPLOAD = "upload:"
# The draft of each template or, without one, what is published.
_CURRENT_BRANDS = text("""
    SELECT t.id, coalesce(s.document, v.document) -> 'brand' AS brand
    FROM templates t
    JOIN template_versions v ON v.workspace_id = t.workspace_id AND v.template_id = t.id AND v.number = t.version
    LEFT JOIN template_steps s ON s.workspace_id = t.workspace_id AND s.template_id = t.id AND s.number = t.step
        AND t.step <> t.published_step
    WHERE t.workspace_id = :workspace_id AND t.deleted_at IS NULL
        AND coalesce(s.document, v.document) -> 'brand' IS NOT NULL
    ORDER BY t.id
""")


class BrandError(Exception):
    """The brand cannot be saved; the message says why."""


class BrandChangedError(BrandError):
    """The brand has been changed in the meantime."""

    def __init__(self) -> None:
        super().__init__(gettext("The brand was changed in the meantime. Check it and repeat your change"))


@dataclass(frozen=True)
class SavedBrand:
    """The brand of a workspace; its revision is 0 until it is saved for the first time."""

    brand: Brand
    revision: int


@dataclass(frozen=True)
class BrandUpdate:
    """What a change of the brand did to a template.

    Attributes:
        version: the number of the version that it published; 0 if only the draft has changed.
        problem: why the template has not changed.
    """

    template: Template
    version: int = 0
    problem: str = ""


def load_brand(db: Session, workspace_id: UUID) -> SavedBrand:
    """Return the brand of a workspace; an empty one if it has none."""
    row = db.get(WorkspaceBrand, workspace_id)
    return SavedBrand(NO_BRAND, 0) if row is None else SavedBrand(Brand.model_validate(row.document), row.revision)


def save_brand(db: Session, workspace_id: UUID, brand: Brand, revision: int | None) -> SavedBrand:
    """Save the brand of a workspace, if it is still the one that the change is for.

    Args:
        db: a transaction in the workspace.
        workspace_id: the workspace.
        brand: the new brand.
        revision: the revision that it was made from; None to replace any.

    Raises:
        BrandChangedError: the brand has another revision.
        BrandError: the brand has too many entries, or a logo or a font is no upload of the workspace.
    """
    db.execute(
        insert(WorkspaceBrand)
        .values(workspace_id=workspace_id, document={}, revision=0)
        .on_conflict_do_nothing(index_elements=["workspace_id"])
    )
    row = db.get_one(WorkspaceBrand, workspace_id, with_for_update=True, populate_existing=True)
    if revision is not None and row.revision != revision:
        raise BrandChangedError
    for section, limit in LIMITS.items():
        if len(getattr(brand, section)) > limit:
            raise BrandError(gettext(TOO_MANY[section], limit=limit))
    _check_uploads(db, workspace_id, brand)
    row.document, row.revision = brand.model_dump(mode="json"), row.revision + 1
    db.flush()
    return SavedBrand(brand, row.revision)


def find_outdated(
    db: Session, workspace_id: UUID, brand: Brand, renamed: Mapping[Entry, str] | None = None
) -> list[UUID]:
    """Return the templates that a brand would change: with other values or other names of its entries.

    Args:
        db: a transaction in the workspace.
        workspace_id: the workspace.
        brand: the brand.
        renamed: the new names of entries that are renamed.
    """
    rows = db.execute(_CURRENT_BRANDS, {"workspace_id": workspace_id})
    current = brand.model_dump(mode="json")
    return [row.id for row in rows if _is_outdated(row.brand, current, renamed or {})]


def count_uses(db: Session, workspace_id: UUID) -> dict[Entry, int]:
    """Return how many templates use each entry of the brand."""
    counts: dict[Entry, int] = {}
    for row in db.execute(_CURRENT_BRANDS, {"workspace_id": workspace_id}):
        for kind in KINDS:
            for name in row.brand.get(f"{kind}s", ()):
                counts[kind, name] = counts.get((kind, name), 0) + 1
    return counts


def find_templates(db: Session, workspace_id: UUID, ids: Iterable[UUID]) -> list[Template]:
    """Return templates by their ids, by name."""
    wanted = select(Template).where(Template.workspace_id == workspace_id, Template.id.in_(list(ids)))
    return sorted(db.scalars(wanted), key=lambda template: (template.name.casefold(), template.id))


def update_templates(
    db: Session,
    saved: SavedBrand,
    templates: Iterable[Template],
    renamed: Mapping[Entry, str] | None = None,
    *,
    publish_as: UUID | None = None,
) -> list[BrandUpdate]:
    """Update the values of a brand in templates, in at most MAX_TEMPLATES of them.

    Args:
        db: a transaction in the workspace.
        saved: the brand.
        templates: those that `find_outdated` returned.
        renamed: the new names of entries that are renamed.
        publish_as: the account that publishes templates without a draft; None to change only drafts.
    """
    # Locked in one order, so that no two requests wait for each other.
    chosen = sorted(templates, key=lambda template: template.id)[:MAX_TEMPLATES]
    updates = [_update(db, template, saved, renamed or {}, publish_as) for template in chosen]
    return [update for update in updates if update is not None]


def adopt_brand(document: ImageTemplate, brand: Brand) -> ImageTemplate:
    """Return an imported document with the values of a brand, or as it is if it would not be valid with them."""
    try:
        return document.with_brand(brand)
    except ValidationError:
        return document


def find_brand_uses(db: Session, upload: Upload) -> list[Entry]:
    """Return the entries of the workspace's brand that use an upload."""
    return load_brand(db, upload.workspace_id).brand.entries_with(upload.reference)


def _update(
    db: Session,
    template: Template,
    saved: SavedBrand,
    renamed: Mapping[Entry, str],
    publish_as: UUID | None,
) -> BrandUpdate | None:
    document = drafts.lock_draft(db, template)
    try:
        changed = document.with_brand(saved.brand, renamed)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
        return BrandUpdate(template, problem=problem)
    if changed == document or template.deleted_at is not None:
        return None
    had_draft = drafts.has_draft(template)
    drafts.save_draft(db, template, changed, f"Changed brand ({saved.revision})")
    if publish_as is None or had_draft:
        return BrandUpdate(template)
    drafts.publish_draft(db, template, publish_as)
    return BrandUpdate(template, template.version)


def _is_outdated(own: Mapping[str, Any], current: Mapping[str, Any], renamed: Mapping[Entry, str]) -> bool:
    entries = [(kind, name, value) for kind in KINDS for name, value in own.get(f"{kind}s", {}).items()]
    return any(
        (kind, name) in renamed or current[f"{kind}s"].get(name, value) != value for kind, name, value in entries
    )


def _check_uploads(db: Session, workspace_id: UUID, brand: Brand) -> None:
    """Check that logos and fonts are uploads of the workspace, and keep them from being deleted meanwhile."""
    fonts = [(NO_FONT, name, value) for name, value in brand.fonts.items()]
    fonts += [(NO_FONT_OF_STYLE, name, style.font) for name, style in brand.styles.items()]
    wanted = [(*font, UploadKind.FONT) for font in fonts if font[2].startswith(UPLOAD)]
    wanted += [(NO_LOGO, name, value, UploadKind.IMAGE) for name, value in brand.logos.items()]
    digests = [value.removeprefix(UPLOAD) for _, _, value, _ in wanted]
    rows = select(Upload).where(Upload.workspace_id == workspace_id, Upload.digest.in_(digests))
    found = db.scalars(rows.where(Upload.deleted_at.is_(None)).order_by(Upload.id).with_for_update(read=True))
    kinds = {upload.reference: upload.kind for upload in found}
    for message, name, value, kind in wanted:
        if kinds.get(value) != kind:
            raise BrandError(gettext(message, name=name))
