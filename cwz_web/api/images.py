"""`/v1/images`: `POST` renders an image; `GET` lists the stored ones."""

import time
from collections.abc import Sequence
from datetime import datetime
from math import prod
from typing import Any
from uuid import UUID

from pydantic import RootModel
from pyramid.response import Response
from pyramid.view import view_config
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7
from webob.acceptparse import create_accept_header

from cwz_web.api.dry_runs import DryRun, describe_dry_run
from cwz_web.api.image_requests import (
    ImageRequest,
    defer_image,
    file_names,
    find_plan,
    plan_outputs,
    resolve_values,
    status_url,
)
from cwz_web.api.on_demand import (
    FETCH_SECONDS,
    OnDemandImageResult,
    OnDemandRendering,
    StoredImageInfo,
    add_findings,
    store_images,
)
from cwz_web.api.pagination import ResponseModel, paginate, transaction
from cwz_web.api.request_body import JSON, Metadata, read_body
from cwz_web.generation.image_sources import FetchLimits
from cwz_web.generation.image_urls import ImageUrls
from cwz_web.generation.models import Image
from cwz_web.imaging.composition import RenderedImage
from cwz_web.imaging.encoders import Format
from cwz_web.imaging.engine import MAX_PIXELS
from cwz_web.imaging.findings import Finding
from cwz_web.imaging.output_sizes import shown_name
from cwz_web.resources.api import ApiImage, ApiImageCollection
from cwz_web.resources.permissions import Permission
from cwz_web.runs.image_deletion import ImageInUseError, delete_images
from cwz_web.runs.planning import record_image_set
from cwz_web.storage.image_objects import content_disposition
from cwz_web.web.problems import ProblemError
from cwz_web.web.request import Request
from cwz_web.workspaces.audit import record

# The formats of still images, by content type.
IMAGE_TYPES = {format.content_type: format for format in (Format.JPEG, Format.PNG, Format.WEBP, Format.AVIF)}
# Of the images of a set that is rendered at once: it occupies a thread.
MAX_SET_PIXELS = 2 * MAX_PIXELS


class CreatedImage(StoredImageInfo):
    """A stored image; `cached` is whether it was stored before, so that it did not count."""

    cached: bool
    findings: list[Finding]
    metadata: Metadata


class SetImage(StoredImageInfo):
    """An image of a set; `cached` is whether it was stored before, so that it did not count.

    `size` is the name of a size of the template, or that of a canvas, such as `640x480`.
    """

    size: str
    format: Format
    cached: bool
    findings: list[Finding]


class ImageSet(ResponseModel):
    """The images of a request with `outputs`, in their order. `status_url` returns the set again."""

    id: UUID
    status_url: str
    images: list[SetImage]
    metadata: Metadata


class CreatedImages(RootModel[CreatedImage | ImageSet | DryRun]):
    """An image; for a request with `outputs`, a set of images; for one with `dry_run`, what it would do."""


class ImageInfo(StoredImageInfo):
    """A stored image, and the template version that it was rendered with."""

    name: str
    template: UUID
    version: int
    created_at: datetime


class ImagePage(ResponseModel):
    """A page of images, newest first."""

    images: list[ImageInfo]
    next: str | None


