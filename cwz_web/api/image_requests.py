"""Image requests: the body of `POST /v1/images`, and images rendered later: `/v1/image-requests`."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import Field, model_validator
from pyramid.response import Response
from pyramid.view import view_config
from sqlalchemy.exc import NoResultFound
from sqlalchemy.orm import Session

from cwz_web.api.layer_overrides import Layers, override_plan
from cwz_web.api.on_demand import StoredImageInfo
from cwz_web.api.pagination import DEFAULT_LIMIT, ResponseModel, page_limit, position_after, transaction
from cwz_web.api.request_body import Body, Metadata, max_items, value_or_list
from cwz_web.api.templates import check_template, unknown_template
from cwz_web.api.waiting import wait_until_finished
from cwz_web.feeds.models import Feed
from cwz_web.feeds.queries import find_item
from cwz_web.generation.image_urls import ImageUrls
from cwz_web.generation.models import Image
from cwz_web.generation.template_cache import TemplatePlan, TemplateVersionState
from cwz_web.generation.templates import TemplateDesign
from cwz_web.imaging.document_parts import MAX_SIDE
from cwz_web.imaging.documents import DEFAULT_SIZE, ImageTemplate
from cwz_web.imaging.encoders import Encoding, Format, Output
from cwz_web.imaging.errors import UnknownFieldsError
from cwz_web.imaging.findings import Finding
from cwz_web.imaging.lists import MAX_ENTRIES
from cwz_web.imaging.output_sizes import OutputSize, add_sizes, shown_name
from cwz_web.notify.webhooks import WebhookUrl
from cwz_web.resources.api import ApiImageRequest
from cwz_web.resources.permissions import Permission
from cwz_web.runs.mapping import apply_mapping, formats_of, guess_mapping
from cwz_web.runs.missing_photos import OnMissingPhoto
from cwz_web.runs.models import Run, RunItem
from cwz_web.runs.planning import MAX_OUTPUTS, RequestedItem, start_image_run
from cwz_web.runs.progress import first_error, items_after
from cwz_web.runs.reports import FINDINGS
from cwz_web.values.formats import LocaleCode, ValueFormat, json_number, with_format
from cwz_web.web.problems import ProblemError
from cwz_web.web.request import Request

MAX_VALUES, MAX_VALUE_LENGTH = 200, 10_000
# Of an object in a list.
MAX_MEMBERS = 30
# Of a canvas, in pixels.
MIN_CANVAS = 16
# Without a path; other characters that a file system does not take are replaced where a file is written.
FILE_NAME = r"^[^/\\\x00-\x1f\x7f]*$"
CLOSED_CANVAS = (
    "The template does not open the size of its canvas. A key with the scope layers.override can override it"
)
Text = Annotated[str, Field(max_length=MAX_VALUE_LENGTH)]
Scalar = Text | int | float | bool | None
Member = Scalar | Annotated[list[Scalar], Field(max_length=MAX_ENTRIES)]
Item = Text | int | float | bool | Annotated[dict[str, Member], Field(max_length=MAX_MEMBERS)]
Value = Annotated[
    Scalar | Annotated[list[Item], Field(max_length=MAX_ENTRIES)],
    value_or_list(MAX_VALUE_LENGTH, MAX_ENTRIES, MAX_MEMBERS),
]


class CanvasSize(Body):
    """Another size of the canvas, as far as the template opens its `width` and `height`; by default, its own."""

    width: Annotated[int, Field(ge=MIN_CANVAS, le=MAX_SIDE)] | None = None
    height: Annotated[int, Field(ge=MIN_CANVAS, le=MAX_SIDE)] | None = None


class ImageOutput(Encoding, Body):
    """What an image is like: one of the template's sizes, the format, and how it is encoded.

    `scale` multiplies the pixels of the size. `canvas` is another size of the template's own canvas, which layers
    follow by their pins. `transparent` leaves out the background, for all formats but JPEG. `file_name` is the name of
    the file, without an extension; by default, that of the template.
    """

    size: Annotated[str, Field(max_length=40)] = DEFAULT_SIZE
    format: Format | None = None
    scale: Annotated[int, Field(ge=1, le=3)] = 1
    canvas: CanvasSize | None = None
    transparent: bool = False
    file_name: Annotated[str, Field(min_length=1, max_length=100, pattern=FILE_NAME)] | None = None

    @model_validator(mode="after")
    def _check_canvas(self) -> Self:
        if self.canvas and self.size != DEFAULT_SIZE:
            raise ValueError("Leave size out, or canvas: a canvas takes the place of the template's default size")
        return self

    @property
    def default_format(self) -> Format:
        """The format, if the client does not ask for another one."""
        return self.format or (Format.PNG if self.transparent else Format.JPEG)

    @property
    def wanted_size(self) -> OutputSize:
        """The size as the engine takes it."""
        width, height = (self.canvas.width, self.canvas.height) if self.canvas else (None, None)
        return OutputSize(self.size, width, height, self.transparent)


Data = Annotated[dict[str, Value], max_items(MAX_VALUES), Field(max_length=MAX_VALUES)]


class ImageValues(Body):
    """The values of an image's fields: `data`, over those of a feed item."""

    data: Data = Field({})
    locale: Annotated[LocaleCode, Field(max_length=40)] | None = None
    feed: UUID | None = None
    item: Annotated[str, Field(min_length=1, max_length=400)] | None = None

    @model_validator(mode="after")
    def _check_item(self) -> Self:
        if (self.feed is None) != (self.item is None):
            raise ValueError("Give both feed (its id) and item (its key), or neither")
        return self

    def values(self, default: ValueFormat) -> dict[str, str]:
        """Return the data as the engine takes it, in the format of the request or the workspace."""
        return as_texts(self.data, ValueFormat(locale=self.locale).with_defaults(default))


