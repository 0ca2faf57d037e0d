"""The gallery of finished pictures, and one picture in full."""

from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import urlencode
from uuid import UUID

from pydantic import ConfigDict, Field
from pyramid.request import Request
from pyramid.view import view_config

from cwz_web.generation.assets import find_assets
from cwz_web.generation.models import Asset, Template
from cwz_web.generation.templates import list_templates
from cwz_web.resources import AssetResource, Assets, Permission, as_uuid
from cwz_web.runs.models import Run
from cwz_web.runs.progress import run_of_asset
from cwz_web.web.forms import Form, read_form


class PictureLink(NamedTuple):
    """A kept picture, and the path of a small one of it."""

    asset: Asset
    path: str


def picture_links(request: Request, assets: list[Asset]) -> list[PictureLink]:
    """The pictures with the addresses of their thumbnails. They are signed: browsers may keep them."""
    return [PictureLink(asset, request.services.addresses.thumbnail(asset)) for asset in assets]


class FilterForm(Form):
    """Which pictures somebody wants to see."""

    model_config = ConfigDict(extra="ignore")

    template: UUID | Literal[""] = ""
    name: Annotated[str, Field(max_length=400)] = ""


@view_config(
    context=Assets, request_method="GET", renderer="pictures/list.jinja2", permission=Permission.VIEW, partial=False
)
@view_config(
    context=Assets, request_method="GET", renderer="pictures/_page.jinja2", permission=Permission.VIEW, partial=True
)
def list_pictures(context: Assets, request: Request) -> dict[str, Any]:
    """The newest pictures, or those before one; all, or those that are looked for."""
    workspace_id = request.workspace.workspace_id
    asked = read_form(FilterForm, request.GET).value or FilterForm()
    template_id = asked.template or None
    found = find_assets(request.db, workspace_id, template_id=template_id, name=asked.name, before=before_id(request))
    wanted = {"template": str(asked.template), "name": asked.name}
    wanted = {name: value for name, value in wanted.items() if value}
    return {
        "pictures": picture_links(request, found.assets),
        "templates": list_templates(request.db, workspace_id),
        "wanted": wanted,
        "more": urlencode(wanted | {"before": str(found.before)}) if found.before else None,
    }


@view_config(context=AssetResource, request_method="GET", renderer="pictures/show.jinja2", permission=Permission.VIEW)
def show_picture(context: AssetResource, request: Request) -> dict[str, Any]:
    """One picture, and where it comes from."""
    asset = context.row
    run_id = run_of_asset(request.db, asset.workspace_id, asset.id)
    return {
        "asset": asset,
        "path": request.services.addresses.asset(asset),
        "template": request.db.get_one(Template, (asset.workspace_id, asset.template_id)),
        "run": request.db.get(Run, (asset.workspace_id, run_id)) if run_id else None,
    }


def before_id(request: Request) -> UUID | None:
    """Where a page begins; an id that is none begins at the top."""
    try:
        return as_uuid(request.GET.get("before", ""))
    except KeyError:
        return None