@view_config(context=ApiImageCollection, request_method="POST", permission=Permission.GENERATE, require_csrf=False)
def create_image(context: ApiImageCollection, request: Request) -> Response:
    """Render an image, or a set of images.

    Return a stored image's description; the image if the client asks for an image type by name, in Accept or in
    `?format=`; an image request for `Prefer: respond-async`.
    """
    body = read_body(request, ImageRequest)
    format_of_url = _format_of_url(request, body)
    if body.outputs is None:
        body = body.model_copy(update={"format": format_of_url or body.format})
    is_async = _prefers_async(request)
    if body.webhook and not is_async:
        errors = {"webhook": "Send the header Prefer: respond-async, or leave webhook out"}
        raise ProblemError(422, "invalid", "A webhook needs an asynchronous request", errors)
    if body.dry_run:
        renderings = _renderings(request, body)
        if not is_async:
            _check_pixels(renderings)
        described = describe_dry_run(renderings, body)
        return Response(json_body=described.model_dump(mode="json"))
    if is_async:
        return defer_image(request, body)
    if body.outputs is not None:
        return _create_set(request, body)
    accepted = format_of_url.content_type if format_of_url else _negotiate(request, body)
    if accepted != JSON:
        body = body.model_copy(update={"format": IMAGE_TYPES[accepted]})
    (rendering,) = _renderings(request, body)
    if accepted != JSON and not body.store:
        rendered, is_cached = rendering.render(must_be_complete=body.must_be_complete)
        return _image_response(rendered, rendering, is_cached, body.file_name)
    result = rendering.store(must_be_complete=body.must_be_complete, metadata=body.metadata)
    image, findings, was_stored = result.image, result.findings, result.was_stored
    info = CreatedImage(**result.description, cached=was_stored, findings=list(findings), metadata=body.metadata)
    if accepted == JSON:
        response = Response(json_body=info.model_dump(mode="json"), status=200 if was_stored else 201)
        add_findings(response, findings)
        return response
    rendered = RenderedImage(rendering.read(image), findings)
    response = _image_response(rendered, rendering, was_stored, body.file_name)
    response.headers["Link"] = f'<{info.url}>; rel="canonical"'
    return response


@view_config(context=ApiImageCollection, request_method="GET", renderer="json", permission=Permission.API_READ)
def list_images(context: ApiImageCollection, request: Request) -> dict[str, Any]:
    """Return a page of the workspace's stored images."""
    with transaction(request) as db:
        images, cursor = paginate(request, db, Image)
        urls = ImageUrls.load(db, request.api_key.workspace_id, request.services.signed_urls)
    return ImagePage(images=[_info(urls, image) for image in images], next=cursor).model_dump(mode="json")


@view_config(context=ApiImage, request_method="GET", renderer="json", permission=Permission.API_READ)
def show_image(context: ApiImage, request: Request) -> dict[str, Any]:
    """Return a stored image."""
    with transaction(request) as db:
        urls = ImageUrls.load(db, context.row.workspace_id, request.services.signed_urls)
    return _info(urls, context.row).model_dump(mode="json")


@view_config(context=ApiImage, request_method="DELETE", permission=Permission.API_IMAGES_WRITE, require_csrf=False)
def remove_image(context: ApiImage, request: Request) -> Response:
    """Delete a stored image. Its URL answers 404 at once; its object is removed from the storage half an hour later."""
    with transaction(request) as db:
        try:
            delete_images(db, context.row.workspace_id, [context.row.id])
        except ImageInUseError as error:
            raise ProblemError(409, "image_in_use", str(error)) from None
        record(db, context.row.workspace_id, request.actor, "image.delete", f"the image {context.row.name}", {})
    return Response(status=204)


def _prefers_async(request: Request) -> bool:
    """Return whether the client sent `Prefer: respond-async` (RFC 7240)."""
    preferences = request.headers.get("Prefer", "").split(",")
    return any(preference.split(";")[0].strip().lower() == "respond-async" for preference in preferences)


def _create_set(request: Request, body: ImageRequest) -> Response:
    """Render and store the images of a set, all or none, and return them."""
    if not create_accept_header(request.headers.get("Accept") or None).acceptable_offers([JSON]):
        raise ProblemError(406, "not_acceptable", f"A set of images is {JSON}")
    renderings = _renderings(request, body)
    _check_pixels(renderings)
    request_id, first = uuid7(), renderings[0]

    def record_set(db: Session, results: Sequence[OnDemandImageResult]) -> None:
        record_image_set(
            db,
            request_id=request_id,
            template=first.design.template,
            version=first.design.version,
            data=first.data,
            outputs=[rendering.output for rendering in renderings],
            names=file_names(body),
            images=[(result.image.id, result.findings, result.was_stored) for result in results],
            key_id=request.api_key.key_id,
            metadata=body.metadata,
        )

    results = store_images(
        renderings,
        must_be_complete=body.must_be_complete,
        metadata=body.metadata,
        request_id=request_id,
        finish=record_set,
    )
    images = [
        SetImage(
            **result.description,
            size=shown_name(rendering.output.size),
            format=rendering.output.format,
            cached=result.was_stored,
            findings=list(result.findings),
        )
        for rendering, result in zip(renderings, results, strict=True)
    ]
    info = ImageSet(id=request_id, status_url=status_url(request, request_id), images=images, metadata=body.metadata)
    is_new = any(not result.was_stored for result in results)
    return Response(json_body=info.model_dump(mode="json"), status=201 if is_new else 200)


