"""Data in, finished image out: the engine, the sources and a memory of finished images, put together."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from uuid import UUID

from cwz_web.generation.image_sources import ImageSources
from cwz_web.generation.images import StoredImage
from cwz_web.imaging.byte_cache import ByteCache
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.effects import shrink
from cwz_web.imaging.encoders import Output, encode
from cwz_web.imaging.engine import Engine, LoadedSources, Plan, nothing
from cwz_web.imaging.errors import SourceMissingError
from cwz_web.imaging.lint import Finding
from cwz_web.imaging.render_pool import RenderPool
from cwz_web.metrics import FROM_MEMORY, RENDERED
from cwz_web.storage.connections import image_key
from cwz_web.storage.contract import ObjectNotFoundError, ReadWriteBucket
from cwz_web.storage.uploads import Uploads

FINISHED_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Order:
    """An image that is known by name before it is rendered, so that one that exists need not be."""

    plan: Plan
    values: Mapping[str, str]
    found: LoadedSources
    output: Output
    digest: str

    @property
    def note(self) -> str | None:
        """What is missing in the image, in a sentence: the images that could not be had."""
        reasons = {str(found) for found in self.found.values() if isinstance(found, SourceMissingError)}
        texts = sorted(reason[:1].lower() + reason[1:] for reason in reasons)
        return f"The photo is missing: {', '.join(texts)}"[:500] if texts else None


class ImageService:
    """Makes images for workspaces. One a process; safe to use from several threads.

    Arguments:
        helpers: the processes that render beside this one, if any do.
    """

    def __init__(self, engine: Engine, sources: ImageSources, render_pool: RenderPool | None = None) -> None:
        self._engine = engine
        self._helpers = render_pool
        self._sources = sources
        self._finished: ByteCache[bytes] = ByteCache(FINISHED_BYTES)

    def order(
        self,
        uploads: Uploads,
        template: ImageTemplate,
        data: Mapping[str, str],
        output: Output,
    ) -> Order:
        """Gather everything that the image is made of. Raises ImagingError, or the storage's StorageError."""
        plan = self._engine.plan(template, output.size, output.scale)
        values = plan.values(data)
        found = plan.load(values, lambda reference: self._sources.load(uploads, reference))
        return Order(plan, values, found, output, plan.image_digest(values, found, output))

    def finish(self, order: Order, rendered: Callable[[], object] = nothing) -> bytes:
        """Render the image. Raises ImagingError.

        Arguments:
            rendered: called when it is rendered, before the rest is done.
        """
        render = Plan.render if self._helpers is None else self._helpers.render
        with RENDERED.time():
            return render(order.plan, order.values, order.found, order.output, rendered)

    def preview(self, order: Order, width: int | None = None) -> bytes:
        """The image for somebody to look at, at most so many pixels wide. Raises ImagingError."""
        pixels = order.plan.compose(order.values, order.found)
        return encode(shrink(pixels, width) if width else pixels, order.output)

    def lint(self, order: Order) -> list[Finding]:
        """What somebody should look at in the image."""
        return order.plan.lint(order.values, order.found)

    def keep(self, workspace_id: UUID, bucket: ReadWriteBucket, order: Order) -> StoredImage:
        """The image in the workspace's storage, rendered and put there unless it is there already.

        Raises ImagingError, or the storage's StorageError.
        """
        format = order.output.format
        key = image_key(workspace_id, order.digest, format)
        try:
            size = bucket.head(key).size
        except ObjectNotFoundError:
            data = self.finish(order)
            bucket.put(key, data, content_type=format.content_type)
            size = len(data)
        canvas = order.plan.template.canvas
        return StoredImage(
            digest=order.digest,
            key=key,
            content_type=format.content_type,
            width=canvas.width,
            height=canvas.height,
            size=size,
        )

    def known(self, workspace_id: UUID, digest: str) -> bytes | None:
        """The image of a digest, if it was made not long ago."""
        image = self._finished.get((workspace_id, digest))
        if image is not None:
            FROM_MEMORY.inc()
        return image

    def remember(self, workspace_id: UUID, order: Order, image: bytes) -> bytes:
        """Remember an image for a while. Returns it."""
        return self._finished.keep((workspace_id, order.digest), image)
