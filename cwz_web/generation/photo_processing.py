"""Photos that image processors change: processed, cached, and counted once for each workspace, photo and processor."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from threading import Lock
from typing import Annotated
from uuid import UUID

import cachetools
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import text
from sqlalchemy.orm import Session

from cwz_web.imaging.byte_cache import ByteCache
from cwz_web.imaging.decoding import Source
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.errors import SourceMissingError
from cwz_web.imaging.placement import LoadedSources
from cwz_web.imaging.processor_process import ProcessorProcess
from cwz_web.imaging.processors import (
    MAX_COST,
    ImageProcessor,
    ProcessingError,
    processed_reference,
    processing_digest,
)

CACHE_BYTES = 64 * 1024 * 1024
CACHED_ERRORS, ERROR_SECONDS = 1000, 600

_RECORD = text("""
    INSERT INTO processed_photos (workspace_id, digest, cost)
    SELECT DISTINCT ON (photo.digest) CAST(:workspace AS uuid), photo.digest, photo.cost
    FROM unnest(CAST(:digests AS text[]), CAST(:costs AS integer[])) AS photo (digest, cost)
    ORDER BY photo.digest
    ON CONFLICT DO NOTHING
    RETURNING cost
""")


class Processing(BaseModel):
    """A photo that was processed.

    Attributes:
        digest: names the photo with the processor and its version.
        cost: how many images it counts as, the first time.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    cost: Annotated[int, Field(ge=0, le=MAX_COST)]


@dataclass(frozen=True)
class ProcessedPhotos:
    """The processed photos of an image.

    Attributes:
        sources: the results by their references, or why there is none.
        processings: the successful ones.
    """

    sources: Mapping[str, Source | SourceMissingError] = field(default_factory=dict)
    processings: tuple[Processing, ...] = ()

    @property
    def has_failures(self) -> bool:
        """Whether a photo was not processed."""
        return any(isinstance(source, SourceMissingError) for source in self.sources.values())

    def name_of(self, digest: str) -> str:
        """Return the digest that names an image, by its digest if all photos are processed."""
        failed = sorted(name for name, source in self.sources.items() if isinstance(source, SourceMissingError))
        return sha256("\n".join([digest, *failed]).encode("utf-8", "surrogatepass")).hexdigest() if failed else digest


NOT_PROCESSED = ProcessedPhotos()


class PhotoProcessing:
    """Processes photos and caches the results. One for each process; safe for several threads.

    Args:
        processors: the image processors by name.
    """

    def __init__(self, processors: Mapping[str, ImageProcessor]) -> None:
        self._processors = processors
        self._processes = {name: ProcessorProcess(processor) for name, processor in processors.items()}
        # By workspace, so that no workspace learns by the time that another one has the same photo.
        self._results: ByteCache[bytes] = ByteCache(CACHE_BYTES)
        # The same photo would take as long to fail again.
        self._errors: cachetools.TTLCache[tuple[UUID, str], str] = cachetools.TTLCache(CACHED_ERRORS, ERROR_SECONDS)
        self._lock = Lock()

    def extend_digest(self, digest: str, photos: Iterable[tuple[str, str]]) -> str:
        """Return the digest of an image that also depends on the processors of its photos.

        Args:
            digest: the digest of the image.
            photos: the processor and the reference of each photo.
        """
        names = sorted({name for name, _ in photos})
        if not names:
            return digest
        versions = [f"{name} {self._processors[name].version if name in self._processors else ''}" for name in names]
        return sha256("\n".join([digest, *versions]).encode()).hexdigest()

    def process(self, workspace_id: UUID, photos: Iterable[tuple[str, str]], sources: LoadedSources) -> ProcessedPhotos:
        """Process the photos of an image, as far as they were loaded.

        Args:
            workspace_id: the workspace.
            photos: the processor and the reference of each photo.
            sources: the photos by reference.
        """
        results: dict[str, Source | SourceMissingError] = {}
        processings: list[Processing] = []
        for name, reference in photos:
            photo = sources[reference]
            if isinstance(photo, SourceMissingError):
                continue  # the layer has the finding
            key = processed_reference(name, reference)
            try:
                processor = self._get(name)
                digest = processing_digest(photo.digest, processor)
                results[key] = Source(self._process(workspace_id, digest, processor, photo.data), digest)
                processings.append(Processing(digest=digest, cost=processor.cost))
            except ProcessingError as error:
                results[key] = SourceMissingError(str(error))
        return ProcessedPhotos(results, tuple(processings))

    def close(self) -> None:
        """End the child processes."""
        for process in self._processes.values():
            process.close()

    def _get(self, name: str) -> ImageProcessor:
        if name not in self._processors:
            raise ProcessingError(f"The image processor “{name}” is not installed on this server")
        return self._processors[name]

    def _process(self, workspace_id: UUID, digest: str, processor: ImageProcessor, photo: bytes) -> bytes:
        key = (workspace_id, digest)
        result = self._results.get(key)
        if result is not None:
            return result
        with self._lock:
            error_message = self._errors.get(key)
        if error_message is not None:
            raise ProcessingError(error_message)
        try:
            return self._results.put(key, self._processes[processor.name].process(photo))
        except ProcessingError as error:
            if not error.is_temporary:
                with self._lock:
                    self._errors[key] = str(error)
            raise


def processing_cost(document: ImageTemplate, processors: Mapping[str, ImageProcessor]) -> int:
    """Return how many images the processing of an image's photos counts as at most.

    Args:
        document: the template, in one size.
        processors: the image processors by name.
    """
    counts = document.count_processed()
    return sum(count * processors[name].cost for name, count in counts.items() if name in processors)


def record_processings(db: Session, workspace_id: UUID, processings: Sequence[Processing]) -> int:
    """Record processed photos, and return how many images they count as: those that were not recorded before."""
    counted = [each for each in processings if each.cost]
    if not counted:
        return 0
    values = {"workspace": workspace_id, "digests": [each.digest for each in counted]}
    return sum(db.scalars(_RECORD, values | {"costs": [each.cost for each in counted]}))
