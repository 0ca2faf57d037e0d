"""On-demand images, for an API key or a signed URL: rendered, counted, and stored on request."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any
from urllib.parse import quote
from uuid import UUID

from pydantic_core import to_jsonable_python
from pyramid.response import Response
from sqlalchemy.orm import Session

from cwz_web.api.pagination import ResponseModel
from cwz_web.generation.image_service import check_complete
from cwz_web.generation.image_sources import FetchLimits
from cwz_web.generation.image_urls import ImageUrls
from cwz_web.generation.images import StoredImage, find_image, find_image_key, read_image, record_images
from cwz_web.generation.models import Image
from cwz_web.generation.photo_processing import Processing, record_processings
from cwz_web.generation.template_cache import TemplatePlan
from cwz_web.generation.usage import Quota, check_room, count
from cwz_web.imaging.composition import RenderedImage
from cwz_web.imaging.encoders import Output
from cwz_web.imaging.findings import Finding
from cwz_web.notify.webhooks import Event, emit
from cwz_web.storage.image_names import fill_key_pattern
from cwz_web.storage.image_objects import DirectImageBucket, ImageLabel
from cwz_web.storage.uploads import Uploads
from cwz_web.web.request import Request

# A proxy may reject longer headers.
MAX_HEADER_FINDINGS = 20
# All photos of an image.
FETCH_SECONDS = 5.0


class StoredImageInfo(ResponseModel):
    """A stored image. `url` is one that anyone can open: that of its storage if there is one, else a signed URL."""

    id: UUID
    url: str
    digest: str
    width: int
    height: int
    bytes: int
    content_type: str


@dataclass(frozen=True)
class OnDemandImageResult:
    """A stored image, its description in the API, its findings, and whether it was stored before."""

    image: Image
    description: Mapping[str, Any]
    findings: tuple[Finding, ...]
    was_stored: bool


class OnDemandRendering:
    """One image of a request, known by its digest before it is rendered.

    Args:
        request: the request.
        quota: what the image counts against.
        plan: the template, and the connections of its workspace.
        data: values of the template's fields.
        output: size and format.
        name: of the image; by default, that of the template.
        limits: what fetches of photos are subject to, if several images share them.
        admit: called before a photo is fetched; raises an error if the client has asked too often.

    Raises:
        ImagingError: The data does not fit the template.
        StorageError: The storage of an uploaded photo does not respond.
    """

    def __init__(
        self,
        request: Request,
        quota: Quota,
        plan: TemplatePlan,
        data: Mapping[str, str],
        output: Output,
        *,
        name: str = "",
        limits: FetchLimits | None = None,
        admit: Callable[[], None] = lambda: None,
    ) -> None:
        self.services, self.quota = request.services, quota
        self.design, self.connection = plan.design, plan.connections[0]
        self.data, self.output = data, output
        self.name = name or plan.design.template.name
        uploads = Uploads(quota.workspace_id, plan.connection_specs, self.services.providers.open)
        limits = limits or FetchLimits(time.monotonic() + FETCH_SECONDS, admit)
        self._image = self.services.image_service.prepare(
            uploads, self.design.document, data, output, limits=limits, is_overridden=plan.is_overridden
        )

    @property
    def digest(self) -> str:
        """The digest of everything that the image is made of."""
        return self._image.processed.name_of(self._image.digest)

    @property
    def lacks_photo(self) -> bool:
        """Whether a photo that the data names could not be loaded, or not be processed."""
        return self._image.lacks_photo

    @property
    def is_cached(self) -> bool:
        """Whether this process rendered the image recently."""
        return self.services.image_service.cached(self.quota.workspace_id, self.digest) is not None

    def render(self, *, must_be_complete: bool = False) -> tuple[RenderedImage, bool]:
        """Return the image, and whether it came from the cache.

        Counting is the last step that can fail: an image that is not counted is neither cached nor returned.

        Args:
            must_be_complete: reject an image without its photos.

        Raises:
            IncompleteImageError: A photo is missing.
            QuotaExceededError: The quota is used up.
            ImagingError: The image cannot be rendered.
        """
        image_service, workspace_id = self.services.image_service, self.quota.workspace_id
        cached = image_service.cached(workspace_id, self.digest)
        if cached is not None:
            if must_be_complete:
                check_complete(self._image, cached.findings)
            return cached, True
        check_room(self.services.database, self.quota)
        self._image = image_service.process(self._image)
        rendered = image_service.render(self._image)
        if must_be_complete:
            check_complete(self._image, rendered.findings)
        with self.services.database.transaction(workspace_id) as db:
            count(db, self.quota, 1 + record_processings(db, workspace_id, self._image.processed.processings))
        image_service.cache(workspace_id, self._image, rendered)
        return rendered, False

    @property
    def size(self) -> tuple[int, int]:
        """The width and the height of the image in pixels."""
        return self._image.plan.width, self._image.plan.height

    def store(
        self, *, must_be_complete: bool = False, metadata: Mapping[str, object] | None = None
    ) -> OnDemandImageResult:
        """Return the image in the workspace's storage. Arguments and errors are those of `store_images`."""
        (result,) = store_images([self], must_be_complete=must_be_complete, metadata=metadata)
        return result

    def read(self, image: Image) -> bytes:
        """Return the bytes of the stored image. Raises StorageError."""
        return read_image(self.services.providers.open(self.connection.spec), image)

    def put(self, *, must_be_complete: bool) -> tuple[StoredImage, tuple[Finding, ...]]:
        """Render the image into the storage, unless it is there; it is neither recorded nor counted yet."""
        services = self.services
        file_name = fill_key_pattern(self.connection.key_pattern, self._image.data)
        label = ImageLabel.of(self.name, self.design.version, file_name=file_name)
        find_key = cache(partial(self._find_key, file_name))
        bucket = DirectImageBucket(services.providers.open(self.connection.spec), find_key)
        self._image = services.image_service.process(self._image)
        stored, findings = services.image_service.store(
            self.quota.workspace_id,
            bucket,
            self._image,
            label,
            must_be_complete=must_be_complete,
        )
        return stored.model_copy(update={"key": find_key(stored.key)}), findings

    def is_stored(self) -> bool:
        """Return whether the image is in the storage already."""
        with self.services.database.transaction(self.quota.workspace_id) as db:
            return find_image(db, self.quota.workspace_id, self.digest) is not None

    def preview(self, width: int) -> RenderedImage:
        """Return the image at most `width` pixels wide; it is neither cached nor counted, except for processed photos.

        Raises:
            ImagingError: The image cannot be rendered.
            QuotaExceededError: Photos have to be processed, and the quota is used up.
        """
        image_service, workspace_id = self.services.image_service, self.quota.workspace_id
        if self._image.plan.processed_photos(self._image.values):
            check_room(self.services.database, self.quota)
            self._image = image_service.process(self._image)
            with self.services.database.transaction(workspace_id) as db:
                count(db, self.quota, record_processings(db, workspace_id, self._image.processed.processings))
        return image_service.render_preview(self._image, width)

    def inspect(self, *, must_be_complete: bool) -> tuple[list[Finding], list[tuple[str, str]]]:
        """Return the findings of the image, and its layers with what they show. Arguments are those of `render`."""
        findings, contents = self.services.image_service.inspect(self._image)
        if must_be_complete:
            check_complete(self._image, findings)
        return findings, contents

    @property
    def values(self) -> dict[str, str]:
        """The values of the template's fields, computed ones included."""
        names = self.design.document.field_names
        return {name: str(value) for name, value in self._image.values.items() if name in names}

    @property
    def processings(self) -> tuple[Processing, ...]:
        """The photos that were processed for it."""
        return self._image.processed.processings

    def _find_key(self, file_name: str, key: str) -> str:
        """Return the key of an image's object by the one without a pattern of keys."""
        if not file_name:
            return key
        with self.services.database.transaction(self.quota.workspace_id) as db:
            return find_image_key(db, self.quota.workspace_id, key, file_name)


