"""`/v1/brand`: the colors, fonts, logos and text styles that templates use by name."""

from typing import Any
from uuid import UUID

from pydantic import Field
from pyramid.view import view_config
from sqlalchemy.orm import Session

from cwz_web.api.pagination import ResponseModel, transaction
from cwz_web.api.request_body import Body, read_body
from cwz_web.generation.brand import (
    BrandChangedError,
    BrandError,
    BrandUpdate,
    SavedBrand,
    find_outdated,
    find_templates,
    load_brand,
    save_brand,
    update_templates,
)
from cwz_web.imaging.brand import Brand
from cwz_web.resources.api import ApiRoot
from cwz_web.resources.permissions import Permission
from cwz_web.web.problems import ProblemError
from cwz_web.web.request import Request
from cwz_web.workspaces.audit import record

MAX_REVISION = 999_999_999


class BrandRequest(Body):
    """The whole brand: entries that it does not have are removed. Templates that use them keep their values.

    `revision` is the one that the change was made from: if the brand has changed since, nothing is saved. Without it,
    the brand is replaced in any case. Templates that use a changed entry get a step in their drafts, unless
    `update_drafts` is false.
    """

    brand: Brand
    revision: int | None = Field(None, ge=0, le=MAX_REVISION)
    update_drafts: bool = True


class BrandInfo(ResponseModel):
    """The brand. `revision` is 0 until it is saved; `outdated` counts templates whose drafts have other values."""

    brand: Brand
    revision: int
    outdated: int


class BrandUpdateInfo(ResponseModel):
    """A template whose draft a change of the brand concerns; `problem` says why it has not changed."""

    template: UUID
    slug: str
    problem: str


class ChangedBrand(BrandInfo):
    """The brand after a change, and the templates whose drafts were to be updated."""

    templates: list[BrandUpdateInfo]


@view_config(context=ApiRoot, name="brand", request_method="GET", renderer="json", permission=Permission.API_READ)
def get_brand(context: ApiRoot, request: Request) -> dict[str, Any]:
    """Return the brand of the workspace."""
    with transaction(request) as db:
        return BrandInfo(**_describe(db, request.api_key.workspace_id)).model_dump(mode="json")


@view_config(
    context=ApiRoot,
    name="brand",
    request_method="PUT",
    renderer="json",
    permission=Permission.API_BRAND_WRITE,
    require_csrf=False,
    rate_limit="brand",
)
def put_brand(context: ApiRoot, request: Request) -> dict[str, Any]:
    """Replace the brand, and update the drafts of templates that use it."""
    change, api_key = read_body(request, BrandRequest), request.api_key
    if api_key.templates:
        raise ProblemError(403, "template_not_allowed", "The brand is of all templates; this API key is limited to one")
    with transaction(request) as db:
        saved = _save(request, db, change)
        updates = _update_drafts(request, db, saved) if change.update_drafts else []
        described = [
            BrandUpdateInfo(template=each.template.id, slug=each.template.slug, problem=each.problem)
            for each in updates
        ]
        return ChangedBrand(**_describe(db, api_key.workspace_id), templates=described).model_dump(mode="json")


def _save(request: Request, db: Session, change: BrandRequest) -> SavedBrand:
    """Save the brand unless it is the same, so that a repeated request changes nothing."""
    workspace_id = request.api_key.workspace_id
    saved = load_brand(db, workspace_id)
    if change.brand.model_dump_json() == saved.brand.model_dump_json():  # equal objects can differ in their order
        return saved
    try:
        new = save_brand(db, workspace_id, change.brand, change.revision)
    except BrandChangedError as error:
        raise ProblemError(409, "conflict", str(error)) from None
    except BrandError as error:
        raise ProblemError(422, "invalid", "The request is not valid", {"brand": str(error)}) from None
    record(db, workspace_id, request.actor, "brand.change", "Brand", {"revision": new.revision})
    return new


def _update_drafts(request: Request, db: Session, saved: SavedBrand) -> list[BrandUpdate]:
    workspace_id = request.api_key.workspace_id
    outdated = find_templates(db, workspace_id, find_outdated(db, workspace_id, saved.brand))
    updates = update_templates(db, saved, outdated)
    for update in updates:
        if not update.problem:
            record(db, workspace_id, request.actor, "template.draft", update.template.name, {})
    return updates


def _describe(db: Session, workspace_id: UUID) -> dict[str, Any]:
    saved = load_brand(db, workspace_id)
    outdated = len(find_outdated(db, workspace_id, saved.brand))
    return {"brand": saved.brand, "revision": saved.revision, "outdated": outdated}
