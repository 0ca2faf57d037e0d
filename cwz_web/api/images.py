"""`POST /v1/images`: data in, image out."""

from functools import lru_cache
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import Field, model_validator
from pyramid.response import Response
from pyramid.view import view_config
from sqlalchemy.exc import NoResultFound
from sqlalchemy.orm import Session
from webob.acceptparse import create_accept_header

from cwz_web.api.image_requests import ImageOrder, StoredImageInfo
from cwz_web.api.pagination import Answer, transaction
from cwz_web.api.request_body import JSON, Body, at_most, one_value, read_body
from cwz_web.feeds.models import Feed
from cwz_web.feeds.queries import find_item
from cwz_web.generation.api_keys import ApiKeyIdentity
from cwz_web.generation.template_cache import TemplatePlan
from cwz_web.generation.templates import Design
from cwz_web.imaging.documents import DEFAULT_SIZE
from cwz_web.imaging.encoders import Format, Output
from cwz_web.imaging.errors import UnknownFieldsError
from cwz_web.notify.webhooks import WebhookUrl
from cwz_web.resources.api import ApiImageCollection, ApiImageRequest
from cwz_web.resources.permissions import Permission
from cwz_web.runs.mapping import apply_mapping, guess_mapping
from cwz_web.runs.models import Run
from cwz_web.runs.planning import start_image_run
from cwz_web.runs.progress import results_after
from cwz_web.web.problems import ProblemError
from cwz_web.web.request import Request

IMAGES = {format.content_type: format for format in (Format.JPEG, Format.PNG, Format.WEBP, Format.AVIF)}

MAX_VALUES, MAX_VALUE = 200, 10_000
Value = Annotated[Annotated[str, Field(max_length=MAX_VALUE)] | int | float | bool | None, one_value(MAX_VALUE)]


class ImageRequest(Body):
    """The body of `POST /v1/images`.

    What is rendered comes from `data`, by the template's columns, or from a row of a feed: `feed` and `item` (its key),
    whose columns are matched as a run's are. Columns that are not named show the template's defaults. `version` pins a
    version of the template; `size` names one of its formats; `scale` multiplies its pixels. With `store` the image is
    kept in the workspace's storage, as it is whenever the answer is JSON. `webhook` is an address that is told when a
    image is there that was ordered with `Prefer: respond-async`.
    """

    template: Annotated[str, Field(min_length=1, max_length=100)]
    version: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    data: Annotated[dict[str, Value], at_most(MAX_VALUES)] = Field({}, max_length=MAX_VALUES)
    feed: UUID | None = None
    item: Annotated[str, Field(min_length=1, max_length=400)] | None = None
    format: Format | None = None
    size: Annotated[str, Field(max_length=40)] = DEFAULT_SIZE
    scale: Annotated[int, Field(ge=1, le=3)] = 1
    quality: Annotated[int, Field(ge=1, le=100)] = 84
    store: bool = False
    webhook: WebhookUrl | None = None

    @model_validator(mode="after")
    def _one_row(self) -> Self:
        if (self.feed is None) != (self.item is None):
            raise ValueError("feed and item go together: the feed's id and the key of a row")
        return self

    def texts(self) -> dict[str, str]:
        """The data as the engine takes it."""
        return {name: "" if value is None else str(value) for name, value in self.data.items()}


class Image(StoredImageInfo):
    """An image that is kept. `cached` is whether it was there already, and so did not count."""

    cached: bool


class OrderInfo(Answer):
    """An image that was ordered: `pending`, `done` (then `image` is there), or `failed`, and why."""

    id: UUID
    state: str
    status_url: str
    error: str | None = None
    note: str | None = None
    image: StoredImageInfo | None = None


@view_config(
    context=ApiImageCollection, request_method="POST", permission=Permission.GENERATE, require_csrf=False
)
def create_image(context: ApiImageCollection, request: Request) -> Response:
    """The image itself; for `Accept: application/json`, a kept image's description; for `Prefer: respond-async`,
    where to ask for it later."""
    wanted = read_body(request, ImageRequest)
    if _is_patient(request):
        return _order_for_later(request, wanted)
    if wanted.webhook:
        later = {"webhook": "Send it with Prefer: respond-async"}
        raise ProblemError(422, "invalid", "Only what is ordered for later is told to a webhook", later)
    accepted = _negotiate(request, wanted.format)
    format = IMAGES.get(accepted, wanted.format or Format.JPEG)
    order = _order(request, wanted, _output(wanted, format))
    if accepted != JSON and not wanted.store:
        data, cached = order.make()
        return _image(data, order.digest, format, cached)
    image, cached = order.keep()
    described = Image(**request.services.signed_urls.describe(image), cached=cached)
    if accepted == JSON:
        return Response(json_body=described.model_dump(mode="json"), status=200 if cached else 201)
    response = _image(order.fetch(image), image.digest, format, cached)
    response.headers["Link"] = f'<{described.url}>; rel="canonical"'
    return response


@view_config(context=ApiImageRequest, request_method="GET", renderer="json", permission=Permission.GENERATE)
def order_status(context: ApiImageRequest, request: Request) -> dict[str, Any]:
    """Whether an ordered image is there."""
    with transaction(request) as db:
        results = results_after(db, context.row, limit=1)
    info = _order_info(request, context.row)
    for item, image in results:
        kept = StoredImageInfo(**request.services.signed_urls.describe(image)) if image else None
        changes = {"state": item.state, "error": item.error, "note": item.note, "image": kept}
        info = info.model_copy(update=changes)
    return info.model_dump(mode="json")


