"""`/i`: images, and feeds with their addresses, for whoever has their signed address."""

import math
from io import SEEK_END
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pyramid.response import FileIter, Response
from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.view import view_config
from sqlalchemy.exc import NoResultFound

from cwz_web.api.image_requests import ImageOrder, cacheable
from cwz_web.api.request_body import problems_with
from cwz_web.feeds.models import Feed
from cwz_web.generation.images import read_image
from cwz_web.generation.models import Image
from cwz_web.generation.signed_urls import EXPIRY, KEY, PARAMETER, InvalidSignedUrlError, valid_numbers
from cwz_web.imaging.decoding import thumbnail
from cwz_web.imaging.documents import DEFAULT_SIZE
from cwz_web.imaging.encoders import Format, Output
from cwz_web.resources.signed_urls import OnDemandImage, SignedFeed, SignedImage
from cwz_web.runs.output_feed import latest_run, version_of, write_output_feed
from cwz_web.storage.models import Connection
from cwz_web.web.problems import ProblemError
from cwz_web.web.rate_limits import network_of
from cwz_web.web.request import Request
from cwz_web.web.urls import as_number
from cwz_web.workspaces.models import Workspace

MAX_QUERY = 8000
# Fewer than these are written within half a second.
FEW_ROWS = 10_000
# An image follows its template, so a browser asks again after a while; one of a pinned version never changes.
FOLLOWS = "public, max-age=300"
REVALIDATE = "no-cache"
FOR_EVER = "public, max-age=31536000, immutable"


class Options(BaseModel):
    """How an image is made, beside its data: the parameters that begin with an underscore."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: Annotated[str, Field(max_length=40)] = DEFAULT_SIZE
    scale: Annotated[int, Field(ge=1, le=3)] = 1
    quality: Annotated[int, Field(ge=1, le=100)] = 84
    version: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None


@view_config(context=OnDemandImage, request_method=("GET", "HEAD"), permission=NO_PERMISSION_REQUIRED)
def show_on_demand_image(context: OnDemandImage, request: Request) -> Response:
    """The image of the parameters in the address."""
    workspace_id, services, state = context.workspace_id, request.services, context.state
    address = f"{context.__name__}?{request.query_string}"
    shown = services.signed_url_cache.get(address, state)
    known = services.image_service.known(workspace_id, shown.digest) if shown else None
    if shown and known:
        return cacheable(known, context.format.content_type, shown.digest, shown.cache)
    parameters = _parameters(request)
    options = _options(parameters)
    ends = _check(request, workspace_id, state.signing_numbers, context.__name__, parameters, state.open_parameters)
    try:
        template_plan = services.template_cache.of(state, options.version)
    except NoResultFound:
        wrong = {"_version": f"The newest one is {state.version}"}
        raise ProblemError(422, "unknown_version", "The template has no such version", wrong) from None
    data = {name: value for name, value in parameters.items() if not _is_option(name)}
    output = Output(size=options.size, format=context.format, quality=options.quality, scale=options.scale)
    order = ImageOrder(request, services.quotas.of(workspace_id, state.plan_status), template_plan, data, output)
    cache = FOR_EVER if options.version else FOLLOWS
    if order.digest in request.if_none_match:
        return _not_modified(order.digest, cache)
    if PARAMETER not in parameters and not order.is_known:
        who = {"address": network_of(request.remote_addr or ""), "template": str(state.template_id)}
        services.limiter.look("open-image", who)
        services.limiter.count("open-image", who)
    image, _ = order.make()
    services.signed_url_cache.keep(address, state, order.digest, cache, ends)
    return cacheable(image, context.format.content_type, order.digest, cache)


@view_config(context=SignedImage, request_method=("GET", "HEAD"), permission=NO_PERMISSION_REQUIRED)
def show_image(context: SignedImage, request: Request) -> Response:
    """A kept image."""
    services, parameters = request.services, _parameters(request)
    with services.database.transaction(context.workspace_id) as db:
        workspace = db.get(Workspace, context.workspace_id)
        if workspace is None:
            raise ProblemError(404, "not_found", "There is no such image")
        _check(
            request,
            workspace.id,
            valid_numbers(workspace),
            f"images/{context.workspace_id}/{context.__name__}",
            parameters,
        )
        width = _width(parameters)
        image = db.get(Image, (context.workspace_id, context.id))
        shown = context.format.content_type
        if image is None or shown != (Format.WEBP.content_type if width else image.content_type):
            raise ProblemError(404, "not_found", "There is no such image")
        connection = db.get_one(Connection, (context.workspace_id, image.connection_id))
    tag = f"{image.digest}-{width}" if width else image.digest
    if tag in request.if_none_match:
        return _not_modified(tag, FOR_EVER)
    data = read_image(services.providers.open(connection.spec), image)
    return cacheable(thumbnail(data, width) if width else data, shown, tag, FOR_EVER)


def _width(parameters: dict[str, str]) -> int | None:
    """How wide a small image of a kept one is to be; None for the image itself. Raises Problem."""
    if "width" not in parameters:
        return None
    width = as_number(parameters["width"])
    if not 16 <= width <= 2000:
        raise ProblemError(422, "invalid", "The address is not valid", {"width": "Use a number from 16 to 2000"})
    return width


@view_config(context=SignedFeed, request_method=("GET", "HEAD"), permission=NO_PERMISSION_REQUIRED)
def show_output_feed(context: SignedFeed, request: Request) -> Response:
    """A feed's rows with the addresses of their newest images."""
    services, parameters = request.services, _parameters(request)
    path = f"feeds/{context.workspace_id}/{context.__name__}"
    column = parameters.get("column", "")
    with services.database.transaction(context.workspace_id) as db:
        workspace = db.get(Workspace, context.workspace_id)
        if workspace is None:
            raise _no_feed()
        _check(request, workspace.id, valid_numbers(workspace), path, parameters)
        feed = db.get(Feed, (workspace.id, context.id))
        if feed is None or feed.deleted_at:
            raise _no_feed()
        latest = latest_run(db, feed, _template_of(parameters))
        if latest is None:
            raise _no_feed()
        version = version_of(db, feed, latest, column)
        if version in request.if_none_match:
            return _not_modified(version, REVALIDATE)
        services.limiter.look("output-feed", {"feed": str(feed.id)})
        services.limiter.count("output-feed", {"feed": str(feed.id)})
        with services.stream_limiter.place(context.workspace_id, when=feed.item_count > FEW_ROWS):
            file = write_output_feed(db, feed, latest, column, services.signed_urls)
    size = file.seek(0, SEEK_END)
    file.seek(0)
    # The server's own way to send a file takes no thread.
    sent = request.environ.get("wsgi.file_wrapper", FileIter)(file)
    response = Response(app_iter=sent, content_type="text/csv", charset="utf-8")
    response.content_length = size
    response.etag, response.headers["Cache-Control"] = version, REVALIDATE
    return response


