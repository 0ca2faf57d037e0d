"""`/v1/runs`: a feed rendered with a template, begun and followed by a program."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field, field_validator
from pyramid.response import Response
from pyramid.view import view_config
from sqlalchemy.orm import Session

from cwz_web.api.images import check_template, unknown_template
from cwz_web.api.pagination import Answer, limit_of, position_after, rows_of, transaction
from cwz_web.api.request_body import Body, read_body
from cwz_web.feeds.models import Feed
from cwz_web.feeds.queries import list_items
from cwz_web.generation.api_keys import ApiKeyIdentity
from cwz_web.generation.templates import find_template, open_design
from cwz_web.imaging.documents import DEFAULT_SIZE
from cwz_web.imaging.encoders import Format, Output
from cwz_web.notify.webhooks import WebhookUrl
from cwz_web.resources.api import ApiRun, ApiRunCollection
from cwz_web.resources.permissions import Permission
from cwz_web.runs.mapping import SAMPLE, guess_mapping
from cwz_web.runs.models import Run
from cwz_web.runs.planning import (
    CANCELLED,
    MAX_OUTPUTS,
    EmptyFeedError,
    cancel_run,
    plan_run,
    plan_takes_long,
    retry_failed,
    start_run,
)
from cwz_web.runs.progress import describe_run, results_after
from cwz_web.storage.contract import InvalidSettingsError
from cwz_web.web.problems import ProblemError
from cwz_web.web.request import Request
from cwz_web.workspaces.audit import record
from cwz_web.workspaces.models import Workspace


class RunOutput(Body):
    """One of the images that each row becomes: a size of the template, by name, and how it is written."""

    size: Annotated[str, Field(max_length=40)] = DEFAULT_SIZE
    format: Format = Format.JPEG
    quality: Annotated[int, Field(ge=1, le=100)] = 84
    scale: Annotated[int, Field(ge=1, le=3)] = 1


class RunRequest(Body):
    """The body of `POST /v1/runs`, and of `POST /v1/runs/plan`, which begins nothing.

    `mapping` gives the feed's column for some of the template's; others are guessed. Each row is rendered once for each of
    the `outputs`. `webhook` is told when the run is over.
    """

    feed: UUID
    template: Annotated[str, Field(min_length=1, max_length=100)]
    mapping: dict[str, Annotated[str, Field(max_length=200)]] = Field({}, max_length=200)
    outputs: list[RunOutput] = Field([RunOutput()], min_length=1, max_length=MAX_OUTPUTS)
    webhook: WebhookUrl | None = None

    @field_validator("outputs")
    @classmethod
    def _all_differ(cls, outputs: list[RunOutput]) -> list[RunOutput]:
        if len(set(outputs)) < len(outputs):
            raise ValueError("no two outputs may be the same")
        return outputs


class RunPlanInfo(Answer):
    """What a run would come to. `removed` and `invalid` are rows, the others images; `to_render` is how many of this
    month's images it would use up."""

    rows: int
    images: int
    new: int
    changed: int
    unchanged: int
    removed: int
    invalid: int
    to_render: int


class RunInfo(Answer):
    """A run. `unchanged` of the images that are `done` were there already. It is over when `ended_at` says when.

    A large one is `prepared` a while after it began: then what is unchanged is known, and its images count. When that
    cannot be done, since this month has no room for them for instance, they have `failed`, and `trouble` says why.
    """

    id: UUID
    feed: UUID
    template: UUID
    version: int
    outputs: list[RunOutput]
    prepared: bool
    total: int
    done: int
    failed: int
    unchanged: int
    cancelled: bool
    trouble: str | None
    begun_at: datetime
    ended_at: datetime | None


class RunStatus(RunInfo):
    """A run, and the address of its feed's rows with those of their newest images, as CSV."""

    output_feed: str


class RunPage(Answer):
    """Some of the runs, newest first."""

    runs: list[RunInfo]
    next: str | None


class RunItemInfo(Answer):
    """What became of a row in one of the run's outputs (by its index): an image, or why there is none.

    `note` says what is missing in an image.
    """

    key: str
    output: int
    state: str
    error: str | None
    note: str | None
    image: UUID | None
    url: str | None


class RunItemPage(Answer):
    """Some of a run's rows that have ended, in the feed's order."""

    items: list[RunItemInfo]
    next: str | None


@view_config(context=ApiRunCollection, request_method="GET", renderer="json", permission=Permission.API_READ)
def runs(context: ApiRunCollection, request: Request) -> dict[str, Any]:
    """The workspace's runs."""
    with transaction(request) as db:
        found, more = rows_of(request, db, Run, Run.feed_id.is_not(None))
    return RunPage(runs=[_run(each) for each in found], next=more).model_dump(mode="json")


@view_config(context=ApiRunCollection, request_method="POST", permission=Permission.GENERATE, require_csrf=False)
def begin_run(context: ApiRunCollection, request: Request) -> Response:
    """Render every row of a feed that has not been rendered like that before."""
    wanted, owner = read_body(request, RunRequest), request.api_key
    with transaction(request) as db:
        arguments = _arguments(db, owner, wanted)
        try:
            quota = request.services.quotas.of(owner.workspace_id, owner.plan_status, owner)
            run = start_run(db, **arguments, started_by=None, quota=quota, webhook=wanted.webhook)
        except (EmptyFeedError, InvalidSettingsError) as error:
            raise nothing_to_render(error) from None
        _note(db, request, "run.start", run)
    response = Response(json_body=_run(run).model_dump(mode="json"), status=201)
    response.location = f"{request.path_url.rstrip('/')}/{run.id}"
    return response


