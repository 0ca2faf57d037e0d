"""Runs: the list, starting one, watching it, its images as a zip."""

from typing import Any, Literal
from uuid import UUID

from pydantic import ConfigDict, ValidationError
from pyramid.httpexceptions import HTTPNotFound, HTTPSeeOther, HTTPUnprocessableEntity
from pyramid.renderers import render_to_response
from pyramid.response import Response
from pyramid.view import view_config
from slugify import slugify

from cwz_web.feeds.models import Feed
from cwz_web.feeds.queries import list_items, list_feeds
from cwz_web.generation.models import Template
from cwz_web.generation.templates import Design, list_templates, open_design
from cwz_web.generation.usage import QuotaExceededError, monthly_usage
from cwz_web.imaging.documents import DEFAULT_SIZE
from cwz_web.imaging.encoders import Format, Output
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import RunCollection, RunResource
from cwz_web.runs.auto_runs import find_auto_run, start_auto_run
from cwz_web.runs.mapping import SAMPLE, apply_mapping, guess_mapping
from cwz_web.runs.planning import (
    CANCELLED,
    MAX_OUTPUTS,
    EmptyFeedError,
    cancel_run,
    latest_runs,
    plan_run,
    plan_takes_long,
    retry_failed,
    start_run,
)
from cwz_web.runs.progress import PAGE, progress_of, results_after, warnings_of
from cwz_web.runs.sample_check import review
from cwz_web.runs.zip_download import entries_of, zip_stream
from cwz_web.storage.connections import list_connections
from cwz_web.storage.contract import InvalidSettingsError
from cwz_web.storage.models import Connection
from cwz_web.views.home import run_names
from cwz_web.views.images import image_links
from cwz_web.views.previews import uploads_of
from cwz_web.views.templates import preview_path
from cwz_web.web.forms import Filled, Form, empty_form, read_form
from cwz_web.web.request import Request
from cwz_web.web.transactions import release_connection
from cwz_web.web.urls import after_position
from cwz_web.workspaces.models import Workspace

DEFAULT = "=default"
FORMAT_WORDS = {Format.JPEG: "JPEG", Format.PNG: "PNG", Format.WEBP: "WebP", Format.AVIF: "AVIF"}


class RunForm(Form):
    """Which feed with which template. Beside it come the columns' fields (`map.<column>`), sizes (`size.<name>`) and
    formats (`format.<extension>`). A run begins with `confirm`; without it, its plan is shown."""

    model_config = ConfigDict(extra="ignore")

    feed: UUID
    template: UUID
    storage: UUID | Literal[""] = ""
    confirm: Literal["yes", ""] = ""


@view_config(context=RunCollection, request_method="GET", renderer="runs/list.jinja2", permission=Permission.VIEW)
def run_list(context: RunCollection, request: Request) -> dict[str, Any]:
    """The latest runs."""
    runs = latest_runs(request.db, request.workspace.workspace_id)
    return {"runs": [(run, progress_of(run)) for run in runs], "names": run_names(request, runs)}


@view_config(
    context=RunCollection,
    name="new",
    request_method="GET",
    renderer="runs/new.jinja2",
    permission=Permission.RUN_START,
    partial=False,
)
@view_config(
    context=RunCollection,
    name="new",
    request_method="GET",
    renderer="runs/_mapping.jinja2",
    permission=Permission.RUN_START,
    partial=True,
)
def new_run_page(context: RunCollection, request: Request) -> dict[str, Any]:
    """The form, with a guess which columns belong together and the image of the first row."""
    return _page(request, empty_form(), dict(request.GET))


@view_config(
    context=RunCollection,
    name="checks",
    request_method="GET",
    renderer="runs/checks.jinja2",
    permission=Permission.RUN_START,
    partial=False,
)
@view_config(
    context=RunCollection,
    name="checks",
    request_method="GET",
    renderer="runs/_checks.jinja2",
    permission=Permission.RUN_START,
    partial=True,
)
def check_rows(context: RunCollection, request: Request) -> dict[str, Any]:
    """What somebody should look at in the first rows, before a run renders them all."""
    workspace_id = request.workspace.workspace_id
    try:
        asked = RunForm.model_validate(dict(request.GET))
    except ValidationError:
        raise HTTPUnprocessableEntity("Choose a feed and a template") from None
    feed = request.db.get(Feed, (workspace_id, asked.feed))
    template = request.db.get(Template, (workspace_id, asked.template))
    if feed is None or template is None:
        raise HTTPNotFound
    design = open_design(request.db, template)
    mapping = _mapping_of(dict(request.GET), design, feed)
    rows = [apply_mapping(mapping, item.data) for item in list_items(request.db, feed, limit=SAMPLE)]
    uploads = uploads_of(request, template)
    release_connection(request)  # what is rendered may be fetched
    return {
        "feed": feed,
        "template": template,
        "review": review(request.services.image_service, uploads, design.document, rows),
    }


