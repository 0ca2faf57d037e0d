"""A worker's way to the web application when both are one process: for the demo, and for tests."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.orm import Session

from cwz_web.generation.signing import Addresses
from cwz_web.runs.callback import apply_report, specify
from cwz_web.runs.lending import lend, lent_place
from cwz_web.runs.protocol import Address, AskAddress, AskSpecification, Report, Specification, Trouble
from cwz_web.storage.plugins import Providers


@dataclass
class InProcess:
    """What `/hooks/render` does, without HTTP and signatures.

    Arguments:
        transaction: begins one in a workspace.
    """

    transaction: Callable[[UUID], AbstractContextManager[Session]]
    providers: Providers
    addresses: Addresses

    def specification(self, ask: AskSpecification) -> Specification:
        """What a chunk consists of. Raises Gone."""
        with self.transaction(ask.workspace_id) as db:
            return specify(db, ask, self.providers)

    def address(self, ask: AskAddress) -> Address | Trouble:
        """An address to read or store an object. Raises Gone."""
        with self.transaction(ask.workspace_id) as db:
            place = lent_place(db, ask)
        return lend(self.providers, place, ask.key)

    def report(self, report: Report) -> None:
        """Take down what became of items. Raises Gone."""
        with self.transaction(report.workspace_id) as db:
            apply_report(db, report, self.addresses)
