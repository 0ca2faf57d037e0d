"""Image requests: the body of `POST /v1/images`, and images rendered later: `/v1/image-requests/{id}`."""

import json
from collections.abc import Iterator, Sequence
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
from cwz_web.api.pagination import ResponseModel, transaction
from cwz_web.api.request_body import Body, Metadata, max_items, value_or_list
from cwz_web.api.templates import check_template, unknown_template
from cwz_web.feeds.models import Feed
from cwz_web.feeds.queries import find_item
from cwz_web.generation.image_urls import ImageUrls
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
from cwz_web.runs.models import Run
from cwz_web.runs.planning import MAX_OUTPUTS, start_image_run
from cwz_web.runs.progress import results_after
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


class ImageValues(Body):
    """The values of an image's fields: `data`, over those of a feed item."""

    data: Annotated[dict[str, Value], max_items(MAX_VALUES)] = Field({}, max_length=MAX_VALUES)
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
        format = ValueFormat(locale=self.locale).with_defaults(default)
        return {name: with_format(_as_text(value), format) for name, value in self.data.items()}


class ImageRequest(ImageOutput, ImageValues):
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

    template: Annotated[str, Field(min_length=1, max_length=100)]
    version: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    outputs: Annotated[list[ImageOutput], Field(min_length=1, max_length=MAX_OUTPUTS)] | None = None
    store: bool = False
    webhook: WebhookUrl | None = None
    on_missing_photo: Literal["render", "error"] = "render"
    metadata: Metadata = Field({})
    layers: Layers = Field({})
    dry_run: bool = False

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
    def must_be_complete(self) -> bool:
        """Whether an image without its photos is an error."""
        return self.on_missing_photo == "error"


class RequestedImage(ResponseModel):
    """An image of a request: `pending`, `done` (with its `image` and `findings`) or `failed` (with an `error`).

    `size` is the name of a size of the template, or that of a canvas, such as `640x480`.
    """

    size: str
    format: Format
    state: Literal["pending", "done", "failed"] = "pending"
    error: str | None = None
    findings: tuple[Finding, ...] = ()
    image: StoredImageInfo | None = None


class ImageRequestInfo(ResponseModel):
    """An image request: `pending`, `done` (with its `image` and its `findings`) or `failed` (with an `error`).

    `images` has an entry for each of its outputs. A request with several is `done` if all of them are, and `failed` as
    soon as one of them is; it has no `image`, and the `error` is the first one.
    """

    id: UUID
    state: Literal["pending", "done", "failed"]
    status_url: str
    metadata: Metadata
    error: str | None = None
    findings: tuple[Finding, ...] = ()
    image: StoredImageInfo | None = None
    images: tuple[RequestedImage, ...]


@view_config(context=ApiImageRequest, request_method="GET", renderer="json", permission=Permission.GENERATE)
def show_image_request(context: ApiImageRequest, request: Request) -> dict[str, Any]:
    """Return the state of an image request."""
    with transaction(request) as db:
        results = results_after(db, context.row, limit=MAX_OUTPUTS)
        urls = ImageUrls.load(db, context.row.workspace_id, request.services.signed_urls)
    images = list(_requested_images(context.row))
    for item, image in results:
        stored = StoredImageInfo(**urls.describe(image)) if image else None
        state = "done" if item.state == "incomplete" else item.state
        findings = tuple(FINDINGS.validate_python(item.findings or ()))
        changes = {"state": state, "error": item.error, "findings": findings, "image": stored}
        images[item.output] = images[item.output].model_copy(update=changes)
    return _info(request, context.row, images).model_dump(mode="json")


def find_plan(request: Request, body: ImageRequest) -> tuple[TemplateVersionState, TemplatePlan]:
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
    _check_lists(body, design.document)
    if body.feed is None or body.item is None:
        return body.values(state.value_format)
    with transaction(request) as db:
        return _item_values(db, design, body.feed, body.item) | body.values(state.value_format)


