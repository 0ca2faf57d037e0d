"""One run with its images, and what can be done with it. The list is in `run_list.py`, a new run in `new_run.py`."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from typing import Annotated, Literal
from urllib.parse import urlencode
from uuid import UUID

from pydantic import ConfigDict, Field
from pyramid.httpexceptions import HTTPConflict, HTTPSeeOther
from pyramid.response import Response
from pyramid.view import view_config
from sqlalchemy import select

from cwz_web.db.pagination import MAX_COUNT
from cwz_web.feeds.models import Feed
from cwz_web.generation.models import Image, Template
from cwz_web.i18n import gettext, gettext_noop, ngettext, number, translate_labels
from cwz_web.imaging.documents import DEFAULT_SIZE
from cwz_web.imaging.encoders import FORMAT_LABELS, Format
from cwz_web.ops.models import Export, ExportState
from cwz_web.ops.run_exports import find_run_export, is_outdated, request_run_export
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import RunResource
from cwz_web.runs.auto_runs import find_auto_run, start_auto_run
from cwz_web.runs.image_deletion import count_deleted_images
from cwz_web.runs.mapping import title_field
from cwz_web.runs.missing_photos import MAX_ATTEMPTS
from cwz_web.runs.models import Run, RunItem
from cwz_web.runs.planning import RUN_CANCELED, cancel_run, retry_run
from cwz_web.runs.progress import (
    PAGE,
    FindingCount,
    PostponedImages,
    Progress,
    RunState,
    count_identical_images,
    count_images_with_findings,
    findings_of,
    postponed_of,
    progress_of,
    results_after,
    state_of,
    state_text,
)
from cwz_web.runs.reports import finding_texts
from cwz_web.storage.contract import InvalidSettingsError
from cwz_web.storage.models import Connection
from cwz_web.stored_messages import translate_stored
from cwz_web.views.downloads import download_zip
from cwz_web.views.images import image_links
from cwz_web.web.forms import Form, read_form
from cwz_web.web.notices import add_notice
from cwz_web.web.rendering import duration
from cwz_web.web.request import Request
from cwz_web.web.text import shorten
from cwz_web.web.urls import after_position
from cwz_web.workspaces.models import Workspace

MAX_FAILURES = 10
MAX_INCOMPLETE = 10
MAX_TITLE = 80
WITH_FINDINGS = "findings"
STATE_FILTERS = {
    "": gettext_noop("All"),
    "done": gettext_noop("Ready"),
    WITH_FINDINGS: gettext_noop("With findings"),
    "incomplete": gettext_noop("Incomplete"),
    "failed": gettext_noop("Failed"),
}
BADGES = {
    RunState.PREPARING: "info",
    RunState.RUNNING: "info",
    RunState.NOT_STARTED: "error",
    RunState.STOPPED: "error",
    RunState.CANCELED: "",
    RunState.FAILED: "error",
    RunState.COMPLETED_WITH_FINDINGS: "warning",
    RunState.COMPLETED: "success",
}


@dataclass(frozen=True)
class RunRow:
    """A row of a table of runs."""

    run: Run
    feed: str
    template: str
    images: str
    state: str
    badge: str


class RunTab(StrEnum):
    """A tab of the page of a run, as in its URL."""

    IMAGES = ""
    FINDINGS = "findings"
    OUTPUT_FEED = "output-feed"
    AUTOMATION = "automation"


TAB_LABELS = {
    RunTab.IMAGES: gettext_noop("Images"),
    RunTab.FINDINGS: gettext_noop("Findings"),
    RunTab.OUTPUT_FEED: gettext_noop("Output feed"),
    RunTab.AUTOMATION: gettext_noop("Automation"),
}


@dataclass(frozen=True)
class ResultImage:
    """An image of a run, its size in words, the path of its thumbnail, and what is wrong with it."""

    item: RunItem
    image: Image
    size: str
    path: str
    is_incomplete: bool
    findings: list[str]


@dataclass(frozen=True)
class ResultRow:
    """The images of a row, in all sizes and formats, and its title if it has one beside its key."""

    key: str
    title: str
    images: list[ResultImage]


@dataclass(frozen=True)
class Tab:
    """A link to a tab of the page."""

    label: str
    path: str
    is_current: bool


@dataclass(frozen=True)
class ProblemRow:
    """A row whose image has failed or is incomplete, and why."""

    key: str
    size: str
    reason: str


class ResultsForm(Form):
    """What of a run is shown: a tab, images of one state, or images with one finding (`code`, `layer`, `message`)."""

    model_config = ConfigDict(extra="ignore")

    tab: RunTab = RunTab.IMAGES
    state: Literal["", "done", "findings", "incomplete", "failed"] = ""
    code: Annotated[str, Field(max_length=100)] = ""
    layer: Annotated[str, Field(max_length=200)] = ""
    message: Annotated[str, Field(max_length=1000)] = ""

    @property
    def finding(self) -> dict[str, str] | None:
        """What a finding has that the images are filtered by; None for no filter."""
        if not self.code:
            return {} if self.state == WITH_FINDINGS else None
        return {"code": self.code, "layer": self.layer, "message": self.message}

    @property
    def item_state(self) -> str | None:
        """The state of the items that are shown; None for all."""
        return self.state if self.state and self.state != WITH_FINDINGS else None


@dataclass(frozen=True)
class FindingLink:
    """A finding of a run, how many images have it, and the query that shows them."""

    text: str
    images: int
    query: str


@dataclass(frozen=True)
class StateFilter:
    """A link that shows only the images of one state; `images` is None if they are not counted."""

    label: str
    images: int | None
    query: str
    is_current: bool


@dataclass(frozen=True)
class ResultsFragment:
    """What runs/_results.jinja2 shows: the progress of a run, and its images or its findings so far.

    Attributes:
        is_stopped: Whether the run has ended without an attempt at all of its images.
        details: How many images are unchanged, incomplete, failed and identical, for each number that is not zero.
    """

    run: Run
    tab: RunTab
    tabs: list[Tab]
    progress: Progress
    is_preparing: bool
    is_stopped: bool
    is_live: bool
    finished: int
    state: str
    badge: str
    details: list[str]
    detail: str
    export: Export | None
    is_exporting: bool
    has_actions: bool
    export_error: str | None
    can_download: bool
    can_export: bool
    is_outdated: bool
    download_label: str
    retry_label: str
    rows: list[ResultRow]
    deleted: str
    failures: list[ProblemRow]
    more_failures: int
    failed_rows: list[ProblemRow]
    failed_query: str
    incomplete: list[ProblemRow]
    more_incomplete: int
    findings: list[FindingLink]
    finding: str
    postponed: str
    filters: list[StateFilter]
    query: str
    is_first: bool
    first_query: str
    next_query: str


@dataclass(frozen=True)
class RunPage(ResultsFragment):
    """What runs/show.jinja2 shows."""

    feed_name: str
    template_name: str
    is_automatic: bool
    has_feed: bool
    columns: list[str]
    column: str
    output_feed: str


def run_rows(request: Request, runs: list[Run]) -> list[RunRow]:
    """Return the rows of a table of runs."""
    names = run_names(request, runs)
    return [run_row(run, names.get(run.feed_id, ""), names.get(run.template_id, "")) for run in runs]


def run_row(run: Run, feed: str, template: str) -> RunRow:
    """Return the row of a run, with the names of its feed and template."""
    images = gettext("%(done)s of %(total)s", done=number(run.done), total=number(run.total))
    return RunRow(run, feed, template, images=images, state=_state_text(run), badge=BADGES[state_of(run)])


def run_names(request: Request, runs: Iterable[Run]) -> dict[UUID | None, str]:
    """Return the names of the feeds and templates of some runs, by id, with two queries."""
    names: dict[UUID | None, str] = {}
    workspace_id = request.workspace.workspace_id
    runs = list(runs)
    for model, ids in ((Feed, {run.feed_id for run in runs}), (Template, {run.template_id for run in runs})):
        rows = request.db.execute(
            select(model.id, model.name).where(model.workspace_id == workspace_id, model.id.in_(ids))
        )
        names |= {row.id: row.name for row in rows}
    return names


@view_config(
    context=RunResource, request_method="GET", renderer="runs/show.jinja2", permission=Permission.VIEW, partial=False
)
def show_run(context: RunResource, request: Request) -> RunPage:
    """Show a run, its images, and its output feed."""
    run = context.row
    feed = request.db.get_one(Feed, (run.workspace_id, run.feed_id))
    column = request.GET.get("column", "")
    column = column if column in feed.columns else ""
    workspace = request.db.get_one(Workspace, run.workspace_id)
    return RunPage(
        **vars(show_results(context, request)),
        feed_name=feed.name,
        template_name=run_names(request, [run])[run.template_id],
        is_automatic=find_auto_run(request.db, feed, run.template_id) is not None,
        has_feed=feed.deleted_at is None,
        columns=feed.columns,
        column=column,
        output_feed=request.services.signed_urls.output_feed(workspace, feed.id, run.template_id, column),
    )


@view_config(
    context=RunResource, request_method="GET", renderer="runs/_results.jinja2", permission=Permission.VIEW, partial=True
)
def show_results(context: RunResource, request: Request) -> ResultsFragment:
    """Show the progress and the images of a run; the page polls it while the run or its zip file is in progress."""
    run, position = context.row, after_position(request)
    state, progress = state_of(run), progress_of(run)
    form = read_form(ResultsForm, request.GET).value or ResultsForm()
    tab = form.tab
    shows_images, shows_findings = tab == RunTab.IMAGES, tab == RunTab.FINDINGS
    results = _shown_results(request, run, form, position) if shows_images else []
    paths = {link.image.id: link.path for link in image_links(request, [image for _, image in results if image])}
    export = find_run_export(request.db, run)
    has_failures = shows_findings and _failed_images(run)
    failures = _problems(request, run, "failed", MAX_FAILURES) if has_failures else []
    incomplete = _problems(request, run, "incomplete", MAX_INCOMPLETE) if shows_findings and run.incomplete else []
    postponed = None if progress.finished else postponed_of(request.db, run)
    is_exporting = export is not None and export.state == ExportState.PENDING
    can_download = export is not None and export.state == ExportState.DONE
    can_export = _can_export(run, export)
    return ResultsFragment(
        run=run,
        tab=tab,
        tabs=_tabs(request, run, tab),
        progress=progress,
        is_preparing=state == RunState.PREPARING,
        is_stopped=state in (RunState.NOT_STARTED, RunState.STOPPED),
        is_live=not progress.finished or is_exporting,
        finished=run.done + run.incomplete + (0 if run.error_message else run.failed),
        state=state_text(run),
        badge=BADGES[state],
        details=_details(run, count_identical_images(request.db, run)),
        detail=_detail(state, progress, postponed),
        export=export,
        is_exporting=is_exporting,
        has_actions=(shows_images or shows_findings)
        and (is_exporting or can_download or can_export or _can_change(request, run, progress)),
        export_error=_export_error(export),
        can_download=can_download,
        can_export=can_export,
        is_outdated=export is not None and is_outdated(export, run),
        download_label=_download_label(run, export),
        retry_label=_retry_label(state),
        rows=_result_rows(run, [_result_image(run, item, image, paths[image.id]) for item, image in results if image]),
        deleted=_deleted_text(count_deleted_images(request.db, run)) if shows_images else "",
        failures=failures,
        more_failures=run.failed - len(failures) if failures else 0,
        failed_rows=_problem_rows(run, [result for result in results if _has_no_image(*result)]),
        failed_query=_results_query(state="failed"),
        incomplete=incomplete,
        more_incomplete=run.incomplete - len(incomplete),
        findings=[_finding_link(each) for each in findings_of(request.db, run)] if shows_findings else [],
        finding=f"{form.layer} {translate_stored(form.message)}".strip(),
        postponed=_postponed_text(postponed),
        filters=_state_filters(run, form.state, count_images_with_findings(request.db, run) if shows_images else 0),
        query=_results_query(**form.model_dump(), after=position),
        is_first=not position,
        first_query=_results_query(**form.model_dump()),
        next_query=_results_query(**form.model_dump(), after=results[-1][0].position) if len(results) == PAGE else "",
    )


@view_config(context=RunResource, name="retry", request_method="POST", permission=Permission.RUN_RETRY)
def retry(context: RunResource, request: Request) -> Response:
    """Render the failed and incomplete images of a run again."""
    run = context.row
    if retry_run(request.db, run, request.services.quotas.of(run.workspace_id, request.workspace.plan_status)):
        return _redirect(request, run, "run.retry")
    return HTTPSeeOther(request.path_in("runs", run.id))


@view_config(context=RunResource, name="cancel", request_method="POST", permission=Permission.RUN_START)
def cancel(context: RunResource, request: Request) -> Response:
    """Cancel a run."""
    left_out = cancel_run(request.db, context.row)
    if left_out is not None:
        undo = request.path_in("runs", context.row.id, "retry")
        add_notice(request, gettext("Run canceled."), undo=undo if request.has_permission(Permission.RUN_RETRY) else "")
        return _redirect(request, context.row, "run.cancel", rows=left_out)
    return HTTPSeeOther(request.path_in("runs", context.row.id))


@view_config(context=RunResource, name="auto-run", request_method="POST", permission=Permission.RUN_START)
def turn_on_auto_run(context: RunResource, request: Request) -> Response:
    """Start runs like this one automatically when the feed changes."""
    start_auto_run(request.db, context.row)
    stop = request.path_in("feeds", context.row.feed_id, "stop-auto-run")
    add_notice(request, gettext("Automatic runs are on."), undo=stop, template=str(context.row.template_id))
    return _redirect(request, context.row, "auto_run.enable", tab=RunTab.AUTOMATION)


@view_config(context=RunResource, name="zip", request_method="POST", permission=Permission.VIEW)
def prepare_zip(context: RunResource, request: Request) -> Response:
    """Let a job create the zip file of a run's images."""
    run = context.row
    if state_of(run).is_in_progress:
        raise HTTPConflict(gettext("Wait until the run has finished, then prepare the zip"))
    if not _can_export(run, find_run_export(request.db, run)):
        return HTTPSeeOther(request.path_in("runs", run.id))
    with suppress(InvalidSettingsError):  # the run's connection was removed, so there is nothing to download
        request_run_export(request.db, run, request.user.account.id)
        return _redirect(request, run, "run.zip")
    return HTTPSeeOther(request.path_in("runs", run.id))