def _check_pixels(renderings: Sequence[OnDemandRendering]) -> None:
    """Raise ProblemError if images have too many pixels for one request."""
    if sum(prod(rendering.size) for rendering in renderings) > MAX_SET_PIXELS:
        millions = MAX_SET_PIXELS // 10**6
        text = f"The images have more than {millions} million pixels. Use fewer outputs, or send Prefer: respond-async"
        raise ProblemError(422, "invalid", "The request is not valid", {"outputs": text})


def _renderings(request: Request, body: ImageRequest) -> list[OnDemandRendering]:
    """Return the images of a request, not rendered yet."""
    api_key = request.api_key
    state, plan = find_plan(request, body)
    plan, outputs = plan_outputs(request, body, plan)
    values = resolve_values(request, body, state, plan.design)
    quota = request.services.quotas.of(api_key.workspace_id, api_key.plan_status, api_key)
    limits = FetchLimits(time.monotonic() + FETCH_SECONDS)
    return [
        OnDemandRendering(request, quota, plan, values, output, name=name, limits=limits)
        for output, name in zip(outputs, file_names(body), strict=True)
    ]


def _image_response(
    rendered: RenderedImage, rendering: OnDemandRendering, is_cached: bool, file_name: str | None
) -> Response:
    format = rendering.output.format
    response = Response(rendered.data, content_type=format.content_type)
    response.etag = rendering.digest
    response.headers["Cached"] = "true" if is_cached else "false"
    if file_name:
        response.content_disposition = content_disposition(file_name, format.value)
    add_findings(response, rendered.findings)
    return response


def _info(urls: ImageUrls, image: Image) -> ImageInfo:
    return ImageInfo(
        **urls.describe(image),
        name=image.name,
        template=image.template_id,
        version=image.template_version,
        created_at=image.created_at,
    )


def _format_of_url(request: Request, body: ImageRequest) -> Format | None:
    """Return the format that the URL asks for (`?format=png`). Raises ProblemError."""
    if "format" not in request.GET:
        return None
    if body.outputs is not None:
        errors = {"format": "A set of images is JSON. Give the format in each of the outputs"}
        raise ProblemError(422, "invalid", "The request is not valid", errors)
    formats = {format.value: format for format in IMAGE_TYPES.values()}
    format = formats.get(request.GET["format"])
    if format is None:
        errors = {"format": f"Use {', '.join(formats)}"}
    elif body.format not in (None, format):
        errors = {"format": "The URL asks for another format than the body"}
    else:
        return format
    raise ProblemError(422, "invalid", "The request is not valid", errors)


def _negotiate(request: Request, body: ImageRequest) -> str:
    """Return the best content type of Accept (RFC 9110) that the body's `format` permits.

    Image types are offered only if Accept names them, as `image/png` or `image/*`: HTTP libraries send `*/*` on their
    own. Of equal types, JSON is best if it is named, too.

    Raises:
        ProblemError: Accept permits none.
    """
    accept = create_accept_header(request.headers.get("Accept") or None)
    ranges = [str(entry[0]).lower() for entry in accept.parsed or () if entry[1]]
    types = [body.format.content_type] if body.format else list(IMAGE_TYPES)
    if body.transparent and not body.format:
        types.remove(Format.JPEG.content_type)
    images = [each for each in types if each in ranges or "image/*" in ranges]
    offers = [JSON, *images] if JSON in ranges else [*images, JSON]
    acceptable = accept.acceptable_offers(offers)
    if not acceptable:
        raise ProblemError(406, "not_acceptable", f"Accept one of {', '.join([*types, JSON])}")
    return str(acceptable[0][0])