@view_config(
    context=ApiRunCollection,
    name="plan",
    request_method="POST",
    renderer="json",
    permission=Permission.GENERATE,
    require_csrf=False,
)
def plan(context: ApiRunCollection, request: Request) -> dict[str, Any]:
    """What a run would come to, without beginning it."""
    wanted, owner = read_body(request, RunRequest), request.api_key
    with transaction(request) as db:
        arguments = _arguments(db, owner, wanted)
        long = plan_takes_long(db, arguments["feed"], arguments["template"], arguments["outputs"])
        try:
            with request.services.stream_limiter.place(owner.workspace_id, when=long):
                planned = plan_run(db, **arguments)
        except InvalidSettingsError as error:
            raise nothing_to_render(error) from None
    return RunPlanInfo(**asdict(planned), to_render=planned.to_render).model_dump(mode="json")


@view_config(context=ApiRun, request_method="GET", renderer="json", permission=Permission.API_READ)
def run_status(context: ApiRun, request: Request) -> dict[str, Any]:
    """How far a run is."""
    run = context.row
    assert run.feed_id is not None  # ApiRunCollection includes no other run
    with transaction(request) as db:
        workspace = db.get_one(Workspace, run.workspace_id)
    address = request.services.signed_urls.output_feed(workspace, run.feed_id, run.template_id)
    return RunStatus(**describe_run(run), output_feed=address).model_dump(mode="json")


@view_config(context=ApiRun, name="items", request_method="GET", renderer="json", permission=Permission.API_READ)
def run_items(context: ApiRun, request: Request) -> dict[str, Any]:
    """What became of the rows so far."""
    limit, signed_urls = limit_of(request), request.services.signed_urls
    with transaction(request) as db:
        results = results_after(db, context.row, position_after(request), limit=limit)
    items = [
        RunItemInfo(
            key=item.key,
            output=item.output,
            state="failed" if item.state == "pending" else item.state,
            error=CANCELLED if item.state == "pending" else item.error,
            note=item.note,
            image=item.image_id,
            url=request.services.settings.url + signed_urls.image(image) if image else None,
        )
        for item, image in results
    ]
    more = str(results[-1][0].position) if len(results) == limit else None
    return RunItemPage(items=items, next=more).model_dump(mode="json")


@view_config(
    context=ApiRun,
    name="cancel",
    request_method="POST",
    renderer="json",
    permission=Permission.GENERATE,
    require_csrf=False,
)
def cancel(context: ApiRun, request: Request) -> dict[str, Any]:
    """Render no further rows."""
    with transaction(request) as db:
        run = db.get_one(Run, (context.row.workspace_id, context.row.id))
        cancel_run(db, run)
        _note(db, request, "run.cancel", run)
    return _run(run).model_dump(mode="json")


@view_config(
    context=ApiRun,
    name="retry",
    request_method="POST",
    renderer="json",
    permission=Permission.GENERATE,
    require_csrf=False,
)
def retry(context: ApiRun, request: Request) -> dict[str, Any]:
    """Render again what failed or was cancelled."""
    owner = request.api_key
    with transaction(request) as db:
        run = db.get_one(Run, (context.row.workspace_id, context.row.id))
        retry_failed(db, run, request.services.quotas.of(owner.workspace_id, owner.plan_status, owner))
        _note(db, request, "run.retry", run)
    return _run(run).model_dump(mode="json")


def _arguments(db: Session, owner: ApiKeyIdentity, wanted: RunRequest) -> dict[str, Any]:
    """What a run takes: feed, template, mapping and outputs. Raises Problem."""
    feed = db.get(Feed, (owner.workspace_id, wanted.feed))
    if feed is None or feed.deleted_at:
        raise ProblemError(422, "unknown_feed", "There is no such feed", {"feed": "Use its id"})
    template = find_template(db, owner.workspace_id, wanted.template)
    if template is None:
        raise unknown_template()
    check_template(owner, template.id)
    design = open_design(db, template)
    columns = {column.name for column in design.document.fields}
    wrong = {f"mapping.{name}": "The template has no such column" for name in wanted.mapping.keys() - columns}
    known = {"", *feed.columns}
    wrong |= {f"mapping.{n}": "The feed has no such column" for n, c in wanted.mapping.items() if c not in known}
    if wrong:
        raise ProblemError(422, "invalid", "The request is not valid", wrong)
    rows = [item.data for item in list_items(db, feed, limit=SAMPLE)]
    mapping = guess_mapping(design.document.fields, feed.columns, rows) | wanted.mapping
    outputs = [Output.model_validate(output.model_dump()) for output in wanted.outputs]
    return {"feed": feed, "template": template, "mapping": mapping, "outputs": outputs}


def nothing_to_render(error: Exception) -> ProblemError:
    """The feed has no rows, or the workspace no storage."""
    return ProblemError(422, "nothing_to_render", str(error), {"feed": str(error)})


def _note(db: Session, request: Request, action: str, run: Run) -> None:
    feed = db.get_one(Feed, (run.workspace_id, run.feed_id))
    record(db, run.workspace_id, request.actor, action, feed.name, {"run": str(run.id)})


def _run(run: Run) -> RunInfo:
    return RunInfo.model_validate(describe_run(run))
