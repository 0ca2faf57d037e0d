"""`/i`: pictures, and feeds with their addresses, for whoever has their signed address."""

import math
from io import SEEK_END
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pyramid.request import Request
from pyramid.response import FileIter, Response
from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.view import view_config
from sqlalchemy.exc import NoResultFound

from cwz_web.api.bodies import problems_with
from cwz_web.api.making import Order, cacheable
from cwz_web.feeds.models import Feed
from cwz_web.generation.assets import read_asset
from cwz_web.generation.models import Asset
from cwz_web.generation.signing import EXPIRY, KEY, PARAMETER, BadAddress, valid_numbers
from cwz_web.imaging.documents import OWN_SIZE
from cwz_web.imaging.encoders import Format, Output
from cwz_web.imaging.pictures import thumbnail
from cwz_web.resources import SignedAsset, SignedFeed, SignedImage
from cwz_web.runs.output_feed import latest_run, version_of, write_output_feed
from cwz_web.storage.models import Connection
from cwz_web.web.limits import network_of
from cwz_web.web.paths import as_number
from cwz_web.web.problems import Problem
from cwz_web.workspaces.models import Workspace

MAX_QUERY = 8000
# Fewer than these are written within half a second.
FEW_ROWS = 10_000
# A picture follows its template, so a browser asks again after a while; one of a pinned version never changes.
FOLLOWS = "public, max-age=300"
REVALIDATE = "no-cache"
FOR_EVER = "public, max-age=31536000, immutable"


class Options(BaseModel):
    """How a picture is made, beside its data: the parameters that begin with an underscore."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: Annotated[str, Field(max_length=40)] = OWN_SIZE
    scale: Annotated[int, Field(ge=1, le=3)] = 1
    quality: Annotated[int, Field(ge=1, le=100)] = 84
    version: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None


@view_config(context=SignedImage, request_method=("GET", "HEAD"), permission=NO_PERMISSION_REQUIRED)
def show_image(context: SignedImage, request: Request) -> Response:
    """The picture of the parameters in the address."""
    workspace_id, services, state = context.workspace_id, request.services, context.state
    address = f"{context.__name__}?{request.query_string}"
    shown = services.shown_lately.get(address, state)
    known = services.maker.known(workspace_id, shown.digest) if shown else None
    if shown and known:
        return cacheable(known, context.format.content_type, shown.digest, shown.cache)
    parameters = _parameters(request)
    options = _options(parameters)
    ends = _check(request, workspace_id, state.signing_numbers, context.__name__, parameters, state.open_parameters)
    try:
        recipe = services.recipes.of(state, options.version)
    except NoResultFound:
        wrong = {"_version": f"The newest one is {state.version}"}
        raise Problem(422, "unknown_version", "The template has no such version", wrong) from None
    data = {name: value for name, value in parameters.items() if not _is_option(name)}
    output = Output(size=options.size, format=context.format, quality=options.quality, scale=options.scale)
    order = Order(request, services.meters.of(workspace_id, state.standing), recipe, data, output)
    cache = FOR_EVER if options.version else FOLLOWS
    if order.digest in request.if_none_match:
        return _not_modified(order.digest, cache)
    if PARAMETER not in parameters and not order.is_known:
        who = {"address": network_of(request.remote_addr or ""), "template": str(state.template_id)}
        services.limiter.look("open-picture", who)
        services.limiter.count("open-picture", who)
    picture, _ = order.make()
    services.shown_lately.keep(address, state, order.digest, cache, ends)
    return cacheable(picture, context.format.content_type, order.digest, cache)


@view_config(context=SignedAsset, request_method=("GET", "HEAD"), permission=NO_PERMISSION_REQUIRED)
def show_asset(context: SignedAsset, request: Request) -> Response:
    """A kept picture."""
    services, parameters = request.services, _parameters(request)
    with services.database.transaction(context.workspace_id) as db:
        workspace = db.get(Workspace, context.workspace_id)
        if workspace is None:
            raise Problem(404, "not_found", "There is no such picture")
        _check(
            request,
            workspace.id,
            valid_numbers(workspace),
            f"assets/{context.workspace_id}/{context.__name__}",
            parameters,
        )
        width = _width(parameters)
        asset = db.get(Asset, (context.workspace_id, context.id))
        shown = context.format.content_type
        if asset is None or shown != (Format.WEBP.content_type if width else asset.content_type):
            raise Problem(404, "not_found", "There is no such picture")
        connection = db.get_one(Connection, (context.workspace_id, asset.connection_id))
    tag = f"{asset.digest}-{width}" if width else asset.digest
    if tag in request.if_none_match:
        return _not_modified(tag, FOR_EVER)
    data = read_asset(services.providers.open(connection.place), asset)
    return cacheable(thumbnail(data, width) if width else data, shown, tag, FOR_EVER)


def _width(parameters: dict[str, str]) -> int | None:
    """How wide a small picture of a kept one is to be; None for the picture itself. Raises Problem."""
    if "width" not in parameters:
        return None
    width = as_number(parameters["width"])
    if not 16 <= width <= 2000:
        raise Problem(422, "invalid", "The address is not valid", {"width": "Use a number from 16 to 2000"})
    return width


@view_config(context=SignedFeed, request_method=("GET", "HEAD"), permission=NO_PERMISSION_REQUIRED)
def show_output_feed(context: SignedFeed, request: Request) -> Response:
    """A feed's rows with the addresses of their newest pictures."""
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
        with services.long_answers.place(context.workspace_id, when=feed.item_count > FEW_ROWS):
            file = write_output_feed(db, feed, latest, column, services.addresses)
    size = file.seek(0, SEEK_END)
    file.seek(0)
    # The server's own way to send a file takes no thread.
    sent = request.environ.get("wsgi.file_wrapper", FileIter)(file)
    response = Response(app_iter=sent, content_type="text/csv", charset="utf-8")
    response.content_length = size
    response.etag, response.headers["Cache-Control"] = version, REVALIDATE
    return response


def _no_feed() -> Problem:
    return Problem(404, "not_found", "There is no such feed, or nothing has been drawn of it")


def _template_of(parameters: dict[str, str]) -> UUID:
    try:
        return UUID(parameters.get("template", ""))
    except ValueError:
        raise Problem(422, "invalid", "The address names no template", {"template": "The id of a template"}) from None


def _parameters(request: Request) -> dict[str, str]:
    if len(request.query_string) > MAX_QUERY:
        raise Problem(414, "address_too_long", f"The address may have {MAX_QUERY} characters of parameters at the most")
    parameters = dict(request.GET)
    if len(parameters) != len(request.GET):
        raise Problem(400, "repeated_parameter", "Each parameter may stand in the address once")
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
            raise Problem(
                403, "bad_signature", "Without a signature these may not be given", dict.fromkeys(closed, "Sign it")
            )
        return math.inf
    try:
        return request.services.addresses.check(workspace_id, path, parameters, numbers)
    except BadAddress as error:
        raise Problem(403, "bad_signature", str(error)) from None


def _options(parameters: dict[str, str]) -> Options:
    given = {name[1:]: value for name, value in parameters.items() if name.startswith("_")}
    try:
        return Options.model_validate(given)
    except ValidationError as error:
        wrong = {f"_{field}": text for field, text in problems_with(error).items()}
        raise Problem(422, "invalid", "The address is not valid", wrong) from None


def _is_option(name: str) -> bool:
    return name.startswith("_") or name in (PARAMETER, KEY, EXPIRY)


def _not_modified(digest: str, cache: str) -> Response:
    response = Response(status=304)
    response.etag = digest
    response.headers["Cache-Control"] = cache
    return response
