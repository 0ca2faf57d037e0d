"""`/i`: images, and feeds with the URLs of their images, for every client that has the signed URL.

Responses have an ETag and Cache-Control, so that browsers and a CDN in front of the application cache them.
"""

import math
import time
from contextlib import ExitStack
from functools import cache
from io import SEEK_END
from typing import Annotated, BinaryIO
from uuid import UUID

from pydantic import Field, ValidationError
from pyramid.response import FileIter, Response
from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.view import view_config
from sqlalchemy.exc import NoResultFound
from sqlalchemy.orm import Session

from cwz_web.api.on_demand import OnDemandRendering, add_findings, cacheable_response
from cwz_web.api.request_body import problems_with
from cwz_web.campaigns.models import Campaign
from cwz_web.campaigns.publications import get_public
from cwz_web.channels.campaign_feed import version_of_campaign, write_campaign_feed
from cwz_web.channels.delivery import CONTENT_TYPES, GZIP, find_served_feed, rewrite_channel
from cwz_web.channels.serving import DamagedFeedError, HeldFile, open_feed
from cwz_web.feeds.models import Feed
from cwz_web.generation.image_urls import ImageUrls
from cwz_web.generation.images import read_image
from cwz_web.generation.models import Image
from cwz_web.generation.signed_urls import EXPIRY, KEY, SIGNATURE, InvalidSignedUrlError, valid_numbers
from cwz_web.generation.template_cache import TemplatePlan, TemplateVersionState
from cwz_web.imaging.decoding import thumbnail
from cwz_web.imaging.documents import DEFAULT_SIZE
from cwz_web.imaging.encoders import Encoding, Format, Output
from cwz_web.resources.signed_urls import OnDemandImage, SignedCampaignFeed, SignedChannelFeed, SignedFeed, SignedImage
from cwz_web.runs.output_feed import latest_run, version_of, write_output_feed
from cwz_web.storage.contract import StorageError
from cwz_web.storage.image_objects import content_disposition
from cwz_web.storage.models import Connection
from cwz_web.values.formats import with_format
from cwz_web.web.problems import ProblemError, problem_response
from cwz_web.web.rate_limit_subjects import client_network
from cwz_web.web.request import Request
from cwz_web.web.urls import parse_number
from cwz_web.workspaces.models import Workspace

MAX_QUERY_LENGTH = 8000
# Fewer rows than this are written within half a second.
FEW_ROWS = 10_000
# Bytes of a feed of a channel that takes longer to read from the storage.
LARGE_FEED = 4 * 1024 * 1024
RETRY_SECONDS = 60
# The image of the published version changes when the template does; that of a given version never does.
FIVE_MINUTES, YEAR = 300, 31_536_000
REVALIDATE_ALWAYS = "no-cache"


class Options(Encoding):
    """The options of an image, beside its data; their parameters begin with an underscore."""

    size: Annotated[str, Field(max_length=40)] = DEFAULT_SIZE
    scale: Annotated[int, Field(ge=1, le=3)] = 1
    version: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None


OPTIONS = frozenset(f"_{name}" for name in Options.model_fields)


@view_config(context=OnDemandImage, request_method=("GET", "HEAD"), permission=NO_PERMISSION_REQUIRED)
def show_on_demand_image(context: OnDemandImage, request: Request) -> Response:
    """Return the image of the template and the data in the URL."""
    services, state, parameters = request.services, context.state, _parameters(request)
    options = _options(parameters)
    if _needs_signature(parameters, state.unsigned_parameters):
        _check_signature(request, context.workspace_id, state.signing_key_numbers, context.__name__, parameters)
    values = {_field_of(name): value for name, value in parameters.items() if not _is_option(name)}
    data = {name: with_format(value, state.value_format) for name, value in values.items()}
    output = Output(size=options.size, format=context.format, scale=options.scale, **options.encoding_options())
    quota = services.quotas.of(context.workspace_id, state.plan_status)
    limit = "signed-image" if SIGNATURE in parameters else "unsigned-image"

    @cache
    def admit() -> None:
        """Count the request once: if a photo has to be fetched, or the image to be rendered."""
        services.limiter.reserve(limit, {"template": str(state.template_id), "network": _network(request)})

    plan = _find_plan(request, state, options.version)
    rendering = OnDemandRendering(request, quota, plan, data, output, admit=admit)
    cache_control = _cache_control(parameters, YEAR if options.version else FIVE_MINUTES)
    if rendering.digest in request.if_none_match:
        return _not_modified(rendering.digest, cache_control)
    if not rendering.is_cached:
        admit()
    rendered, _ = rendering.render()
    if rendering.lacks_photo:
        cache_control = REVALIDATE_ALWAYS  # the photo may be there a minute later
    response = cacheable_response(rendered.data, context.format.content_type, rendering.digest, cache_control)
    add_findings(response, rendered.findings)
    return response


