"""The gallery of finished pictures, and one picture in full."""

from typing import Any, NamedTuple
from uuid import UUID

from pyramid.request import Request
from pyramid.view import view_config

from cwz_web.generation.assets import PAGE, assets_before
from cwz_web.generation.models import Asset, Template
from cwz_web.resources import AssetResource, Assets, Permission, as_uuid
from cwz_web.runs.models import Run
from cwz_web.runs.progress import run_of_asset


class PictureLink(NamedTuple):
    """A kept picture, and the path that shows it."""

    asset: Asset
    path: str


def picture_links(request: Request, assets: list[Asset]) -> list[PictureLink]:
    """The pictures with their addresses. They are signed: an `<img>` needs no session, and browsers may keep it."""
    return [PictureLink(asset, request.services.addresses.asset(asset)) for asset in assets]


@view_config(
    context=Assets, request_method="GET", renderer="pictures/list.jinja2", permission=Permission.VIEW, partial=False
)
@view_config(
    context=Assets, request_method="GET", renderer="pictures/_page.jinja2", permission=Permission.VIEW, partial=True
)
def list_pictures(context: Assets, request: Request) -> dict[str, Any]:
    """The newest pictures, or those before one."""
    assets = assets_before(request.db, request.workspace.workspace_id, before_id(request))
    return {"pictures": picture_links(request, assets), "more": assets[-1].id if len(assets) == PAGE else None}


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