def store_images(
    renderings: Sequence[OnDemandRendering],
    *,
    must_be_complete: bool = False,
    metadata: Mapping[str, object] | None = None,
    request_id: UUID | None = None,
    finish: Callable[[Session, Sequence[OnDemandImageResult]], None] = lambda db, results: None,
) -> list[OnDemandImageResult]:
    """Return the images of a request in the workspace's storage.

    They are recorded and counted in one transaction, once all of them are in the storage: all or none.

    Args:
        renderings: the images, of one template.
        must_be_complete: store none of them if one lacks a photo.
        metadata: what webhooks return to the client.
        request_id: of the image request that they belong to.
        finish: called at the end of the transaction.

    Raises:
        IncompleteImageError: A photo is missing.
        QuotaExceededError: The quota does not have room for all of them.
        ImagingError: An image cannot be rendered.
        StorageError: The storage does not accept it.
    """
    first = renderings[0]
    services, quota, workspace_id, template = (
        first.services,
        first.quota,
        first.quota.workspace_id,
        first.design.template,
    )
    if quota.is_limited:
        new_digests = {each.digest for each in renderings if not each.is_stored()}
        if new_digests:
            check_room(services.database, quota, len(new_digests))
    stored = [rendering.put(must_be_complete=must_be_complete) for rendering in renderings]
    with services.database.transaction(workspace_id) as db:
        recorded = record_images(
            db,
            workspace_id,
            [(rendering.name, image) for rendering, (image, _) in zip(renderings, stored, strict=True)],
            connection_id=first.connection.id,
            template_id=template.id,
            version=first.design.version,
        )
        urls = ImageUrls.load(db, workspace_id, services.signed_urls)
        results = []
        for image, findings in stored:
            row, is_new = recorded[image.digest]
            results.append(OnDemandImageResult(row, urls.describe(row), findings, was_stored=not is_new))
        new = {result.image.id: result for result in results if not result.was_stored}
        if new:
            processings = [
                processing
                for rendering, result in zip(renderings, results, strict=True)
                if not result.was_stored
                for processing in rendering.processings
            ]
            count(db, quota, len(new) + record_processings(db, workspace_id, processings))
            about = {"run": request_id and str(request_id), "template": str(template.id), "metadata": metadata or {}}
            payloads = [
                {
                    **result.description,
                    **about,
                    "key": result.image.name,
                    "findings": to_jsonable_python(result.findings),
                }
                for result in new.values()
            ]
            emit(db, workspace_id, Event.IMAGE_CREATED, *payloads)
        finish(db, results)
    return results


def add_findings(response: Response, findings: Iterable[Finding]) -> None:
    """List findings in the header `Findings`, a structured field (RFC 9651).

    Layer names are percent-encoded UTF-8.
    """
    listed = [f'{finding.code.value};layer="{quote(finding.layer, safe="")}"' for finding in findings]
    if listed:
        response.headers["Findings"] = ", ".join(listed[:MAX_HEADER_FINDINGS])


def cacheable_response(data: bytes, content_type: str, digest: str, cache_control: str) -> Response:
    """Return an image with ETag and Cache-Control, or 304 to a client that has it (RFC 9110, 9111).

    Args:
        data: the image.
        content_type: its content type.
        digest: its digest, for the ETag.
        cache_control: the value of Cache-Control.
    """
    response = Response(data, content_type=content_type, conditional_response=True)
    response.etag = digest
    response.headers["Cache-Control"] = cache_control
    return response