@view_config(context=RunResource, name="images.zip", request_method="GET", permission=Permission.VIEW)
def download_run_zip(context: RunResource, request: Request) -> Response:
    """Download the newest zip file of a run's images."""
    run = context.row
    export = find_run_export(request.db, run)
    connection = request.db.get(Connection, (run.workspace_id, run.connection_id))
    if export is None or export.key is None or connection is None:
        return HTTPSeeOther(request.path_in("runs", run.id))
    return download_zip(request, connection.spec, export.key)


def _redirect(request: Request, run: Run, action: str, *, tab: RunTab = RunTab.IMAGES, **details: object) -> Response:
    """Record an action in the activity log, and redirect to the run."""
    request.audit(action, run_names(request, [run]).get(run.feed_id, ""), run=str(run.id), **details)
    return HTTPSeeOther(request.path_in("runs", run.id) + _results_query(tab=tab))


def _can_change(request: Request, run: Run, progress: Progress) -> bool:
    """Return whether the user can cancel the run or retry its images."""
    if not progress.finished:
        return bool(request.has_permission(Permission.RUN_START))
    return bool((run.failed or run.incomplete) and request.has_permission(Permission.RUN_RETRY))


def _export_error(export: Export | None) -> str | None:
    """Return why the zip file could not be created, if so."""
    if export is None or export.state != ExportState.FAILED or export.error_message is None:
        return None
    return translate_stored(export.error_message)


