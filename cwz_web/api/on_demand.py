"""On-demand images, for an API key or a signed URL: rendered, counted, and stored on request."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any
from urllib.parse import quote
from uuid import UUID

from pydantic_core import to_jsonable_python
from pyramid.response import Response

from cwz_web.api.pagination import ResponseModel
from cwz_web.generation.image_service import check_complete
from cwz_web.generation.image_sources import FetchLimits
from cwz_web.generation.image_urls import ImageUrls
from cwz_web.generation.images import find_image, find_image_key, read_image, record_images
from cwz_web.generation.models import Image
from cwz_web.generation.photo_processing import record_processings
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
        admit: Callable[[], None] = lambda: None,
    ) -> None:
        self._services, self._quota = request.services, quota
        self._design, self._connection = plan.design, plan.connections[0]
        uploads = Uploads(quota.workspace_id, plan.connection_specs, self._services.providers.open)
        limits = FetchLimits(time.monotonic() + FETCH_SECONDS, admit)
        self._image = self._services.image_service.prepare(
            uploads, self._design.document, data, output, limits=limits, is_overridden=plan.is_overridden
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
        return self._services.image_service.cached(self._quota.workspace_id, self.digest) is not None

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
        image_service, workspace_id = self._services.image_service, self._quota.workspace_id
        cached = image_service.cached(workspace_id, self.digest)
        if cached is not None:
            if must_be_complete:
                check_complete(self._image, cached.findings)
            return cached, True
        check_room(self._services.database, self._quota)
        self._image = image_service.process(self._image)
        rendered = image_service.render(self._image)
        if must_be_complete:
            check_complete(self._image, rendered.findings)
        with self._services.database.transaction(workspace_id) as db:
            count(db, self._quota, 1 + record_processings(db, workspace_id, self._image.processed.processings))
        image_service.cache(workspace_id, self._image, rendered)
        return rendered, False

    def store(
        self, *, must_be_complete: bool = False, metadata: Mapping[str, object] | None = None
    ) -> OnDemandImageResult:
        """Return the image in the workspace's storage.

        It is recorded and counted in one transaction, once it is in the storage.

        Args:
            must_be_complete: do not store an image without its photos.
            metadata: what webhooks return to the client.

        Raises:
            IncompleteImageError: A photo is missing.
            QuotaExceededError: The quota is used up.
            ImagingError: The image cannot be rendered.
            StorageError: The storage does not accept it.
        """
        services, workspace_id, template = self._services, self._quota.workspace_id, self._design.template
        if self._quota.is_limited and not self._is_stored():
            check_room(services.database, self._quota)
        file_name = fill_key_pattern(self._connection.key_pattern, self._image.data)
        label = ImageLabel.of(template.name, self._design.version, file_name=file_name)
        find_key = cache(partial(self._find_key, file_name))
        bucket = DirectImageBucket(services.providers.open(self._connection.spec), find_key)
        self._image = services.image_service.process(self._image)
        stored, findings = services.image_service.store(
            workspace_id,
            bucket,
            self._image,
            label,
            must_be_complete=must_be_complete,
        )
        stored = stored.model_copy(update={"key": find_key(stored.key)})
        with services.database.transaction(workspace_id) as db:
            recorded = record_images(
                db,
                workspace_id,
                [(template.name, stored)],
                connection_id=self._connection.id,
                template_id=template.id,
                version=self._design.version,
            )
            image, is_new = recorded[stored.digest]
            description = ImageUrls.load(db, workspace_id, services.signed_urls).describe(image)
            if is_new:
                count(db, self._quota, 1 + record_processings(db, workspace_id, self._image.processed.processings))
                about = {
                    "run": None,
                    "template": str(template.id),
                    "key": image.name,
                    "findings": to_jsonable_python(findings),
                    "metadata": metadata or {},
                }
                emit(db, workspace_id, Event.IMAGE_CREATED, description | about)
        return OnDemandImageResult(image, description, findings, was_stored=not is_new)

    def read(self, image: Image) -> bytes:
        """Return the bytes of the stored image. Raises StorageError."""
        return read_image(self._services.providers.open(self._connection.spec), image)

    def _find_key(self, file_name: str, key: str) -> str:
        """Return the key of an image's object by the one without a pattern of keys."""
        if not file_name:
            return key
        with self._services.database.transaction(self._quota.workspace_id) as db:
            return find_image_key(db, self._quota.workspace_id, key, file_name)

    def _is_stored(self) -> bool:
        with self._services.database.transaction(self._quota.workspace_id) as db:
            return find_image(db, self._quota.workspace_id, self.digest) is not None


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
