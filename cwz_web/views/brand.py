"""The brand of a workspace: its page, what a change would do, and the change."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from pyramid.httpexceptions import HTTPSeeOther
from pyramid.response import Response
from pyramid.view import view_config
from sqlalchemy.orm import Session

from cwz_web.generation.brand import (
    MAX_TEMPLATES,
    BrandError,
    BrandUpdate,
    SavedBrand,
    count_uses,
    find_outdated,
    find_templates,
    load_brand,
    save_brand,
    update_templates,
)
from cwz_web.generation.drafts import has_draft
from cwz_web.generation.models import Template
from cwz_web.generation.uploads import UploadFilter, find_uploads
from cwz_web.i18n import gettext
from cwz_web.imaging.brand import Entry
from cwz_web.imaging.uploads import UploadKind
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import BrandResource
from cwz_web.runs.rendered_images import RenderedImages, count_rendered
from cwz_web.views.font_choices import FontGroup, list_font_groups
from cwz_web.web.brand_forms import SECTIONS, BrandChange, EntryRow, read_brand, rows_of
from cwz_web.web.forms import find_repeated_fields, typed_values
from cwz_web.web.request import Request

# Logos that can be chosen: the newest images.
MAX_CHOICES = 200
# Templates that a plan names.
MAX_NAMED = 50


@dataclass(frozen=True)
class BrandPage:
    """The view model of brand/show.jinja2.

    Attributes:
        rows: the entries by section, with blank rows for new ones.
        uses: how many templates use each entry, by kind and name.
        font_groups: the fonts that can be chosen.
        logos: images that can be chosen: reference, name and path of the thumbnail.
        outdated: how many templates have other values of the brand.
    """

    rows: dict[str, list[EntryRow]]
    kinds: Mapping[str, str]
    revision: int
    errors: Mapping[str, str]
    uses: Mapping[Entry, int]
    font_groups: list[FontGroup]
    logos: list[tuple[str, str, str]]
    outdated: int


@dataclass(frozen=True)
class BrandPlanPage:
    """The view model of brand/plan.jinja2: what a change would do.

    Attributes:
        templates: the templates that change, by name, at most MAX_NAMED.
        count: how many change.
        drafts: the ids of those that have a draft.
        fields: the fields of the form, which are sent again.
    """

    templates: list[Template]
    count: int
    drafts: set[UUID]
    rendered: RenderedImages
    limit: int
    fields: list[tuple[str, str]]


@dataclass(frozen=True)
class BrandUpdatedPage:
    """The view model of brand/updated.jinja2: what a change did, and how many templates are left."""

    updates: list[BrandUpdate]
    problems: list[BrandUpdate]
    left: int


@view_config(context=BrandResource, request_method="GET", renderer="brand/show.jinja2", permission=Permission.VIEW)
def brand_page(context: BrandResource, request: Request) -> BrandPage:
    """Show the brand."""
    return _page(request, load_brand(request.db, request.workspace.workspace_id))


@view_config(
    context=BrandResource,
    request_method="POST",
    renderer="brand/plan.jinja2",
    permission=Permission.TEMPLATE_EDIT,
    rate_limit="brand",
)
def change_brand(context: BrandResource, request: Request) -> BrandPlanPage | BrandPage | BrandUpdatedPage | Response:
    """Save the brand, or show first which templates the change concerns. Its rows are no fixed set of fields."""
    db, workspace_id = request.db, request.workspace.workspace_id
    typed = typed_values(request.POST)
    saved, change = load_brand(db, workspace_id), read_brand(typed)
    errors = {**change.errors, **find_repeated_fields(request.POST, typed)}
    if change.brand is None or errors:
        return _refuse(request, saved, change, errors)
    outdated = find_outdated(db, workspace_id, change.brand, change.renamed)
    if len(outdated) > MAX_TEMPLATES and change.renamed:
        message = gettext(
            "More than %(limit)s templates use the brand, so entries cannot be renamed. Add new ones",
            limit=MAX_TEMPLATES,
        )
        return _refuse(request, saved, change, {"": message})
    if outdated and typed.get("confirm") != "on":
        return _plan(request, outdated, typed)
    revision = typed.get("revision", "")
    try:
        with db.begin_nested():
            number = int(revision) if revision.isascii() and revision.isdigit() and len(revision) < 9 else -1
            new = save_brand(db, workspace_id, change.brand, number)
    except BrandError as error:
        return _refuse(request, load_brand(db, workspace_id), change, {"": str(error)})
    updates = _update(request, new, outdated, change.renamed)
    request.audit("brand.change", "Brand", revision=new.revision, templates=sum(not each.problem for each in updates))
    if not updates:
        return HTTPSeeOther(request.path_in("brand"))
    request.override_renderer = "brand/updated.jinja2"
    return _updated(db, workspace_id, new, updates)


@view_config(
    context=BrandResource,
    name="update",
    request_method="POST",
    renderer="brand/updated.jinja2",
    permission=Permission.TEMPLATE_EDIT,
    rate_limit="brand",
)
def update_outdated(context: BrandResource, request: Request) -> BrandUpdatedPage:
    """Update the values of the brand in templates that have other ones, such as imported or restored ones."""
    db, workspace_id = request.db, request.workspace.workspace_id
    saved = load_brand(db, workspace_id)
    updates = _update(request, saved, find_outdated(db, workspace_id, saved.brand), {})
    request.audit("brand.update", "Brand", templates=sum(not each.problem for each in updates))
    return _updated(db, workspace_id, saved, updates)


def _update(request: Request, saved: SavedBrand, ids: list[UUID], renamed: Mapping[Entry, str]) -> list[BrandUpdate]:
    updates = update_templates(
        request.db,
        saved,
        find_templates(request.db, request.workspace.workspace_id, ids),
        renamed,
        publish_as=request.user.account.id if request.POST.get("publish") == "on" else None,
    )
    for update in updates:
        if update.version:
            request.audit("template.edit", update.template.name, version=update.version)
        elif not update.problem:
            request.audit("template.draft", update.template.name)
    return updates


def _updated(db: Session, workspace_id: UUID, saved: SavedBrand, updates: list[BrandUpdate]) -> BrandUpdatedPage:
    problems = [each for each in updates if each.problem]
    left = len(find_outdated(db, workspace_id, saved.brand)) - len(problems)
    return BrandUpdatedPage([each for each in updates if not each.problem], problems, max(left, 0))


def _plan(request: Request, outdated: list[UUID], typed: Mapping[str, str]) -> BrandPlanPage:
    templates = find_templates(request.db, request.workspace.workspace_id, outdated)
    return BrandPlanPage(
        templates=templates[:MAX_NAMED],
        count=len(templates),
        drafts={template.id for template in templates if has_draft(template)},
        rendered=count_rendered(request.db, request.workspace.workspace_id, outdated),
        limit=MAX_TEMPLATES,
        fields=[(name, value) for name, value in typed.items() if name not in ("confirm", "publish")],
    )


def _refuse(request: Request, saved: SavedBrand, change: BrandChange, errors: Mapping[str, str]) -> BrandPage:
    request.response.status = 422
    request.override_renderer = "brand/show.jinja2"
    return _page(request, saved, change.rows, errors)


def _page(
    request: Request, saved: SavedBrand, rows: list[EntryRow] | None = None, errors: Mapping[str, str] | None = None
) -> BrandPage:
    db, workspace_id, brand = request.db, request.workspace.workspace_id, saved.brand
    rows = rows_of(brand) if rows is None else rows
    images = find_uploads(db, workspace_id, UploadFilter(UploadKind.IMAGE), limit=MAX_CHOICES).uploads
    return BrandPage(
        rows={section: [row for row in rows if row.section == section] for section in SECTIONS},
        kinds=dict(SECTIONS),
        revision=saved.revision,
        errors=errors or {},
        uses=count_uses(db, workspace_id),
        font_groups=list_font_groups(db, workspace_id, brand),
        logos=[(each.reference, each.name, request.path_in("uploads", each.id, "thumbnail")) for each in images],
        outdated=len(find_outdated(db, workspace_id, brand)),
    )