class DesignRequest(ImageOutput):
    """What the images of a request are rendered with, for one or for many values."""

    template: Annotated[str, Field(min_length=1, max_length=100)]
    version: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    outputs: Annotated[list[ImageOutput], Field(min_length=1, max_length=MAX_OUTPUTS)] | None = None
    webhook: WebhookUrl | None = None
    on_missing_photo: Literal["render", "error"] = "render"
    metadata: Metadata = Field({})
    layers: Layers = Field({})

    @model_validator(mode="after")
    def _check_outputs(self) -> Self:
        if self.outputs is None:
            return self
        if single := sorted(self.model_fields_set & ImageOutput.model_fields.keys()):
            raise ValueError(f"With outputs, give {', '.join(single)} in each of them")
        if len(set(self.outputs)) < len(self.outputs):
            raise ValueError("Outputs must differ from each other")
        return self

    @property
    def all_outputs(self) -> Sequence[ImageOutput]:
        """The outputs; the request itself if it has none."""
        return [self] if self.outputs is None else self.outputs

    @property
    def must_be_complete(self) -> bool:
        """Whether an image without its photos is an error."""
        return self.on_missing_photo == "error"


class ImageRequest(DesignRequest, ImageValues):
    """The body of `POST /v1/images`.

    The values come from `data`, by the names of the template's fields, or from a feed item: `feed` and `item` (its
    key), whose columns are mapped to fields as in a run; `data` overrides them. Fields without a value have the
    template's default. A list field, or one that a stack repeats, takes a list of strings, numbers, booleans or
    objects. A string has at most 10,000 characters, a list at most 50 items and 10,000 characters as JSON, and an
    object at most 30 members. `version` selects a version of the template. With `store`, the image is also stored in
    the workspace's storage, as it always is if the response is JSON.
    `outputs` makes a set of images of the same values in place of one, each as it would be described here; it is
    stored, counted and returned as a whole.
    `locale` says how numbers, prices and dates in `data` are written, by default as in the workspace.
    `webhook` is a URL that is notified when an image requested with `Prefer: respond-async` is ready.
    `on_missing_photo` decides about an image whose photo is missing: `render` it without, or answer with an `error`
    (422 `photo_missing`), which is neither stored nor counted. `metadata` is returned in JSON and in webhooks.
    `layers` overrides properties of layers by name, such as `{"Title": {"color": "#ff0000", "hidden": false}}`: those
    that the template opens, or all with the scope `layers.override`. A property has the values that it has in the
    document of a template.
    With `dry_run`, nothing is rendered, stored or counted; the response says what the request would do.
    """

    store: bool = False
    dry_run: bool = False


class RequestedImage(ResponseModel):
    """An image of a request: `pending`, `done` (with its `image` and `findings`) or `failed` (with an `error`).

    `item` is the index of its item, and `key` the name of the image: the item's key, or the name of the file. `size`
    is the name of a size of the template, or that of a canvas, such as `640x480`.
    """

    item: int
    key: str
    size: str
    format: Format
    state: Literal["pending", "done", "failed"] = "pending"
    error: str | None = None
    findings: tuple[Finding, ...] = ()
    image: StoredImageInfo | None = None