@view_config(context=SignedImage, request_method=("GET", "HEAD"), permission=NO_PERMISSION_REQUIRED)
def show_stored_image(context: SignedImage, request: Request) -> Response:
    """Return a stored image, or a thumbnail of it."""
    services, parameters = request.services, _parameters(request)
    path = f"images/{context.workspace_id}/{context.__name__}"
    with services.database.transaction(context.workspace_id) as db:
        _check_workspace_signature(request, db, context.workspace_id, path, parameters)
        width = _width(parameters)
        image = db.get(Image, (context.workspace_id, context.id))
        content_type = context.format.content_type
        if image is None or content_type != (Format.WEBP.content_type if width else image.content_type):
            raise ProblemError(404, "not_found", "There is no such image")
        connection = db.get_one(Connection, (context.workspace_id, image.connection_id))
    tag = f"{image.digest}-{width}" if width else image.digest
    cache_control = _cache_control(parameters, YEAR)
    if tag in request.if_none_match:
        return _not_modified(tag, cache_control)
    services.limiter.reserve("stored-image", {"workspace": str(context.workspace_id), "network": _network(request)})
    data = read_image(services.providers.open(connection.spec), image)
    response = cacheable_response(thumbnail(data, width) if width else data, content_type, tag, cache_control)
    if not width:
        response.content_disposition = content_disposition(image.name, context.format.value)
    return response


@view_config(context=SignedFeed, request_method=("GET", "HEAD"), permission=NO_PERMISSION_REQUIRED)
def show_output_feed(context: SignedFeed, request: Request) -> Response:
    """Return a feed's rows with the URLs of their newest images, as CSV."""
    services, parameters = request.services, _parameters(request)
    path = f"feeds/{context.workspace_id}/{context.__name__}"
    column = parameters.get("column", "")
    with services.database.transaction(context.workspace_id) as db:
        _check_workspace_signature(request, db, context.workspace_id, path, parameters)
        feed = db.get(Feed, (context.workspace_id, context.id))
        if feed is None or feed.deleted_at:
            raise _no_output_feed()
        run = latest_run(db, feed, _template_id(parameters))
        if run is None:
            raise _no_output_feed()
        image_urls = ImageUrls.load(db, context.workspace_id, services.signed_urls)
        version = version_of(db, feed, run, column, image_urls)
        if version in request.if_none_match:
            return _not_modified(version, REVALIDATE_ALWAYS)
        services.limiter.reserve("output-feed", {"feed": str(feed.id), "network": _network(request)})
        with services.slow_requests.slot(context.workspace_id, when=feed.item_count > FEW_ROWS):
            file = write_output_feed(db, feed, run, column, image_urls)
    return _csv_response(request, file, version)


@view_config(context=SignedCampaignFeed, request_method=("GET", "HEAD"), permission=NO_PERMISSION_REQUIRED)
def show_campaign_feed(context: SignedCampaignFeed, request: Request) -> Response:
    """Return the rows of a campaign's public publication with the URLs of their images, as CSV."""
    services, parameters = request.services, _parameters(request)
    path = f"campaigns/{context.workspace_id}/{context.__name__}"
    column = parameters.get("column", "")
    with services.database.transaction(context.workspace_id) as db:
        _check_workspace_signature(request, db, context.workspace_id, path, parameters)
        campaign = db.get(Campaign, (context.workspace_id, context.id))
        publication = get_public(db, campaign) if campaign and not campaign.deleted_at else None
        feed = db.get(Feed, (context.workspace_id, campaign.feed_id)) if campaign else None
        if campaign is None or publication is None or feed is None or feed.deleted_at:
            raise ProblemError(404, "not_found", "There is no such campaign, or nothing of it is public yet")
        _log_fetch(request, campaign.id, campaign.id)
        image_urls = ImageUrls.load(db, context.workspace_id, services.signed_urls)
        version = version_of_campaign(db, campaign, publication, column, image_urls)
        if version in request.if_none_match:
            return _not_modified(version, REVALIDATE_ALWAYS)
        services.limiter.reserve("output-feed", {"feed": str(campaign.id), "network": _network(request)})
        with services.slow_requests.slot(context.workspace_id, when=publication.rows > FEW_ROWS):
            file = write_campaign_feed(db, campaign, publication, column, image_urls)
    return _csv_response(request, file, version)


