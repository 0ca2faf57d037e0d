"""The list of runs: search, filters, order and pages."""

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from cwz_web.feeds.queries import list_feed_names
from cwz_web.generation.templates import list_template_names
from cwz_web.i18n import gettext
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import RunCollection
from cwz_web.runs.run_list import RUN_SORTS, RUN_STATES, ListedRun, find_runs
from cwz_web.views.images import image_links
from cwz_web.views.runs import RunRow, run_row
from cwz_web.web.lists import Filter, ListControls, ListForm, choose_sort, filter_labels, keep_url, read_list_form
from cwz_web.web.rendering import page_view
from cwz_web.web.request import Request


class RunListForm(ListForm):
    """Which runs are shown."""

    state: Literal["", "running", "completed", "findings", "failed", "canceled"] = ""
    feed: UUID | Literal[""] = ""
    template: UUID | Literal[""] = ""


@dataclass(frozen=True)
class ListedRunRow(RunRow):
    """A row of the list of runs, with its name and the paths of thumbnails of its first images."""

    name: str
    thumbnails: tuple[str, ...]


@dataclass(frozen=True)
class RunListPage:
    """What runs/list.jinja2 and runs/_list.jinja2 show."""

    runs: list[ListedRunRow]
    list: ListControls


@page_view("runs/list.jinja2", "runs/_list.jinja2", context=RunCollection, permission=Permission.VIEW)
def list_runs(context: RunCollection, request: Request) -> RunListPage:
    """Show a page of the runs, of all or of those that match the filters."""
    form = read_list_form(RunListForm, request)
    sort = choose_sort(RUN_SORTS, form.sort)
    page = find_runs(
        request.db,
        request.workspace.workspace_id,
        search=form.search,
        state=form.state,
        feed_id=form.feed or None,
        template_id=form.template or None,
        sort=sort,
        after=form.after or None,
    )
    controls = ListControls(
        noun="runs",
        search=form.search,
        filters=_run_filters(request, form),
        sorts=RUN_SORTS,
        sort=sort,
        count=page.count,
        after=str(form.after),
        next_after=page.next_after,
        placeholder=gettext("Search by feed or template…"),
    )
    keep_url(request, controls)
    return RunListPage([_listed_run(request, listed) for listed in page.rows], controls)


def _run_filters(request: Request, form: RunListForm) -> tuple[Filter, ...]:
    db, workspace_id = request.db, request.workspace.workspace_id
    states = filter_labels(RUN_STATES)
    feeds, templates = list_feed_names(db, workspace_id), list_template_names(db, workspace_id)
    return (
        Filter("state", gettext("State"), {"": gettext("All states"), **states}, form.state),
        Filter("feed", gettext("Feed"), {"": gettext("All feeds"), **feeds}, str(form.feed)),
        Filter("template", gettext("Template"), {"": gettext("All templates"), **templates}, str(form.template)),
    )


def _listed_run(request: Request, listed: ListedRun) -> ListedRunRow:
    return ListedRunRow(
        **vars(run_row(listed.run, listed.feed, listed.template)),
        name=listed.name,
        thumbnails=tuple(link.path for link in image_links(request, listed.images)),
    )