class ImageRequestInfo(ResponseModel):
    """An image request: `pending`, then `done` (with its `image` and its `findings`) or `failed` (with an `error`).

    It is `pending` until each of its images is done or failed, and `failed` if any of them is; the `error` is the first
    one. `total`, `done` and `failed` count images. `images` is a page of them, in the order of items and outputs, and
    `next` the `after` of the next page. Only a request for one image has `findings` and an `image`.
    """

    id: UUID
    state: Literal["pending", "done", "failed"]
    status_url: str
    metadata: Metadata
    total: int
    done: int
    failed: int
    images: tuple[RequestedImage, ...]
    next: str | None = None
    error: str | None = None
    findings: tuple[Finding, ...] = ()
    image: StoredImageInfo | None = None


@view_config(context=ApiImageRequest, request_method="GET", renderer="json", permission=Permission.GENERATE)
def show_image_request(context: ApiImageRequest, request: Request) -> dict[str, Any]:
    """Return the state of an image request, with a page of its images."""
    limit, after = page_limit(request), position_after(request)
    wait_until_finished(request, context.row)
    with transaction(request) as db:
        info = describe_request(db, request, db.get_one(Run, (context.row.workspace_id, context.row.id)), limit, after)
    return info.model_dump(mode="json")


def find_plan(request: Request, body: DesignRequest) -> tuple[TemplateVersionState, TemplatePlan]:
    """Return the state of the template that the body names, and the plan of the version.

    Raises:
        ProblemError: There is no such template or version, the key may not render it, or layers cannot be overridden.
    """
    api_key, template_cache = request.api_key, request.services.template_cache
    state = template_cache.find_state_by_name(api_key.workspace_id, body.template)
    if state is None:
        raise unknown_template()
    check_template(api_key, state.template_id)
    try:
        plan = template_cache.get_plan(state, body.version)
    except NoResultFound:
        raise unknown_version(state) from None
    return state, override_plan(request, plan, body.layers)


def unknown_version(state: TemplateVersionState) -> ProblemError:
    """Return the problem of a version that a template does not have."""
    errors = {"version": f"The newest version is {state.version}"}
    return ProblemError(422, "unknown_version", "The template does not have this version", errors)


def resolve_values(
    request: Request, body: ImageValues, state: TemplateVersionState, design: TemplateDesign
) -> dict[str, str]:
    """Return the values of the template's fields: those of the feed item, overridden by the data.

    Raises:
        ProblemError: There is no such feed or item, or a field does not take the list that it gets.
    """
    if errors := dict(list_errors(body.data, design.document)):
        raise ProblemError(422, "invalid", "The request is not valid", errors)
    if body.feed is None or body.item is None:
        return body.values(state.value_format)
    with transaction(request) as db:
        return _item_values(db, design, body.feed, body.item) | body.values(state.value_format)


def plan_outputs(request: Request, body: DesignRequest, plan: TemplatePlan) -> tuple[TemplatePlan, list[Output]]:
    """Return what is rendered for each output of a request, or for the request itself.

    Raises:
        ProblemError: The template or the format does not allow an output.
        UnknownSizeError: The template does not have a size.
    """
    outputs = body.all_outputs
    document, errors = plan.design.document, {}
    for number, output in enumerate(outputs):
        path = "" if body.outputs is None else f"outputs.{number}."
        if output.transparent and output.default_format is Format.JPEG:
            errors[f"{path}transparent"] = "JPEG has no transparency. Use png, webp or avif"
        if output.canvas and not request.has_permission(Permission.API_LAYERS_OVERRIDE):
            closed = output.canvas.model_dump(exclude_none=True).keys() - set(document.canvas.open)
            errors |= {f"{path}canvas.{name}": CLOSED_CANVAS for name in closed}
    if errors:
        raise ProblemError(422, "invalid", "The request is not valid", errors)
    sized, names = add_sizes(document, [output.wanted_size for output in outputs])
    rendered = [
        Output(size=name, format=output.default_format, scale=output.scale, **output.encoding_options())
        for output, name in zip(outputs, names, strict=True)
    ]
    if sized is document:
        return plan, rendered
    return replace(plan, design=replace(plan.design, document=sized), is_overridden=True), rendered


def defer_image(request: Request, body: ImageRequest) -> Response:
    """Enqueue the image, or the images of a set, and return where its state can be read.

    Raises:
        ProblemError: The body does not fit the template.
        QuotaExceededError: The quota is used up.
    """
    state, plan = find_plan(request, body)
    plan, outputs = plan_outputs(request, body, plan)
    values = resolve_values(request, body, state, plan.design)
    known = {field.name for field in plan.design.document.fields}
    if unknown := values.keys() - known:
        raise UnknownFieldsError(sorted(unknown), sorted(known))
    response = enqueue_images(request, body, plan, outputs, [RequestedItem(values, file_names(body))])
    response.headers["Preference-Applied"] = "respond-async"
    return response


