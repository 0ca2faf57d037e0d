"""A workspace's overview."""

from typing import Any

from pyramid.httpexceptions import HTTPSeeOther
from pyramid.response import Response
from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.view import view_config
from sqlalchemy import func, select

from cwz_web.feeds.models import Feed
from cwz_web.generation.images import find_images
from cwz_web.generation.models import Image, Template
from cwz_web.resources.application import Root
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import WorkspaceResource
from cwz_web.runs.models import Run
from cwz_web.runs.planning import latest_runs
from cwz_web.runs.progress import progress_of
from cwz_web.storage.connections import has_storage
from cwz_web.views.images import image_links
from cwz_web.web.rendering import static_path
from cwz_web.web.request import Request


@view_config(context=Root, name="favicon.ico", request_method="GET", permission=NO_PERMISSION_REQUIRED)
def favicon(context: Root, request: Request) -> Response:
    """For browsers that ask for it beside an image that they show alone."""
    return HTTPSeeOther(f"{static_path()}/own/icon.svg")


@view_config(context=WorkspaceResource, request_method="GET", renderer="overview.jinja2", permission=Permission.VIEW)
def overview(context: WorkspaceResource, request: Request) -> dict[str, Any]:
    """What there is, what happens, what came of it."""
    workspace_id = context.access.workspace_id
    counts = request.db.execute(select(*(_count(model, workspace_id) for model in (Feed, Template, Run, Image)))).one()
    runs = latest_runs(request.db, workspace_id, limit=5)
    return {
        "counts": dict(zip(("feeds", "templates", "runs", "images"), counts, strict=True)),
        "runs": [(run, progress_of(run)) for run in runs],
        "names": run_names(request, runs),
        "images": image_links(request, find_images(request.db, workspace_id, limit=8).images),
        "is_set_up": all(counts[:2]) and has_storage(request.db, workspace_id),
    }


def run_names(request: Request, runs: list[Run]) -> dict[Any, str]:
    """The names of the feeds and templates of some runs, by id; two queries for them all."""
    names: dict[Any, str] = {}
    workspace_id = request.workspace.workspace_id
    for model, ids in ((Feed, {run.feed_id for run in runs}), (Template, {run.template_id for run in runs})):
        rows = request.db.execute(
            select(model.id, model.name).where(model.workspace_id == workspace_id, model.id.in_(ids))
        )
        names |= {row.id: row.name for row in rows}
    return names


def _count(model: type[Feed | Template | Run | Image], workspace_id: Any) -> Any:
    return select(func.count()).where(model.workspace_id == workspace_id).scalar_subquery()
