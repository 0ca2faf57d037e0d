"""The check before a run: render a sample of rows, and count their findings."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cwz_web.generation.image_service import ImageService
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.encoders import Output
from cwz_web.imaging.errors import ImagingError
from cwz_web.imaging.findings import Finding, FindingCode
from cwz_web.storage.contract import StorageError
from cwz_web.storage.uploads import Uploads

MAX_SECONDS = 5.0


@dataclass(frozen=True)
class SampleFinding:
    """A finding about a layer (or, without one, about the whole image), and the number of rows that have it."""

    layer: str
    message: str
    rows: int


@dataclass(frozen=True)
class SampleCheck:
    """The findings in the rows that were checked within the time limit."""

    checked_rows: int
    findings: tuple[SampleFinding, ...]


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
    counts: Counter[tuple[str, str, str]] = Counter()
    messages: dict[tuple[str, str, str], str] = {}
    checked_rows = 0
    for row in rows:
        try:
            prepared = image_service.prepare(uploads, template, row, Output())
            findings = [*prepared.row_findings(), *image_service.lint(prepared)]
            found = {(finding.layer, finding.code.value, _reason(finding)): finding.message for finding in findings}
        except (ImagingError, StorageError) as error:
            found = {("", "", str(error)): str(error)}
        counts.update(found.keys())
        messages = found | messages
        checked_rows += 1
        if time.monotonic() > deadline:
            break
    sample_findings = (SampleFinding(key[0], messages[key], rows) for key, rows in counts.most_common())
    return SampleCheck(checked_rows, tuple(sample_findings))


def _reason(finding: Finding) -> str:
    """Return what tells findings of one code apart: photos are missing for several reasons."""
    return finding.message if finding.code == FindingCode.PHOTO_MISSING else ""