def enqueue_images(
    request: Request, body: DesignRequest, plan: TemplatePlan, outputs: Sequence[Output], items: Sequence[RequestedItem]
) -> Response:
    """Enqueue the images of a request, and return where their state can be read.

    Raises:
        QuotaExceededError: The quota does not have room for all of them.
    """
    api_key = request.api_key
    with transaction(request) as db:
        run = start_image_run(
            db,
            template=plan.design.template,
            version=plan.design.version,
            items=items,
            outputs=outputs,
            quota=request.services.quotas.of(api_key.workspace_id, api_key.plan_status, api_key),
            webhook=body.webhook,
            on_missing_photo=OnMissingPhoto.FAIL if body.must_be_complete else OnMissingPhoto.KEEP,
            metadata=body.metadata,
            document=plan.design.document if plan.is_overridden else None,
        )
        info = describe_request(db, request, run)
    response = Response(json_body=info.model_dump(mode="json"), status=202)
    response.location = info.status_url
    return response


def file_names(body: DesignRequest) -> list[str]:
    """Return the file name of each output; empty for that of the template."""
    return [output.file_name or "" for output in body.all_outputs]


def status_url(request: Request, request_id: UUID) -> str:
    """Return the URL of an image request."""
    return f"{request.services.settings.url}/v1/image-requests/{request_id}"


def describe_request(
    db: Session, request: Request, run: Run, limit: int = DEFAULT_LIMIT, after: int = 0
) -> ImageRequestInfo:
    """Return the state of an image request.

    Args:
        db: a transaction in the workspace.
        request: the request.
        run: the run that renders the images.
        limit: at most so many images.
        after: the position after which they begin.
    """
    rows = items_after(db, run, after, limit=limit)
    urls = ImageUrls.load(db, run.workspace_id, request.services.signed_urls)
    outputs = [Output.model_validate(output) for output in run.outputs]
    images = tuple(_requested_image(item, image, outputs, urls) for item, image in rows)
    only = images[0] if run.total == 1 and images else None
    return ImageRequestInfo(
        id=run.id,
        state="pending" if run.pending else "failed" if run.failed else "done",
        status_url=status_url(request, run.id),
        metadata=run.request_metadata,
        total=run.total,
        done=run.done + run.incomplete,
        failed=run.failed,
        error=first_error(db, run),
        findings=only.findings if only else (),
        image=only.image if only else None,
        images=images,
        next=str(rows[-1][0].position) if rows and rows[-1][0].position < run.total else None,
    )


def _requested_image(item: RunItem, image: Image | None, outputs: Sequence[Output], urls: ImageUrls) -> RequestedImage:
    output, is_pending = outputs[item.output], item.state == "pending"
    return RequestedImage(
        item=(item.position - 1) // len(outputs),
        key=item.key,
        size=shown_name(output.size),
        format=output.format,
        state="done" if item.state == "incomplete" else item.state,
        error=None if is_pending else item.error,
        findings=() if is_pending else tuple(FINDINGS.validate_python(item.findings or ())),
        image=StoredImageInfo(**urls.describe(image)) if image else None,
    )


def _item_values(db: Session, design: TemplateDesign, feed_id: UUID, key: str) -> dict[str, str]:
    feed = db.get(Feed, (design.template.workspace_id, feed_id))
    if feed is None or feed.deleted_at:
        raise ProblemError(422, "unknown_feed", "There is no such feed", {"feed": "Use the id of a feed"})
    item = find_item(db, feed, key)
    if item is None:
        raise ProblemError(422, "unknown_item", "The feed has no such item", {"item": "Use the key of an item"})
    mapping = guess_mapping(design.document.fields, feed.columns, [item.data])
    return apply_mapping(mapping, item.data, formats_of(db, feed))


def list_errors(data: Mapping[str, Value], document: ImageTemplate, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield an error for each field that gets a list and does not take one.

    Args:
        data: the values.
        document: the template's document.
        path: of the object that has the data in the request, with a dot.
    """
    types = {field.name: field.type for field in document.fields if field.name not in document.list_fields}
    for name, value in data.items():
        if isinstance(value, list) and name in types:
            yield (
                f"{path}data.{name}",
                f"The field has the type {types[name]}, which is no list. Use a string, a number, true, false"
                " or null, or change the type of the field to list",
            )


def as_texts(data: Mapping[str, Value], format: ValueFormat) -> dict[str, str]:
    """Return values as the engine takes them, written in a format."""
    return {name: with_format(_as_text(value), format) for name, value in data.items()}


def _as_text(value: Value) -> str:
    if isinstance(value, list | bool):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, int | float):
        return json_number(value)
    return value or ""