@view_config(
    context=RunCollection,
    name="new",
    request_method="POST",
    renderer="runs/new.jinja2",
    permission=Permission.RUN_START,
)
def new_run_form(context: RunCollection, request: Request) -> Any:
    """Show what a run would come to; once that is confirmed, start it and go to watch it."""
    form = read_form(RunForm, request.POST)
    if form.value is not None:
        workspace_id = request.workspace.workspace_id
        chosen = form.value
        feed = request.db.get(Feed, (workspace_id, chosen.feed))
        template = request.db.get(Template, (workspace_id, chosen.template))
        if feed is None or template is None:
            missing = "feed" if feed is None else "template"
            form = form.with_error(missing, f"There is no such {missing}; choose one of the list")
        else:
            design = open_design(request.db, template)
            arguments: dict[str, Any] = {
                "feed": feed,
                "template": template,
                "mapping": _mapping_of(form.typed, design, feed),
                "outputs": _outputs_of(form.typed, design),
                "connection_id": chosen.storage or None,
            }
            if len(arguments["outputs"]) > MAX_OUTPUTS:
                form = form.with_error("formats", f"A row can become {MAX_OUTPUTS} images at most: choose fewer")
                request.response.status = 422
                return _page(request, form, form.typed)
            try:
                if not chosen.confirm:
                    return _plan(request, form, arguments)
                quota = request.services.quotas.of(workspace_id, request.workspace.plan_status)
                run = start_run(request.db, **arguments, started_by=request.user.account.id, quota=quota)
            except (EmptyFeedError, InvalidSettingsError, QuotaExceededError) as error:
                form = form.with_error("feed", str(error))
            else:
                request.audit("run.start", f"{feed.name} with {template.name}", run=str(run.id), rows=run.total)
                return HTTPSeeOther(request.path_in("runs", run.id))
    request.response.status = 422
    return _page(request, form, form.typed)


def _plan(request: Request, form: Filled[RunForm], arguments: dict[str, Any]) -> Response:
    """What the run would come to, with the form's fields, hidden, and a button that starts it."""
    long = plan_takes_long(request.db, arguments["feed"], arguments["template"], arguments["outputs"])
    with request.services.stream_limiter.place(request.workspace.workspace_id, when=long):
        plan = plan_run(request.db, **arguments)
    if not plan.images:
        raise EmptyFeedError("This feed has no rows")
    quota = request.services.quotas.of(request.workspace.workspace_id, request.workspace.plan_status)
    left = (
        None if quota.cap is None else max(quota.cap - monthly_usage(request.db, quota.workspace_id, quota.workspace_id), 0)
    )
    page = {
        **arguments,
        "plan": plan,
        "left": left,
        "cap": quota.cap,
        "typed": form.typed,
        "WORDS": FORMAT_WORDS,
    }
    return render_to_response("runs/plan.jinja2", page, request=request)


@view_config(
    context=RunResource, request_method="GET", renderer="runs/show.jinja2", permission=Permission.VIEW, partial=False
)
def run_page(context: RunResource, request: Request) -> dict[str, Any]:
    """The run, and where the feed with its images' addresses is."""
    run = context.row
    feed = request.db.get_one(Feed, (run.workspace_id, run.feed_id))
    column = request.GET.get("column", "")
    column = column if column in feed.columns else ""
    workspace = request.db.get_one(Workspace, run.workspace_id)
    return show_run(context, request) | {
        "feed_is_there": feed.deleted_at is None,
        "columns": feed.columns,
        "column": column,
        "output_feed": request.services.signed_urls.output_feed(workspace, feed.id, run.template_id, column),
    }


@view_config(
    context=RunResource, request_method="GET", renderer="runs/_results.jinja2", permission=Permission.VIEW, partial=True
)
def show_run(context: RunResource, request: Request) -> dict[str, Any]:
    """How far it is, and the images so far; the page asks again for this part while the run goes on."""
    run = context.row
    position = after_position(request)
    results = results_after(request.db, run, position)
    feed = request.db.get(Feed, (run.workspace_id, run.feed_id))
    paths = {link.image.id: link.path for link in image_links(request, [a for _, a in results if a is not None])}
    return {
        "run": run,
        "progress": progress_of(run),
        "results": results,
        "paths": paths,
        "names": run_names(request, [run]),
        "failures": results_after(request.db, run, state="failed", but=CANCELLED, limit=10) if run.failed else [],
        "notes": warnings_of(request.db, run),
        "follows": feed is not None and find_auto_run(request.db, feed, run.template_id) is not None,
        "after": position,
        "more": results[-1][0].position if len(results) == PAGE else None,
    }


