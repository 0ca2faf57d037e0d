"""Dry runs of `POST /v1/images`: what the images of a request would be and cost; nothing is rendered or counted."""

from collections.abc import Sequence
from typing import Literal

from cwz_web.api.image_requests import ImageRequest
from cwz_web.api.on_demand import OnDemandRendering
from cwz_web.api.pagination import ResponseModel
from cwz_web.api.request_body import Metadata
from cwz_web.generation.photo_processing import processing_cost
from cwz_web.generation.usage import QuotaExceededError, check_room
from cwz_web.imaging.encoders import Format
from cwz_web.imaging.findings import Finding
from cwz_web.imaging.output_sizes import shown_name
from cwz_web.imaging.processors import installed_processors

# Of a layer, in characters; no more are rendered.
MAX_CONTENT = 2000


class LayerContent(ResponseModel):
    """What a layer shows: its text, or the URL of its image. A layer of a repeated stack is there for each entry."""

    layer: str
    content: str


class DryRunImage(ResponseModel):
    """An image that would be rendered; `stored` is whether it exists already, so that it would not count."""

    size: str
    format: Format
    width: int
    height: int
    digest: str
    stored: bool
    findings: list[Finding]
    contents: list[LayerContent]


class DryRun(ResponseModel):
    """What a request would do. `cost` is the number of images that it would count, and `processing_cost` how many more
    at most, for photos that image processors change for the first time. `fits_quota` is whether there is room for both.

    `values` are those of the template's fields, computed ones included, as the first image has them. The findings
    include those of the design, and not what only an image processor can find.
    """

    dry_run: Literal[True] = True
    cost: int
    processing_cost: int
    fits_quota: bool
    values: dict[str, str]
    images: list[DryRunImage]
    metadata: Metadata


def describe_dry_run(renderings: Sequence[OnDemandRendering], body: ImageRequest) -> DryRun:
    """Return what a request would do.

    Raises:
        IncompleteImageError: A photo is missing, and the request demands it.
        ImagingError: An image cannot be rendered.
    """
    images = [_describe(rendering, body) for rendering in renderings]
    first, processors = renderings[0], installed_processors()
    cost = len({image.digest for image in images if not image.stored})
    more = max(processing_cost(each.design.document.in_size(each.output.size), processors) for each in renderings)
    more = more if cost else 0
    return DryRun(
        cost=cost,
        processing_cost=more,
        fits_quota=not cost or _fits(first, cost + more),
        values=first.values,
        images=images,
        metadata=body.metadata,
    )


def _describe(rendering: OnDemandRendering, body: ImageRequest) -> DryRunImage:
    findings, contents = rendering.inspect(must_be_complete=body.must_be_complete)
    width, height = rendering.size
    return DryRunImage(
        size=shown_name(rendering.output.size),
        format=rendering.output.format,
        width=width,
        height=height,
        digest=rendering.digest,
        stored=rendering.is_stored(),
        findings=findings,
        contents=[LayerContent(layer=layer, content=content[:MAX_CONTENT]) for layer, content in contents],
    )


def _fits(rendering: OnDemandRendering, images: int) -> bool:
    try:
        check_room(rendering.services.database, rendering.quota, images)
    except QuotaExceededError:
        return False
    return True
