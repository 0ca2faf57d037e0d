"""Rendering of runs in the process of a test, and what is queued."""

from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import text

from cwz_web.generation.signed_urls import SignedUrls
from cwz_web.generation.usage import monthly_usage
from cwz_web.runs.local_client import LocalRenderClient
from cwz_web.runs.models import Run
from cwz_web.runs.protocol import (
    Report,
    SpecificationRequest,
)
from cwz_web.runs.render_worker import RenderWorker
from cwz_web.runs.scheduling import CHUNK
from tests.factories import Factory

SIGNED_URLS = SignedUrls("a signing secret")


@dataclass
class RecordingClient(LocalRenderClient):
    """A client that records the reports."""

    reports: list[Report] = field(default_factory=list)

    def report(self, report: Report) -> None:
        self.reports.append(report)
        super().report(report)


def recording_client(make: Factory) -> RecordingClient:
    return RecordingClient(make.database.transaction, make.services.providers, SIGNED_URLS)


def request_chunk(run: Run, chunk: int = 0) -> SpecificationRequest:
    return SpecificationRequest(workspace_id=run.workspace_id, run_id=run.id, chunk=chunk)


def worker(make: Factory, client: LocalRenderClient | None = None) -> RenderWorker:
    services = make.services
    return RenderWorker(client or recording_client(make), services.image_service, services.providers.outbound)


def work(make: Factory, run: Run, *, last_try: bool = False) -> Run:
    """Render all chunks. Returns the run as it is then."""
    for chunk in range(-(-run.total // CHUNK)):
        worker(make).render_chunk(request_chunk(run, chunk), last_try=last_try)
    reloaded: Run = make.reload(run)
    return reloaded


def rows(number: int) -> bytes:
    return b"sku,title\n" + b"".join(b"%d,Title %d\n" % (n, n) for n in range(number))


def jobs(make: Factory) -> list[dict[str, object]]:
    with make.database.transaction() as db:
        return list(
            db.scalars(text("SELECT args FROM procrastinate_jobs WHERE task_name = 'runs.render_chunk' ORDER BY id"))
        )


def count_of(make: Factory, space_id: UUID) -> int:
    with make.database.transaction(space_id) as db:
        return monthly_usage(db, space_id, space_id)
