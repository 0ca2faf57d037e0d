"""`/v1/runs`: render a feed with a template, and follow the run."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, field_validator
from pyramid.response import Response
from pyramid.view import view_config
from sqlalchemy.orm import Session

from cwz_web.api.pagination import ResponseModel, page_limit, paginate, position_after, transaction
from cwz_web.api.request_body import Body, Metadata, read_body
from cwz_web.api.templates import check_template, unknown_template
from cwz_web.api.waiting import wait_until_finished
from cwz_web.feeds.models import Feed
from cwz_web.feeds.queries import list_items
from cwz_web.generation.api_keys import ApiKeyIdentity
from cwz_web.generation.image_urls import ImageUrls
from cwz_web.generation.templates import find_template, load_design
from cwz_web.imaging.documents import DEFAULT_SIZE
from cwz_web.imaging.encoders import Encoding, Format, Output
from cwz_web.imaging.findings import Finding, FindingCode
from cwz_web.notify.webhooks import WebhookUrl
from cwz_web.resources.api import ApiRun, ApiRunCollection
from cwz_web.resources.permissions import Permission
from cwz_web.runs.mapping import SAMPLE, guess_mapping, mapped_columns
from cwz_web.runs.missing_photos import MAX_ATTEMPTS, OnMissingPhoto
from cwz_web.runs.models import Run
from cwz_web.runs.planning import (
    MAX_OUTPUTS,
    RUN_CANCELED,
    EmptyFeedError,
    RunSpec,
    cancel_run,
    plan_run,
    plan_takes_long,
    retry_run,
    start_run,
)
from cwz_web.runs.progress import RunState, describe_run, findings_of, postponed_of, results_after
from cwz_web.runs.reports import FINDINGS
from cwz_web.storage.contract import InvalidSettingsError
from cwz_web.web.problems import ProblemError
from cwz_web.web.request import Request
from cwz_web.workspaces.audit import record
from cwz_web.workspaces.models import Workspace

# The states of finished items.
ITEM_STATES = ("done", "incomplete", "failed")


class RunOutput(Encoding, Body):
    """One of the images of each row: the name of a size of the template, the format and how it is encoded."""

    size: Annotated[str, Field(max_length=40)] = DEFAULT_SIZE
    format: Format = Format.JPEG
    scale: Annotated[int, Field(ge=1, le=3)] = 1


class RunRequest(Body):
    """The body of `POST /v1/runs`, and of `POST /v1/runs/plan`, which starts nothing.

    `mapping` names the feed's column for a field of the template; columns of other fields are guessed. Each row is
    rendered once for each of the `outputs`. `webhook` is a URL that is notified when the run has finished.

    `force` renders every image again, also those that have not changed. `refresh_photos` asks the hosts of photos
    whether they have changed, and renders their images again. `on_missing_photo` decides about an image whose photo is
    missing: `keep` keeps the row's earlier image in the output feed, `replace` replaces it, `fail` renders nothing.

    `metadata` is returned with the run, and in the webhooks of the run and its images.
    """

    feed: UUID
    template: Annotated[str, Field(min_length=1, max_length=100)]
    mapping: dict[str, Annotated[str, Field(max_length=200)]] = Field({}, max_length=200)
    outputs: list[RunOutput] = Field([RunOutput()], min_length=1, max_length=MAX_OUTPUTS)
    webhook: WebhookUrl | None = None
    force: bool = False
    refresh_photos: bool = False
    on_missing_photo: OnMissingPhoto = OnMissingPhoto.KEEP
    metadata: Metadata = Field({})

    @field_validator("outputs")
    @classmethod
    def _all_differ(cls, outputs: list[RunOutput]) -> list[RunOutput]:
        if len(set(outputs)) < len(outputs):
            raise ValueError("Outputs must differ from each other")
        return outputs


class RunPlanInfo(ResponseModel):
    """What a run will do. `removed` and `invalid` are numbers of rows, the others of images.

    `to_render` images count against this month's quota. With `refresh_photos`, the photos of `checked` images are
    compared; the quota must have room for all of them, and those that have not changed are refunded. `processing_cost`
    is how many images each of them counts as at most beside itself, for photos that image processors change; each photo
    counts once.
    """

    rows: int
    images: int
    new: int
    changed: int
    unchanged: int
    checked: int
    removed: int
    invalid: int
    to_render: int
    processing_cost: int


class RunInfo(ResponseModel):
    """A run. `unchanged` of the `done` images existed already. It has finished when `finished_at` is set.

    A photo is missing in `incomplete` images; they are not `done`. `findings` is the number of findings of all images.
    `state` is `preparing`, `running`, `completed`, `completed_with_findings`, `failed` (some images have failed),
    `canceled`, `stopped` or `not_started`.

    A large run is `prepared` some time after it started; then `unchanged` is known, and its images count against the
    quota. When it cannot be prepared, for example because of the quota, its images have `failed`, and `error_message`
    says why.
    """

    id: UUID
    state: RunState
    feed: UUID
    template: UUID
    version: int
    outputs: list[RunOutput]
    prepared: bool
    total: int
    done: int
    incomplete: int
    failed: int
    unchanged: int
    findings: int
    force: bool
    refresh_photos: bool
    on_missing_photo: OnMissingPhoto
    canceled: bool
    error_message: str | None
    metadata: Metadata
    started_at: datetime
    finished_at: datetime | None


class RunFindingInfo(ResponseModel):
    """A finding, and how many images of the run have it."""

    code: FindingCode
    layer: str
    message: str
    images: int


class PostponedInfo(ResponseModel):
    """The images that wait for photos whose hosts do not respond: how many, and their next attempt."""

    images: int
    attempt: int
    max_attempts: int
    next_at: datetime


class RunStatus(RunInfo):
    """A run, and the URL of its output feed: the feed's rows with the URLs of their newest images, as CSV.

    `finding_counts` are the most frequent findings of a finished run. `postponed` is set while images wait for their
    photos.
    """

    output_feed: str
    finding_counts: list[RunFindingInfo]
    postponed: PostponedInfo | None


class RunPage(ResponseModel):
    """A page of runs, newest first."""

    runs: list[RunInfo]
    next: str | None


class RunItemInfo(ResponseModel):
    """The result of a row for one of the run's outputs (its index): an image, or the `error` that prevented it.

    `findings` say what is wrong with the image. If a photo is missing in it, `state` is `incomplete`.
    """

    key: str
    output: int
    state: Literal["done", "incomplete", "failed"]
    error: str | None
    findings: list[Finding]
    image: UUID | None
    url: str | None


class RunItemPage(ResponseModel):
    """A page of a run's finished items, in the feed's order."""

    items: list[RunItemInfo]
    next: str | None


@view_config(context=ApiRunCollection, request_method="GET", renderer="json", permission=Permission.API_READ)
def list_runs(context: ApiRunCollection, request: Request) -> dict[str, Any]:
    """List the workspace's runs."""
    with transaction(request) as db:
        page, next_page = paginate(request, db, Run, Run.feed_id.is_not(None))
    return RunPage(runs=[_run_info(run) for run in page], next=next_page).model_dump(mode="json")