@view_config(context=SignedChannelFeed, request_method=("GET", "HEAD"), permission=NO_PERMISSION_REQUIRED)
def show_channel_feed(context: SignedChannelFeed, request: Request) -> Response:
    """Return the feed of a channel as it was last written, whole, or none."""
    services, workspace_id = request.services, context.workspace_id
    with services.database.transaction(workspace_id) as db:
        path = f"channels/{workspace_id}/{context.__name__}"
        _check_workspace_signature(request, db, workspace_id, path, _parameters(request))
        served = find_served_feed(db, workspace_id, context.id, context.extension)
    if served is None:
        raise ProblemError(404, "not_found", "There is no such channel, or nothing of its campaign is public yet")
    channel = served.channel
    _log_fetch(request, channel.campaign_id, channel.id)
    if served.spec is None:
        return _try_later(request, "The feed is being written. Try again in a minute")
    is_gzipped = context.is_gzipped or _accepts_gzip(request)
    response = Response(content_type=GZIP if context.is_gzipped else CONTENT_TYPES[channel.file_format])
    if is_gzipped and not context.is_gzipped:
        response.content_encoding = "gzip"
    response.vary = None if context.is_gzipped else ("Accept-Encoding",)
    response.etag = f"{channel.digest}-gzip" if is_gzipped else channel.digest
    response.last_modified = channel.written_at
    response.headers["Cache-Control"] = REVALIDATE_ALWAYS
    if _is_known(request, response):
        response.status, response.content_type, response.content_encoding = 304, None, None
        del response.content_length
        return response
    services.limiter.reserve("output-feed", {"feed": str(channel.id), "network": _network(request)})
    size = channel.stored_size if is_gzipped else channel.size
    if request.method == "GET":
        try:
            is_large = channel.size > LARGE_FEED
            with ExitStack() as held:
                held.enter_context(services.unpacked_feeds.slot(workspace_id, when=is_large and not is_gzipped))
                with services.slow_requests.slot(workspace_id, when=is_large):
                    opened = open_feed(services.providers.open(served.spec), channel, is_gzipped=is_gzipped)
                file = HeldFile(opened, held.pop_all())
        except DamagedFeedError as error:
            if not channel.error_message:  # otherwise a job is queued already, or nothing but a change helps
                with services.database.transaction(workspace_id) as db:
                    rewrite_channel(db, workspace_id, channel.id)
            return _try_later(request, str(error))
        except StorageError as error:
            return _try_later(request, str(error))
        response.app_iter = request.environ.get("wsgi.file_wrapper", FileIter)(file)
    response.content_length = size
    return response


def _accepts_gzip(request: Request) -> bool:
    offers = request.accept_encoding.acceptable_offers(["gzip"]) if "Accept-Encoding" in request.headers else ()
    return bool(offers)


def _is_known(request: Request, response: Response) -> bool:
    """Return whether the client has the file already (RFC 9110, section 13.2.2)."""
    if "If-None-Match" in request.headers:
        return response.etag in request.if_none_match
    since = request.if_modified_since
    return since is not None and response.last_modified <= since


def _try_later(request: Request, detail: str) -> Response:
    response = problem_response(request, ProblemError(503, "storage_unavailable", detail))
    response.headers["Retry-After"] = str(RETRY_SECONDS)
    return response


def _log_fetch(request: Request, campaign_id: UUID, source_id: UUID) -> None:
    """Count the fetch when its response is known."""

    def log(request: Request, response: Response) -> None:
        request.services.feed_fetches.add(
            request.context.workspace_id,
            campaign_id,
            source_id,
            user_agent=request.user_agent or "",
            status=response.status_int,
            size=(response.content_length or 0) if request.method == "GET" else 0,
        )

    request.add_response_callback(log)


def _csv_response(request: Request, file: BinaryIO, version: str) -> Response:
    size = file.seek(0, SEEK_END)
    file.seek(0)
    # The server's own file wrapper does not occupy a thread.
    response = Response(
        app_iter=request.environ.get("wsgi.file_wrapper", FileIter)(file), content_type="text/csv", charset="utf-8"
    )
    response.content_length = size
    response.etag, response.headers["Cache-Control"] = version, REVALIDATE_ALWAYS
    return response


