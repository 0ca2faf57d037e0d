"""The overview of a workspace."""

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from pyramid.httpexceptions import HTTPSeeOther
from pyramid.response import Response
from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.view import view_config
from sqlalchemy import ScalarSelect, func, select
from sqlalchemy.orm import aliased

from cwz_web.feeds.models import Feed, FeedImport, FeedSource, ImportState
from cwz_web.generation.images import find_images
from cwz_web.generation.models import Image, Template
from cwz_web.generation.usage import month_of, monthly_usage, next_month
from cwz_web.i18n import gettext, ngettext
from cwz_web.resources.application import Root
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import WorkspaceResource
from cwz_web.runs.models import Run
from cwz_web.runs.planning import latest_runs
from cwz_web.runs.progress import RunState, state_of
from cwz_web.storage.connection_test import error_text
from cwz_web.storage.models import Connection
from cwz_web.stored_messages import translate_stored
from cwz_web.views.audit import EntryRow, entry_row
from cwz_web.views.images import ImageLink, image_links
from cwz_web.views.runs import RunRow, run_rows
from cwz_web.views.setup import SetupState, find_setup_state
from cwz_web.views.usage_chart import DayUsage, find_day_usage
from cwz_web.web.rendering import static_path
from cwz_web.web.request import Request
from cwz_web.workspaces.audit import AuditFilter, find_entries

LATEST_IMAGES = 8
LATEST_RUNS = 5
LATEST_ENTRIES = 6
# How many problems of each kind are listed.
MAX_PROBLEMS = 3
PROBLEM_STATES = {
    RunState.NOT_STARTED,
    RunState.STOPPED,
    RunState.FAILED,
    RunState.COMPLETED_WITH_FINDINGS,
}


@dataclass(frozen=True)
class Counter:
    """A number on the overview, with its page."""

    label: str
    path: str
    count: int


@dataclass(frozen=True)
class Problem:
    """Something that needs attention, with the page where it can be solved."""

    text: str
    path: str
    since: datetime | None = None


@dataclass(frozen=True)
class ProblemList:
    """A filtered list with all problems of a kind."""

    label: str
    path: str


@dataclass(frozen=True)
class RunsFragment:
    """What _latest_runs.jinja2 shows: the latest runs, which are requested again while one of them is running."""

    runs: list[RunRow]
    is_live: bool


@dataclass(frozen=True)
class OverviewPage(RunsFragment):
    """What overview.jinja2 shows.

    Attributes:
        problems: What needs attention.
        problem_lists: The lists that hold these problems and others like them.
        used: How many images were used this month.
        limit: How many there are a month; None without a limit.
        resets_on: The day of the next month's first image.
        days: The images of the last days.
        entries: What people did last; empty if the user may not see it.
    """

    counters: list[Counter]
    images: list[ImageLink]
    setup: SetupState
    can_run: bool
    problems: list[Problem]
    problem_lists: list[ProblemList]
    used: int
    limit: int | None
    resets_on: date
    days: list[DayUsage]
    entries: list[EntryRow]


@view_config(context=Root, name="favicon.ico", request_method="GET", permission=NO_PERMISSION_REQUIRED)
def favicon(context: Root, request: Request) -> Response:
    """Redirect browsers that show an image on its own to the icon."""
    return HTTPSeeOther(f"{static_path()}/app/icon.svg")


@view_config(
    context=WorkspaceResource,
    request_method="GET",
    renderer="_latest_runs.jinja2",
    permission=Permission.VIEW,
    partial=True,
)
def show_latest_runs(context: WorkspaceResource, request: Request) -> RunsFragment:
    """Show the latest runs again, while one of them is running."""
    rows = run_rows(request, latest_runs(request.db, context.access.workspace_id, limit=LATEST_RUNS))
    is_live = any(state_of(row.run).is_in_progress for row in rows)
    return RunsFragment(rows, is_live)


@view_config(
    context=WorkspaceResource,
    request_method="GET",
    renderer="overview.jinja2",
    permission=Permission.VIEW,
    partial=False,
)
def overview(context: WorkspaceResource, request: Request) -> OverviewPage:
    """Show what needs attention, the usage, the latest runs and the latest images."""
    workspace_id = context.access.workspace_id
    models = (Image, Run, Feed, Template)
    images, runs, feeds, templates = request.db.execute(
        select(*(_count(model, workspace_id) for model in models))
    ).one()
    latest = show_latest_runs(context, request)
    feed_problems, run_problems = _feed_problems(request, workspace_id), _run_problems(request, latest.runs)
    return OverviewPage(
        **vars(latest),
        counters=[
            Counter(gettext("Images"), request.path_in("images"), images),
            Counter(gettext("Runs"), request.path_in("runs"), runs),
            Counter(gettext("Feeds"), request.path_in("feeds"), feeds),
            Counter(gettext("Templates"), request.path_in("templates"), templates),
        ],
        images=image_links(request, find_images(request.db, workspace_id, limit=LATEST_IMAGES).images),
        setup=find_setup_state(request.db, workspace_id),
        can_run=bool(feeds and templates and request.has_permission(Permission.RUN_START)),
        problems=[*feed_problems, *_storage_problems(request, workspace_id), *run_problems],
        problem_lists=_problem_lists(request, bool(feed_problems), latest.runs if run_problems else []),
        used=monthly_usage(request.db, workspace_id, workspace_id),
        limit=request.services.quotas.of(workspace_id, request.workspace.plan_status).limit,
        resets_on=next_month(month_of()),
        days=find_day_usage(request.db, workspace_id),
        entries=_latest_entries(request, workspace_id),
    )