@view_config(context=ApiRunCollection, request_method="POST", permission=Permission.GENERATE, require_csrf=False)
def create_run(context: ApiRunCollection, request: Request) -> Response:
    """Start a run over the rows of a feed; images that exist already are reused."""
    body, api_key = read_body(request, RunRequest), request.api_key
    with transaction(request) as db:
        spec = _run_spec(db, api_key, body)
        try:
            quota = request.services.quotas.of(api_key.workspace_id, api_key.plan_status, api_key)
            run = start_run(db, spec, started_by=None, quota=quota, webhook=body.webhook)
        except (EmptyFeedError, InvalidSettingsError) as error:
            raise nothing_to_render(error) from None
        _audit(db, request, "run.start", run)
    response = Response(json_body=_run_info(run).model_dump(mode="json"), status=201)
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
def plan_new_run(context: ApiRunCollection, request: Request) -> dict[str, Any]:
    """Return what a run will do, without starting it."""
    body, api_key = read_body(request, RunRequest), request.api_key
    with transaction(request) as db:
        spec = _run_spec(db, api_key, body)
        takes_long = plan_takes_long(db, spec)
        try:
            with request.services.slow_requests.slot(api_key.workspace_id, when=takes_long):
                planned = plan_run(db, spec)
        except InvalidSettingsError as error:
            raise nothing_to_render(error) from None
    return RunPlanInfo(**asdict(planned), to_render=planned.to_render).model_dump(mode="json")


@view_config(context=ApiRun, request_method="GET", renderer="json", permission=Permission.API_READ)
def get_run(context: ApiRun, request: Request) -> dict[str, Any]:
    """Return a run and its progress."""
    wait_until_finished(request, context.row)
    with transaction(request) as db:
        run = db.get_one(Run, (context.row.workspace_id, context.row.id))
        assert run.feed_id is not None  # ApiRunCollection includes no other run
        workspace = db.get_one(Workspace, run.workspace_id)
        counts, postponed = findings_of(db, run), postponed_of(db, run)
    return RunStatus(
        **describe_run(run),
        output_feed=request.services.signed_urls.output_feed(workspace, run.feed_id, run.template_id),
        finding_counts=[RunFindingInfo.model_validate(asdict(each)) for each in counts],
        postponed=PostponedInfo(**asdict(postponed), max_attempts=MAX_ATTEMPTS) if postponed else None,
    ).model_dump(mode="json")


