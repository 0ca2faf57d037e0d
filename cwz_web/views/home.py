"""The overview of a workspace."""

from dataclasses import dataclass
from uuid import UUID

from pyramid.httpexceptions import HTTPSeeOther
from pyramid.response import Response
from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.view import view_config
from sqlalchemy import ScalarSelect, func, select

from cwz_web.feeds.models import Feed
from cwz_web.generation.images import find_images
from cwz_web.generation.models import Image, Template
from cwz_web.resources.application import Root
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import WorkspaceResource
from cwz_web.runs.models import Run
from cwz_web.runs.planning import latest_runs
from cwz_web.views.images import ImageLink, image_links
from cwz_web.views.runs import RunRow, run_rows
from cwz_web.views.setup import SetupState, find_setup_state
from cwz_web.web.rendering import static_path
from cwz_web.web.request import Request

LATEST_IMAGES = 8
LATEST_RUNS = 5


@dataclass(frozen=True)
class Counter:
    """A number on the overview, with its page."""

    label: str
    path: str
    count: int


@dataclass(frozen=True)
class OverviewPage:
    """What overview.jinja2 shows."""

    counters: list[Counter]
    runs: list[RunRow]
    images: list[ImageLink]
    setup: SetupState
    can_run: bool


@view_config(context=Root, name="favicon.ico", request_method="GET", permission=NO_PERMISSION_REQUIRED)
def favicon(context: Root, request: Request) -> Response:
    """Redirect browsers that show an image on its own to the icon."""
    return HTTPSeeOther(f"{static_path()}/app/icon.svg")


@view_config(context=WorkspaceResource, request_method="GET", renderer="overview.jinja2", permission=Permission.VIEW)
def overview(context: WorkspaceResource, request: Request) -> OverviewPage:
    """Show the workspace's counts, its latest images and its latest runs."""
    workspace_id = context.access.workspace_id
    models = (Image, Run, Feed, Template)
    images, runs, feeds, templates = request.db.execute(
        select(*(_count(model, workspace_id) for model in models))
    ).one()
    return OverviewPage(
        counters=[
            Counter("Images", request.path_in("images"), images),
            Counter("Runs", request.path_in("runs"), runs),
            Counter("Feeds", request.path_in("feeds"), feeds),
            Counter("Templates", request.path_in("templates"), templates),
        ],
        runs=run_rows(request, latest_runs(request.db, workspace_id, limit=LATEST_RUNS)),
        images=image_links(request, find_images(request.db, workspace_id, limit=LATEST_IMAGES).images),
        setup=find_setup_state(request.db, workspace_id),
        can_run=bool(feeds and templates and request.has_permission(Permission.RUN_START)),
    )


def _count(model: type[Feed | Template | Run | Image], workspace_id: UUID) -> ScalarSelect[int]:
    return select(func.count()).where(model.workspace_id == workspace_id).scalar_subquery()
