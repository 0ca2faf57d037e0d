"""Rendering of images for workspaces: the engine, the sources and the cache of finished images combined."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from cwz_web.generation.image_sources import UNLIMITED, FetchLimits, ImageSources, PhotoState
from cwz_web.generation.images import StoredImage
from cwz_web.generation.photo_processing import NOT_PROCESSED, PhotoProcessing, ProcessedPhotos
from cwz_web.i18n import gettext_lazy, use_locale
from cwz_web.imaging.byte_cache import ByteCache
from cwz_web.imaging.composition import RenderedImage
from cwz_web.imaging.decoding import Source
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.encoders import Output
from cwz_web.imaging.engine import Engine, Plan
from cwz_web.imaging.errors import ImagingError, SourceMissingError
from cwz_web.imaging.findings import Finding, FindingCode, faults
from cwz_web.imaging.pixel_difference import PixelDifference, compare_images
from cwz_web.imaging.placement import LoadedSources
from cwz_web.imaging.processors import installed_processors
from cwz_web.imaging.render_pool import RenderPool
from cwz_web.metrics import IMAGE_CACHE_HITS, RENDER_DURATION
from cwz_web.storage.connections import image_key
from cwz_web.storage.image_objects import NO_LABEL, ImageBucket, ImageLabel
from cwz_web.storage.uploads import Uploads

FINISHED_BYTES = 64 * 1024 * 1024
# The state of an image's photos is kept, unless it has more than these.
MAX_PHOTOS = 10
UPLOAD = "upload:"


class IncompleteImageError(ImagingError):
    """A photo is missing in an image that has to be complete.

    Attributes:
        findings: those that make it incomplete.
    """

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__("; ".join(f"{finding.layer} {finding.message}".strip() for finding in self.findings))


@dataclass(frozen=True)
class PreparedImage:
    """Everything that an image is rendered from, and the digest that names it before it is rendered.

    Attributes:
        data: the row's values, without the template's defaults.
        unmapped: the fields that are empty in every row, since no column fills them.
        processed: the photos that image processors have changed; none before they were processed.
    """

    plan: Plan
    data: Mapping[str, str]
    values: Mapping[str, str]
    sources: LoadedSources
    output: Output
    digest: str
    workspace_id: UUID
    unmapped: Collection[str] = ()
    processed: ProcessedPhotos = NOT_PROCESSED

    @property
    def all_sources(self) -> LoadedSources:
        """The sources with the processed photos."""
        return {**self.sources, **self.processed.sources} if self.processed.sources else self.sources

    @property
    def temporary_error(self) -> SourceMissingError | None:
        """The error of a photo that a later attempt may find; of several, the one with the longest wait."""
        errors = (source for source in self.sources.values() if isinstance(source, SourceMissingError))
        return max((e for e in errors if e.is_temporary), key=lambda error: error.retry_after, default=None)

    @property
    def lacks_photo(self) -> bool:
        """Whether a photo that the data names could not be loaded or processed."""
        errors = (source for source in self.all_sources.values() if isinstance(source, SourceMissingError))
        return any(not error.is_unnamed for error in errors)

    @property
    def photos(self) -> tuple[PhotoState, ...] | None:
        """The state of the photos that were fetched; None if they are too many to be kept."""
        loaded = ((name, source) for name, source in self.sources.items() if isinstance(source, Source))
        photos = tuple(PhotoState.of(name, source) for name, source in loaded if not name.startswith(UPLOAD))
        return photos if len(photos) <= MAX_PHOTOS else None

    def row_findings(self) -> tuple[Finding, ...]:
        """Return the findings of the row as a whole: whether it has any value."""
        used = self.plan.used_fields & self.data.keys()
        if not used or any(self.data[name].strip() for name in used):
            return ()
        return (Finding(FindingCode.ROW_EMPTY, gettext_lazy("The row has no value for any field of the template"), ""),)

    def missing(self, findings: Sequence[Finding]) -> tuple[Finding, ...]:
        """Return the findings that make the image incomplete: it lacks a photo that it should have, or any value.

        Args:
            findings: those of the image.
        """
        return tuple(
            finding
            for finding in findings
            if finding.code == FindingCode.ROW_EMPTY
            or (finding.code == FindingCode.PHOTO_MISSING and not self._is_unmapped(finding.layer))
        )

    def _is_unmapped(self, layer_name: str) -> bool:
        fields = self.plan.content_fields(layer_name)
        is_empty = not any(self.values[name].strip() for name in fields)
        return bool(fields) and is_empty and fields.issubset(self.unmapped)


class ImageService:
    """Renders images for workspaces. One for each process; safe for several threads.

    It works in English, whatever the locale of the request: findings are stored, cached, and part of digests.

    Args:
        render_pool: the child processes that render; None renders in this process.
        processing: processes photos; None uses the installed processors.
    """

    def __init__(
        self,
        engine: Engine,
        sources: ImageSources,
        render_pool: RenderPool | None = None,
        processing: PhotoProcessing | None = None,
    ) -> None:
        self._engine = engine
        self._sources = sources
        self._render_pool = render_pool
        self._processing = processing or PhotoProcessing(installed_processors())
        self._finished: ByteCache[RenderedImage] = ByteCache(FINISHED_BYTES)

    @use_locale(None)
    def prepare(
        self,
        uploads: Uploads,
        template: ImageTemplate,
        data: Mapping[str, str],
        output: Output,
        *,
        known: Sequence[PhotoState] = (),
        newer_than: float = 0.0,
        unmapped: Collection[str] = (),
        limits: FetchLimits = UNLIMITED,
        is_overridden: bool = False,
    ) -> PreparedImage:
        """Load everything that an image is rendered from.

        Args:
            uploads: the uploads of the workspace.
            template: the template document.
            data: values of the template's fields.
            output: the size and format.
            known: earlier states of photos. One that has not changed is not loaded: then the digest of the image is
                right, but the image cannot be rendered.
            newer_than: a time of the monotonic clock; sources that were cached before are loaded again.
            unmapped: the fields that are empty in every row.
            limits: what fetches of photos are subject to.
            is_overridden: whether a request has overridden layers of the template.

        Raises:
            ImagingError: the image cannot be rendered.
            StorageError: the storage of the uploads failed.
        """

        def load_whole(reference: str) -> Source:
            return self._sources.load(uploads, reference, newer_than=newer_than, limits=limits)

        def load(reference: str) -> Source:
            state = next((photo for photo in known if photo.is_of(reference)), None)
            return self._sources.load(uploads, reference, known=state, newer_than=newer_than, limits=limits)

        plan = self._engine.plan(template, output.size, output.scale, is_overridden=is_overridden)
        photos = plan.load_photos(data, load_whole)
        values = plan.fill_values(data, output, photos)
        sources = plan.load_sources(values, load, photos)
        digest = plan.image_digest(values, sources, output)
        digest = self._processing.extend_digest(digest, plan.processed_photos(values))
        return PreparedImage(plan, data, values, sources, output, digest, uploads.workspace_id, unmapped)

    @use_locale(None)
    def process(self, image: PreparedImage) -> PreparedImage:
        """Return the image with its photos processed by image processors, as far as that is possible."""
        photos = image.plan.processed_photos(image.values)
        if not photos or image.processed.sources:
            return image
        return replace(image, processed=self._processing.process(image.workspace_id, photos, image.sources))

    def close(self) -> None:
        """End the child processes of image processors."""
        self._processing.close()

    @use_locale(None)
    def read_values(
        self, uploads: Uploads, template: ImageTemplate, data: Mapping[str, str], output: Output
    ) -> dict[str, str]:
        """Return the values of a row with the results of expressions, without what only an image needs.

        Args:
            uploads: the uploads of the workspace.
            template: the template document.
            data: values of the template's fields.
            output: the size, the locale and the currency.

        Raises:
            ImagingError: the values cannot be read.
            StorageError: the storage of the uploads failed.
        """
        plan = self._engine.plan(template, output.size, output.scale)
        photos = plan.load_photos(data, lambda reference: self._sources.load(uploads, reference))
        return plan.fill_values(data, output, photos)

    @use_locale(None)
    def render(self, image: PreparedImage) -> RenderedImage:
        """Render an image and encode it. Raises ImagingError."""
        sources = self.process(image).all_sources
        with RENDER_DURATION.time():
            if self._render_pool is None:
                return image.plan.render(image.values, sources, image.output)
            return self._render_pool.render(image.plan, image.values, sources, image.output)

    @use_locale(None)
    def preview(self, image: PreparedImage, width: int | None = None) -> bytes:
        """Render an image in this process, at most `width` pixels wide. Raises ImagingError."""
        return self.render_preview(image, width).data

    @use_locale(None)
    def render_preview(self, image: PreparedImage, width: int | None = None) -> RenderedImage:
        """Render an image as `preview` does. Return it with its findings."""
        composition = image.plan.compose(image.values, self.process(image).all_sources)
        return RenderedImage(composition.encode(image.output, width), faults(composition.findings))

    @use_locale(None)
    def compare(self, before: PreparedImage, after: PreparedImage) -> PixelDifference:
        """Render two images in this process and compare their pixels. Raises ImagingError."""
        old, new = (image.plan.compose(image.values, self.process(image).all_sources) for image in (before, after))
        return compare_images(old, new)

    @use_locale(None)
    def lint(self, image: PreparedImage) -> list[Finding]:
        """Return the findings of an image."""
        return image.plan.lint(image.values, self.process(image).all_sources)

    @use_locale(None)
    def inspect(self, image: PreparedImage) -> tuple[list[Finding], list[tuple[str, str]]]:
        """Return the findings of an image before its photos are processed, and its layers with what they show."""
        unknown = {FindingCode.PHOTO_UNPROCESSED} if image.plan.processed_photos(image.values) else set()
        findings = [each for each in image.plan.lint(image.values, image.sources) if each.code not in unknown]
        return findings, list(image.plan.contents(image.values))

    @use_locale(None)
    def store(
        self,
        workspace_id: UUID,
        bucket: ImageBucket,
        image: PreparedImage,
        label: ImageLabel = NO_LABEL,
        *,
        force: bool = False,
        must_be_complete: bool = False,
    ) -> tuple[StoredImage, tuple[Finding, ...]]:
        """Render an image into the workspace's storage, unless it is there already.

        Args:
            workspace_id: the workspace.
            bucket: where the image is stored.
            image: what is rendered.
            label: what its object says about it.
            force: render and store the image even if it is there already.
            must_be_complete: do not store an image without its photos.

        Returns:
            The image and its findings.

        Raises:
            IncompleteImageError: a photo is missing.
            ImagingError: the image cannot be rendered.
            StorageError: the storage failed.
        """
        image = self.process(image)
        format = image.output.format
        # An image without a processed photo has another name, so that a later attempt replaces it.
        digest = image.processed.name_of(image.digest)
        key = image_key(workspace_id, digest, format)
        size = None if force else bucket.find_image(key, label)
        if size is None:
            rendered = self.render(image)
            if must_be_complete:
                check_complete(image, rendered.findings)
            bucket.put_image(key, rendered.data, label, content_type=format.content_type)
            size, findings = rendered.nbytes, rendered.findings
        else:
            findings = faults(image.plan.compose(image.values, image.all_sources).findings)
            if must_be_complete:
                check_complete(image, findings)
        stored = StoredImage(
            digest=digest,
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
        """Cache a finished image, unless a later attempt may process a photo that it shows as it is."""
        if not image.processed.has_failures:
            self._finished.put((workspace_id, image.digest), rendered)


def check_complete(image: PreparedImage, findings: Sequence[Finding]) -> None:
    """Raise IncompleteImageError if a photo is missing in an image."""
    if missing := image.missing(findings):
        raise IncompleteImageError(missing)