def _find_plan(request: Request, state: TemplateVersionState, version: int | None) -> TemplatePlan:
    try:
        return request.services.template_cache.get_plan(state, version)
    except NoResultFound:
        errors = {"_version": f"The newest version is {state.version}"}
        raise ProblemError(422, "unknown_version", "The template does not have this version", errors) from None


def _width(parameters: dict[str, str]) -> int | None:
    """Return the width of the thumbnail in pixels; None for the image itself."""
    if "width" not in parameters:
        return None
    width = parse_number(parameters["width"])
    if not 16 <= width <= 2000:
        raise ProblemError(422, "invalid", "The URL is not valid", {"width": "Use a number from 16 to 2000"})
    return width


def _no_output_feed() -> ProblemError:
    return ProblemError(404, "not_found", "There is no such feed, or it has no images yet")


def _template_id(parameters: dict[str, str]) -> UUID:
    try:
        return UUID(parameters.get("template", ""))
    except ValueError:
        errors = {"template": "Use the id of a template"}
        raise ProblemError(422, "invalid", "The URL does not name a template", errors) from None


def _parameters(request: Request) -> dict[str, str]:
    if len(request.query_string) > MAX_QUERY_LENGTH:
        raise ProblemError(414, "url_too_long", f"The query string can have at most {MAX_QUERY_LENGTH:,} characters")
    parameters = dict(request.GET)
    if len(parameters) != len(request.GET):
        raise ProblemError(400, "repeated_parameter", "Give each parameter at most once")
    return parameters


def _needs_signature(parameters: dict[str, str], unsigned_parameters: tuple[str, ...] | None) -> bool:
    """Return whether the URL needs a signature; an unsigned one may have the template's unsigned parameters.

    Raises:
        ProblemError: An unsigned URL has other parameters.
    """
    if SIGNATURE in parameters or unsigned_parameters is None:
        return True
    closed = sorted(name for name in parameters if name not in unsigned_parameters)
    if closed:
        errors = dict.fromkeys(closed, "Sign the URL")
        raise ProblemError(403, "invalid_signature", "An unsigned URL cannot have these parameters", errors)
    return False


def _check_workspace_signature(
    request: Request, db: Session, workspace_id: UUID, path: str, parameters: dict[str, str]
) -> None:
    workspace = db.get(Workspace, workspace_id)
    if workspace is None:
        raise ProblemError(404, "not_found", "There is no such image or feed")
    _check_signature(request, workspace_id, valid_numbers(workspace), path, parameters)


def _check_signature(
    request: Request, workspace_id: UUID, numbers: range, path: str, parameters: dict[str, str]
) -> None:
    try:
        request.services.signed_urls.check(workspace_id, path, parameters, numbers)
    except InvalidSignedUrlError as error:
        raise ProblemError(403, "invalid_signature", str(error)) from None


def _options(parameters: dict[str, str]) -> Options:
    options = {name[1:]: value for name, value in parameters.items() if name in OPTIONS}
    try:
        return Options.model_validate(options)
    except ValidationError as error:
        errors = {f"_{name}": message for name, message in problems_with(error).items()}
        raise ProblemError(422, "invalid", "The URL is not valid", errors) from None


def _network(request: Request) -> str:
    return client_network(request.remote_addr or "")


def _is_option(name: str) -> bool:
    return name in OPTIONS or name in (SIGNATURE, KEY, EXPIRY)


def _field_of(name: str) -> str:
    """Return the field of a parameter. A field that is named like an option has a second underscore."""
    return name[1:] if name.startswith("__") and name[1:] in OPTIONS else name


def _cache_control(parameters: dict[str, str], seconds: int) -> str:
    """Return how long caches may keep an image: no longer than its URL is valid."""
    if SIGNATURE in parameters and EXPIRY in parameters:  # the signature was checked: the expiry is a number
        remaining = max(int(parameters[EXPIRY]) - math.ceil(time.time()), 0)
        return f"public, max-age={min(seconds, remaining)}, must-revalidate"
    return f"public, max-age={seconds}" + (", immutable" if seconds == YEAR else "")


def _not_modified(tag: str, cache_control: str) -> Response:
    response = Response(status=304)
    response.etag = tag
    response.headers["Cache-Control"] = cache_control
    return response