def _latest_entries(request: Request, workspace_id: UUID) -> list[EntryRow]:
    if not request.has_permission(Permission.AUDIT_VIEW):
        return []
    page = find_entries(request.db, workspace_id, AuditFilter(), limit=LATEST_ENTRIES)
    return [entry_row(request, entry) for entry in page.entries]


def _problem_lists(request: Request, has_feeds: bool, runs: list[RunRow]) -> list[ProblemList]:
    """Return the filtered lists of feeds, if some need attention, and of runs in the states that these have."""
    states = {state_of(row.run) for row in runs}
    lists = []
    if has_feeds:
        lists.append(
            ProblemList(gettext("All feeds that need attention"), f"{request.path_in('feeds')}?state=attention")
        )
    if states & (PROBLEM_STATES - {RunState.COMPLETED_WITH_FINDINGS}):
        lists.append(ProblemList(gettext("All runs with errors"), f"{request.path_in('runs')}?state=failed"))
    if RunState.COMPLETED_WITH_FINDINGS in states:
        lists.append(ProblemList(gettext("All runs with findings"), f"{request.path_in('runs')}?state=findings"))
    return lists


def _run_problems(request: Request, rows: list[RunRow]) -> list[Problem]:
    """Return the runs that failed or have findings; of those with one feed and template, only the newest."""
    newest = {(row.run.feed_id, row.run.template_id): row for row in reversed(rows)}
    return [
        Problem(
            gettext(
                "%(feed)s with %(template)s: %(problem)s",
                feed=row.feed,
                template=row.template,
                problem=_problem_of(row.run),
            ),
            request.path_in("runs", row.run.id),
            row.run.created_at,
        )
        for row in newest.values()
        if state_of(row.run) in PROBLEM_STATES
    ]


def _problem_of(run: Run) -> str:
    findings = ngettext("%(count)s finding", "%(count)s findings", run.findings)
    match state_of(run):
        case RunState.NOT_STARTED:
            return gettext("failed to start")
        case RunState.STOPPED:
            return gettext("stopped")
        case RunState.FAILED:
            failed = ngettext("%(count)s failed", "%(count)s failed", run.failed)
            return f"{failed}, {findings}" if run.findings else failed
    return gettext("completed, %(findings)s", findings=findings)


def _feed_problems(request: Request, workspace_id: UUID) -> list[Problem]:
    """Return the feeds whose newest import waits for a review or failed, and those that could not be fetched."""
    other = aliased(FeedImport)
    newest = select(func.max(other.number)).where(other.workspace_id == workspace_id, other.feed_id == Feed.id)
    imports = (
        select(Feed.id, Feed.name, FeedImport.state, FeedImport.created_at)
        .join(FeedImport, (FeedImport.workspace_id == Feed.workspace_id) & (FeedImport.feed_id == Feed.id))
        .where(
            Feed.workspace_id == workspace_id,
            Feed.deleted_at.is_(None),
            FeedImport.state.in_((ImportState.NEEDS_REVIEW, ImportState.FAILED)),
            FeedImport.number == newest.scalar_subquery(),
        )
        .order_by(FeedImport.created_at.desc())
        .limit(MAX_PROBLEMS)
    )
    sources = (
        select(Feed.id, Feed.name, FeedSource.error_message)
        .join(FeedSource, (FeedSource.workspace_id == Feed.workspace_id) & (FeedSource.feed_id == Feed.id))
        .where(Feed.workspace_id == workspace_id, Feed.deleted_at.is_(None), FeedSource.error_message.is_not(None))
        .limit(MAX_PROBLEMS)
    )
    return [
        *(
            Problem(_import_problem(row.name, row.state), request.path_in("feeds", row.id), row.created_at)
            for row in request.db.execute(imports)
        ),
        *(
            Problem(_problem_text(row.name, translate_stored(row.error_message)), request.path_in("feeds", row.id))
            for row in request.db.execute(sources)
        ),
    ]


def _import_problem(feed: str, state: str) -> str:
    if state == ImportState.NEEDS_REVIEW:
        return gettext("%(feed)s: an import needs your review", feed=feed)
    return gettext("%(feed)s: the last import failed", feed=feed)


def _problem_text(name: str, problem: str) -> str:
    return gettext("%(name)s: %(problem)s", name=name, problem=problem)


def _storage_problems(request: Request, workspace_id: UUID) -> list[Problem]:
    """Return the connections whose last test failed."""
    if not request.has_permission(Permission.STORAGE_VIEW):
        return []
    broken = (
        select(Connection)
        .where(Connection.workspace_id == workspace_id, Connection.error_message.is_not(None))
        .limit(MAX_PROBLEMS)
    )
    return [
        Problem(_problem_text(connection.name, error_text(connection)), request.path_in("storage"))
        for connection in request.db.scalars(broken)
    ]


def _count(model: type[Feed | Template | Run | Image], workspace_id: UUID) -> ScalarSelect[int]:
    return select(func.count()).where(model.workspace_id == workspace_id).scalar_subquery()