def _can_export(run: Run, export: Export | None) -> bool:
    """Return whether a zip of the run can be requested: not while it is rendered, when the zip would lack images."""
    if state_of(run).is_in_progress or not run.done + run.incomplete:
        return False
    if export is None or export.state == ExportState.FAILED:
        return True
    return export.state != ExportState.PENDING and is_outdated(export, run)


def _download_label(run: Run, export: Export | None) -> str:
    """Return the label of the link to a zip; that of an outdated one says how many images it has, if that is known."""
    if export is None or not is_outdated(export, run):
        return gettext("Download zip")
    if export.images is None:
        return gettext("Download earlier zip")
    return ngettext(
        "Download earlier zip of %(count)s image", "Download earlier zip of %(count)s images", export.images
    )


def _state_text(run: Run) -> str:
    state = state_of(run)
    if state == RunState.RUNNING:
        return gettext("%(percent)s%%", percent=progress_of(run).percent)
    if state != RunState.FAILED:
        return state_text(run)
    failed = number(run.failed)
    if not run.findings:
        return gettext("%(failed)s failed", failed=failed)
    findings = run.findings
    return ngettext(
        "%(failed)s failed, %(count)s finding", "%(failed)s failed, %(count)s findings", findings, failed=failed
    )


def _has_no_image(item: RunItem, image: Image | None) -> bool:
    """Return whether no image was rendered; one that was deleted since is no problem."""
    return image is None and item.state not in ("done", "incomplete")