def _is_patient(request: Request) -> bool:
    """Whether the client prefers an answer at once to an image (RFC 7240)."""
    preferences = request.headers.get("Prefer", "").split(",")
    return any(preference.split(";")[0].strip().lower() == "respond-async" for preference in preferences)


def _order_for_later(request: Request, wanted: ImageRequest) -> Response:
    owner = request.api_key
    template_plan = _recipe(request, owner, wanted)
    with transaction(request) as db:
        data = wanted.texts()
        if wanted.feed is not None and wanted.item is not None:
            data = _row(db, template_plan.design, wanted.feed, wanted.item) | data
        known = {column.name for column in template_plan.design.document.fields}
        if unknown := data.keys() - known:
            raise UnknownFieldsError(sorted(unknown), sorted(known))
        run = start_image_run(
            db,
            template=template_plan.design.template,
            version=template_plan.design.version,
            data=data,
            output=_output(wanted, wanted.format or Format.JPEG),
            quota=request.services.quotas.of(owner.workspace_id, owner.plan_status, owner),
            webhook=wanted.webhook,
        )
    info = _order_info(request, run)
    response = Response(json_body=info.model_dump(mode="json"), status=202)
    response.location = info.status_url
    response.headers["Preference-Applied"] = "respond-async"
    return response


def _order_info(request: Request, run: Run) -> OrderInfo:
    return OrderInfo(
        id=run.id, state="pending", status_url=f"{request.services.settings.url}/v1/image-requests/{run.id}"
    )


def _output(wanted: ImageRequest, format: Format) -> Output:
    return Output(size=wanted.size, format=format, quality=wanted.quality, scale=wanted.scale)


def _image(data: bytes, digest: str, format: Format, cached: bool) -> Response:
    response = Response(data, content_type=format.content_type)
    response.etag = digest
    response.headers["Cached"] = "true" if cached else "false"
    return response


def _order(request: Request, wanted: ImageRequest, output: Output) -> ImageOrder:
    owner = request.api_key
    template_plan = _recipe(request, owner, wanted)
    data = wanted.texts()
    if wanted.feed is not None and wanted.item is not None:
        with request.services.database.transaction(owner.workspace_id) as db:
            data = _row(db, template_plan.design, wanted.feed, wanted.item) | data
    quota = request.services.quotas.of(owner.workspace_id, owner.plan_status, owner)
    return ImageOrder(request, quota, template_plan, data, output)


def _recipe(request: Request, owner: ApiKeyIdentity, wanted: ImageRequest) -> TemplatePlan:
    """The template that a key asks for, in the version that it asks for. Raises Problem."""
    keys, template_cache = request.services.keys, request.services.template_cache
    known = owner.asked_for == wanted.template
    state = owner.state if known else template_cache.state_named(owner.workspace_id, wanted.template)
    if state is None:
        raise unknown_template()
    check_template(owner, state.template_id)
    keys.asks_for(owner, wanted.template)
    try:
        return template_cache.of(state, wanted.version)
    except NoResultFound:
        newest = f"Its newest version is {state.version}"
        raise ProblemError(422, "unknown_version", "The template has no such version", {"version": newest}) from None


def unknown_template() -> ProblemError:
    """There is no such template in the key's workspace."""
    return ProblemError(422, "unknown_template", "There is no such template", {"template": "Use its id or its slug"})


def check_template(owner: ApiKeyIdentity, template_id: UUID) -> None:
    """See that a key may use a template. Raises Problem."""
    if owner.templates and str(template_id) not in owner.templates:
        raise ProblemError(403, "template_not_allowed", "This key may not use this template")


def _row(db: Session, design: Design, feed_id: UUID, key: str) -> dict[str, str]:
    """The values of a feed's row, under the template's names."""
    feed = db.get(Feed, (design.template.workspace_id, feed_id))
    if feed is None or feed.deleted_at:
        raise ProblemError(422, "unknown_feed", "There is no such feed", {"feed": "Use its id"})
    item = find_item(db, feed, key)
    if item is None:
        raise ProblemError(422, "unknown_item", "The feed has no such row", {"item": "Use the key of a row"})
    mapping = guess_mapping(design.document.fields, feed.columns, [item.data])
    return apply_mapping(mapping, item.data)


def _negotiate(request: Request, format: Format | None) -> str:
    """The content type to answer with: what Accept likes best, or the format that the body names."""
    offers = (format.content_type, JSON) if format else (*IMAGES, JSON)
    liked_best = _liked_best(request.headers.get("Accept"), offers)
    if liked_best is None:
        raise ProblemError(406, "not_acceptable", f"Accept one of {', '.join(offers)}")
    return liked_best


@lru_cache(50)
def _liked_best(accept: str | None, offers: tuple[str, ...]) -> str | None:
    """What an Accept header likes best, if it takes anything; programs send the same one again and again."""
    acceptable = create_accept_header(accept).acceptable_offers(offers)
    return str(acceptable[0][0]) if acceptable else None
