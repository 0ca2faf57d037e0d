"""A render worker: gets a chunk's specification from the web application, renders, stores, and reports on the way.

It keeps no state. When it is killed, another worker takes the chunk over and renders only what was not reported. An
image's storage key is derived from its content, so storing it twice stores it once.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from math import inf
from typing import Protocol
from uuid import UUID

import httpx
import structlog

from cwz_web.generation.image_service import ImageService, PreparedImage
from cwz_web.generation.image_sources import PhotoState
from cwz_web.i18n import gettext_noop
from cwz_web.imaging.errors import ImagingError, SourceMissingError
from cwz_web.metrics import STORAGE_ERRORS
from cwz_web.net.guard import OutboundPolicy
from cwz_web.runs.missing_photos import OnMissingPhoto, may_postpone
from cwz_web.runs.presigned_storage import ObjectClient, PresignedBucket, RelayedBucket
from cwz_web.runs.protocol import (
    ItemResult,
    RenderItem,
    Report,
    RequeueRequest,
    RunFinishedError,
    RunNotFoundError,
    Specification,
    SpecificationRequest,
)
from cwz_web.storage.contract import StorageError, StorageUnreachableError
from cwz_web.storage.image_objects import ImageBucket, ImageLabel
from cwz_web.storage.plugins import DelegatedConnection
from cwz_web.storage.uploads import Uploads

log = structlog.get_logger()

REPORT_SECONDS = 0.5
# So many results, with so many findings each, are below the limit of a message.
MAX_REPORTED_RESULTS = 100
MAX_REPORTED_FINDINGS = 10
# A cloud storage takes tens of milliseconds for an upload; an image is rendered in less.
CONCURRENT_ITEMS = 8
STORAGE_FAILED = gettext_noop(
    "The storage did not accept the image. Check the connection, then retry the failed images"
)
INTERNAL_ERROR = gettext_noop("An internal error occurred. We have recorded it")

BucketOpener = Callable[[DelegatedConnection], ImageBucket]


class WebClient(ObjectClient, Protocol):
    """What a render worker needs of the web application."""

    def get_specification(self, request: SpecificationRequest) -> Specification:
        """Return the specification of a chunk."""

    def report(self, report: Report) -> None:
        """Report the results of items."""

    def requeue(self, request: RequeueRequest) -> None:
        """Requeue the rest of a chunk."""


@dataclass(frozen=True)
class RenderWorker:
    """Renders chunks of runs.

    Args:
        client: the client of the web application.
        image_service: renders.
        outbound: restricts requests to the given hosts of a storage.
    """

    client: WebClient
    image_service: ImageService
    outbound: Callable[[Iterable[str]], OutboundPolicy]

    def render_chunk(self, request: SpecificationRequest, *, last_try: bool, seconds: float = inf) -> bool:
        """Render the pending items of a chunk, and report their results.

        Args:
            request: names the chunk.
            last_try: report items that the storage does not accept as failed, instead of raising.
            seconds: no further item is started after so many.

        Returns:
            Whether the chunk is finished; False when the time was up before.

        Raises:
            StorageUnreachableError: the job has to be retried later.
            RunNotFoundError: the run does not exist.
            httpx.HTTPError: the web application does not answer.
        """
        specification = self.client.get_specification(request)
        results: list[ItemResult] = []
        rendered = 0
        reported_at = time.monotonic()
        deadline = reported_at + seconds
        try:
            with self._buckets(request.run_id, specification.connections) as open_bucket:
                chunk = _Chunk(request.workspace_id, specification, open_bucket, self.image_service, last_try)
                for result in chunk.render(deadline):
                    if result is not None:
                        results.append(result)
                        rendered += 1
                    if time.monotonic() - reported_at > REPORT_SECONDS or len(results) >= MAX_REPORTED_RESULTS:
                        self._report(request, results, time.monotonic() - reported_at, specification.retries)
                        reported_at = time.monotonic()
        finally:
            self._report(request, results, time.monotonic() - reported_at, specification.retries)
        return rendered == len(specification.items)

    @contextmanager
    def _buckets(self, run_id: UUID, connections: Sequence[DelegatedConnection]) -> Iterator[BucketOpener]:
        """Open the buckets of a chunk's connections for as long as the block runs."""
        with ExitStack() as stack:
            buckets: dict[DelegatedConnection, ImageBucket] = {}
            for connection in connections:
                if connection.is_presigned:
                    outbound = self.outbound(connection.hosts)
                    presigned = PresignedBucket(self.client, run_id, connection, outbound)
                    buckets[connection] = stack.enter_context(presigned)
                else:
                    buckets[connection] = RelayedBucket(self.client, run_id, connection)
            yield buckets.__getitem__

    def _report(self, request: SpecificationRequest, results: list[ItemResult], seconds: float, retries: int) -> None:
        if results:
            report = Report(
                workspace_id=request.workspace_id,
                run_id=request.run_id,
                results=tuple(results),
                seconds=min(seconds, 3600.0),
                retries=retries,
            )
            self.client.report(report)
            results.clear()