def _deleted_text(images: int) -> str:
    if images > MAX_COUNT:
        return gettext("More than %(number)s images deleted", number=number(MAX_COUNT))
    return ngettext("%(count)s image deleted", "%(count)s images deleted", images) if images else ""


def _problems(request: Request, run: Run, state: str, limit: int) -> list[ProblemRow]:
    """Return the first rows of a state, with the reasons."""
    return _problem_rows(run, results_after(request.db, run, state=state, limit=limit))


def _problem_rows(run: Run, results: Iterable[tuple[RunItem, Image | None]]) -> list[ProblemRow]:
    return [ProblemRow(item.key, _size_of(run, item), _reason(item)) for item, _ in results]


def _reason(item: RunItem) -> str:
    if item.state == "pending":
        return gettext(RUN_CANCELED)
    if item.error:
        return translate_stored(item.error)
    return "; ".join(finding_texts(item))


def _size_of(run: Run, item: RunItem) -> str:
    """Return the name of an image's size, if the run has several."""
    sizes = {output["size"] for output in run.outputs}
    if len(sizes) < 2:
        return ""
    name = str(run.outputs[item.output]["size"])
    return gettext("default") if name == DEFAULT_SIZE else name


def _result_image(run: Run, item: RunItem, image: Image, path: str) -> ResultImage:
    formats = {output["format"] for output in run.outputs}
    file_format = FORMAT_LABELS[Format(run.outputs[item.output]["format"])] if len(formats) > 1 else ""
    names = [name for name in (_size_of(run, item), f"{image.width} × {image.height}", file_format) if name]
    findings = finding_texts(item)
    return ResultImage(item, image, ", ".join(names), path, item.state == "incomplete", findings)


