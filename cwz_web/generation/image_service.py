"""Rendering of images for workspaces: the engine, the sources and the cache of finished images combined."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from cwz_web.generation.image_sources import ImageSources
from cwz_web.generation.images import StoredImage
from cwz_web.imaging.byte_cache import ByteCache
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.effects import shrink
from cwz_web.imaging.encoders import Output, encode
from cwz_web.imaging.engine import Engine, LoadedSources, Plan, RenderedImage
from cwz_web.imaging.errors import SourceMissingError
from cwz_web.imaging.findings import Finding, faults
from cwz_web.imaging.render_pool import RenderPool
from cwz_web.metrics import IMAGE_CACHE_HITS, RENDER_DURATION
from cwz_web.storage.connections import image_key
from cwz_web.storage.contract import ObjectNotFoundError, ReadWriteBucket
from cwz_web.storage.uploads import Uploads

FINISHED_BYTES = 64 * 1024 * 1024
MAX_WARNING_LENGTH = 500


@dataclass(frozen=True)
class PreparedImage:
    """Everything that an image is rendered from, and the digest that names it before it is rendered."""

    plan: Plan
    values: Mapping[str, str]
    sources: LoadedSources
    output: Output
    digest: str

    @property
    def warning(self) -> str | None:
        """A sentence about the photos that are missing in the image."""
        reasons = {source.clause for source in self.sources.values() if isinstance(source, SourceMissingError)}
        return f"The photo is missing: {', '.join(sorted(reasons))}"[:MAX_WARNING_LENGTH] if reasons else None


class ImageService:
    """Renders images for workspaces. One for each process; safe for several threads.

    Args:
        render_pool: the child processes that render; None renders in this process.
    """

    def __init__(self, engine: Engine, sources: ImageSources, render_pool: RenderPool | None = None) -> None:
        self._engine = engine
        self._sources = sources
        self._render_pool = render_pool
        self._finished: ByteCache[RenderedImage] = ByteCache(FINISHED_BYTES)

    def prepare(
        self, uploads: Uploads, template: ImageTemplate, data: Mapping[str, str], output: Output
    ) -> PreparedImage:
        """Load everything that an image is rendered from.

        Args:
            uploads: the uploads of the workspace.
            template: the template document.
            data: values of the template's fields.
            output: the size and format.

        Raises:
            ImagingError: the image cannot be rendered.
            StorageError: the storage of the uploads failed.
        """
        plan = self._engine.plan(template, output.size, output.scale)
        values = plan.fill_values(data)
        sources = plan.load_sources(values, lambda reference: self._sources.load(uploads, reference))
        return PreparedImage(plan, values, sources, output, plan.image_digest(values, sources, output))

    def render(self, image: PreparedImage) -> RenderedImage:
        """Render an image and encode it. Raises ImagingError."""
        with RENDER_DURATION.time():
            if self._render_pool is None:
                return image.plan.render(image.values, image.sources, image.output)
            return self._render_pool.render(image.plan, image.values, image.sources, image.output)

    def preview(self, image: PreparedImage, width: int | None = None) -> bytes:
        """Render an image in this process, at most `width` pixels wide. Raises ImagingError."""
        pixels = image.plan.compose(image.values, image.sources).pixels
        return encode(shrink(pixels, width) if width else pixels, image.output)

    def lint(self, image: PreparedImage) -> list[Finding]:
        """Return the findings of an image."""
        return image.plan.lint(image.values, image.sources)

    def store(
        self, workspace_id: UUID, bucket: ReadWriteBucket, image: PreparedImage
    ) -> tuple[StoredImage, tuple[Finding, ...]]:
        """Render an image into the workspace's storage, unless it is there already.

        Returns:
            The image and its findings.

        Raises:
            ImagingError: the image cannot be rendered.
            StorageError: the storage failed.
        """
        format = image.output.format
        key = image_key(workspace_id, image.digest, format)
        try:
            size = bucket.head(key).size
            findings = faults(image.plan.compose(image.values, image.sources).findings)
        except ObjectNotFoundError:
            rendered = self.render(image)
            bucket.put(key, rendered.data, content_type=format.content_type)
            size, findings = rendered.nbytes, rendered.findings
        stored = StoredImage(
            digest=image.digest,
            key=key,
            content_type=format.content_type,
            width=image.plan.width,
            height=image.plan.height,
            size=size,
        )
        return stored, findings

    def cached(self, workspace_id: UUID, digest: str) -> RenderedImage | None:
        """Return a finished image from the cache."""
        rendered = self._finished.get((workspace_id, digest))
        if rendered is not None:
            IMAGE_CACHE_HITS.inc()
        return rendered

    def cache(self, workspace_id: UUID, image: PreparedImage, rendered: RenderedImage) -> None:
        """Cache a finished image."""
        self._finished.put((workspace_id, image.digest), rendered)
