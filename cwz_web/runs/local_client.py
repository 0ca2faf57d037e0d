"""A worker's way to the web application when both are one process: for the demo, and for tests."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.orm import Session

from cwz_web.generation.signed_urls import SignedUrls
from cwz_web.runs.presigned_storage import delegated_connection, lend
from cwz_web.runs.protocol import Address, AskAddress, AskSpecification, Report, Specification, Trouble
from cwz_web.runs.reports import apply_report, specify
from cwz_web.storage.plugins import Providers


@dataclass
class LocalRenderClient:
    """What `/hooks/render` does, without HTTP and signatures.

    Arguments:
        transaction: begins one in a workspace.
    """

    transaction: Callable[[UUID], AbstractContextManager[Session]]
    providers: Providers
    signed_urls: SignedUrls

    def specification(self, ask: AskSpecification) -> Specification:
        """What a chunk consists of. Raises Gone."""
        with self.transaction(ask.workspace_id) as db:
            return specify(db, ask, self.providers)

    def address(self, ask: AskAddress) -> Address | Trouble:
        """An address to read or store an object. Raises Gone."""
        with self.transaction(ask.workspace_id) as db:
            place = delegated_connection(db, ask)
        return lend(self.providers, place, ask.key)

    def report(self, report: Report) -> None:
        """Take down what became of items. Raises Gone."""
        with self.transaction(report.workspace_id) as db:
            apply_report(db, report, self.signed_urls)