def _result_rows(run: Run, images: list[ResultImage]) -> list[ResultRow]:
    """Return the images by row; those of a row follow one another."""
    field = title_field(run.mapping)
    rows = [(key, list(group)) for key, group in groupby(images, key=lambda each: each.item.key)]
    return [ResultRow(key, _row_title(key, group[0].item, field), group) for key, group in rows]


def _row_title(key: str, item: RunItem, field: str | None) -> str:
    title = " ".join(item.data.get(field, "").split()) if field else ""
    return shorten(title, MAX_TITLE) if title != key else ""


def _tabs(request: Request, run: Run, current: RunTab) -> list[Tab]:
    """Return the tabs that the user may see."""
    hidden = set() if request.has_permission(Permission.RUN_START) else {RunTab.OUTPUT_FEED, RunTab.AUTOMATION}
    # An incomplete image has a finding that says what it lacks.
    path, issues = request.path_in("runs", run.id), run.findings + _failed_images(run)
    labels = translate_labels(TAB_LABELS)
    if issues:
        labels[RunTab.FINDINGS] = gettext("Findings (%(number)s)", number=number(issues))
    return [
        Tab(label, path + _results_query(tab=tab), tab == current) for tab, label in labels.items() if tab not in hidden
    ]


def _results_query(**parameters: object) -> str:
    """Return the query of a page of results, with its question mark; empty for the first page of all."""
    used = {name: value for name, value in parameters.items() if value}
    return f"?{urlencode(used)}" if used else ""


