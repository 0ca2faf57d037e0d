"""A worker draws a chunk: it asks the web application what to do, draws, stores, and reports as it goes.

It keeps no state: killed at any moment, the chunk is taken up by another worker, which draws only what was not
reported. A picture's place in storage is named by its content, so storing it twice stores it once.
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

from cwz_web.generation.maker import PictureMaker
from cwz_web.imaging.errors import ImagingError
from cwz_web.metrics import STORAGE_ERRORS
from cwz_web.runs.lending import AddressClient, LentBucket
from cwz_web.runs.protocol import AskSpecification, Gone, Item, Report, Result, Specification
from cwz_web.storage.contract import Shelf, StorageError, Unreachable
from cwz_web.storage.originals import Originals
from cwz_web.storage.plugins import Lent, Place, Providers

log = structlog.get_logger()

REPORT_EVERY = 0.5
# A cloud answers an upload after tens of milliseconds; a picture is drawn in less.
IN_FLIGHT = 8
STORAGE_GAVE_UP = "The storage did not take the picture. Check the connection, then retry what failed"


Opener = Callable[[Place | Lent], Shelf]


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
    maker: PictureMaker
    providers: Providers

    def render_chunk(self, ask: AskSpecification, *, last_try: bool, seconds: float = inf) -> bool:
        """Draw what is still pending of a chunk and report it. Returns whether that was all; else time was up.

        With last_try, items that the storage does not take are reported as failed; before, Unreachable is raised, so
        that the job is tried again later. Raises Gone, and httpx.HTTPError when the web does not answer.

        Arguments:
            seconds: after which no further picture is begun.
        """
        specification = self.client.specification(ask)
        results: list[Result] = []
        drawn = 0
        reported = time.monotonic()
        ends = reported + seconds
        try:
            with self._opener(ask.run_id, specification.places) as opener:
                for result in self._results(ask.workspace_id, specification, opener, last_try, ends):
                    results.append(result)
                    drawn += 1
                    if time.monotonic() - reported > REPORT_EVERY:
                        self._report(ask, results, time.monotonic() - reported)
                        reported = time.monotonic()
        finally:
            self._report(ask, results, time.monotonic() - reported)
        return drawn == len(specification.items)

    @contextmanager
    def _opener(self, run_id: UUID, places: Sequence[Place | Lent]) -> Iterator[Opener]:
        """How to open the places of a chunk; those that are lent are open for as long as it takes."""
        with ExitStack() as stack:
            lent = {
                place: stack.enter_context(LentBucket(self.client, run_id, place, self.providers.outbound(place.hosts)))
                for place in places
                if isinstance(place, Lent)
            }
            yield lambda place: lent[place] if isinstance(place, Lent) else self.providers.open(place)

    def _report(self, ask: AskSpecification, results: list[Result], seconds: float) -> None:
        if results:
            about = {"workspace_id": ask.workspace_id, "run_id": ask.run_id}
            self.client.report(Report(**about, results=tuple(results), seconds=min(seconds, 3600.0)))
            results.clear()

    def _results(
        self, workspace_id: UUID, specification: Specification, opener: Opener, last_try: bool, ends: float
    ) -> Iterator[Result]:
        """The results in order, several pictures in flight: while one is stored, the next ones are drawn.

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
            originals = Originals(workspace_id, specification.places, opener)
            output = specification.outputs[item.output]
            order = self.maker.order(originals, specification.template, item.data, output)
            kept = self.maker.keep(workspace_id, opener(specification.places[0]), order)
            return Result(position=item.position, kept=kept, note=order.note)
        except ImagingError as error:
            return Result(position=item.position, error=str(error)[:500])
        except Unreachable as error:
            STORAGE_ERRORS.labels(type(error).__name__).inc()
            if not last_try:
                raise
            return Result(position=item.position, error=STORAGE_GAVE_UP)
        except StorageError as error:
            STORAGE_ERRORS.labels(type(error).__name__).inc()
            return Result(position=item.position, error=str(error)[:500])
        except (Gone, httpx.HTTPError):
            raise  # the web application did not say where to store it; the chunk is tried again
        except Exception:
            # One row must never take the others with it; the log has the trace, the person a sentence.
            log.exception("row failed", workspace=str(workspace_id), position=item.position)
            return Result(position=item.position, error="Something went wrong on our side; the error was recorded")