@dataclass(frozen=True)
class _Chunk:
    """The items of a chunk, and what they are rendered with."""

    workspace_id: UUID
    specification: Specification
    open_bucket: BucketOpener
    image_service: ImageService
    last_try: bool
    # Rows with the same image share the object of the first, also before it is recorded.
    labels: dict[str, ImageLabel] = field(default_factory=dict)
    started_at: float = field(default_factory=time.monotonic)

    def render(self, deadline: float) -> Iterator[ItemResult | None]:
        """Render several items concurrently, and yield each result as soon as there is one.

        A slow photo delays no other result: None is yielded when there is none for a moment. No item is started after
        the deadline.
        """

        def render_in_time(item: RenderItem) -> ItemResult | None:
            return None if time.monotonic() > deadline else self._render(item)

        with ThreadPoolExecutor(CONCURRENT_ITEMS) as pool:
            pending = {pool.submit(render_in_time, item) for item in self.specification.items}
            while pending:
                finished, pending = wait(pending, timeout=REPORT_SECONDS, return_when=FIRST_COMPLETED)
                for future in finished:
                    if result := future.result():
                        yield result
                if not finished:
                    yield None

    def _render(self, item: RenderItem) -> ItemResult | None:
        """Render an item. None if the run has finished: a retry of the run may have other chunks render the item."""
        try:
            if item.photos and self._is_unchanged(item):
                return ItemResult(position=item.position, is_unchanged=True)
            prepared = self._prepare(item)
            if prepared.temporary_error and may_postpone(item.attempts):
                return _postpone(item, prepared.temporary_error)
            return self._store(item, prepared)
        except RunFinishedError:
            return None
        except SourceMissingError as error:
            if error.is_temporary and may_postpone(item.attempts):
                return _postpone(item, error)
            return ItemResult(position=item.position, error=str(error)[:500])
        except ImagingError as error:
            return ItemResult(position=item.position, error=str(error)[:500])
        except StorageUnreachableError as error:
            STORAGE_ERRORS.labels(type(error).__name__).inc()
            if not self.last_try:
                raise
            return ItemResult(position=item.position, error=STORAGE_FAILED)
        except StorageError as error:
            STORAGE_ERRORS.labels(type(error).__name__).inc()
            return ItemResult(position=item.position, error=str(error)[:500])
        except (RunNotFoundError, httpx.HTTPError):
            raise  # the web application did not answer; the whole chunk is retried
        except Exception:
            # One row must not fail the others. The traceback is logged; the user gets a sentence.
            log.exception("item failed", workspace=str(self.workspace_id), position=item.position)
            return ItemResult(position=item.position, error=INTERNAL_ERROR)

    def _prepare(self, item: RenderItem, known: Sequence[PhotoState] = ()) -> PreparedImage:
        specification = self.specification
        is_fresh = specification.force or specification.refresh_photos
        return self.image_service.prepare(
            Uploads(self.workspace_id, specification.connections, self.open_bucket),
            specification.template,
            specification.values_of(item),
            specification.outputs[item.output],
            known=known,
            newer_than=self.started_at if is_fresh else 0.0,
            unmapped=specification.unmapped,
        )

    def _is_unchanged(self, item: RenderItem) -> bool:
        """Return whether all photos of an item are what they were when its earlier image was rendered."""
        photos = self._prepare(item, item.photos).photos or ()
        return {(p.reference, p.digest) for p in photos} == {(p.reference, p.digest) for p in item.photos}

    def _store(self, item: RenderItem, prepared: PreparedImage) -> ItemResult:
        """Render and store an image. Raise IncompleteImageError if a photo is missing and the run must fail then."""
        prepared = self.image_service.process(prepared)
        label = self.labels.setdefault(prepared.processed.name_of(prepared.digest), item.label)
        image, findings = self.image_service.store(
            self.workspace_id,
            self.open_bucket(self.specification.connections[0]),
            prepared,
            label,
            force=self.specification.force,
            must_be_complete=self.specification.on_missing_photo == OnMissingPhoto.FAIL,
        )
        findings = (*prepared.row_findings(), *findings)
        return ItemResult(
            position=item.position,
            image=image,
            findings=findings[:MAX_REPORTED_FINDINGS],
            is_incomplete=bool(prepared.missing(findings)),
            photos=prepared.photos,
            processings=prepared.processed.processings,
            file_name=label.file_name,
        )


def _postpone(item: RenderItem, error: SourceMissingError) -> ItemResult:
    return ItemResult(
        position=item.position,
        error=str(error)[:500],
        is_postponed=True,
        retry_after=min(error.retry_after, 3600.0),
        attempts=item.attempts,
    )
