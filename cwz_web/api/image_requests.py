"""Images on demand, for a key or a signed address: looked up, rendered, counted, and kept where that is asked for."""

from collections.abc import Mapping
from uuid import UUID

from pyramid.response import Response

from cwz_web.api.pagination import Answer
from cwz_web.generation.images import find_image, read_image, record_images
from cwz_web.generation.models import Image
from cwz_web.generation.template_cache import TemplatePlan
from cwz_web.generation.usage import Quota, check_room, count, counting_one
from cwz_web.imaging.encoders import Output
from cwz_web.notify.webhooks import Event, emit
from cwz_web.storage.uploads import Uploads
from cwz_web.web.request import Request


class StoredImageInfo(Answer):
    """An image that is kept. `url` opens it for whoever has it."""

    id: UUID
    url: str
    digest: str
    width: int
    height: int
    bytes: int
    content_type: str


class ImageOrder:
    """An image that somebody asks for.

    Arguments:
        meter: what it counts against.
    """

    def __init__(
        self,
        request: Request,
        quota: Quota,
        template_plan: TemplatePlan,
        data: Mapping[str, str],
        output: Output,
    ) -> None:
        self._services, self._meter = request.services, quota
        self._design, self._connection = template_plan.design, template_plan.connections[0]
        uploads = Uploads(quota.workspace_id, template_plan.connection_specs, self._services.providers.open)
        self._order = self._services.image_service.order(uploads, self._design.document, data, output)

    @property
    def digest(self) -> str:
        """What the image is called before it is rendered."""
        return self._order.digest

    @property
    def is_known(self) -> bool:
        """Whether the image was made not long ago."""
        return self._services.image_service.known(self._meter.workspace_id, self.digest) is not None

    @property
    def _is_kept(self) -> bool:
        """Whether the image is in the workspace's storage."""
        with self._services.database.transaction(self._meter.workspace_id) as db:
            return find_image(db, self._meter.workspace_id, self.digest) is not None

    def make(self) -> tuple[bytes, bool]:
        """The image, and whether it was known already. Raises QuotaExceededError, ImagingError."""
        image_service, workspace_id = self._services.image_service, self._meter.workspace_id
        known = image_service.known(workspace_id, self.digest)
        if known is not None:
            return known, True
        check_room(self._services.database, self._meter)
        with counting_one(self._services.database, self._meter) as begin:
            image = image_service.finish(self._order, begin)
        return image_service.remember(workspace_id, self._order, image), False

    def keep(self) -> tuple[Image, bool]:
        """The image in the workspace's storage, and whether it was there already. Raises StorageError, too."""
        services, workspace_id, template = self._services, self._meter.workspace_id, self._design.template
        if self._meter.is_capped and not self._is_kept:
            check_room(services.database, self._meter)
        kept = services.image_service.keep(workspace_id, services.providers.open(self._connection.spec), self._order)
        with services.database.transaction(workspace_id) as db:
            recorded = record_images(
                db,
                workspace_id,
                [(template.name, kept)],
                connection_id=self._connection.id,
                template_id=template.id,
                version=self._design.version,
            )
            image, is_new = recorded[kept.digest]
            if is_new:
                count(db, self._meter)
                about = {"run": None, "template": str(template.id), "key": image.name}
                emit(db, workspace_id, Event.IMAGE_CREATED, services.signed_urls.describe(image) | about)
        return image, not is_new

    def fetch(self, image: Image) -> bytes:
        """What is kept of the image. Raises StorageError."""
        return read_image(self._services.providers.open(self._connection.spec), image)


def cacheable(data: bytes, content_type: str, digest: str, cache: str) -> Response:
    """An image that browsers and proxies may keep, or 304 for those that have it (RFC 9110, 9111)."""
    response = Response(data, content_type=content_type, conditional_response=True)
    response.etag = digest
    response.headers["Cache-Control"] = cache
    return response