@view_config(context=RunResource, name="retry", request_method="POST", permission=Permission.RUN_RETRY)
def retry_run(context: RunResource, request: Request) -> Response:
    """Render again what failed."""
    retry_failed(
        request.db, context.row, request.services.quotas.of(context.row.workspace_id, request.workspace.plan_status)
    )
    names = run_names(request, [context.row])
    request.audit("run.retry", names.get(context.row.feed_id, ""), run=str(context.row.id))
    return HTTPSeeOther(request.path_in("runs", context.row.id))


@view_config(context=RunResource, name="cancel", request_method="POST", permission=Permission.RUN_START)
def cancel_form(context: RunResource, request: Request) -> Response:
    """Render no further images."""
    left_out = cancel_run(request.db, context.row)
    names = run_names(request, [context.row])
    request.audit("run.cancel", names.get(context.row.feed_id, ""), run=str(context.row.id), rows=left_out)
    return HTTPSeeOther(request.path_in("runs", context.row.id))


@view_config(context=RunResource, name="follow", request_method="POST", permission=Permission.RUN_START)
def follow_form(context: RunResource, request: Request) -> Response:
    """From now on, render by itself what changes in the run's feed."""
    start_auto_run(request.db, context.row)
    names = run_names(request, [context.row])
    request.audit("feed.follow", names.get(context.row.feed_id, ""), run=str(context.row.id))
    return HTTPSeeOther(request.path_in("runs", context.row.id))


@view_config(context=RunResource, name="images.zip", request_method="GET", permission=Permission.VIEW)
def download_run(context: RunResource, request: Request) -> Response:
    """All images of the run; the bytes flow after the transaction has ended."""
    run = context.row
    connection = request.db.get_one(Connection, (run.workspace_id, run.connection_id))
    bucket = request.services.providers.open(connection.spec)
    name = slugify(run_names(request, [run]).get(run.feed_id, ""), max_length=60) or "images"
    stream_limiter = request.services.stream_limiter
    with stream_limiter.place(run.workspace_id):  # of a large run, to find them takes long as well
        entries = entries_of(request.db, run)
    sent = stream_limiter.sent(run.workspace_id, zip_stream(entries, bucket))
    response = Response(app_iter=sent, content_type="application/zip")
    response.content_disposition = f'attachment; filename="{name}.zip"'
    return response


def _page(request: Request, form: Filled[RunForm], chosen: dict[str, Any]) -> dict[str, Any]:
    workspace_id = request.workspace.workspace_id
    feeds = list_feeds(request.db, workspace_id)
    templates = list_templates(request.db, workspace_id)
    feed = next((f for f in feeds if str(f.id) == chosen.get("feed")), feeds[0] if feeds else None)
    template = next((t for t in templates if str(t.id) == chosen.get("template")), templates[0] if templates else None)
    page = {
        "form": form,
        "feeds": feeds,
        "templates": templates,
        "feed": feed,
        "template": template,
        "formats": {format: FORMAT_WORDS[format] for format in Format},
        "chosen_formats": [f for f in Format if f"format.{f}" in chosen] or [Format.JPEG],
        "DEFAULT": DEFAULT,
        "connections": list_connections(request.db, workspace_id),
        "storage": chosen.get("storage", ""),
    }
    if feed is None or template is None:
        return page
    design = open_design(request.db, template)
    sample = list_items(request.db, feed, limit=SAMPLE)
    same = chosen.get("mapped") == f"{feed.id} {template.id}"
    mapping = (
        _mapping_of(chosen, design, feed)
        if same
        else guess_mapping(design.document.fields, feed.columns, [item.data for item in sample])
    )
    first = apply_mapping(mapping, sample[0].data) if sample else {}
    return page | {
        "design": design,
        "mapping": mapping,
        "first": first,
        "preview": preview_path(request, design, first),
        "mapped": f"{feed.id} {template.id}",
        "sizes": design.document.size_names,
        "chosen_sizes": [size for size in design.document.size_names if f"size.{size}" in chosen] or [DEFAULT_SIZE],
    }


def _outputs_of(typed: dict[str, str], design: Design) -> list[Output]:
    """What each row is rendered as: the formats that are ticked, in the sizes that are; of none, the first one."""
    sizes = [size for size in design.document.size_names if f"size.{size}" in typed] or [DEFAULT_SIZE]
    formats = [format for format in Format if f"format.{format}" in typed] or [Format.JPEG]
    return [Output(size=size, format=format) for size in sizes for format in formats]


def _mapping_of(typed: dict[str, str], design: Design, feed: Feed) -> dict[str, str]:
    """The mapping that the fields say: a column of the feed, nothing, or the template's default (left out)."""
    fields = {column.name: typed.get(f"map.{column.name}", DEFAULT) for column in design.document.fields}
    return {name: value for name, value in fields.items() if value == "" or value in feed.columns}