def _shown_results(request: Request, run: Run, form: ResultsForm, position: int) -> list[tuple[RunItem, Image | None]]:
    return results_after(request.db, run, position, state=form.item_state, finding=form.finding)


def _finding_link(finding: FindingCount) -> FindingLink:
    query = _results_query(code=finding.code, layer=finding.layer, message=finding.message)
    return FindingLink(f"{finding.layer} {translate_stored(finding.message)}".strip(), finding.images, query)


def _failed_images(run: Run) -> int:
    """Return how many images have failed, without those that were left out of a run that was canceled or stopped."""
    return 0 if run.error_message or run.canceled_at else run.failed


def _state_filters(run: Run, current: str, with_findings: int) -> list[StateFilter]:
    """Return the links to the images of each state; none if all images are ready or all are incomplete.

    Args:
        run: the run.
        current: the state that is chosen.
        with_findings: how many images have findings, at most MAX_COUNT + 1; one image can have several.
    """
    numbers = {"done": run.done, "incomplete": run.incomplete, "failed": 0 if run.error_message else run.failed}
    is_mixed = numbers["failed"] or (numbers["done"] and numbers["incomplete"]) or run.findings
    if not current and not is_mixed:
        return []
    numbers |= {"": sum(numbers.values()), WITH_FINDINGS: with_findings}
    return [
        StateFilter(
            label=gettext(label),
            images=None if state == WITH_FINDINGS and with_findings > MAX_COUNT else numbers[state],
            query=_results_query(state=state),
            is_current=state == current,
        )
        for state, label in STATE_FILTERS.items()
        if numbers[state] or state == current
    ]


def _postponed_text(postponed: PostponedImages | None) -> str:
    """Say which images wait for their photos, and for how long at most."""
    if postponed is None:
        return ""
    return ngettext(
        "%(count)s image waits for a photo whose host did not respond: "
        "attempt %(attempt)s of %(attempts)s at %(time)s UTC",
        "%(count)s images wait for photos whose hosts did not respond: "
        "attempt %(attempt)s of %(attempts)s at %(time)s UTC",
        postponed.images,
        attempt=postponed.attempt,
        attempts=MAX_ATTEMPTS,
        time=f"{postponed.next_at:%H:%M:%S}",
    )


def _details(run: Run, identical: int) -> list[str]:
    """Return how many images are unchanged, incomplete, failed and identical, for each number that is not zero."""
    details = []
    if run.unchanged:
        details.append(ngettext("%(count)s of them unchanged", "%(count)s of them unchanged", run.unchanged))
    if run.incomplete:
        details.append(ngettext("%(count)s incomplete", "%(count)s incomplete", run.incomplete))
    if run.failed and run.canceled_at:
        details.append(
            ngettext("%(count)s left out: the run was canceled", "%(count)s left out: the run was canceled", run.failed)
        )
    elif run.failed:
        details.append(ngettext("%(count)s failed", "%(count)s failed", run.failed))
    if identical:
        details.append(ngettext("%(count)s identical to another", "%(count)s identical to others", identical))
    return details


def _detail(state: RunState, progress: Progress, postponed: PostponedImages | None) -> str:
    if state == RunState.PREPARING:
        return gettext("A million rows take about a minute. Unchanged images are not rendered again")
    if state in (RunState.NOT_STARTED, RunState.STOPPED):
        return gettext("Images that were not rendered do not count")
    rate = number(progress.per_second, digits=1)
    if progress.finished:
        return gettext("%(rate)s per second", rate=rate)
    if progress.seconds_left is not None:
        left = duration(progress.seconds_left)
        return gettext("%(rate)s per second, about %(time)s left", rate=rate, time=left)
    if postponed is not None and postponed.images == progress.total:
        return gettext("Waiting for the hosts of photos")
    return gettext("Waiting for a render worker")


def _retry_label(state: RunState) -> str:
    if state == RunState.CANCELED:
        return gettext("Resume run")
    return gettext("Retry run") if state in (RunState.NOT_STARTED, RunState.STOPPED) else gettext("Retry images")
