"""The check before a run: render a sample of rows, and count their findings."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from cwz_web.generation.image_service import ImageService
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.encoders import Output
from cwz_web.imaging.errors import ImagingError
from cwz_web.imaging.findings import Finding, FindingCode
from cwz_web.storage.contract import StorageError
from cwz_web.storage.uploads import Uploads

MAX_SECONDS = 5.0
# Rows wait for their photos' hosts, not for the processor.
CONCURRENT_ROWS = 8


@dataclass(frozen=True)
class SampleFinding:
    """A finding about a layer (or, without one, about the whole image), and the number of rows that have it."""

    layer: str
    message: str
    rows: int


@dataclass(frozen=True)
class SampleCheck:
    """The findings in the rows that were checked within the time limit.

    Attributes:
        checked_rows: How many rows were checked.
        findings: What was found, the most frequent first.
        by_row: The layers and messages of each row; None for a row for which no time was left.
    """

    checked_rows: int
    findings: tuple[SampleFinding, ...]
    by_row: tuple[tuple[tuple[str, str], ...] | None, ...]


def check_sample(
    image_service: ImageService, uploads: Uploads, template: ImageTemplate, rows: Sequence[Mapping[str, str]]
) -> SampleCheck:
    """Render rows for at most MAX_SECONDS, and return their findings, the most frequent first.

    Args:
        image_service: renders the rows.
        uploads: the uploads of the workspace.
        template: the template document.
        rows: the values of the template's fields, by row.
    """
    deadline = time.monotonic() + MAX_SECONDS

    def check(row: Mapping[str, str]) -> dict[tuple[str, str, str], str] | None:
        """Return the messages of a row's findings; None if the time is up."""
        if time.monotonic() > deadline:
            return None
        try:
            prepared = image_service.prepare(uploads, template, row, Output())
            findings = [*prepared.row_findings(), *image_service.lint(prepared)]
        except (ImagingError, StorageError) as error:
            return {("", "", str(error)): str(error)}
        return {(finding.layer, finding.code.value, _reason(finding)): finding.message for finding in findings}

    with ThreadPoolExecutor(CONCURRENT_ROWS) as pool:
        by_row = list(pool.map(check, rows))
    checked = [found for found in by_row if found is not None]
    counts = Counter(key for found in checked for key in found)
    messages = {key: message for found in checked for key, message in found.items()}
    sample_findings = (SampleFinding(key[0], messages[key], number) for key, number in counts.most_common())
    messages_by_row = (
        None if found is None else tuple((key[0], message) for key, message in found.items()) for found in by_row
    )
    return SampleCheck(len(checked), tuple(sample_findings), tuple(messages_by_row))


def _reason(finding: Finding) -> str:
    """Return what tells findings of one code apart: photos are missing for several reasons."""
    return finding.message if finding.code == FindingCode.PHOTO_MISSING else ""
