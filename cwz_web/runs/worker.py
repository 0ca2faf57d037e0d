"""A worker renders a chunk: it asks the web application what to do, renders, stores, and reports as it goes.

It keeps no state: killed at any moment, the chunk is taken up by another worker, which renders only what was not
reported. An image's place in storage is named by its content, so storing it twice stores it once.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from math import inf
from typing import Protocol
from uuid import UUID

import httpx
import structlog

from cwz_web.generation.image_service import ImageService
from cwz_web.imaging.errors import ImagingError
from cwz_web.metrics import STORAGE_ERRORS
from cwz_web.runs.presigned_storage import AddressClient, PresignedBucket
from cwz_web.runs.protocol import AskSpecification, Item, Report, Result, RunGoneError, Specification
from cwz_web.storage.contract import ReadWriteBucket, StorageError, StorageUnreachableError
from cwz_web.storage.plugins import DelegatedConnection, Place, Providers
from cwz_web.storage.uploads import Uploads

log = structlog.get_logger()

REPORT_EVERY = 0.5
# A cloud answers an upload after tens of milliseconds; an image is rendered in less.
IN_FLIGHT = 8
STORAGE_GAVE_UP = "The storage did not take the image. Check the connection, then retry what failed"


Opener = Callable[[Place | DelegatedConnection], ReadWriteBucket]


class Client(AddressClient, Protocol):
    """A worker's way to the web application."""

    def specification(self, ask: AskSpecification) -> Specification:
        """What a chunk consists of."""

    def report(self, report: Report) -> None:
        """Tell what became of items."""


@dataclass(frozen=True)
class Worker:
    """What a worker works with."""

    client: Client
    image_service: ImageService
    providers: Providers

    def render_chunk(self, ask: AskSpecification, *, last_try: bool, seconds: float = inf) -> bool:
        """Render what is still pending of a chunk and report it. Returns whether that was all; else time was up.

        With last_try, items that the storage does not take are reported as failed; before, Unreachable is raised, so
        that the job is tried again later. Raises Gone, and httpx.HTTPError when the web does not answer.

        Arguments:
            seconds: after which no further image is begun.
        """
        specification = self.client.specification(ask)
        results: list[Result] = []
        rendered = 0
        reported = time.monotonic()
        ends = reported + seconds
        try:
            with self._opener(ask.run_id, specification.places) as opener:
                for result in self._results(ask.workspace_id, specification, opener, last_try, ends):
                    results.append(result)
                    rendered += 1
                    if time.monotonic() - reported > REPORT_EVERY:
                        self._report(ask, results, time.monotonic() - reported)
                        reported = time.monotonic()
        finally:
            self._report(ask, results, time.monotonic() - reported)
        return rendered == len(specification.items)

    @contextmanager
    def _opener(self, run_id: UUID, places: Sequence[Place | DelegatedConnection]) -> Iterator[Opener]:
        """How to open the places of a chunk; those that are lent are open for as long as it takes."""
        with ExitStack() as stack:
            lent = {
                place: stack.enter_context(
                    PresignedBucket(self.client, run_id, place, self.providers.outbound(place.hosts))
                )
                for place in places
                if isinstance(place, DelegatedConnection)
            }
            yield lambda place: lent[place] if isinstance(place, DelegatedConnection) else self.providers.open(place)

    def _report(self, ask: AskSpecification, results: list[Result], seconds: float) -> None:
        if results:
            about = {"workspace_id": ask.workspace_id, "run_id": ask.run_id}
            self.client.report(Report(**about, results=tuple(results), seconds=min(seconds, 3600.0)))
            results.clear()

    def _results(
        self, workspace_id: UUID, specification: Specification, opener: Opener, last_try: bool, ends: float
    ) -> Iterator[Result]:
        """The results in order, several images in flight: while one is stored, the next ones are rendered.

        Arguments:
            ends: the moment after which no other is begun.
        """

        def result(item: Item) -> Result | None:
            if time.monotonic() > ends:
                return None
            return self._result(workspace_id, specification, opener, item, last_try)

        with ThreadPoolExecutor(IN_FLIGHT) as pool:
            yield from filter(None, pool.map(result, specification.items))

    def _result(
        self, workspace_id: UUID, specification: Specification, opener: Opener, item: Item, last_try: bool
    ) -> Result:
        try:
            uploads = Uploads(workspace_id, specification.places, opener)
            output = specification.outputs[item.output]
            order = self.image_service.order(uploads, specification.template, item.data, output)
            kept = self.image_service.keep(workspace_id, opener(specification.places[0]), order)
            return Result(position=item.position, kept=kept, note=order.note)
        except ImagingError as error:
            return Result(position=item.position, error=str(error)[:500])
        except StorageUnreachableError as error:
            STORAGE_ERRORS.labels(type(error).__name__).inc()
            if not last_try:
                raise
            return Result(position=item.position, error=STORAGE_GAVE_UP)
        except StorageError as error:
            STORAGE_ERRORS.labels(type(error).__name__).inc()
            return Result(position=item.position, error=str(error)[:500])
        except (RunGoneError, httpx.HTTPError):
            raise  # the web application did not say where to store it; the chunk is tried again
        except Exception:
            # One row must never take the others with it; the log has the trace, the person a sentence.
            log.exception("row failed", workspace=str(workspace_id), position=item.position)
            return Result(position=item.position, error="Something went wrong on our side; the error was recorded")
