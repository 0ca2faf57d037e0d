"""A render worker's client for a web application in the same process: for the demo, and for tests."""

from dataclasses import dataclass, field
from threading import Lock

from cwz_web.db.session import Transaction
from cwz_web.generation.signed_urls import SignedUrls
from cwz_web.runs.object_access import access_object, find_connection_spec, find_object
from cwz_web.runs.protocol import (
    ObjectRequest,
    ObjectResponse,
    Report,
    RequeueRequest,
    Specification,
    SpecificationRequest,
)
from cwz_web.runs.reports import apply_report, build_specification
from cwz_web.runs.scheduling import requeue_chunk
from cwz_web.storage.plugins import ProviderRegistry


@dataclass
class LocalRenderClient:
    """What `/hooks/render` does, without HTTP and signatures. Every method raises RunNotFoundError.

    Args:
        transaction: opens a transaction in a workspace.
        providers: open connections.
        signed_urls: sign the URLs that webhooks are sent.
    """

    transaction: Transaction
    providers: ProviderRegistry
    signed_urls: SignedUrls
    # A worker calls from several threads; the demo has one transaction for all of them.
    _lock: Lock = field(default_factory=Lock, init=False, repr=False)

    def get_specification(self, request: SpecificationRequest) -> Specification:
        """Return the specification of a chunk."""
        with self._lock, self.transaction(request.workspace_id) as db:
            return build_specification(db, request, self.providers)

    def access_object(self, request: ObjectRequest) -> ObjectResponse:
        """Return presigned URLs of an object, or read or store it."""
        with self._lock, self.transaction(request.workspace_id) as db:
            spec = find_connection_spec(db, request)
            request = find_object(db, request)
        return access_object(self.providers, spec, request)

    def report(self, report: Report) -> None:
        """Record the results of items."""
        with self._lock, self.transaction(report.workspace_id) as db:
            apply_report(db, report, self.signed_urls)

    def requeue(self, request: RequeueRequest) -> None:
        """Requeue the rest of a chunk."""
        with self._lock, self.transaction(request.workspace_id) as db:
            requeue_chunk(db, request.workspace_id, request.run_id, request.chunk)