def _no_feed() -> ProblemError:
    return ProblemError(404, "not_found", "There is no such feed, or nothing has been rendered of it")


def _template_of(parameters: dict[str, str]) -> UUID:
    try:
        return UUID(parameters.get("template", ""))
    except ValueError:
        raise ProblemError(
            422, "invalid", "The address names no template", {"template": "The id of a template"}
        ) from None


def _parameters(request: Request) -> dict[str, str]:
    if len(request.query_string) > MAX_QUERY:
        raise ProblemError(
            414, "address_too_long", f"The address may have {MAX_QUERY} characters of parameters at most"
        )
    parameters = dict(request.GET)
    if len(parameters) != len(request.GET):
        raise ProblemError(400, "repeated_parameter", "Each parameter may stand in the address once")
    return parameters


def _check(
    request: Request,
    workspace_id: UUID,
    numbers: range,
    path: str,
    parameters: dict[str, str],
    open_ones: tuple[str, ...] | None = None,
) -> float:
    """See that the address is signed, or names nothing but what is open to everybody. Raises Problem.

    Returns the Unix time until which it is good.
    """
    if PARAMETER not in parameters and open_ones is not None:
        closed = sorted(name for name in parameters if name not in open_ones)
        if closed:
            raise ProblemError(
                403, "bad_signature", "Without a signature these may not be given", dict.fromkeys(closed, "Sign it")
            )
        return math.inf
    try:
        return request.services.signed_urls.check(workspace_id, path, parameters, numbers)
    except InvalidSignedUrlError as error:
        raise ProblemError(403, "bad_signature", str(error)) from None


def _options(parameters: dict[str, str]) -> Options:
    given = {name[1:]: value for name, value in parameters.items() if name.startswith("_")}
    try:
        return Options.model_validate(given)
    except ValidationError as error:
        wrong = {f"_{field}": text for field, text in problems_with(error).items()}
        raise ProblemError(422, "invalid", "The address is not valid", wrong) from None


def _is_option(name: str) -> bool:
    return name.startswith("_") or name in (PARAMETER, KEY, EXPIRY)


def _not_modified(digest: str, cache: str) -> Response:
    response = Response(status=304)
    response.etag = digest
    response.headers["Cache-Control"] = cache
    return response