def plan_outputs(request: Request, body: ImageRequest, plan: TemplatePlan) -> tuple[TemplatePlan, list[Output]]:
    """Return what is rendered for each output of a request, or for the request itself.

    Raises:
        ProblemError: The template or the format does not allow an output.
        UnknownSizeError: The template does not have a size.
    """
    outputs: Sequence[ImageOutput] = [body] if body.outputs is None else body.outputs
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
    api_key = request.api_key
    state, plan = find_plan(request, body)
    plan, outputs = plan_outputs(request, body, plan)
    values = resolve_values(request, body, state, plan.design)
    known = {field.name for field in plan.design.document.fields}
    if unknown := values.keys() - known:
        raise UnknownFieldsError(sorted(unknown), sorted(known))
    with transaction(request) as db:
        run = start_image_run(
            db,
            template=plan.design.template,
            version=plan.design.version,
            data=values,
            outputs=outputs,
            names=file_names(body),
            quota=request.services.quotas.of(api_key.workspace_id, api_key.plan_status, api_key),
            webhook=body.webhook,
            on_missing_photo=OnMissingPhoto.FAIL if body.must_be_complete else OnMissingPhoto.KEEP,
            metadata=body.metadata,
            document=plan.design.document if plan.is_overridden else None,
        )
    info = _info(request, run, list(_requested_images(run)))
    response = Response(json_body=info.model_dump(mode="json"), status=202)
    response.location = info.status_url
    response.headers["Preference-Applied"] = "respond-async"
    return response


def file_names(body: ImageRequest) -> list[str]:
    """Return the file name of each output; empty for that of the template."""
    return [output.file_name or "" for output in ([body] if body.outputs is None else body.outputs)]


def status_url(request: Request, request_id: UUID) -> str:
    """Return the URL of an image request."""
    return f"{request.services.settings.url}/v1/image-requests/{request_id}"


def _requested_images(run: Run) -> Iterator[RequestedImage]:
    for each in run.outputs:
        output = Output.model_validate(each)
        yield RequestedImage(size=shown_name(output.size), format=output.format)


def _info(request: Request, run: Run, images: Sequence[RequestedImage]) -> ImageRequestInfo:
    states = {image.state for image in images}
    info = ImageRequestInfo(
        id=run.id,
        state="failed" if "failed" in states else "pending" if "pending" in states else "done",
        status_url=status_url(request, run.id),
        metadata=run.request_metadata,
        error=next((image.error for image in images if image.error), None),
        images=tuple(images),
    )
    if len(images) > 1:
        return info
    return info.model_copy(update={"findings": images[0].findings, "image": images[0].image})


def _item_values(db: Session, design: TemplateDesign, feed_id: UUID, key: str) -> dict[str, str]:
    feed = db.get(Feed, (design.template.workspace_id, feed_id))
    if feed is None or feed.deleted_at:
        raise ProblemError(422, "unknown_feed", "There is no such feed", {"feed": "Use the id of a feed"})
    item = find_item(db, feed, key)
    if item is None:
        raise ProblemError(422, "unknown_item", "The feed has no such item", {"item": "Use the key of an item"})
    mapping = guess_mapping(design.document.fields, feed.columns, [item.data])
    return apply_mapping(mapping, item.data, formats_of(db, feed))


def _check_lists(body: ImageValues, document: ImageTemplate) -> None:
    """Check that only fields that take a list get one. Raises ProblemError."""
    types = {field.name: field.type for field in document.fields if field.name not in document.list_fields}
    errors = {
        f"data.{name}": f"The field has the type {types[name]}, which is no list. Use a string, a number, true, false"
        " or null, or change the type of the field to list"
        for name, value in body.data.items()
        if isinstance(value, list) and name in types
    }
    if errors:
        raise ProblemError(422, "invalid", "The request is not valid", errors)


def _as_text(value: Value) -> str:
    if isinstance(value, list | bool):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, int | float):
        return json_number(value)
    return value or ""