@view_config(context=ApiRun, name="items", request_method="GET", renderer="json", permission=Permission.API_READ)
def list_run_items(context: ApiRun, request: Request) -> dict[str, Any]:
    """List the results of a run so far."""
    limit = page_limit(request)
    with transaction(request) as db:
        urls = ImageUrls.load(db, context.row.workspace_id, request.services.signed_urls)
        results = results_after(db, context.row, position_after(request), state=_state_filter(request), limit=limit)
    items = [
        RunItemInfo(
            key=item.key,
            output=item.output,
            state="failed" if item.state == "pending" else item.state,
            error=RUN_CANCELED if item.state == "pending" else item.error,
            findings=FINDINGS.validate_python(item.findings or ()),
            image=image.id if image else None,
            url=urls.url(image) if image else None,
        )
        for item, image in results
    ]
    next_page = str(results[-1][0].position) if len(results) == limit else None
    return RunItemPage(items=items, next=next_page).model_dump(mode="json")


@view_config(
    context=ApiRun,
    name="cancel",
    request_method="POST",
    renderer="json",
    permission=Permission.GENERATE,
    require_csrf=False,
)
def cancel_running_run(context: ApiRun, request: Request) -> dict[str, Any]:
    """Cancel a run."""
    with transaction(request) as db:
        run = db.get_one(Run, (context.row.workspace_id, context.row.id))
        if cancel_run(db, run) is not None:
            _audit(db, request, "run.cancel", run)
    return _run_info(run).model_dump(mode="json")


@view_config(
    context=ApiRun,
    name="retry",
    request_method="POST",
    renderer="json",
    permission=Permission.GENERATE,
    require_csrf=False,
)
def retry_failed_items(context: ApiRun, request: Request) -> dict[str, Any]:
    """Render the failed, incomplete and canceled items of a run again."""
    api_key = request.api_key
    with transaction(request) as db:
        run = db.get_one(Run, (context.row.workspace_id, context.row.id))
        if retry_run(db, run, request.services.quotas.of(api_key.workspace_id, api_key.plan_status, api_key)):
            _audit(db, request, "run.retry", run)
    return _run_info(run).model_dump(mode="json")


def _run_spec(db: Session, api_key: ApiKeyIdentity, body: RunRequest) -> RunSpec:
    """Return what a request wants to be rendered. Raise ProblemError."""
    feed = db.get(Feed, (api_key.workspace_id, body.feed))
    if feed is None or feed.deleted_at:
        raise ProblemError(422, "unknown_feed", "The feed does not exist", {"feed": "Use the id of a feed"})
    template = find_template(db, api_key.workspace_id, body.template)
    if template is None:
        raise unknown_template()
    check_template(api_key, template.id)
    design = load_design(db, template)
    fields = {field.name for field in design.document.fields}
    errors = {f"mapping.{name}": "The template does not have this field" for name in body.mapping.keys() - fields}
    for field, column in body.mapping.items():
        if column and not mapped_columns(column, feed.columns):
            errors[f"mapping.{field}"] = "The feed does not have this column"
    if errors:
        raise ProblemError(422, "invalid", "The request is not valid", errors)
    rows = [item.data for item in list_items(db, feed, limit=SAMPLE)]
    mapping = guess_mapping(design.document.fields, feed.columns, rows) | body.mapping
    outputs = [Output.model_validate(output.model_dump()) for output in body.outputs]
    return RunSpec(
        feed,
        template,
        mapping,
        outputs,
        force=body.force,
        refresh_photos=body.refresh_photos,
        on_missing_photo=body.on_missing_photo,
        metadata=body.metadata,
    )


def _state_filter(request: Request) -> str | None:
    """Return the state that the query asks for. Raise ProblemError."""
    state = request.GET.get("state")
    if state not in (None, *ITEM_STATES):
        raise ProblemError(422, "invalid", "The request is not valid", {"state": f"Use {', '.join(ITEM_STATES)}"})
    return state


def nothing_to_render(error: Exception) -> ProblemError:
    """Return the problem that a feed has no rows, or the workspace no storage connection."""
    return ProblemError(422, "nothing_to_render", str(error), {"feed": str(error)})


def _audit(db: Session, request: Request, action: str, run: Run) -> None:
    feed = db.get_one(Feed, (run.workspace_id, run.feed_id))
    record(db, run.workspace_id, request.actor, action, feed.name, {"run": str(run.id)})


def _run_info(run: Run) -> RunInfo:
    return RunInfo.model_validate(describe_run(run))
